"""What `ls` and `status` say of somebody's APIs that were pulled to this machine."""

from collections.abc import Mapping

from local_server.cli.text import clean, line_of, paint
from local_server.client.documents import ApiDocument
from local_server.client.errors import ApimarketClientError
from local_server.client.outbox_documents import CloneDocument
from local_server.client.synchronous import Client


def clones_by_api(client: Client) -> Mapping[str, CloneDocument]:
    """By what each is called here, as far as this machine has heard of newer versions. Of a server that does not tell,
    or not this caller: none."""
    try:
        return {one["api"]: one for one in client.outbox().get("clones", [])}
    except ApimarketClientError:
        return {}


def with_clone(api: ApiDocument, clone: CloneDocument | None) -> Mapping[str, object]:
    """The API's row, and where it was pulled from, if it was."""
    return api if clone is None else {**api, "clone": clone}


def update_told(clone: CloneDocument) -> str:
    """One line on a newer version; empty where there is none to bring here."""
    if not clone["update"]:
        return ""
    newer = f"{clean(clone['name'])} {clean(clone['newest'])}"
    return f"update available: {newer}; apimarket pull {clean(clone['name'])}"


def origin_told(clone: CloneDocument) -> str:
    """`ana/weather 1.2.0, update available: …`"""
    remarks = [f"{clean(clone['name'])} {clean(clone['version'])}"]
    if clone["pinned"]:
        remarks.append(f"stays there; the newest is {clean(clone['newest'])}")
    if clone["deleted"]:
        remarks.append(paint("is not there any more", "yellow"))
    if reason := clone["yanked"]:
        remarks.append(paint(f"yanked: {line_of(reason)}", "yellow"))
    if told := update_told(clone):
        remarks.append(paint(told, "yellow"))
    return ", ".join(remarks)

"""How a published version starts on a marketplace that runs what is published to it."""

import time

from local_server.cli.text import clean, line_of, paint
from local_server.client.errors import ApimarketClientError
from local_server.client.outbox_documents import OutboxEntryDocument
from local_server.client.synchronous import Client
from local_server.client.version_documents import VersionDocument

WAIT_S = 300.0
"""Its dependencies may have to be installed there first."""


def started_there(market: Client, entry: OutboxEntryDocument) -> VersionDocument | None:
    """Wait until it serves there, or does not start. None: it is not run there, or this is not who may ask; published
    it is all the same."""
    try:
        if not market.sync_info().get("runs"):  # those of before do not say
            return None
        deadline = time.monotonic() + WAIT_S
        found = market.version(entry["name"], entry["version"])
        while not _settled(found) and time.monotonic() < deadline:
            time.sleep(0.2)
            found = market.version(entry["name"], entry["version"])
    except ApimarketClientError:
        return None
    return found


def stands_there(market: Client, name: str, version: str) -> VersionDocument | None:
    """How a version stands that was published before, once it has started or failed to. None as above."""
    try:
        if not market.sync_info().get("runs"):
            return None
        deadline = time.monotonic() + WAIT_S
        found = market.version(name, version)
        while found["state"] in ("building", "starting") and not found["serving"] and time.monotonic() < deadline:
            time.sleep(0.2)
            found = market.version(name, version)
    except ApimarketClientError:
        return None
    return found


def told_there(found: VersionDocument, api: str, version: str, remote: str) -> str:
    """Whether it runs, with the place of the mistake where it does not."""
    if found["serving"]:
        shares = "" if found["weight"] == 100 else f", with {found['weight']} % of the traffic"
        return f"  {paint('runs there', 'green')}{shares}"
    if found["state"] != "failed":
        return f"  {paint('starting there still', 'yellow')}  {line_of(found['progress'])}".rstrip()
    number = f"{clean(api)} --version {clean(version)} --remote {clean(remote)}"
    why = f"{paint('does not start there', 'red')}: {line_of(found['error'] or 'no reason is known')}"
    return (
        f"  {why}\n  what served before it serves on\n"
        f"{paint('hint:', 'cyan')} what it printed: apimarket logs {number}\n"
        f"{paint('hint:', 'cyan')} mend it, save, and publish the next version: apimarket publish {clean(api)}"
    )


def _settled(found: VersionDocument) -> bool:
    return found["serving"] or found["state"] == "failed"

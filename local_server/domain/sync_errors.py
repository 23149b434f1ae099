"""Refusals of publishing and pulling. What an error is made of stands in errors.py."""

from collections.abc import Sequence
from typing import Any

from local_server.domain.errors import ApimarketError

_DAMAGED_HINT = "Nothing was stored. Send it again."
# -- What was sent -----------------------------------------------------------------------------------------------


class PackDamaged(ApimarketError):
    """The body cannot be read, or is not what its hashes say. Nothing of the damaged part was stored."""

    status, code, title = 422, "pack_damaged", "What was sent is damaged"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The pack cannot be taken: {reason}", hint=_DAMAGED_HINT)


class PackTooLarge(ApimarketError):
    status, code, title = 413, "pack_too_large", "What was sent is too large for one request"

    def __init__(self, what: str, most: int) -> None:
        super().__init__(
            f"The pack's {what} goes over {most:,}",
            hint="Send large blobs alone, and the others in several batches; the limits are at GET /api/v1/sync.",
            extra={"most": most},
        )


class PublishRefused(ApimarketError):
    """The request contradicts itself, or holds what no version may. `field` is the part that is to blame."""

    status, code, title = 422, "publish_refused", "That cannot be published"

    def __init__(self, field: str, reason: str, hint: str = "") -> None:
        shown = reason.encode("utf-8", "backslashreplace").decode()[:500]
        super().__init__(
            f"{field}: {shown}", hint=hint or "What a version may hold: docs/sync.md", extra={"field": field}
        )


class TreeTooLarge(PublishRefused):
    status, code, title = 413, "tree_too_large", "The tree is too large"


class TreeMismatch(ApimarketError):
    status, code, title = 422, "tree_mismatch", "The tree is not what its hash says"

    def __init__(self, said: str, found: str) -> None:
        super().__init__(
            f"The base with what was put and deleted is the tree {found}, not {said}",
            hint="Compare with the base again, and send the difference anew.",
            extra={"said": said, "found": found},
        )


class BadSignature(ApimarketError):
    """One refusal for a forged signature, one made for another marketplace or version, and a key that is not, or no
    longer, the account's."""

    status, code, title = 422, "bad_signature", "The signature is not valid here"

    def __init__(self, signer: str) -> None:
        super().__init__(
            f"The signature is not that of a key {signer[:64]!r} of yours on this version for this marketplace",
            hint="See your keys at GET /api/v1/sync/keys; register this machine's and publish again.",
            extra={"signer": signer[:64]},
        )


class OpReused(ApimarketError):
    status, code, title = 422, "op_reused", "That operation was something else"

    def __init__(self, op: str) -> None:
        super().__init__(
            f"The operation {op} published another version",
            hint="Give each publish an id of its own, and repeat one only unchanged.",
            extra={"op": op},
        )


# -- What is there -----------------------------------------------------------------------------------------------


class VersionExists(ApimarketError):
    status, code, title = 409, "version_exists", "That version exists already"

    def __init__(self, api: str, semver: str, version: str, tree: str, suggestion: str = "") -> None:
        super().__init__(
            f"{api} has a version {semver} already, and versions never change",
            hint=f"Publish it as another: apimarket publish --version {suggestion}"
            if suggestion
            else "Choose another.",
            extra={"semver": semver, "version": version, "tree": tree},
        )


class HeadMoved(ApimarketError):
    """`head` is None where nothing was published yet."""

    status, code, title = 409, "head_moved", "Somebody published meanwhile"

    def __init__(self, api: str, expected: int, revision: int, head: dict[str, Any] | None) -> None:
        what = f"its head is {head['semver']}, at revision {revision}" if head else "nothing of it is published"
        super().__init__(
            f"{api} was expected at revision {expected}, but {what}",
            hint="Pull, merge, and publish on the new head.",
            extra={"rev": revision, "tree": head and head["tree"], "version": head and head["version"]},
        )


class BlobsMissing(ApimarketError):
    """Nothing is visible yet; what arrived is kept for a day. `base_known` is False where the base tree has to be sent
    as a whole: then nothing else was looked at."""

    status, code, title = 424, "missing", "The server does not have all blobs"

    def __init__(self, upload_id: str, missing: Sequence[str], base_known: bool) -> None:
        count = "1 blob is" if len(missing) == 1 else f"{len(missing):,} blobs are"
        super().__init__(
            f"{count} missing" if base_known else "The base tree is not known here",
            hint="Send them to the upload, then commit it."
            if base_known
            else "Publish again with every file in `put` and no base.",
            extra={"upload_id": upload_id, "missing": list(missing), "base_known": base_known},
        )


class ApiRemovedForGood(ApimarketError):
    status, code, title = 410, "api_removed", "That API was removed"

    def __init__(self, api: str) -> None:
        super().__init__(
            f"{api} was removed, and its name stays reserved, so that nobody's callers reach somebody else's code",
            hint="Publish under another name.",
        )


class NotYours(ApimarketError):
    status, code, title = 403, "not_yours", "Only its owner may do that"

    def __init__(self, owner: str, caller: str) -> None:
        super().__init__(
            f"APIs of {owner[:100]!r} are published by {owner[:100]!r}; you are {caller!r}",
            hint=f"Publish it under your own name: {caller}/NAME",
        )


class ObjectNotFound(ApimarketError):
    """A tree, version, API or ref; one refusal for what does not exist and what the caller may not read."""

    status, code, title = 404, "object_not_found", "There is no such thing"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f"There is no {kind} {name[:200]!r} that you may read", hint="Pull again: it may have been withdrawn."
        )


class StaleRef(ApimarketError):
    status, code, title = 412, "stale_ref", "Somebody changed it meanwhile"

    def __init__(self, ref: str, expected: int, revision: int) -> None:
        super().__init__(
            f"The {ref} is at revision {revision}, not {expected}",
            hint="Read it again and repeat the change.",
            extra={"expected": expected, "rev": revision},
        )


class RevisionRequired(ApimarketError):
    status, code, title = 428, "revision_required", "Say which revision you saw"

    def __init__(self, given: str) -> None:
        found = f", not {given[:60]!r}" if given else ""
        super().__init__(
            f"The change needs the header If-Match with the ref's revision{found}",
            hint='Read the ref, and send its revision in quotes: If-Match: "3"',
        )


class CursorGone(ApimarketError):
    """Fails closed: a cursor that is not of this feed's past would leave changes out."""

    status, code, title = 410, "cursor_gone", "The feed does not go back that far"

    def __init__(self, cursor: str) -> None:
        super().__init__(
            f"No change is known under the cursor {cursor[:80]!r}: it is too old, or of a feed that was restored",
            hint="Read everything anew at GET /api/v1/sync/snapshot, and go on from its cursor.",
        )


# -- Uploads -----------------------------------------------------------------------------------------------------


class UploadNotFound(ApimarketError):
    status, code, title = 404, "upload_not_found", "No such upload"

    def __init__(self, upload_id: str) -> None:
        super().__init__(
            f"There is no upload {upload_id[:80]!r}; uploads are kept for a day",
            hint="Publish again: what arrived already is not asked for again.",
        )


class WrongOffset(ApimarketError):
    status, code, title = 409, "wrong_offset", "The upload goes on elsewhere"

    def __init__(self, said: int, offset: int) -> None:
        super().__init__(
            f"{offset:,} bytes are here; the request begins at {said:,}",
            hint=f"Send from byte {offset} on.",
            extra={"offset": offset},
        )
        self.offset = offset


class BlobBusy(ApimarketError):
    status, code, title = 409, "blob_busy", "Another request is sending this blob"

    def __init__(self, sha256: str) -> None:
        super().__init__(f"The blob {sha256} is being sent by another request", hint="Wait for it, then ask again.")


class BlobUnwanted(ApimarketError):
    status, code, title = 422, "blob_unwanted", "The upload does not need that blob"

    def __init__(self, sha256: str) -> None:
        super().__init__(
            f"The upload's tree has no blob {sha256[:80]!r}", hint="Send only what was said to be missing."
        )


class BlobMismatch(ApimarketError):
    status, code, title = 422, "blob_mismatch", "The blob is not what its hash says"

    def __init__(self, sha256: str, found: str) -> None:
        super().__init__(
            f"What was sent as {sha256} is {found}", hint="Nothing was kept of it. Send the blob again, from byte 0."
        )


class BlobDamaged(ApimarketError):
    """A disk lost it, or changed it. It is not handed out; whoever has it may publish it again."""

    status, code, title = 503, "blob_damaged", "A blob is damaged here"

    def __init__(self, sha256: str) -> None:
        super().__init__(
            f"What is stored as {sha256} is not what its hash says",
            hint="Tell whoever runs the marketplace: the blob has to come back from a backup.",
        )


class RangeBeyond(ApimarketError):
    status, code, title = 416, "range_beyond", "The blob ends before that"

    def __init__(self, wanted: str, size_bytes: int) -> None:
        super().__init__(
            f"{wanted[:80]!r} asks for what is not there: the blob has {size_bytes:,} bytes",
            hint=f"Ask for bytes=0-{max(size_bytes - 1, 0)}, or less.",
            extra={"size_bytes": size_bytes},
        )


class TooMuchStaged(ApimarketError):
    status, code, title = 429, "too_much_staged", "Too much is waiting to be published"

    def __init__(self, what: str, most: int) -> None:
        super().__init__(
            f"Unpublished uploads of one account may hold {most:,} {what}",
            hint="Commit what is waiting, or wait a day: what was not committed is then forgotten.",
            extra={"most": most},
        )


# -- Signing keys ------------------------------------------------------------------------------------------------


class InvalidSigningKey(ApimarketError):
    status, code, title = 422, "invalid_signing_key", "That signing key cannot be registered"

    def __init__(self, reason: str, hint: str = "Send the 32 bytes of an Ed25519 public key in base64.") -> None:
        super().__init__(reason, hint=hint)


class SigningKeyNotFound(ApimarketError):
    status, code, title = 404, "signing_key_not_found", "No such signing key"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"You have no signing key {key_id[:80]!r}", hint="List yours at GET /api/v1/sync/keys.")

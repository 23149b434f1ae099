"""What a marketplace's refusal means for an outgoing version: a table, so that nothing is decided in passing."""

from collections.abc import Mapping
from enum import StrEnum

from local_server.client.errors import ApimarketClientError
from local_server.domain.outbox import Trouble


class Meaning(StrEnum):
    AGAIN = "again"
    """Nothing is wrong with the version: try later."""
    AFRESH = "afresh"
    """What was sent is not known there any more: begin with the request."""
    MISSING = "missing"
    """It lacks blobs."""
    CONFLICT = "conflict"
    EXISTS = "exists"
    """The number is taken; by this very version, perhaps."""
    NEVER = "never"
    """It will not be taken as it is."""


_BY_CODE: Mapping[str, Meaning] = {
    "missing": Meaning.MISSING,
    "head_moved": Meaning.CONFLICT,
    "version_exists": Meaning.EXISTS,
    "upload_not_found": Meaning.AFRESH,
    # Bits that turned over on the way, or another attempt of ours that is not quite over.
    "pack_damaged": Meaning.AGAIN,
    "blob_mismatch": Meaning.AGAIN,
    "blob_busy": Meaning.AGAIN,
    "wrong_offset": Meaning.AGAIN,
    "blob_unwanted": Meaning.AFRESH,
    # A session that is over, or a server that is something else: a person mends it, and then it goes on.
    "session_invalid": Meaning.AGAIN,
    "token_required": Meaning.AGAIN,
    "not_logged_in": Meaning.AGAIN,
    "another_marketplace": Meaning.AGAIN,
    "unexpected_answer": Meaning.AGAIN,
    "answer_damaged": Meaning.AGAIN,
}
_AGAIN_STATUSES = frozenset({401, 408, 425, 429})
_PATIENCE = 8
"""A damaged body is sent so often; after that it is not the line."""


def meaning_of(error: ApimarketClientError, attempts: int = 0) -> Meaning:
    if error.code in ("pack_damaged", "blob_mismatch", "blob_unwanted") and attempts >= _PATIENCE:
        return Meaning.NEVER
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if error.status >= 500 or error.status in _AGAIN_STATUSES:
        return Meaning.AGAIN
    return Meaning.NEVER


def trouble_of(error: ApimarketClientError) -> Trouble:
    return Trouble(error.code, error.detail, error.hint)

"""What can go wrong between a client and its server."""

import json
import os
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from local_server.domain.server_errors import ServerUnreachable

_STANDARD = frozenset({"type", "title", "status", "detail", "instance", "code", "hint"})


class ApimarketClientError(Exception):
    """A refusal of the server (its RFC 9457 problem), or an answer that could not be understood.

    `code` is stable, for programs; `detail` and `hint` are for people; `extra` holds the problem's further members.
    """

    def __init__(
        self, detail: str, *, hint: str = "", code: str, status: int, title: str, extra: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.code = code
        self.status = status
        self.title = title
        self.extra: dict[str, Any] = dict(extra or {})


class ServerUnreachableError(ApimarketClientError):
    """Nothing answers at `url`, or the connection broke before an answer was complete."""

    def __init__(self, url: str, reason: str, *, elsewhere: bool = False) -> None:
        told = ServerUnreachable(url, reason, elsewhere=elsewhere)
        super().__init__(
            told.detail, hint=told.hint, code=told.code, status=told.status, title=told.title, extra=told.extra
        )
        self.url = url


def problem_of(status: int, reason: str, body: bytes, url: str) -> ApimarketClientError:
    """The error that an answer with `status` (300 or more) stands for. Never raises."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "code" not in problem:
        return unexpected(status, f"{url} answered {status} {reason}".rstrip())
    return ApimarketClientError(
        str(problem.get("detail") or problem.get("title") or problem["code"]),
        hint=str(problem.get("hint") or ""),
        code=str(problem["code"]),
        status=status,
        title=str(problem.get("title") or problem["code"]),
        extra={key: value for key, value in problem.items() if key not in _STANDARD},
    )


def session_over(error: ApimarketClientError, url: str, handle: str = "NAME") -> ApimarketClientError:
    """A 401 of a server elsewhere, with the command that helps: it cannot know the address it is reached at."""
    return ApimarketClientError(
        f"{url} does not know who you are: {error.detail}",
        hint=f"apimarket login {handle} --remote {url}",
        code=error.code,
        status=error.status,
        title=error.title,
        extra=error.extra,
    )


def unexpected(status: int, detail: str) -> ApimarketClientError:
    """For an answer that no apimarket server of this version gives."""
    return ApimarketClientError(
        detail,
        hint="Another program, or another version of apimarket, answers there. See: apimarket doctor",
        code="unexpected_answer",
        status=status,
        title="Not an answer of an apimarket server",
    )


def reason_of(error: BaseException) -> str:
    """Why a connection failed, in words: `connection refused`."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, HTTPException):
        return "it broke off in the middle of its answer"
    if isinstance(error, OSError) and error.errno:
        # The system's words for the number: asyncio writes its own, with the address again.
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__

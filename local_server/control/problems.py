"""Errors of the control API as `application/problem+json` (RFC 9457), whatever raised them."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from local_server.control.mistakes import mistakes
from local_server.domain.account_errors import LoginRefused, TokenRequired, TooManyAttempts
from local_server.domain.errors import ApimarketError
from local_server.domain.storage_errors import StorageUnavailable
from local_server.wire.problems import MEDIA_TYPE, Problem

logger = logging.getLogger("apimarket.control")


def install_problem_handlers(app: FastAPI) -> None:
    """Every error that leaves `app` is a problem; what nobody expected is logged with its traceback, and says none."""
    app.add_exception_handler(ApimarketError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApimarketError)
    problem = Problem(
        title=error.title, status=error.status, detail=error.detail, code=error.code, hint=error.hint, **error.extra
    )
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, (TokenRequired, LoginRefused)) else {}
    if isinstance(error, (TooManyAttempts, StorageUnavailable)):
        headers["Retry-After"] = str(error.retry_after_s)
    return _answer(request, problem, headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    media_type = request.headers.get("content-type", "")
    told = mistakes(error.errors(), error.body, media_type, hidden=_hides_input(request))
    detail = "; ".join(f"{each['where']}: {each['message']}" for each in told)
    problem = Problem(
        title="The request is not as it should be",
        status=422,
        detail=detail,
        code="invalid_request",
        hint="What each call takes is at /docs.",
        mistakes=told,
    )
    return _answer(request, problem)


def _hides_input(request: Request) -> bool:
    """Whether the model of the body says that what is sent is never to be shown."""
    body = getattr(request.scope.get("route"), "body_field", None)
    model = body.field_info.annotation if body is not None else None
    return bool(getattr(model, "model_config", {}).get("hide_input_in_errors"))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "_")
    hint = "Every path and method is at /docs." if error.status_code in (404, 405) else ""
    detail = f"{request.method} {request.url.path}: {title.lower()}"
    problem = Problem(title=title, status=error.status_code, detail=detail, code=code, hint=hint)
    return _answer(request, problem, dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    problem = Problem(
        title=ApimarketError.title,
        status=500,
        detail="An error that nobody expected was written to the server's log.",
        code=ApimarketError.code,
        hint="Look into server.log in the data directory, and please report it.",
    )
    return _answer(request, problem)


def _answer(request: Request, problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    content = problem.model_dump() | {"instance": request.url.path}
    return JSONResponse(content, problem.status, headers, MEDIA_TYPE)

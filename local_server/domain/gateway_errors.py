"""What the gateway refuses, in an API's place, for the sake of its callers and of the API."""

from local_server.domain.errors import ApimarketError


class HostRefused(ApimarketError):
    status, code, title = 421, "host_refused", "This server does not answer to that host name"


class OriginRefused(ApimarketError):
    status, code, title = 403, "origin_refused", "A web page of another origin may not call this"


class MalformedRequest(ApimarketError):
    """The request can be read in more than one way: never passed on."""

    status, code, title = 400, "malformed_request", "The request is not clear HTTP"

    def __init__(self, problem: str, hint: str = "Send it with an ordinary HTTP client.") -> None:
        super().__init__(f"The request {problem}", hint=hint)


class MethodUnknown(ApimarketError):
    """RFC 9110, 15.6.2."""

    status, code, title = 501, "method_unknown", "That method is not known here"

    def __init__(self, method: str, hint: str) -> None:
        super().__init__(f"The request's method is {method!r}, which is not known here", hint=hint)


class VersionNotSpoken(ApimarketError):
    """RFC 9110, 15.6.6."""

    status, code, title = 505, "version_not_spoken", "That version of HTTP is not spoken here"

    def __init__(self, version: str) -> None:
        """`version` as the request names it, without `HTTP/`; empty where it cannot be told."""
        said = f"The request is in HTTP/{version}" if version else "The request is in another version of HTTP"
        super().__init__(f"{said}, and HTTP/1.1 is spoken here", hint="Have the client use HTTP/1.1.")


class RequestStalled(ApimarketError):
    status, code, title = 408, "request_stalled", "The request did not arrive"

    def __init__(self, waited_s: float, part: str = "body") -> None:
        super().__init__(f"The request's {part} did not arrive within {waited_s:g} s", hint="Send it again.")


class HeadTooLarge(ApimarketError):
    status, code, title = 431, "head_too_large", "The request's headers are too large"

    def __init__(self, limit_bytes: int, limit_fields: int) -> None:
        super().__init__(
            f"A request's path and headers may have {limit_bytes} bytes and {limit_fields} fields",
            hint="Send large values in the body; clear this site's cookies if a browser sent them.",
        )


class ApiUnavailable(ApimarketError):
    """No generation of the API can answer. `retry_after_s` is whole seconds."""

    status, code, title = 503, "api_unavailable", "The API is not answering"

    def __init__(self, detail: str, hint: str, retry_after_s: int = 1) -> None:
        super().__init__(detail, hint=hint)
        self.retry_after_s = retry_after_s


class UpstreamFailed(ApimarketError):
    status, code, title = 502, "upstream_failed", "The API broke off"


class UpstreamTimeout(ApimarketError):
    status, code, title = 504, "upstream_timeout", "The API did not answer in time"


class NotCached(ApimarketError):
    """RFC 9111, 5.2.1.7."""

    status, code, title = 504, "not_cached", "No answer is kept"

    def __init__(self, full_name: str) -> None:
        super().__init__(
            f"The request wants an answer of {full_name} that is kept (Cache-Control: only-if-cached), and none is",
            hint="Send it without only-if-cached.",
        )


class BodyTooLarge(ApimarketError):
    """Before the API has seen any of it where the length was announced, else as soon as it is too much."""

    status, code, title = 413, "body_too_large", "The request's body is too large"

    def __init__(self, full_name: str, limit_bytes: int, length: int | None = None) -> None:
        said = f"announces {length:,} bytes" if length is not None else "has not ended"
        super().__init__(
            f"The body {said}; {full_name} takes up to {limit_bytes:,} bytes",
            hint="The API's owner can allow more in apimarket.toml: [gateway] max_body_mb = …",
        )


class CircuitOpen(ApiUnavailable):
    """The API failed too often in a row, and is not asked just now."""

    code = "circuit_open"

    def __init__(self, full_name: str, slug: str, failures: int, reason: str, retry_after_s: int) -> None:
        super().__init__(
            f"{full_name} did not answer {failures} requests in a row (it {reason}), and is left alone for a while",
            hint=f"Try again in {retry_after_s} s. See what it printed with: apimarket logs {slug}",
            retry_after_s=retry_after_s,
        )


class ServiceAway(ApiUnavailable):
    """What a gateway passes on to another part of the marketplace, which does not answer."""

    code = "service_away"

    def __init__(self, service: str, url: str, reason: str) -> None:
        super().__init__(
            f"The {service} at {url} does not answer: it {reason}",
            hint=f"APIs that run go on being served. Start it: apimarket serve --role {service}",
        )

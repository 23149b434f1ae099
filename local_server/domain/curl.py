"""A kept request as a curl command that runs in any POSIX shell, with its secrets as the shell's variables."""

import itertools
import re

from local_server.domain.exchanges import Exchange
from local_server.domain.redaction import redact_header, redact_query, redact_text
from local_server.domain.texts import text_of

MOST_ARGUMENT_CHARS = 100_000
"""A single argument of a program may have 128 KiB; the rest is for what stands around a body."""
KEY_VARIABLE, FILE_VARIABLE = "APIMARKET_KEY", "BODY_FILE"

# curl says these itself, from the URL and the body; and an answer that is to be read is best not packed.
_CURLS_OWN = frozenset({"host", "content-length", "accept-encoding"})


class _Variables:
    """A mask whose marks can be told from any text of one request, so that they can be put outside its quotes."""

    def __init__(self, text: str) -> None:
        self._edge = next(mark for n in itertools.count() if (mark := f"\x1a{n}\x1a") not in text)

    def __call__(self, name: str) -> str:
        variable = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_") or "SECRET"
        return f"{self._edge}{'_' if variable[0].isdigit() else ''}{variable}{self._edge}"

    def quoted(self, text: str) -> str:
        """`text` as one word of the shell."""
        words = []
        for index, part in enumerate(text.split(self._edge)):
            if index % 2:
                words.append(f'"${part}"')
            elif part:
                words.append("'" + part.replace("'", "'\\''") + "'")
        return "".join(words) or "''"


def curl(exchange: Exchange) -> str:
    """One command, over several lines. Empty for a WebSocket, which curl does not speak."""
    if exchange.websocket:
        return ""
    body_text = text_of(exchange.request_body, exchange.request_headers)
    variables = _Variables(
        "\n".join([exchange.query, body_text or "", *(value for _, value in exchange.request_headers)])
    )
    query = redact_query(exchange.query, variables)
    method = exchange.execution.method
    parts = ["curl --globoff --path-as-is " + variables.quoted(exchange.url + ("?" + query if query else ""))]
    if method == "HEAD":
        parts.append("--head")
    elif method != ("POST" if _has_body(exchange) else "GET"):
        parts.append("--request " + variables.quoted(method))
    parts += [f"--header {variables.quoted(line)}" for line in _headers(exchange, variables)]
    before, body = _body(exchange, body_text, variables)
    return before + " \\\n  ".join([*parts, *body])


def _headers(exchange: Exchange, variables: _Variables) -> list[str]:
    lines = []
    names = {name for name, _ in exchange.request_headers}
    for name, value in exchange.request_headers:
        if name not in _CURLS_OWN:
            shown = redact_header(name, value, variables)
            # "Name:" alone would take the header away; this is how curl sends it empty.
            lines.append(f"{name}: {shown}" if shown else f"{name};")
    if exchange.keyed:
        lines.append("x-api-key: " + variables(KEY_VARIABLE))
    # What curl would add of its own accord, and the caller did not say.
    if "accept" not in names:
        lines.append("accept:")
    if _has_body(exchange) and "content-type" not in names:
        lines.append("content-type:")
    return lines


def _has_body(exchange: Exchange) -> bool:
    """Also one of which nothing was read, because the request was refused for its head."""
    return exchange.request_body.size > 0 or not exchange.request_complete


def _body(exchange: Exchange, text: str | None, variables: _Variables) -> tuple[str, list[str]]:
    """What stands before the command, and its last arguments."""
    if not _has_body(exchange):
        return "", []
    body = exchange.request_body
    piped = ["--data-binary @-"]
    if body.whole and exchange.request_complete and not exchange.key_removed:
        shown = None if text is None else redact_text(text, exchange.media_type, variables)
        if shown is not None and text is not None and text.encode() == body.content and _is_plain(text):
            quoted = variables.quoted(shown)
            if len(quoted) < MOST_ARGUMENT_CHARS and not shown.startswith("@"):
                return "", ["--data-binary " + quoted]
            return f"printf %s {quoted} | ", piped
        if shown == text:
            return f"printf '{_octal(body.content)}' | ", piped
    return "", [f'--data-binary @"${FILE_VARIABLE}"']


def _is_plain(text: str) -> bool:
    """Whether it can be printed, copied and pasted without loss, and does nothing to a terminal."""
    return all(char.isprintable() or char in "\n\t" for char in text)


def _octal(content: bytes) -> str:
    """For printf(1), which every shell has within itself and therefore without a limit."""
    return "".join(chr(byte) if byte < 128 and chr(byte).isalnum() else f"\\{byte:03o}" for byte in content)

"""The history of the Try-it console: what was sent, what came back, and what is kept of it beyond this run."""

import asyncio
import itertools
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from apimarket_tui.backend import CallResult, Trouble
from apimarket_tui.drafts import Draft, Outgoing
from apimarket_tui.words import METHOD_TONE, Spans, millis, status_tone
from local_server.client import call_history

MOST = call_history.MOST


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is kept of an answer beyond the run that it came in: not the answer itself."""

    status: int | None
    elapsed_ms: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Sent:
    number: int
    at: datetime
    draft: Draft
    url: str
    """As it went out."""
    answer: CallResult | Trouble | Remembered


class SentCalls:
    """Newest first. `home` None keeps nothing beyond this run."""

    def __init__(self, home: Path | None) -> None:
        self._home = home
        self._numbers = itertools.count(1)
        self.all: list[Sent] = []

    async def load(self) -> None:
        """What earlier runs sent, below what this one has."""
        if self._home is None:
            return
        kept = await asyncio.to_thread(call_history.read, self._home)
        self.all += [sent for one in kept if (sent := self._of_kept(one)) is not None]
        del self.all[MOST:]

    async def add(self, at: datetime, draft: Draft, out: Outgoing, answer: CallResult | Trouble) -> Sent:
        """Raises OSError where it cannot be kept; it is in the list then all the same."""
        sent = Sent(next(self._numbers), at, draft, out.url, answer)
        self.all.insert(0, sent)
        del self.all[MOST:]
        if self._home is not None:
            await asyncio.to_thread(call_history.add, self._home, _kept(at, out, answer))
        return sent

    def _of_kept(self, kept: call_history.KeptCall) -> Sent | None:
        try:
            at = datetime.fromisoformat(kept["at"])
        except ValueError:
            return None
        headers = "\n".join(f"{name}: {value}" for name, value in kept["headers"])
        draft = Draft(kept["method"], kept["url"], "", headers, kept["body"])
        answer = Remembered(kept["status"], kept["elapsed_ms"], int(kept["bytes"]))
        return Sent(next(self._numbers), at, draft, kept["url"], answer)


def _kept(at: datetime, out: Outgoing, answer: CallResult | Trouble) -> call_history.KeptCall:
    status, elapsed_ms, size = (
        (None, 0.0, 0) if isinstance(answer, Trouble) else (answer.status, answer.elapsed_ms, len(answer.body))
    )
    return {
        "at": at.isoformat(),
        "method": out.method,
        "url": out.url,
        "headers": [[name, value] for name, value in out.headers],
        "body": out.body,
        "status": status,
        "elapsed_ms": elapsed_ms,
        "bytes": size,
    }


def cell(sent: Sent, column: str, today: datetime) -> Spans:
    answer = sent.answer
    status = None if isinstance(answer, Trouble) else answer.status
    match column:
        case "at":
            return [(f"{sent.at:%H:%M:%S}" if sent.at.date() == today.date() else f"{sent.at:%d %b}", "dim")]
        case "method":
            return [(sent.draft.method, METHOD_TONE.get(sent.draft.method, "text"))]
        case "status":
            return [(str(status), status_tone(status))] if status is not None else [("✗", "bad")]
        case "took":
            return [("–" if isinstance(answer, Trouble) or status is None else millis(answer.elapsed_ms), "dim")]
        case _:
            return [(sent.url, "text")]

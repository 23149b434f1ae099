"""What the system tells of processes and of the ports they listen on (Linux: /proc)."""

from __future__ import annotations

import os
import re
from typing import List, NamedTuple, Optional, Set

_LISTEN = "0A"
_LOOPBACK_V4 = "7F"  # the last byte of the address as /proc writes it: 127.0.0.1 is 0100007F
_LOOPBACK_V6 = "00000000000000000000000001000000"
_MAPPED_V4 = "0000000000000000FFFF0000"


class Listener(NamedTuple):
    port: int
    loopback_only: bool


def listeners_of_group(pgid: int) -> List[Listener]:
    """In order of port; empty where there is no /proc or nothing listens."""
    inodes: Set[str] = set()
    for pid in _pids_of_group(pgid):
        inodes |= _socket_inodes(pid)
    found: Set[Listener] = set()
    if inodes:
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            found |= _listening(table, inodes)
    return sorted(found)


def can_see_files_of_group(pgid: int) -> bool:
    """Whether an empty answer of `listeners_of_group` means that nothing listens."""
    pids = _pids_of_group(pgid)
    return bool(pids) and all(os.access(f"/proc/{pid}/fd", os.R_OK | os.X_OK) for pid in pids)


def children_of(parent: int) -> List[int]:
    """The processes whose parent this is; empty where there is no /proc."""
    return [int(pid) for pid in _all_pids() if _stat_field(pid, 1) == parent]


def is_running(pid: int) -> bool:
    """Whether a process exists and, where that can be told, is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _stat_word(pid, 0) not in ("Z", "X")


def _all_pids() -> List[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _pids_of_group(pgid: int) -> List[str]:
    return [pid for pid in _all_pids() if _stat_field(pid, 2) == pgid]


def _stat_field(pid: str, index: int) -> int:
    """A number behind the command in /proc/PID/stat: 1 is the parent, 2 the process group. -1 when it is gone."""
    word = _stat_word(pid, index)
    return int(word) if word is not None else -1


def _stat_word(pid: "str | int", index: int) -> Optional[str]:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The command stands in parentheses and may itself contain anything.
            return file.read().rpartition(")")[2].split()[index]
    except (OSError, IndexError):
        return None


def _socket_inodes(pid: str) -> Set[str]:
    inodes: Set[str] = set()
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return inodes
    for fd in fds:
        try:
            match = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            continue
        if match:
            inodes.add(match.group(1))
    return inodes


def _listening(table: str, inodes: Set[str]) -> Set[Listener]:
    found: Set[Listener] = set()
    try:
        with open(table, encoding="ascii") as file:
            rows = [row.split() for row in file][1:]
    except OSError:
        return found
    for row in rows:
        if len(row) > 9 and row[3] == _LISTEN and row[9] in inodes:
            address, _, port = row[1].partition(":")
            found.add(Listener(int(port, 16), _is_loopback(address)))
    return found


def _is_loopback(address: str) -> bool:
    if len(address) == 8:
        return address[6:] == _LOOPBACK_V4
    return address == _LOOPBACK_V6 or (address.startswith(_MAPPED_V4) and address[30:] == _LOOPBACK_V4)

"""Each promise about who may do what with a running server, tried by somebody who may not."""

import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import RunningServer, free_port, running, wait_for
from tests.e2e.traffic import ask

NOBODY = 65534
AS_ROOT = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may become a second user: sudo scripts/test"
)

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# Prints what a hostile program would, and tells its surroundings.
PROBE = r"""
import json, os, sys

HOSTILE = [
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07after-osc", "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31mc1-csi", "\x9d0;c1-osc\x9c", "\x1bPdcs\x1b\\", "bell\x07back\x08null\x00", "over\rwrite",
    "\x1b[2J\x1b[Hwiped",
    "\x1b]52;c;ZXZpbA==\x07clip", "del\x7f",
]

def handler(request):
    for line in HOSTILE:
        print(line, flush=True)
        print(line, file=sys.stderr, flush=True)
    print("the-end", flush=True)
    return {"environment": dict(os.environ), "headers": dict(getattr(request, "headers", {}))}
"""


@dataclass(frozen=True)
class House:
    """A server whose data directory anybody could walk to, were it not closed."""

    server: RunningServer
    token: str

    @property
    def home(self) -> Path:
        return self.server.home

    @property
    def port(self) -> int:
        return self.server.port

    def ask(self, path: str, token: str | None = None, method: str = "GET") -> int:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return ask(self.server.url + path, method, headers=headers).status


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    place = Path(tempfile.mkdtemp(prefix="apimarket-security-"))
    try:
        place.chmod(0o755)
        home = place / "home"
        home.mkdir(mode=0o755)  # as somebody careless made it
        secret = {"APIMARKET_TOKEN": "token-of-another-server", "CLOUD_SECRET_KEY": "key-of-the-users-shell"}
        with running(home, "process", env=secret) as server:
            server.env.clear()  # they were the server's; the command line has its own
            project = place / "probe"
            project.mkdir()
            (project / "main.py").write_text(PROBE)
            server.client.register({"directory": str(project)})
            server.until("probe", "running")
            yield House(server, (home / "token").read_text().strip())
    finally:
        shutil.rmtree(place)


def as_nobody(script: str, *arguments: str) -> Any:
    """What `script` leaves in `found`, run by another user of this machine. The interpreter is started before the
    change, since it may lie where that user cannot go."""
    program = (
        "import json, os, sys, http.client, encodings.idna\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        f"assert os.geteuid() == {NOBODY}\n{script}\njson.dump(found, sys.stdout)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@AS_ROOT
class TestSecondUser:
    def test_can_read_nothing_in_the_data_directory(self, house: House) -> None:
        files = [str(path) for path in house.home.rglob("*") if path.is_file()]
        names = {Path(path).name for path in files}
        assert {"token", "server.json", "registry.db", "server.log"} <= names
        script = (
            "found = []\n"
            "for path in sys.argv[1:]:\n"
            "    for opened in (lambda: open(path, 'rb'), lambda: os.listdir(os.path.dirname(path)),\n"
            "                   lambda: os.stat(path)):\n"
            "        try:\n"
            "            opened()\n"
            "            found.append(path)\n"
            "        except PermissionError:\n"
            "            pass\n"
        )
        assert as_nobody(script, *files[:500]) == []

    def test_gets_401_without_the_token_and_with_a_guess(self, house: House) -> None:
        script = (
            "found = []\n"
            "port, *guesses = sys.argv[1:]\n"
            "for guess in [None, *guesses]:\n"
            "    for method, path in [('GET', '/api/v1/apis'), ('POST', '/api/v1/server/stop'),\n"
            "                         ('DELETE', '/api/v1/apis/probe'), ('GET', '/api/v1/events'),\n"
            "                         ('POST', '/api/v1/apis/probe/upload'), ('POST', '/executor/stop/probe')]:\n"
            "        connection = http.client.HTTPConnection('127.0.0.1', int(port), timeout=10)\n"
            "        connection.request(method, path, headers={'Authorization': guess} if guess is not None else {})\n"
            "        found.append(connection.getresponse().status)\n"
            "        connection.close()\n"
        )
        guesses = [
            f"Bearer {secrets.token_urlsafe(32)}",
            "Bearer ",
            "Bearer",
            "",
            f"Basic {house.token}",
            "Bearer null",
        ]
        found = as_nobody(script, str(house.port), *guesses)
        assert set(found) == {401}
        assert len(found) == 6 * (1 + len(guesses))


class TestDataDirectory:
    def test_is_its_owners_alone(self, house: House) -> None:
        assert stat.S_IMODE(house.home.stat().st_mode) == 0o700
        assert stat.S_IMODE((house.home / "token").stat().st_mode) == 0o600
        assert stat.S_IMODE((house.home / "server.json").stat().st_mode) == 0o600


class TestToken:
    @pytest.mark.parametrize("path", ["/api/v1/apis", "/api/v1/server", "/api/v1/events", "/executor/status/probe"])
    def test_only_the_whole_token_opens(self, house: House, path: str) -> None:
        token = house.token
        for guess in (None, "", token[:-1], token + "x", token.swapcase(), f"{token} {token}", token.encode().hex()):
            assert house.ask(path, guess) == 401

    def test_in_the_query_or_a_cookie_it_does_not_count(self, house: House) -> None:
        for query in ("token", "access_token", "authorization"):
            assert house.ask(f"/api/v1/apis?{query}={house.token}") == 401
        assert ask(f"{house.server.url}/api/v1/apis", headers={"Cookie": f"token={house.token}"}).status == 401

    def test_is_asked_for_before_a_body_is_awaited(self, house: House) -> None:
        head = (
            f"POST /api/v1/apis/probe/upload HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\nContent-Length: 99999999\r\n"
        )
        for lines in (head, head + "Content-Type: multipart/form-data; boundary=x\r\n"):
            assert raw(house.port, f"{lines}\r\n") == 401

    def test_is_in_no_log_and_no_database(self, house: House) -> None:
        """After it was used rightly, wrongly, and where it does not belong."""
        server, token = house.server, house.token
        server.client.apis()
        for path in ("/api/v1/apis/none-such", "/api/v1/server", f"/api/v1/apis/{token}", f"/{token}", "/me/probe/"):
            house.ask(path, token)
        probe = server.client.api("probe")["url"]
        ask(probe + "?x=1", headers={"Authorization": f"Bearer {token}"})
        house.ask("/api/v1/apis", token + "x")
        server.run("ls")
        rows = wait_for(lambda: server.client.requests("probe"), "the request to be recorded")
        assert token not in json.dumps(rows, default=str)
        time.sleep(0.3)
        assert token not in json.dumps(server.client.logs("probe", limit=5000), default=str)
        needles = [token.encode(), base64.b64encode(token.encode()).rstrip(b"="), token.encode().hex().encode()]
        found = [
            path.relative_to(house.home).as_posix()
            for path in house.home.rglob("*")
            if path.is_file() and any(needle in path.read_bytes() for needle in needles)
        ]
        assert found == ["token"]


class TestEnvironment:
    def test_an_api_sees_neither_the_token_nor_the_servers_secrets(self, house: House) -> None:
        seen = json.loads(ask(house.server.client.api("probe")["url"]).body)["environment"]
        assert seen["APIMARKET_API"].endswith("/probe")
        said = json.dumps(seen)
        for secret in (house.token, "token-of-another-server", "key-of-the-users-shell", str(house.home / "token")):
            assert secret not in said


class TestAddresses:
    def test_nothing_listens_beyond_loopback(self, house: House) -> None:
        assert house.server.process is not None
        server = psutil.Process(house.server.process.pid)
        listening = {
            (connection.laddr.ip, connection.laddr.port)
            for process in [server, *server.children(recursive=True)]
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert ("127.0.0.1", house.port) in listening
        assert {address for address, _ in listening} <= {"127.0.0.1", "::1"}

    def test_the_machines_other_addresses_refuse(self, house: House) -> None:
        tried = [
            address.address.partition("%")[0]
            for addresses in psutil.net_if_addrs().values()
            for address in addresses
            if address.family in (socket.AF_INET, socket.AF_INET6) and not address.address.startswith("fe80")
        ]
        reached = []
        for address in {*tried, "127.0.0.2"} - {"127.0.0.1"}:
            with contextlib.suppress(OSError), socket.create_connection((address, house.port), timeout=3):
                reached.append(address)
        assert reached == []


UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def raw(port: int, request: str) -> int:
    """The status of the answer to exactly these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        line = connection.makefile("rb").readline()
    return int(line.split(b" ", 2)[1])


class TestRebinding:
    HOSTS = ("evil.example", "evil.example:{p}", "127.0.0.1.evil.example:{p}", "0.0.0.0:{p}", "localhost:1", "[::]:{p}")

    @pytest.mark.parametrize("host", HOSTS)
    @pytest.mark.parametrize("upgrade", ["", UPGRADE], ids=["http", "websocket"])
    def test_a_foreign_host_is_refused_by_every_half_of_the_server(self, house: House, host: str, upgrade: str) -> None:
        name = host.format(p=house.port)
        owner = house.server.client.api("probe")["owner"]
        for path in ("/", "/health", "/docs", "/openapi.json", "/api/v1/apis", "/api/v1/events", f"/{owner}/probe/"):
            for token in ("", f"Authorization: Bearer {house.token}\r\n"):
                assert raw(house.port, f"GET {path} HTTP/1.1\r\nHost: {name}\r\n{token}{upgrade}\r\n") == 421


class TestLogs:
    def test_hostile_output_arrives_without_its_control_characters(self, house: House) -> None:
        client = house.server.client
        ask(client.api("probe")["url"])

        def lines() -> list[str]:
            found = [line["text"] for line in client.logs("probe", limit=5000)]
            return found if "the-end" in found else []

        texts = wait_for(lines, "the last line")
        joined = "\n".join(texts)
        assert not CONTROLS.search(joined)
        for word in ("red", "after-osc", "link", "backnull", "overwrite", "wiped", "clip", "del"):
            assert sum(word in text for text in texts) >= 2  # from stdout and stderr
        for gone in ("[31m", "0;title", "52;c;", "http://evil"):
            assert gone not in joined
        shown = house.server.run("logs", "probe").stdout
        assert not CONTROLS.search(shown)
        stored = [json.loads(line) for path in house.home.rglob("log.jsonl") for line in path.read_text().splitlines()]
        assert not CONTROLS.search("\n".join(line[-1] for line in stored))


# Tries to connect to each address it is asked about, and looks for what should not be there.
REACH = r"""
import json, os, socket

def tried(address):
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=2) as connection:
            connection.settimeout(2)
            connection.sendall(b"GET /health HTTP/1.0\r\nHost: localhost:%d\r\n\r\n" % int(port))
            return connection.recv(100).decode("latin-1")
    except OSError as error:
        return "failed: " + type(error).__name__

def gateway():
    with open("/proc/net/route") as routes:
        for line in routes.read().splitlines()[1:]:
            fields = line.split()
            if fields[1] == "00000000":
                return socket.inet_ntoa(bytes.fromhex(fields[2])[::-1])

def handler(request):
    if asked := request.query.get("ask"):
        return {"found": {address: tried(address) for address in asked.split(",")}}
    sockets = [path for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/apimarket-test/docker.sock")
               if os.path.exists(path)]
    with open("/proc/self/status") as status:
        facts = dict(line.split(":", 1) for line in status.read().splitlines())
    mounts = open("/proc/self/mounts").read()
    try:
        open("/etc/probe", "w").close()
        writable = True
    except OSError:
        writable = False
    return {"gateway": gateway(), "sockets": sockets,
            "uid": os.getuid(), "capabilities": facts["CapEff"].strip(), "new_privileges": facts["NoNewPrivs"].strip(),
            "seccomp": facts["Seccomp"].strip(), "writable_root": writable, "docker_mounted": "docker.sock" in mounts}
"""


@dataclass(frozen=True)
class Cells:
    """APIs in containers: first and second with a way out, closed without."""

    server: RunningServer

    def look(self, name: str) -> dict[str, Any]:
        return dict(json.loads(ask(self.server.client.api(name)["url"]).body))

    def reach(self, name: str, *addresses: str) -> dict[str, str]:
        answer = ask(f"{self.server.client.api(name)['url']}?ask={','.join(addresses)}")
        return dict(json.loads(answer.body)["found"])


@pytest.fixture(scope="class")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cells]:
    place = tmp_path_factory.mktemp("cells")
    with running(place / "home", "docker") as server:
        for name in ("first", "second", "closed"):
            (place / name).mkdir()
            (place / name / "main.py").write_text(REACH)
            run = "[run]\negress = false\n" if name == "closed" else ""
            (place / name / "apimarket.toml").write_text(f'[api]\nname = "{name}"\nruntime = "python"\n{run}')
            server.client.register({"directory": str(place / name)})
        for name in ("first", "second", "closed"):
            server.until(name, "running")
        yield Cells(server)


@contextlib.contextmanager
def listening_everywhere() -> Iterator[int]:
    """A careless service of the host, which shows that the probe can reach what is to be reached."""
    with socket.create_server(("0.0.0.0", free_port())) as listener:
        yield int(listener.getsockname()[1])


@pytest.mark.docker
@pytest.mark.slow
class TestFromInsideAContainer:
    @pytest.mark.parametrize("name", ["first", "closed"])
    def test_the_control_api_cannot_be_reached(self, cells: Cells, name: str) -> None:
        addresses = {cells.look("first")["gateway"], "172.17.0.1", "127.0.0.1", *_own_addresses()}
        found = cells.reach(name, *(f"{address}:{cells.server.port}" for address in addresses))
        assert len(found) == len(addresses)
        assert {answer.split(":")[0] for answer in found.values()} == {"failed"}

    def test_the_probe_does_reach_what_listens_everywhere(self, cells: Cells) -> None:
        """Else the test above would pass on a machine without any network."""
        gateway = cells.look("first")["gateway"]
        with listening_everywhere() as port:
            assert cells.reach("first", f"{gateway}:{port}")[f"{gateway}:{port}"] != "failed: ConnectionRefusedError"

    @pytest.mark.parametrize("name", ["first", "closed"])
    def test_a_sibling_cannot_be_reached(self, cells: Cells, name: str) -> None:
        import docker

        client = docker.from_env()
        try:
            addresses = [
                f"{network['IPAddress']}:{port}"
                for container in client.containers.list()
                if "-second-" in container.name
                for network in container.attrs["NetworkSettings"]["Networks"].values()
                for port in _ports_of(container)
            ]
        finally:
            client.close()
        assert addresses
        host, port = addresses[0].split(":")
        with socket.create_connection((host, int(port)), timeout=5):  # from the host it can
            pass
        found = cells.reach(name, *addresses)
        assert {answer.split(":")[0] for answer in found.values()} == {"failed"}

    @pytest.mark.parametrize(("name", "how"), [("first", "OSError"), ("closed", "TimeoutError")])
    def test_the_clouds_metadata_cannot_be_reached(self, cells: Cells, name: str, how: str) -> None:
        """With egress a route of its own refuses at once, in place of whatever the network would have said; without,
        nothing leaves."""
        addresses = ("169.254.169.254:80", "169.254.170.2:80", "168.63.129.16:80")
        assert cells.reach(name, *addresses) == dict.fromkeys(addresses, f"failed: {how}")

    @pytest.mark.parametrize("name", ["first", "closed"])
    def test_it_is_nobody_and_can_do_nothing(self, cells: Cells, name: str) -> None:
        found = cells.look(name)
        assert found["sockets"] == []
        assert not found["docker_mounted"]
        assert found["uid"] != 0
        assert int(found["capabilities"], 16) == 0
        assert (found["new_privileges"], found["seccomp"]) == ("1", "2")
        assert not found["writable_root"]


def _own_addresses() -> set[str]:
    return {
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET
    }


def _ports_of(container: Any) -> list[int]:
    """The TCP ports that the container listens on, as its kernel tells."""
    table = container.exec_run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], user="0").output.decode()
    listening = re.findall(r"^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) \S+ 0A ", table, re.MULTILINE)
    return sorted({int(port, 16) for port in listening})

"""Every operation of the HTTP API as everybody who may try it. The document itself says which operations there are, so
that no new one escapes; what each of them must answer follows from a rule, and exceptions stand here with their reason.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local_server.accounts import passwords
from local_server.control.access import FOR_ACCOUNTS, NEVER_FOR_ACCOUNTS
from tests.control.conftest import Answer, Running, operations, serving
from tests.control.test_access import ENTRANCES, OPEN, PUBLIC
from tests.control.test_accounts import PASSWORD, add_gift, register

PROBLEM = "application/problem+json"
ENDLESS = {"events": "its answer has no end for whoever is let in"}
LAST = {"stop_server": "it ends the server for whoever is let in"}
NO_API, UNKNOWN = "no-such-api", "there-is-none"
EACH = [
    pytest.param(method, path, operation, id=f"{method} {path}")
    for method, path, operation in operations()
    if (method, path) not in OPEN | PUBLIC | ENTRANCES
]
GATES = [
    pytest.param(*each, id=f"{each[0]} {each[1]}") for each in operations() if each[:2] in OPEN | PUBLIC | ENTRANCES
]


@dataclass
class Town:
    """A server; Bob, who has an API; Dave, a developer, and Carol, a consumer, who have nothing to do with it."""

    server: Running
    root: Path
    tokens: dict[str, str] = field(default_factory=dict)
    api: str = ""
    key: str = ""

    def sign_up(self, handle: str, role: str) -> None:
        body = {"handle": handle, "email": f"{handle}@example.org", "password": PASSWORD, "role": role}
        self.tokens[handle] = self.server.ask("POST", "/api/v1/auth/signup", body, token=None).json["token"]

    def build(self) -> None:
        """An API of Bob's with a key, in the place of one that an operation has removed or changed."""
        if self.api:
            self.server.ask("DELETE", f"/api/v1/apis/{self.api}")
        self.root.mkdir(exist_ok=True)
        directory = self.root / str(len(list(self.root.iterdir())))
        directory.mkdir()
        self.api = register(self.server, directory, "bobs-own")
        assert self.server.ask("POST", f"/api/v1/give?api={self.api}&handle=bob", token=None).status == 200
        self.key = self.server.ask("POST", f"/api/v1/apis/{self.api}/keys", {}).json["info"]["id"]

    def ask(self, who: str, method: str, path: str, reference: str, operation: dict[str, Any]) -> Answer:
        """`who` is a handle, `machine` or empty. The body is the least that names the API, where it is named there."""
        where = path.replace("{id}", reference).replace("{key_id}", self.key)
        while "{" in where:
            before, _, rest = where.partition("{")
            where = before + UNKNOWN + rest.partition("}")[2]
        body = {"id": reference} if operation["operationId"] == "executor_deploy" else None
        token = None if not who else "" if who == "machine" else self.tokens[who]
        answer = self.server.ask(method, where, body, token=token)
        if operation["operationId"] == "logout" and answer.status < 300 and who != "machine":
            login = {"login": who, "password": PASSWORD}
            self.tokens[who] = self.server.ask("POST", "/api/v1/auth/login", login, token=None).json["token"]
        return answer


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    root = tmp_path_factory.mktemp("identities")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "ROUNDS", 4)
        with serving(root / "home", add_gift) as server:
            town = Town(server, root / "projects")
            for handle, role in (("bob", "developer"), ("dave", "developer"), ("carol", "consumer")):
                town.sign_up(handle, role)
            yield town


@pytest.fixture
def references(town: Town) -> list[str]:
    """What names a fresh API of Bob's to everybody."""
    town.build()
    return [town.api, "bob/bobs-own"]


def of_one_api(path: str, name: str) -> bool:
    return "{id}" in path or name == "executor_deploy"


def refused(answer: Answer, status: int, code: str) -> bool:
    assert answer.headers["content-type"] == PROBLEM, answer.body
    if not answer.body:  # HEAD: its headers are the problem's
        return answer.status == status
    return (answer.status, answer.json["code"]) == (status, code)


class TestAnonymous:
    @pytest.mark.parametrize(("method", "path", "operation"), EACH)
    def test_nobody_is_let_in(
        self, town: Town, references: list[str], method: str, path: str, operation: dict[str, Any]
    ) -> None:
        for reference in (*references, NO_API) if "{id}" in path else ("",):
            assert refused(town.ask("", method, path, reference, operation), 401, "token_required")


@pytest.mark.parametrize("who", ["", "dave", "carol", "bob", "machine"])
@pytest.mark.parametrize(("method", "path", "operation"), GATES)
class TestGates:
    def test_everybody_is_let_in_and_told_nothing_of_a_private_api(
        self, town: Town, references: list[str], who: str, method: str, path: str, operation: dict[str, Any]
    ) -> None:
        """The state of the server, signing up, and what the marketplace shows. Only `/metrics`, on this machine, names
        every API."""
        answer = town.ask(who, method, path, "", operation)
        assert answer.status in (200, 404, 422)
        if path != "/metrics":
            assert b"bobs-own" not in answer.body
            assert town.api.encode() not in answer.body


@pytest.mark.parametrize("who", ["dave", "carol"])
@pytest.mark.parametrize(("method", "path", "operation"), EACH)
class TestStrangerAndConsumer:
    def test_what_is_bobs_does_not_exist_and_the_machine_is_not_theirs(
        self, town: Town, references: list[str], who: str, method: str, path: str, operation: dict[str, Any]
    ) -> None:
        name = operation["operationId"]
        for reference in references if of_one_api(path, name) else ("",):
            answer = town.ask(who, method, path, reference, operation)
            if name in NEVER_FOR_ACCOUNTS:
                assert refused(answer, 403, "machine_owner_only")
            elif of_one_api(path, name):
                assert refused(answer, 404, "api_not_found")
                # As for an API that nobody has: the same words, whatever there is.
                other = town.ask(who, method, path, NO_API, operation)
                assert answer.body.replace(reference.encode(), b"*") == other.body.replace(NO_API.encode(), b"*")
            elif "{key_id}" in path:
                assert answer.status == 422 or refused(answer, 404, "key_not_found")
            elif name in FOR_ACCOUNTS:
                assert answer.status not in (401, 403)
                assert answer.status < 500
                assert town.api.encode() not in answer.body
            else:
                assert refused(answer, 403, "machine_owner_only")
        assert town.server.ask("GET", f"/api/v1/apis/{town.api}").json["desired_state"] == "running"
        keys = town.server.ask("GET", f"/api/v1/apis/{town.api}/keys").json
        assert [(key["id"], key["state"]) for key in keys] == [(town.key, "active")]


@pytest.mark.parametrize(("method", "path", "operation"), EACH)
class TestOwner:
    def test_the_owner_of_an_api_has_it_and_nothing_of_the_machine(
        self, town: Town, references: list[str], method: str, path: str, operation: dict[str, Any]
    ) -> None:
        name = operation["operationId"]
        for reference in (*references, "bobs-own")[:1] if method == "DELETE" else (*references, "bobs-own"):
            answer = town.ask("bob", method, path, reference, operation)
            if name in NEVER_FOR_ACCOUNTS or not ("{id}" in path or name in FOR_ACCOUNTS):
                assert refused(answer, 403, "machine_owner_only")
            else:
                assert answer.status not in (401, 403)
                assert answer.status < 500
                if answer.status == 404:  # something else that the path names
                    assert answer.json["code"] != "api_not_found"

    def test_the_owner_of_the_machine_has_everything(
        self, town: Town, references: list[str], method: str, path: str, operation: dict[str, Any]
    ) -> None:
        if operation["operationId"] in ENDLESS | LAST:
            assert town.server.ask("GET", "/health").status == 200
            return
        answer = town.ask("machine", method, path, references[0], operation)
        assert answer.status not in (401, 403)
        assert answer.status < 500
        assert answer.status != 404 or answer.json["code"] != "api_not_found"


class TestRules:
    def test_every_name_in_them_is_an_operation(self) -> None:
        names = {operation["operationId"] for _, _, operation in operations()}
        assert FOR_ACCOUNTS | NEVER_FOR_ACCOUNTS | ENDLESS.keys() | LAST.keys() <= names

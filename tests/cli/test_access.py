"""`keys`, `tokens`, `signup`, `login`, `logout`, `password` and `whoami` against a real server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from local_server.accounts import passwords
from local_server.cli.program import program
from tests.control.conftest import Running, serving

Run = Callable[..., Result]
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "ROUNDS", 4)
        root = tmp_path_factory.mktemp("access")
        with serving(root / "home") as started:
            (root / "hello").mkdir()
            (root / "hello" / "main.py").write_text("def handler(request):\n    return {}\n")
            (root / "hello" / "answer.txt").write_text("hello")
            assert started.ask("POST", "/api/v1/apis", {"directory": str(root / "hello")}).status == 201
            yield started


@pytest.fixture
def run(running: Running, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("APIMARKET_HOME", str(running.home))
    runner = CliRunner()

    def invoke(*args: str, typed: str = "") -> Result:
        return runner.invoke(program, [*args], prog_name="apimarket", input=typed)

    return invoke


def call(running: Running, key: str) -> int:
    return running.ask("GET", "/ana/hello/", headers={"X-Api-Key": key}, token=None).status


class TestTokens:
    def test_the_life_of_one(self, run: Run, running: Running) -> None:
        made = run("tokens", "create", "--scope", "publish:ana/weather", "--name", "ci", "--expires", "30d")
        assert made.exit_code == 0, made.output
        token = made.stdout.removesuffix("\n")
        assert token.startswith("am_token_")
        assert len(token.split()) == 1
        assert "cannot be shown again" in made.stderr
        assert running.ask("GET", "/api/v1/sync", token=token).json["account"] == "ana"

        listed = run("tokens", "list").stdout
        assert token not in listed
        for told in ("ci", token[:15] + "…", "active", "publish:ana/weather"):
            assert told in listed
        (row,) = json.loads(run("tokens", "list", "--json").stdout)
        assert run("tokens", "revoke", row["id"]).stdout == f"{row['id']} is revoked\n"
        assert running.ask("GET", "/api/v1/sync", token=token).json["code"] == "access_token_invalid"

    def test_refusals(self, run: Run) -> None:
        assert "access_token_not_found" in run("tokens", "revoke", "nope", "--json").stderr
        for scope, expires in (("publish:bob/weather", "1d"), ("deploy:ana/x", "1d"), ("publish:ana/x", "900d")):
            refused = run("tokens", "create", "--scope", scope, "--expires", expires, "--json")
            assert (refused.exit_code, "invalid_token_field" in refused.stderr) == (1, True)


class TestKeys:
    def test_the_life_of_one(self, run: Run, running: Running) -> None:
        made = run(
            "keys", "create", "hello", "--name", "phone", "--scope", "read", "--rate", "5/day", "--expires", "30d",
            "--cidr", "10.0.0.0/8", "--cidr", "127.0.0.0/8",
        )  # fmt: skip
        assert made.exit_code == 0
        key = made.stdout.removesuffix("\n")
        assert key.startswith("am_live_")
        assert len(key.split()) == 1
        assert "cannot be shown again" in made.stderr
        assert call(running, key) == 200

        listed = run("keys", "list", "hello").stdout
        assert key not in listed
        for told in ("phone", key[:14] + "…", "active", "read", "10.0.0.0/8 127.0.0.0/8", "5/day"):
            assert told in listed
        (row,) = json.loads(run("keys", "list", "hello", "--json").stdout)
        assert row in json.loads(run("keys", "list", "--json").stdout)
        assert "ana/hello" in run("keys", "list").stdout

        rotated = json.loads(run("keys", "rotate", row["id"], "--grace", "2h", "--json").stdout)
        assert (call(running, key), call(running, rotated["key"])) == (200, 200)
        assert run("keys", "revoke", row["id"]).stdout == f"{row['id']} is revoked\n"
        assert (call(running, key), call(running, rotated["key"])) == (401, 200)
        assert json.loads(run("keys", "revoke", rotated["info"]["id"], "--json").stdout)["revoked"] is True
        assert call(running, rotated["key"]) == 401

    def test_refusals_say_why(self, run: Run) -> None:
        wrong = run("keys", "create", "hello", "--cidr", "10.0.0.1/8")
        assert (wrong.exit_code, wrong.stdout) == (1, "")
        assert "10.0.0.1/8" in wrong.stderr
        assert run("keys", "list", "nope").exit_code == 1
        assert "key_not_found" in run("keys", "revoke", "nope", "--json").stderr

    @pytest.mark.parametrize("act", ["revoke", "rotate"])
    def test_a_key_in_the_place_of_its_id_is_not_sent(self, run: Run, act: str) -> None:
        key = run("keys", "create", "hello").stdout.strip()
        refused = run("keys", act, key)
        assert (refused.exit_code, key in refused.stderr) == (2, False)
        assert f"{key[:14]}… is a key" in refused.stderr

    @pytest.mark.parametrize(
        "args",
        [["keys"], ["keys", "create"], ["keys", "mint", "x"], ["keys", "create", "hello", "--expires", "soon"],
         ["keys", "create", "hello", "--scope", "admin"], ["keys", "rotate", "k", "--grace", "-1h"],
         ["keys", "rotate", "k", "--grace", "31d"]],
        ids=" ".join,
    )  # fmt: skip
    def test_wrong_usage_exits_2(self, run: Run, args: list[str]) -> None:
        assert run(*args).exit_code == 2


class TestSessions:
    def test_the_life_of_one(self, run: Run, running: Running) -> None:
        assert run("whoami").stdout == "ana, the machine's owner\n"
        made = run("signup", "bob", "--email", "bob@example.org", "--password-stdin", typed=PASSWORD + "\n")
        assert made.exit_code == 0
        assert made.stdout.startswith("bob <bob@example.org>, developer, until ")
        assert (running.home / "sessions.json").stat().st_mode & 0o777 == 0o600
        assert json.loads(run("whoami", "--json").stdout)["handle"] == "bob"
        assert "Commands act as ana, the machine's owner" in run("whoami").stdout
        assert "hello" in run("ls").stdout

        assert "Logged out of" in run("logout").stdout
        assert json.loads(run("whoami", "--json").stdout)["machine_owner"] is True
        assert json.loads(run("logout", "--json").stdout)["logged_out"] is False

        assert run("login", "bob", "--password-stdin", typed="wrong guess\n").exit_code == 1
        again = run("login", "BOB@example.org", "--password-stdin", "--json", typed=PASSWORD + "\n")
        assert json.loads(again.stdout)["handle"] == "bob"
        assert "token" not in json.loads(again.stdout)
        assert run("logout").exit_code == 0

    def test_the_machines_owner_may_have_a_password(self, run: Run) -> None:
        made = run("signup", "ana", "--password-stdin", "--json", typed=PASSWORD + "\n")
        assert json.loads(made.stdout)["handle"] == "ana"
        assert run("logout").exit_code == 0

    def test_another_password(self, run: Run) -> None:
        run("signup", "petra", "--password-stdin", typed=PASSWORD + "\n")
        wrong = run("password", "--password-stdin", typed="wrong guess\nanother one\n")
        assert (wrong.exit_code, "current password is wrong" in wrong.stderr) == (1, True)
        done = run("password", "--password-stdin", typed=f"{PASSWORD}\nanother one\n")
        assert done.stdout.startswith("petra, developer, until ")
        assert json.loads(run("whoami", "--json").stdout)["handle"] == "petra"
        assert run("logout").exit_code == 0
        assert run("login", "petra", "--password-stdin", typed=PASSWORD + "\n").exit_code == 1
        assert run("login", "petra", "--password-stdin", typed="another one\n").exit_code == 0
        assert run("logout").exit_code == 0

    def test_the_machines_owner_is_not_asked_for_a_password_it_forgot(self, run: Run) -> None:
        done = run("password", "--password-stdin", "--json", typed="another one\n")
        assert json.loads(done.stdout)["handle"] == "ana"
        assert run("logout").exit_code == 0

    def test_a_session_that_is_over_is_told_and_can_be_left(self, run: Run, running: Running) -> None:
        run("signup", "dora", "--password-stdin", typed=PASSWORD + "\n")
        kept = json.loads((running.home / "sessions.json").read_text())
        (session,) = kept.values()
        assert running.ask("POST", "/api/v1/auth/logout", token=session["token"]).status == 204
        over = run("whoami")
        assert over.exit_code == 1
        assert "apimarket login" in over.stderr
        assert run("logout").exit_code == 0
        assert run("whoami").exit_code == 0

    def test_a_password_is_asked_for_on_a_terminal_only(self, run: Run) -> None:
        asked = run("login", "bob")
        assert asked.exit_code == 2
        assert "--password-stdin" in asked.stderr

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("http://example.org", "in the clear"),
            ("ftp://127.0.0.1", "in the clear"),
            ("http://127.0.0.1.evil.org", "in the clear"),
            ("example.org", "is no address"),
        ],
    )
    def test_no_password_leaves_in_the_clear(self, run: Run, url: str, why: str) -> None:
        refused = run("login", "bob", "--remote", url, "--password-stdin", typed=PASSWORD + "\n")
        assert refused.exit_code == 2
        assert why in refused.stderr

    def test_another_server_is_asked_with_its_own_session(
        self, run: Run, running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = f"http://127.0.0.1:{running.port}"
        monkeypatch.setenv("APIMARKET_HOME", str(tmp_path / "elsewhere"))
        assert run("whoami", "--remote", url).exit_code == 1
        made = run("signup", "erin", "--remote", url, "--password-stdin", typed=PASSWORD + "\n")
        assert made.exit_code == 0
        assert json.loads(run("whoami", "--remote", url, "--json").stdout)["handle"] == "erin"
        assert "api_not_found" in run("keys", "create", "ana/hello", "--remote", url, "--json").stderr
        assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o700

    def test_who_has_no_local_token_acts_with_the_session(
        self, run: Run, running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("APIMARKET_HOME", str(tmp_path / "elsewhere"))
        monkeypatch.setenv("APIMARKET_URL", f"http://127.0.0.1:{running.port}")
        strange = run("ls")
        assert (strange.exit_code, "apimarket login NAME" in strange.stderr) == (1, True)
        assert run("signup", "frida", "--password-stdin", typed=PASSWORD + "\n").exit_code == 0
        assert json.loads(run("ls", "--json").stdout) == []
        assert run("whoami").stdout.startswith("frida, developer, until ")
        assert "api_not_found" in run("stats", "hello", "--json").stderr


class TestSecrets:
    def test_the_life_of_one(self, run: Run) -> None:
        said = run("secrets", "set", "hello", "API_TOKEN", typed="planted-value\n")
        assert said.exit_code == 0, said.output
        assert said.stdout == "API_TOKEN is set\n"
        assert 'secrets = ["API_TOKEN"]' in said.stderr  # or its program would not see it
        assert "planted-value" not in said.output
        listed = run("secrets", "list", "hello", "--json")
        (secret,) = json.loads(listed.stdout)
        assert (secret["name"], secret["used"]) == ("API_TOKEN", False)
        assert "API_TOKEN" in run("secrets", "list", "hello").stdout
        assert run("secrets", "rm", "hello", "API_TOKEN").stdout == "API_TOKEN is forgotten\n"
        assert "has no secrets" in run("secrets", "list", "hello").stdout

    def test_what_is_refused_says_why_and_not_what(self, run: Run) -> None:
        for name, value in (("A-B", "planted-value"), ("API_TOKEN", "planted\0value"), ("API_TOKEN", "")):
            said = run("secrets", "set", "hello", name, typed=value)
            assert said.exit_code == 1
            assert "planted" not in said.output
            assert "allowed" in said.output or "NUL" in said.output

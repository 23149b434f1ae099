"""Every step, from every earlier version of the database, with data in it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlite_utils import Database

from local_server.domain.events import Event
from local_server.domain.usage import Step, Tally
from local_server.storage.migrations.postgres import STEPS as POSTGRES_STEPS
from local_server.storage.migrations.sqlite import MIGRATIONS, STEPS
from local_server.storage.sqlite import SqliteStorage
from tests.storage.factories import ALICE, NOON, an_api


def ignore(_event: Event) -> None:
    """These tests are not about events."""


def empty(db: Database) -> None:
    """Before the first step there is nothing to fill."""


def as_of_0001(db: Database) -> None:
    """In plain SQL, as that version wrote it: the code of today must read it."""
    at = NOON.isoformat(timespec="microseconds")
    db.execute("insert into meta values ('install_id', '0123456789abcdef')")
    db.execute("insert into users (id, handle, created_at) values (?, 'alice', ?)", [ALICE.id, at])
    manifest = (
        '{"name":"one","runtime":"python","runtime_version":null,"version":"0.1.0","summary":"Rain","tags":[],'
        '"category":"","visibility":"private","run":{"entry":null,"command":null,"health":null,"env":{},'
        '"secrets":[],"memory_mb":512,"cpus":1.0,"timeout_s":30.0,"replicas":1,"egress":true},'
        '"gateway":{"auth":"key","rate_limit":null,"cache_ttl_s":0,"cors":[]},"plans":[]}'
    )
    db.execute(
        "insert into apis (id, user_id, slug, directory, visibility, status, category, tags, summary, manifest, "
        "revision, last_generation, created_at, updated_at) "
        "values (?, ?, 'one', '/one', 'private', 'draft', '', '', 'Rain', ?, 4, 7, ?, ?)",
        [an_api(1).id, ALICE.id, manifest, at, at],
    )
    db.execute(
        "insert into executions (id, api_id, generation, method, path, status, outcome, started_at, total_us, "
        "upstream_us, bytes_in, bytes_out, held) values ('e1', ?, 7, 'GET', '/', 200, 'ok', ?, 10, 5, 0, 3, 1)",
        [an_api(1).id, at],
    )


def as_of_0002(db: Database) -> None:
    """The same request, and what was counted of it."""
    as_of_0001(db)
    for table, start in (("usage_minutes", "12:00"), ("usage_hours", "12:00"), ("usage", "00:00")):
        db.execute(
            f"insert into {table} values (?, '2026-03-14T{start}:00.000000+00:00', 1, 0, 10, 0, 3, "
            """'{"ok":1}', '[200,1]', '[[7,1,0,10]]', '[10,1]')""",
            [an_api(1).id],
        )


def as_of_0003(db: Database) -> None:
    as_of_0002(db)
    at = NOON.isoformat(timespec="microseconds")
    db.execute(
        "insert into api_keys (id, api_id, user_id, name, digest, prefix, scopes, cidrs, created_at) "
        "values ('k1', ?, ?, 'phone', ?, 'am_live_abcdef', 'read', '10.0.0.0/8', ?)",
        [an_api(1).id, ALICE.id, "0" * 64, at],
    )
    db.execute("insert into audit values ('u1', ?, ?, 'key.create', 'k1', '127.0.0.1', '')", [at, ALICE.id])


def as_of_0005(db: Database) -> None:
    """The request is the older one: its new columns have what they are given by default."""
    as_of_0003(db)
    db.execute("update api_keys set quota_requests = 1000, quota_interval = 'month', quota_overage = 'block'")
    db.execute("insert into quota_counters values ('key:k1', '2026-03', '2026-04-01T00:00:00.000000+00:00', 7)")


def as_of_0007(db: Database) -> None:
    """A plan, a subscription to it, and what was used of that."""
    as_of_0005(db)
    at = NOON.isoformat(timespec="microseconds")
    db.execute(
        "insert into plans (id, api_id, code, version, price_minor, currency, price_interval, quota, quota_interval, "
        "overage, overage_price, created_at) "
        "values ('p1', ?, 'pro', 1, 450, 'EUR', 'month', 10, 'month', 'bill', '0.002', ?)",
        [an_api(1).id, at],
    )
    db.execute(
        "insert into subscriptions (id, api_id, user_id, plan_id, state, anchor, period_start, period_end, "
        "cancel_at_end, created_at, updated_at, row_version) values ('s1', ?, ?, 'p1', 'active', ?, ?, ?, 0, ?, ?, 1)",
        [an_api(1).id, ALICE.id, at, at, at, at, at],
    )
    db.execute("insert into usage_totals values ('s1', '2026-03-14', 7)")


def as_of_0008(db: Database) -> None:
    as_of_0007(db)
    db.execute("insert into remotes values ('https://hub.example', 'm1', 'ana', '7')")


def as_of_0009(db: Database) -> None:
    as_of_0008(db)
    db.execute(
        "insert into remote_versions values "
        "('https://hub.example', 'v1', 'ana', 'one', '1.0.0', 't1', x'00', 's', x'00', x'00', null)"
    )


def as_of_0010(db: Database) -> None:
    as_of_0009(db)
    at = NOON.isoformat(timespec="microseconds")
    db.execute(
        "insert into api_versions values "
        "(?, '1.0.0', 'v1', 't1', x'00', '', null, null, null, null, ?, ?, null, '', null, null)",
        [an_api(1).id, ALICE.id, at],
    )
    db.execute("insert into channels values (?, 'beta', '1.0.0', ?)", [an_api(1).id, at])
    db.execute("insert into traffic values (?, '[[\"1.0.0\",100]]', '[[[\"dev\",100]]]', 1)", [an_api(1).id])


def as_of_0011(db: Database) -> None:
    as_of_0010(db)
    db.execute("insert into publishers values (?)", [ALICE.id])


def as_of_0012(db: Database) -> None:
    as_of_0011(db)
    db.execute("insert into catalogue_copies values (1, 'https://hub.example', 'o', 7, 0, null, 1, 1)")


def as_of_0013(db: Database) -> None:
    as_of_0012(db)
    db.execute("insert into upstreams values (?, '{}')", [an_api(1).id])


def as_of_0014(db: Database) -> None:
    as_of_0013(db)
    db.execute("insert into listing_counts values ('tag', 'geo', 1)")


def as_of_0015(db: Database) -> None:
    as_of_0014(db)
    db.execute("insert into secrets values (?, 'TOKEN', x'01', ?)", [an_api(1).id, NOON.isoformat()])


def as_of_0017(db: Database) -> None:
    as_of_0015(db)
    db.execute("update remote_refs set clone_api_id = ?, pinned = 1", [an_api(1).id])


FILLED_AS_OF: dict[str, Callable[[Database], None]] = {
    "": empty,
    "0001_local_registry": as_of_0001,
    "0002_usage_rollups": as_of_0002,
    "0003_accounts_and_keys": as_of_0003,
    "0005_gateway_policy": as_of_0005,
    "0007_marketplace": as_of_0007,
    "0008_outbox": as_of_0008,
    "0009_remote_versions": as_of_0009,
    "0010_versions": as_of_0010,
    "0011_publishing": as_of_0011,
    "0012_market_rest": as_of_0012,
    "0013_upstreams": as_of_0013,
    "0014_listing_counts": as_of_0014,
    "0015_secrets": as_of_0015,
    "0017_clones": as_of_0017,
}
NAMES = ["", *STEPS]


def database_at(path: Path, version: str) -> None:
    """The file as the program of `version` left it."""
    later = NAMES[NAMES.index(version) + 1 :]
    db = Database(path)
    MIGRATIONS.apply(db, stop_before=later[:1])
    FILLED_AS_OF[version](db)
    db.close()


def is_ours(name: str) -> bool:
    """Statistics, which SQLite gathers as it likes, are not."""
    return not name.startswith("sqlite_stat")


class TestEveryStep:
    def test_has_data_to_start_from(self) -> None:
        assert set(FILLED_AS_OF) == set(NAMES)

    @pytest.mark.parametrize("version", NAMES)
    async def test_comes_to_the_same_tables(self, tmp_path: Path, version: str) -> None:
        database_at(tmp_path / "old.db", version)
        schemas = []
        for name in ("old.db", "new.db"):
            storage = await SqliteStorage.open(tmp_path / name, ignore)
            await storage.close()
            db = Database(tmp_path / name)
            schemas.append(
                {row["sql"] for row in db.query("select sql from sqlite_master where name <> 'sqlite_stat1'")}
            )
            db.close()
        assert schemas[0] == schemas[1]

    @pytest.mark.parametrize("version", NAMES[1:])
    async def test_keeps_the_data(self, tmp_path: Path, version: str) -> None:
        database_at(tmp_path / "old.db", version)
        storage = await SqliteStorage.open(tmp_path / "old.db", ignore)
        assert storage.install_id == "0123456789abcdef"
        assert await storage.read(lambda tx: tx.accounts.all()) == [ALICE]
        (api,) = await storage.read(lambda tx: tx.registry.search("rain"))
        assert (api.id, api.full_name, api.revision) == (an_api(1).id, "alice/one", 4)
        assert await storage.write(lambda tx: tx.deployments.next_number(api.id)) == 8
        (row,) = await storage.read(lambda tx: tx.usage.history(api.id))
        assert (row.id, row.held, row.started_at) == ("e1", True, NOON)
        assert (row.key_id, row.version, row.cached) == (None, "", False)
        for step in Step:
            (rollup,) = await storage.read(lambda tx, step=step: tx.usage.rollups(api.id, step, NOON - step.length))
            assert rollup.starts_at == step.start_of(NOON)
            assert rollup.tally == Tally.of([row])
        await storage.close()

    @pytest.mark.parametrize("version", NAMES[3:])
    async def test_keeps_the_keys(self, tmp_path: Path, version: str) -> None:
        database_at(tmp_path / "old.db", version)
        storage = await SqliteStorage.open(tmp_path / "old.db", ignore)
        (key,) = await storage.read(lambda tx: tx.keys.of_api(an_api(1).id))
        assert (key.id, key.name, key.digest, key.scopes, key.cidrs) == (
            "k1",
            "phone",
            b"\0" * 32,
            ("read",),
            ("10.0.0.0/8",),
        )
        (entry,) = await storage.read(lambda tx: tx.audit.latest())
        assert (entry.action, entry.subject, entry.actor) == ("key.create", "k1", ALICE.id)
        await storage.close()

    async def test_users_of_before_have_no_password(self, tmp_path: Path) -> None:
        database_at(tmp_path / "old.db", "0001_local_registry")
        storage = await SqliteStorage.open(tmp_path / "old.db", ignore)
        account = await storage.read(lambda tx: tx.accounts.account_by_login("alice"))
        assert account is not None
        assert (account.password_hash, account.role, account.token_version, account.status) == (
            None, "developer", 0, "active"
        )  # fmt: skip
        await storage.close()


class TestListingCounts:
    async def test_begin_with_what_is_listed_already(self, tmp_path: Path) -> None:
        database_at(tmp_path / "a.db", "0012_market_rest")
        db = Database(tmp_path / "a.db")
        columns = ("api_id", "seq", "place", "owner", "slug", "summary", "tags", "category", "runtime",
                   "visibility", "version", "free", "currency", "published_at", "updated_at", "rating", "quality",
                   "changed")  # fmt: skip
        at = NOON.isoformat(timespec="microseconds")
        apis = db.execute("select manifest, created_at from apis").fetchone()
        for number, visibility in enumerate(("public", "public", "unlisted"), 2):
            api = an_api(number)
            db.execute(
                "insert into apis (id, user_id, slug, directory, visibility, status, category, tags, summary, "
                "manifest, revision, created_at, updated_at) values (?, ?, ?, ?, ?, 'listed', '', '', '', ?, 1, ?, ?)",
                [api.id, ALICE.id, api.slug, f"/{number}", visibility, apis[0], at, at],
            )
            row = (api.id, number, number, "alice", api.slug, "", "geo", "data", "go", visibility,
                   "1.0.0", 1, "EUR", at, at, 3500, 500_000, number)  # fmt: skip
            db["listings"].insert(dict(zip(columns, row, strict=True)))
            db.execute("insert into listing_tags values ('geo', ?)", [number])
        db.conn.commit()
        db.close()
        storage = await SqliteStorage.open(tmp_path / "a.db", ignore)
        assert await storage.read(lambda tx: (tx.catalogue.tags(), tx.catalogue.categories())) == (
            {"geo": 2}, {"data": 2}
        )  # fmt: skip
        for number in (2, 4):
            await storage.write(lambda tx, number=number: tx.registry.remove(an_api(number).id))
        assert await storage.read(lambda tx: tx.catalogue.tags()) == {"geo": 1}
        await storage.close()


class TestVersions:
    @pytest.mark.parametrize("column", ["semver", "id", "tree", "document", "signature", "created_at"])
    def test_never_change(self, tmp_path: Path, column: str) -> None:
        database_at(tmp_path / "a.db", "0010_versions")
        db = Database(tmp_path / "a.db")
        with pytest.raises(sqlite3.IntegrityError, match="versions never change"):
            db.execute(f"update api_versions set {column} = {column}")
        db.execute("update api_versions set yanked_at = created_at, sunset_at = created_at")
        db.close()


class TestPostgres:
    def test_has_the_same_steps(self) -> None:
        """One that is missing there: add its template to storage/migrations/postgres.py."""
        assert list(POSTGRES_STEPS) == list(STEPS)


class TestReopening:
    async def test_applies_nothing(self, tmp_path: Path) -> None:
        applied = []
        for _ in range(2):
            storage = await SqliteStorage.open(tmp_path / "a.db", ignore)
            await storage.close()
            db = Database(tmp_path / "a.db")
            applied.append([(row.name, row.applied_at) for row in MIGRATIONS.applied(db)])
            db.close()
        assert applied[0] == applied[1]
        assert [name for name, _ in applied[0]] == list(STEPS)

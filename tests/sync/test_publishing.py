"""Publishing, from the directory to the marketplace and back into the outbox."""

import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from local_server.domain.contract_changes import Bump
from local_server.domain.outbox import OutboxState
from local_server.domain.publish_errors import ConflictWaits, NoRemote, NotAVersion, NothingNew, VersionTaken
from local_server.domain.sync_errors import ApiRemovedForGood
from tests.sync.conftest import Machine, openapi_of
from tests.sync.fake_marketplace import FakeMarketplace

Open = Callable[..., Awaitable[Machine]]


class TestPublish:
    async def test_a_small_version_is_one_request(self, open_machine: Open, market: FakeMarketplace) -> None:
        machine = await open_machine()
        done = await machine.publish()

        assert (done.state, done.semver, done.name) == (OutboxState.APPLIED, "0.1.0", "ana/one")
        assert market.market.asked.count("POST /apis/ana/one/publish") == 1
        assert not [asked for asked in market.market.asked if "/uploads" in asked or "/ops" in asked]
        assert market.market.heads["ana/one"]["tree"] == done.tree

    async def test_what_is_sent_is_what_was_queued_whatever_is_saved_later(
        self, open_machine: Open, market: FakeMarketplace
    ) -> None:
        machine = await open_machine()
        entry = await machine.queue()
        machine.write({"main.py": "print('later')\n"})
        await machine.drain()
        tree = market.market.trees[entry.tree]
        assert market.market.blobs[tree.entries["main.py"].sha256] == b"print(1)\n"

    async def test_only_what_changed_is_sent(self, open_machine: Open, market: FakeMarketplace) -> None:
        machine = await open_machine()
        machine.write({f"lib/{number}.py": f"x = {number}\n" * 50 for number in range(100)})
        await machine.publish()
        before = dict(market.market.received_bytes)
        machine.write({"lib/7.py": "x = 7\n" * 49 + "x = 8\n"})
        done = await machine.publish()
        new = {sha256: size for sha256, size in market.market.received_bytes.items() if sha256 not in before}
        assert done.state is OutboxState.APPLIED
        assert list(new.values()) == [300]
        assert all(market.market.received_bytes[sha256] == size for sha256, size in before.items())

    async def test_large_versions_are_negotiated_and_large_blobs_sent_alone(
        self, open_machine: Open, market: FakeMarketplace
    ) -> None:
        machine = await open_machine()
        machine.write(
            {"big.bin": os.urandom(9 * 1024 * 1024), "half.bin": os.urandom(700_000), "b.bin": os.urandom(700_000)}
        )
        done = await machine.publish()
        assert done.state is OutboxState.APPLIED
        assert done.sent_bytes == done.total_bytes
        assert any(asked.startswith("PATCH /uploads") for asked in market.market.asked)
        assert all(
            market.market.received_bytes[sha256] == len(content) for sha256, content in market.market.blobs.items()
        )

    async def test_what_was_removed_there_is_told_as_that(self, open_machine: Open, market: FakeMarketplace) -> None:
        machine = await open_machine()
        await machine.publish()
        (ref,) = await machine.storage.read(lambda tx: tx.remotes.refs_of(machine.api.id))
        await machine.storage.write(lambda tx: tx.remotes.put_ref(replace(ref, deleted=True)))
        with pytest.raises(ApiRemovedForGood, match="ana/one was removed"):
            await machine.queue()

    async def test_blobs_the_marketplace_has_are_not_sent(self, open_machine: Open, market: FakeMarketplace) -> None:
        machine = await open_machine()
        content = os.urandom(2 * 1024 * 1024)
        market.market.take(content)
        machine.write({"model.bin": content})
        assert (await machine.publish()).state is OutboxState.APPLIED
        assert max(market.market.received_bytes.values()) == len(content)

    async def test_a_base_the_marketplace_lost_is_sent_as_a_whole(
        self, open_machine: Open, market: FakeMarketplace
    ) -> None:
        machine = await open_machine()
        await machine.publish()
        market.market.trees.clear()
        machine.write({"main.py": "print(2)\n"})
        assert (await machine.publish()).state is OutboxState.APPLIED

    async def test_nothing_new_is_refused(self, open_machine: Open) -> None:
        machine = await open_machine()
        await machine.publish()
        with pytest.raises(NothingNew):
            await machine.queue()

    async def test_a_key_of_this_machine_is_registered_once(self, open_machine: Open, market: FakeMarketplace) -> None:
        machine = await open_machine()
        await machine.publish()
        machine.write({"main.py": "print(2)\n"})
        await machine.publish()
        assert market.market.asked.count("POST /keys") == 1


class TestVersionNumbers:
    async def test_the_manifests_is_taken_while_it_is_new_then_the_next(self, open_machine: Open) -> None:
        machine = await open_machine()
        assert (await machine.publish()).semver == "0.1.0"
        machine.write({"main.py": "2"})
        assert (await machine.publish()).semver == "0.1.1"

    async def test_the_contract_decides_how_far_it_counts(self, open_machine: Open) -> None:
        machine = await open_machine()
        machine.openapi = openapi_of(a={"get": {}}, b={"get": {}})
        await machine.publish("1.0.0")
        machine.write({"main.py": "2"})
        machine.openapi = openapi_of(a={"get": {}})
        plan = await machine.publishing.plan(machine.api)
        assert (plan.bump, plan.asked_version, plan.entry.semver) == (Bump.MAJOR, "2.0.0", "2.0.0")
        assert [change.rule for change in plan.contract] == ["api-path-removed-without-deprecation"]
        plan = await machine.publishing.plan(machine.api, "1.0.1")
        assert "2.0.0" in plan.warnings[0]
        plan = await machine.publishing.plan(machine.api, "2.0.0-rc.1")
        assert not any("promises" in warning for warning in plan.warnings)

    async def test_what_cannot_be_one_is_refused(self, open_machine: Open) -> None:
        machine = await open_machine()
        with pytest.raises(NotAVersion, match="latest"):
            await machine.queue("latest")
        await machine.publish("1.0.0")
        machine.write({"main.py": "2"})
        with pytest.raises(VersionTaken) as refused:
            await machine.queue("1.0.0")
        assert refused.value.extra["suggestion"] == "1.0.1"

    async def test_a_plan_says_what_would_be_sent_and_sends_nothing(
        self, open_machine: Open, market: FakeMarketplace
    ) -> None:
        machine = await open_machine()
        await machine.publish()
        asked = len(market.market.asked)
        machine.write({"main.py": "print(2)\n", "new.py": "x", "apimarket.toml": None, "lib/a": "1"})
        machine.write({"apimarket.toml": '[api]\nname = "one"\nruntime = "python"\n'})
        plan = await machine.publishing.plan(machine.api)
        assert {(change.path, change.change) for change in plan.files} == {
            ("apimarket.toml", "changed"), ("lib/a", "added"), ("main.py", "changed"), ("new.py", "added"),
        }  # fmt: skip
        assert 0 < plan.send_bytes < 1000
        assert len(market.market.asked) == asked
        assert len(await machine.storage.read(lambda tx: tx.outbox.latest())) == 1


class TestTrouble:
    async def test_offline_versions_wait_and_then_go_in_order(
        self, open_machine: Open, market: FakeMarketplace
    ) -> None:
        machine = await open_machine()
        await machine.publish()
        market.market.refuse = {"status": 503, "code": "away", "title": "away"}
        for number in range(3):
            machine.write({"main.py": f"print({number + 10})\n"})
            await machine.queue()
        await machine.worker.begin()
        await machine.worker.settle()
        states = [entry.state for entry in await machine.storage.read(lambda tx: tx.outbox.latest())]
        assert states == [OutboxState.QUEUED, OutboxState.QUEUED, OutboxState.SENDING, OutboxState.APPLIED]
        market.market.refuse = None
        done = await machine.drain()
        assert {entry.state for entry in done} == {OutboxState.APPLIED}
        assert [one["semver"] for one in market.market.versions["ana/one"]] == ["0.1.0", "0.1.1", "0.1.2", "0.1.3"]
        assert [one["parents"] for one in market.market.versions["ana/one"]][1:] == [
            [one["id"]] for one in market.market.versions["ana/one"]
        ][:-1]

    async def test_a_lost_session_waits_for_the_next(self, open_machine: Open) -> None:
        machine = await open_machine()
        await machine.markets.remote(machine.url)
        machine.token = None
        plan = await machine.publishing.plan(machine.api, remote=machine.url)
        await machine.publishing.queue(plan)
        await machine.worker.begin()
        await machine.worker.settle()
        (entry,) = await machine.storage.read(lambda tx: tx.outbox.latest())
        assert entry.trouble is not None
        assert (entry.state, entry.trouble.code) == (OutboxState.QUEUED, "not_logged_in")
        machine.token = "ana-token"
        assert (await machine.drain())[0].state is OutboxState.APPLIED

    @pytest.mark.parametrize("market", ["fake"], indirect=True)
    async def test_another_marketplace_at_the_address_gets_nothing(
        self, open_machine: Open, market: FakeMarketplace
    ) -> None:
        machine = await open_machine()
        await machine.publish()
        market.market.marketplace_id = "market-2"
        again = await open_machine()
        again.write({"main.py": "2"})
        await again.queue()
        await again.worker.begin()
        await again.worker.settle()
        entry = (await again.storage.read(lambda tx: tx.outbox.latest()))[0]
        assert entry.trouble is not None
        assert entry.trouble.code == "another_marketplace"
        assert len(market.market.versions["ana/one"]) == 1

    async def test_what_will_never_be_taken_is_rejected_and_holds_up_what_follows(
        self, open_machine: Open, market: FakeMarketplace
    ) -> None:
        machine = await open_machine()
        await machine.markets.remote(machine.url)
        entry = await machine.queue()
        machine.write({"main.py": "2"})
        await machine.queue()
        market.market.keys.clear()
        done = await machine.drain()
        assert [one.state for one in done] == [OutboxState.QUEUED, OutboxState.REJECTED]
        rejected = await machine.storage.read(lambda tx: tx.outbox.get(entry.op))
        assert rejected is not None
        assert rejected.trouble is not None
        assert rejected.trouble.code == "bad_signature"

    async def test_the_next_version_takes_the_place_of_one_that_was_rejected(
        self, open_machine: Open, market: FakeMarketplace
    ) -> None:
        machine = await open_machine()
        await machine.publish()
        refusal = {"status": 413, "code": "tree_too_large", "title": "x", "detail": "2 files; 1 is allowed"}
        market.market.refuse = refusal
        for text in ("2", "3"):
            machine.write({"main.py": text})
            await machine.queue()
        assert [one.state for one in await machine.drain()][:2] == [OutboxState.QUEUED, OutboxState.REJECTED]
        market.market.refuse = None

        machine.write({"main.py": "4"})
        done = await machine.publish("0.1.1")
        assert (done.state, done.semver) == (OutboxState.APPLIED, "0.1.1")
        states = [one.state for one in await machine.storage.read(lambda tx: tx.outbox.latest())]
        assert states == [OutboxState.APPLIED, OutboxState.CANCELED, OutboxState.CANCELED, OutboxState.APPLIED]
        assert [one["semver"] for one in market.market.versions["ana/one"]] == ["0.1.0", "0.1.1"]

    async def test_without_a_marketplace_nothing_is_guessed(self, open_machine: Open) -> None:
        machine = await open_machine(token=None)
        with pytest.raises(NoRemote):
            await machine.queue()

    async def test_no_version_is_made_while_a_conflict_waits(self, open_machine: Open, market: FakeMarketplace) -> None:
        one, two = await open_machine("one"), await open_machine("two")
        await one.publish()
        two.write({"main.py": "theirs"})
        assert (await two.publish("0.2.0")).state is OutboxState.CONFLICT
        two.write({"main.py": "more"})
        with pytest.raises(ConflictWaits):
            await two.queue()
        assert json.dumps(market.market.heads)

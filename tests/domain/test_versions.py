"""Numbers, pins and pointers."""

import random
from dataclasses import replace

import pytest

from local_server.domain.semver import Semver
from local_server.domain.version_errors import InvalidChannel, InvalidWeight
from local_server.domain.versions import DEV, Pointer, Traffic, check_channel, pins, resolve
from tests.storage.factories import NOON, a_version, an_api

API = an_api(1)
# As semver.org, 11, orders them.
ORDERED = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
           "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"]  # fmt: skip


class TestSemver:
    def test_precedence_is_that_of_the_standard(self) -> None:
        mixed = [Semver.parse(text) for text in ORDERED]
        random.Random(1).shuffle(mixed)
        assert [number.text for number in sorted(mixed)] == ORDERED

    def test_build_metadata_has_no_precedence(self) -> None:
        one, other = Semver.parse("1.0.0+a"), Semver.parse("1.0.0+b")
        assert one.precedence == other.precedence
        assert one < other

    @pytest.mark.parametrize("text", ["", "1", "1.2", "01.0.0", "1.0.0-", "1.0.0-01", "v1.0.0", "1.0.0 ", "1.0.0\n",
                                      "1.0.0-ü", "¹.0.0", "1.0." + "9" * 80])  # fmt: skip
    def test_all_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="is no version"):
            Semver.parse(text)


class TestPins:
    def test_a_line_is_its_newest_release(self) -> None:
        versions = [a_version(API, semver) for semver in ("1.10.0", "1.2.0", "1.2.9", "2.0.0-rc.1", "0.9.0")]
        assert pins(versions, {"beta": "2.0.0-rc.1", "gone": "7.0.0"}) == {
            **{version.semver: version.semver for version in versions},
            "0": "0.9.0", "0.9": "0.9.0", "1": "1.10.0", "1.2": "1.2.9", "1.10": "1.10.0",
            "latest": "1.10.0", "beta": "2.0.0-rc.1",
        }  # fmt: skip
        assert resolve("2", versions, {}) is None
        assert resolve(DEV, versions, {}) is None

    def test_a_yanked_one_only_answers_to_its_full_number(self) -> None:
        versions = [a_version(API, "1.0.0"), replace(a_version(API, "1.1.0"), yanked_at=NOON)]
        assert pins(versions, {}) == {
            "1.0.0": "1.0.0", "1.1.0": "1.1.0", "1": "1.0.0", "1.0": "1.0.0", "latest": "1.0.0",
        }  # fmt: skip


class TestChannels:
    @pytest.mark.parametrize("name", ["dev", "latest", "", "1", "Beta", "a" * 33, "be/ta", "beta\n", "bêta"])
    def test_reserved_and_odd_names_are_refused(self, name: str) -> None:
        with pytest.raises(InvalidChannel):
            check_channel(name)

    def test_others_are_taken(self) -> None:
        assert check_channel("beta-2") == "beta-2"


class TestPointer:
    def test_a_canary_takes_its_share_from_all_others(self) -> None:
        one = Pointer.to("1.0.0").canary("1.1.0", 10)
        assert one.shares == (("1.0.0", 90), ("1.1.0", 10))
        assert one.canary("1.1.0", 50).shares == (("1.0.0", 50), ("1.1.0", 50))
        assert one.canary("1.1.0", 100) == Pointer.to("1.1.0")
        assert one.canary("2.0.0", 1).shares == (("1.0.0", 89), ("1.1.0", 10), ("2.0.0", 1))
        assert Pointer().canary("1.0.0", 5).shares == ((DEV, 95), ("1.0.0", 5))

    @pytest.mark.parametrize("weight", [0, -1, 101])
    def test_a_share_is_a_whole_percent(self, weight: int) -> None:
        with pytest.raises(InvalidWeight, match=str(weight)):
            Pointer().canary("1.0.0", weight)

    def test_shares_always_sum_up(self) -> None:
        rng = random.Random(2)
        pointer = Pointer()
        for _ in range(500):
            pointer = pointer.canary(f"{rng.randrange(9)}.0.0", rng.randrange(1, 101))
            assert sum(share for _, share in pointer.shares) == 100
            assert all(share > 0 for _, share in pointer.shares)


class TestTraffic:
    def test_goes_back_as_far_as_it_came(self) -> None:
        moved = Traffic().moved(Pointer.to("1.0.0")).moved(Pointer.to("1.0.0")).moved(Pointer.to("1.1.0"))
        back = moved.back()
        assert back is not None
        assert back.pointer == Pointer.to("1.0.0")
        start = back.back()
        assert start is not None
        assert start.pointer.is_directory
        assert start.back() is None

    def test_remembers_a_bounded_number_of_moves(self) -> None:
        traffic = Traffic()
        for patch in range(50):
            traffic = traffic.moved(Pointer.to(f"1.0.{patch}"))
        assert len(traffic.earlier) == 20

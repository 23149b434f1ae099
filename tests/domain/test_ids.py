"""Identifiers."""

import uuid
from random import Random

import pytest

from local_server.domain.ids import uuid7
from local_server.system import RealSystem


class TestUuid7:
    @pytest.mark.parametrize("unix_ms", [0, 1, 1_700_000_000_000, 2**48 - 1])
    def test_it_is_one_whatever_the_random_bytes(self, unix_ms: int) -> None:
        for random in (bytes(10), b"\xff" * 10, Random(1).randbytes(10)):
            made = uuid.UUID(text := uuid7(unix_ms, random))
            assert (str(made), made.version, made.variant) == (text, 7, uuid.RFC_4122)
            assert made.int >> 80 == unix_ms
            # All but the six bits of version and variant are as they were given.
            assert made.bytes[6] & 0x0F == random[0] & 0x0F
            assert (made.bytes[7], made.bytes[8] & 0x3F) == (random[1], random[2] & 0x3F)
            assert made.bytes[9:] == random[3:]

    def test_it_sorts_by_time(self) -> None:
        made = [uuid7(unix_ms, b"\xff" * 10) for unix_ms in (5, 2**20, 2**40)]
        assert made == sorted(made)


class TestNewId:
    def test_no_two_are_the_same_and_later_ones_are_not_before(self) -> None:
        system = RealSystem()
        made = [system.new_id() for _ in range(2000)]
        assert len(set(made)) == len(made)
        assert [text[:13] for text in made] == sorted(text[:13] for text in made)
        assert {uuid.UUID(text).version for text in made} == {7}

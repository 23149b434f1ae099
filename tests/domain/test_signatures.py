"""Signatures of versions."""

import pytest

from local_server.domain import signatures
from local_server.domain.ids import Digest
from local_server.domain.sync_errors import InvalidSigningKey

VERSION = Digest("a" * 64)
PRIVATE = bytes(range(32))
PUBLIC = signatures.public_key_of(PRIVATE)
SIGNED = signatures.sign(PRIVATE, "market", VERSION)


class TestSignature:
    def test_is_its_holders_on_this_version_for_this_marketplace(self) -> None:
        assert signatures.is_signed(PUBLIC, SIGNED, "market", VERSION)

    @pytest.mark.parametrize(("market", "version"), [("other", VERSION), ("market", Digest("b" * 64))])
    def test_says_nothing_elsewhere(self, market: str, version: Digest) -> None:
        assert not signatures.is_signed(PUBLIC, SIGNED, market, version)

    def test_of_another_key_is_none(self) -> None:
        other = signatures.public_key_of(signatures.new_private_key())
        assert not signatures.is_signed(other, SIGNED, "market", VERSION)

    @pytest.mark.parametrize("place", range(0, 512, 17))
    def test_with_a_flipped_bit_is_none(self, place: int) -> None:
        flipped = bytearray(SIGNED)
        flipped[place // 8] ^= 1 << place % 8
        assert not signatures.is_signed(PUBLIC, bytes(flipped), "market", VERSION)

    @pytest.mark.parametrize("broken", [b"", b"short", bytes(63), bytes(65)])
    def test_of_another_length_is_none(self, broken: bytes) -> None:
        assert not signatures.is_signed(PUBLIC, broken, "market", VERSION)
        assert not signatures.is_signed(broken, SIGNED, "market", VERSION)

    def test_parts_of_the_message_cannot_be_moved_into_each_other(self) -> None:
        one = signatures.version_message("market", VERSION)
        other = signatures.version_message("market\0" + "a" * 63, Digest("a"))
        assert one != other


class TestWritten:
    def test_comes_back(self) -> None:
        assert signatures.decoded(signatures.encoded(SIGNED), 64) == SIGNED
        assert signatures.check_public_key(signatures.encoded(PUBLIC)) == PUBLIC

    @pytest.mark.parametrize("text", ["", "!", "AAAA", "A" * 44, "é" * 44, signatures.encoded(PUBLIC) + "\n"])
    def test_badly_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidSigningKey):
            signatures.check_public_key(text)

    def test_signer_is_named_by_the_public_key(self) -> None:
        assert signatures.signer_id(PUBLIC) != signatures.signer_id(bytes(32))
        assert len(signatures.signer_id(PUBLIC)) == 32

"""Sealed evidence: what goes in comes out for the right key only, and failures keep their names."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from hashscan.errors import QuarantineError, UsageError
from hashscan.quarantine import seal
from hashscan.quarantine.seal import MAX_RECIPIENTS, Identity, Recipients

CONTENT = b"harmless " * 50_000


def _pair() -> tuple[Recipients, Identity, str]:
    secret = pyrage.x25519.Identity.generate()
    return Recipients([str(secret.to_public())]), Identity(f"# a comment\n{secret}\n"), str(secret)


def _chunks(data: bytes, size: int = 70_001) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def _sealed(to: Recipients, data: bytes = CONTENT) -> bytes:
    out = bytearray()
    to.seal(_chunks(data), out.extend)
    return bytes(out)


@pytest.mark.parametrize("data", [b"", b"x", CONTENT, b"y" * 65_536])
def test_there_and_back(data: bytes) -> None:
    to, identity, _ = _pair()
    sealed = _sealed(to, data)
    assert data not in sealed or not data or len(data) == 1
    out = bytearray()
    identity.open(_chunks(sealed), out.extend)
    assert bytes(out) == data


def test_each_of_several_keys_opens_it() -> None:
    secrets = [pyrage.x25519.Identity.generate() for _ in range(3)]
    sealed = _sealed(Recipients([str(one.to_public()) for one in secrets]))
    for one in secrets:
        out = bytearray()
        Identity(str(one)).open(_chunks(sealed), out.extend)
        assert bytes(out) == CONTENT


def test_another_key_does_not_open_it() -> None:
    sealed = _sealed(_pair()[0])
    with pytest.raises(QuarantineError, match="cannot be opened"):
        _pair()[1].open(_chunks(sealed), bytearray().extend)


def test_a_change_anywhere_is_noticed() -> None:
    to, identity, _ = _pair()
    sealed = _sealed(to, b"short and harmless")
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(QuarantineError):
            identity.open(_chunks(changed), bytearray().extend)
    for length in range(len(sealed)):
        with pytest.raises(QuarantineError):
            identity.open(_chunks(sealed[:length]), bytearray().extend)


def test_a_full_disk_stays_a_full_disk() -> None:
    def full(_: bytes) -> None:
        raise OSError(errno.ENOSPC, "full")

    to, identity, _ = _pair()
    sealed = _sealed(to)
    with pytest.raises(OSError, match="full") as caught:
        to.seal(_chunks(CONTENT), full)
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="full"):
        identity.open(_chunks(sealed), full)


def test_what_the_source_raises_comes_out() -> None:
    def broken() -> Iterator[bytes]:
        yield b"some"
        raise KeyError("the source")

    with pytest.raises(KeyError, match="the source"):
        _pair()[0].seal(broken(), bytearray().extend)


@pytest.mark.parametrize("keys", [[], ["age1nonsense"], ["AGE-SECRET-KEY-1"], ["age1x"] * (MAX_RECIPIENTS + 1)])
def test_wrong_recipients_are_refused(keys: list[str]) -> None:
    with pytest.raises(UsageError):
        Recipients(keys)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "age1nonsense", "AGE-SECRET-KEY-1NO"])
def test_wrong_identities_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Identity(text)
    assert not text.strip() or text not in str(caught.value)


@pytest.mark.optional("age")
def test_the_stock_program_opens_it(tmp_path: Path) -> None:
    to, _, secret = _pair()
    (tmp_path / "sealed").write_bytes(_sealed(to))
    (tmp_path / "key").write_text(secret + "\n")
    done = subprocess.run(["age", "-d", "-i", "key", "sealed"], cwd=tmp_path, capture_output=True, check=True, timeout=30)
    assert done.stdout == CONTENT


class PanicException(BaseException):
    """The only name that a panic in Rust has in Python."""


def test_a_library_that_cannot_go_on_is_an_error_of_ours() -> None:
    """Found by failing getrandom(2): the library panics, and a panic is no Exception."""

    def panics(*_: object) -> None:
        raise PanicException("no random numbers")

    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(seal._SealError, match="no random numbers"):
        seal._stream(panics, iter([b""]), lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        seal._stream(stops, iter([b""]), lambda _: None)


def test_what_cannot_be_sealed_is_said() -> None:
    recipients = Recipients([str(pyrage.x25519.Identity.generate().to_public())])
    recipients._parsed.clear()
    with pytest.raises(QuarantineError, match="cannot be sealed"):
        recipients.seal(iter([b"x"]), lambda _: None)


@pytest.mark.parametrize("size", [0, 5_000, 65_536, 200_000])
def test_a_write_that_fails_at_any_time_is_never_forgotten(size: int) -> None:
    """The library forgets a failure at its end: a sealed copy would have a hole, and the file would be taken for it."""
    recipients = Recipients([str(pyrage.x25519.Identity.generate().to_public())])
    written: list[bytes] = []
    recipients.seal(iter([bytes(size)]), written.append)
    for moment in range(len(written)):
        left = iter(range(moment))

        def write(_: bytes, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, "full")

        with pytest.raises(OSError, match="full"):
            recipients.seal(iter([bytes(size)]), write)


def test_as_many_keys_as_there_may_be() -> None:
    pairs = [pyrage.x25519.Identity.generate() for _ in range(MAX_RECIPIENTS)]
    sealed = _sealed(Recipients([str(one.to_public()) for one in pairs]), b"x")
    out = bytearray()
    Identity("\n".join(map(str, pairs))).open(_chunks(sealed), out.extend)
    assert bytes(out) == b"x"
    with pytest.raises(UsageError, match=f"1 to {MAX_RECIPIENTS} secret keys, this one {MAX_RECIPIENTS + 1}"):
        Identity("\n".join(map(str, [*pairs, pairs[0]])))


def test_what_is_wrong_says_what_helps() -> None:
    with pytest.raises(UsageError) as refused:
        Recipients(["age1nonsense"])
    assert refused.value.hint == "a public key of age-keygen looks like age1..."
    with pytest.raises(QuarantineError) as closed:
        _pair()[1].open(_chunks(_sealed(_pair()[0])), bytearray().extend)
    assert closed.value.hint == "is it the right identity?"


def test_what_was_not_read_to_its_end_is_not_sealed_as_if_it_was() -> None:
    """It would open, and be taken for the whole file."""

    def broken() -> Iterator[bytes]:
        yield CONTENT[:100_000]
        raise OSError(errno.EIO, "the source")

    to, identity, _ = _pair()
    out = bytearray()
    with pytest.raises(OSError, match="the source"):
        to.seal(broken(), out.extend)
    with pytest.raises(QuarantineError):
        identity.open(_chunks(bytes(out)), bytearray().extend)


def test_after_a_write_that_failed_none_is_tried() -> None:
    """What is behind a hole is of no use, and a failing disk is left alone."""
    tries: list[int] = []

    def full(data: bytes) -> None:
        tries.append(len(data))
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        _pair()[0].seal(_chunks(CONTENT), full)
    assert len(tries) <= 2  # the library tries its end once more


def test_chunks_read_as_a_file() -> None:
    reader = seal._Reader(iter([b"abc", b"", b"de"]))
    assert [reader.read(size) for size in (0, 2, 9, 9, 9, 1)] == [
        b"",
        b"ab",
        b"c",
        b"de",
        b"",
        b"",
    ]

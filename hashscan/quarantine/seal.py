"""The gate of pyrage: evidence encrypted to public keys of the age format, in a stream, while it is copied. Extra `evidence`.

The host that holds a sealed case cannot read it: only who has one of the identities can, with this program or any other that
knows the format (https://age-encryption.org/v1). The stream is authenticated, so a changed or shortened copy does not open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hashscan.errors import QuarantineError, UsageError

if TYPE_CHECKING:
    import pyrage

MAX_RECIPIENTS = 16
_INSTALL = "pip install 'hashscan[evidence]'"


def _library() -> Any:
    try:
        import pyrage  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError("sealed evidence needs pyrage", hint=_INSTALL) from None
    return pyrage


class Recipients:
    """Public keys (``age1...``) that evidence is sealed to. Raises `UsageError` for one that is none, or none at all."""

    def __init__(self, keys: Sequence[str]) -> None:
        library = _library()
        if not 1 <= len(keys) <= MAX_RECIPIENTS:
            raise UsageError(f"evidence is sealed to 1 to {MAX_RECIPIENTS} public keys, not {len(keys)}")
        self.keys = tuple(keys)
        self._parsed: list[pyrage.x25519.Recipient] = []
        for key in keys:
            try:
                self._parsed.append(library.x25519.Recipient.from_str(key))
            except library.RecipientError as error:
                hint = "a public key of age-keygen looks like age1..."
                raise UsageError(f"{key[:20]!r}... is no public key: {error}", hint=hint) from None

    def seal(self, chunks: Iterator[bytes], write: Callable[[bytes], None]) -> None:
        """Encrypt ``chunks`` and pass the bytes on to ``write``. What these two raise comes out unchanged.

        Raises `QuarantineError` where the library cannot go on (no random numbers, for one).
        """
        try:
            _stream(lambda reader, writer: _library().encrypt_io(reader, writer, self._parsed), chunks, write)
        except _SealError as error:
            raise QuarantineError(f"the evidence cannot be sealed: {error}") from None


class Identity:
    """Secret keys (``AGE-SECRET-KEY-1...``) from the text of an identity file, as age-keygen writes it. Raises `UsageError`."""

    def __init__(self, text: str) -> None:
        library = _library()
        lines = [line.strip() for line in text.splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        if not 1 <= len(keys) <= MAX_RECIPIENTS:
            raise UsageError(f"an identity file holds 1 to {MAX_RECIPIENTS} secret keys, this one {len(keys)}")
        try:
            self._parsed = [library.x25519.Identity.from_str(key) for key in keys]
        except library.IdentityError:
            raise UsageError("the identity file holds a line that is no secret key of age") from None

    def open(self, chunks: Iterator[bytes], write: Callable[[bytes], None]) -> None:
        """Decrypt ``chunks`` and pass the bytes on to ``write``; they are not to be believed before this returns.

        Raises `QuarantineError` where the key is another one, or the copy was changed or cut.
        """
        try:
            _stream(lambda reader, writer: _library().decrypt_io(reader, writer, self._parsed), chunks, write)
        except _SealError as error:
            raise QuarantineError(f"the sealed evidence cannot be opened: {error}", hint="is it the right identity?") from None


class _Reader:
    """Chunks as a file that can be read. ``failure`` is what the chunks raised."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self.failure: BaseException | None = None

    def read(self, size: int) -> bytes:
        try:
            while not self._rest:
                piece = next(self._chunks, None)
                if piece is None:
                    return b""
                self._rest = piece
        except BaseException as error:
            self.failure = error
            raise
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


class _Writer:
    """A function as a file that can be written. ``failure`` is what the function raised."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self.failure: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            self._write(data)
        except BaseException as error:
            self.failure = error
            raise
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""


class _SealError(Exception):
    """The library could not go on, for a reason of its own."""


def _stream(run: Callable[[_Reader, _Writer], None], chunks: Iterator[bytes], write: Callable[[bytes], None]) -> None:
    library, reader, writer = _library(), _Reader(chunks), _Writer(write)
    try:
        run(reader, writer)
    except (library.EncryptError, library.DecryptError, OSError) as error:
        # The library turns what our own files raise into its errors, and a full disk must stay one.
        failure = reader.failure or writer.failure
        if failure is not None:
            raise failure from None
        raise _SealError(str(error)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # a panic in Rust, which has no other name in Python
            raise
        raise _SealError(str(error)) from None
    # Found by tests/hostile/test_errno.py: it forgets that a write failed at its end, and a copy with a hole was believed.
    if failure := reader.failure or writer.failure:
        raise failure

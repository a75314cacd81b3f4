"""Where the exceptions of `tuf` die: each becomes a `FilterError` that names the broken rule of The Update Framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from securesystemslib.exceptions import Error as SecureSystemsError
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.serialization import DeserializationError, SerializationError

from hashscan.errors import FilterError, NotPublishedError
from hashscan.strict_json import StrictJsonError

_RULES: tuple[tuple[type[Exception], str, str], ...] = (
    (
        ExpiredMetadataError,
        "it expired",
        "the service may be frozen, or the clock of this host wrong; the lists in force stay in use",
    ),
    (
        UnsignedMetadataError,
        "too few of the signatures that it needs hold",
        "somebody may be between this host and the service",
    ),
    (BadVersionNumberError, "its version is not the one that must come (an older state, or a mixture of two)", ""),
    (
        LengthOrHashMismatchError,
        "it is not the very file that the signed metadata describes",
        "try again: the service may just publish",
    ),
    (DownloadLengthMismatchError, "it is longer than allowed", ""),
    (DownloadError, "it could not be fetched", ""),
    (DeserializationError, "it is no metadata of The Update Framework", ""),
    (SerializationError, "it holds what cannot be signed", ""),
    (RepositoryError, "it breaks a rule of The Update Framework", ""),
    (StrictJsonError, "it cannot be read", ""),
    (SecureSystemsError, "it names keys or signatures that cannot be used", ""),
)
_SURPRISES = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
    RuntimeError,
    AssertionError,
)
"""What hostile values raise deep inside a library that trusts the types in a document."""

_MOST_SAID = 160  # characters of a foreign message


@contextmanager
def refusing(where: Callable[[], str]) -> Iterator[None]:
    """Around calls into `tuf`; ``where`` names the file in hand. Our own errors and OSError pass through."""
    try:
        yield
    except DownloadHTTPError as error:  # ours, see known.updater: nothing else speaks HTTP here
        raise NotPublishedError(f"the service has no {where()}", hint="is anything published for this provider?") from error
    except tuple(kind for kind, *_ in _RULES) as error:
        raise _refusal(where(), error) from None
    except _SURPRISES as error:
        raise FilterError(f"{where()} cannot be used: {type(error).__name__}") from None


def _refusal(where: str, error: Exception) -> FilterError:
    rule, hint = next((rule, hint) for kind, rule, hint in _RULES if isinstance(error, kind))
    detail = "".join(one if one.isascii() and one.isprintable() else "?" for one in str(error)[:_MOST_SAID])
    return FilterError(f"{where} cannot be trusted: {rule}{f' ({detail})' if detail else ''}", hint=hint)

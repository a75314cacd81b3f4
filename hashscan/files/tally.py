"""The count of one stretch of a walk, and the rule that says what an errno means for a path."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Collection, Sequence

from hashscan.files.walk import Node
from hashscan.model import Candidate, Place, Reason, Sifted, Skipped, Warned

MAX_OBJECTS = 512  # notes and candidates after which a stretch is reported, however short it is

_REASONS = {
    errno.ENOENT: Reason.VANISHED,
    errno.ELOOP: Reason.CHANGED,  # a link stands where a file or directory was listed
    errno.ENOTDIR: Reason.CHANGED,
    errno.ENXIO: Reason.CHANGED,  # a socket or device
    errno.EXDEV: Reason.MOUNT,
}

_WORTH_NAMING = frozenset(
    {Reason.MOUNT, Reason.NETWORK, Reason.TOO_LARGE, Reason.OWN, Reason.CHANGED, Reason.TIMEOUT, Reason.ERROR}
)


def reason_of(error: OSError) -> Reason:
    """What a failed open or read of a listed name means; ERROR where it is one to be named by its errno."""
    return _REASONS.get(error.errno or 0, Reason.ERROR)


def errno_name(error: OSError) -> str:
    """The symbolic name, as in "EACCES"."""
    return errno.errorcode.get(error.errno or 0, "EUNKNOWN")


class Tally:
    """Counts of what ended in this stretch.

    Every name met ends exactly once: in ``directories`` (listed to its end) or among those that `model.Sifted.seen` sums up:
    scanned, cached, by size, skipped, errors. So ``directories + seen`` is what ``find`` prints for the same roots. A name is
    met when it ends, so a directory may end in one stretch and its names in later ones. ``bytes_hashed`` is of scanned files.
    """

    def __init__(self, roots: Sequence[bytes], silent_mounts: Collection[bytes] = frozenset()) -> None:
        self.roots = roots
        self._silent_mounts = silent_mounts
        self._reset()

    def _reset(self) -> None:
        self.directories = self.scanned = self.cached = self.by_size = self.bytes_hashed = 0
        self._skipped: Counter[Reason] = Counter()
        self._errors: Counter[str] = Counter()
        self._notes: list[Skipped] = []
        self._warnings: list[Warned] = []
        self.candidates: list[Candidate] = []

    @property
    def full(self) -> bool:
        """Whether the stretch should be reported now, for the memory it takes."""
        return len(self._notes) + len(self._warnings) + len(self.candidates) >= MAX_OBJECTS

    def skip(self, reason: Reason, place: Place | None = None, detail: str = "", *, count: int = 1) -> None:
        """Names that end skipped; named at ``place`` where that is worth it."""
        self._skipped[reason] += count
        # A mount point that is a root itself is scanned as such: nothing there is left out.
        mount = reason in (Reason.MOUNT, Reason.NETWORK)
        if place is not None and reason in _WORTH_NAMING and not (mount and place.full in self._silent_mounts):
            self._notes.append(Skipped(place, reason, detail=detail))

    def warn(self, warning: Warned) -> None:
        """Something that a person should know; it ends no name."""
        self._warnings.append(warning)

    def fail(self, error: OSError, node: Node, name: bytes) -> None:
        """The entry ``name`` of ``node`` could not be looked at."""
        self.fail_at(error, node.place(self.roots[node.root], name))

    def fail_at(self, error: OSError, place: Place, *, count: int = 1) -> None:
        """Names that end skipped or in an error, by what ``error`` says; named at ``place``."""
        reason = reason_of(error)
        if reason is not Reason.ERROR:
            self.skip(reason, place, count=count)
            return
        self._errors[errno_name(error)] += count
        detail = f"{count} names" if count > 1 else ""
        self._notes.append(Skipped(place, reason, errno_name(error), detail))

    def lack(self, errno_name: str, count: int) -> None:
        """Names that end in an error that is told for all of them at once, and not by name."""
        self._errors[errno_name] += count

    def take(self, at: bytes) -> Sifted:
        """The stretch that ends here, ``at`` this path."""
        sifted = Sifted(
            directories=self.directories,
            seen=self.scanned + self.cached + self.by_size + self._skipped.total() + self._errors.total(),
            scanned=self.scanned,
            cached=self.cached,
            by_size=self.by_size,
            bytes_hashed=self.bytes_hashed,
            skipped=dict(self._skipped),
            errors=dict(self._errors),
            notes=tuple(self._notes),
            candidates=tuple(self.candidates),
            at=at,
            warnings=tuple(self._warnings),
        )
        self._reset()
        return sifted

"""Somebody who keeps what is left to do, so that another process can go on with it later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

Item_contra = TypeVar("Item_contra", contravariant=True)


class Keeper(Protocol[Item_contra]):
    """Is told what is left now and then, and when the work ends: by itself (nothing is left), early, or by an error.

    Whatever was yielded before the caller asked for more is not among it. What was yielded last, and after which nothing more
    was asked for, still is: nobody can know what the caller made of it. So work is lost never, and done twice sometimes.
    """

    def due(self) -> bool:
        """Whether it is time to keep again; asked after each round of results."""

    def keep(self, stacks: Sequence[Sequence[Item_contra]]) -> None:
        """What is left. Raises a `HashscanError` where it cannot be kept."""

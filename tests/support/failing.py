"""One function of the system that fails where a test says so: for the branches that no disk at hand can be made to take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class Switch:
    """Off until a test turns it on, at a moment of the work (`interfering.acting`)."""

    def __init__(self, *, on: bool = False) -> None:
        self.on = on

    def turn(self) -> None:
        self.on = True


@contextmanager
def failing(
    name: str, code: int, when: Callable[..., object] = lambda *_, **__: True, *, module: ModuleType = os
) -> Iterator[None]:
    """While the block runs, ``module.name`` raises OSError ``code`` for arguments that ``when`` holds for."""
    whole = getattr(module, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        if when(*args, **kwargs):
            raise OSError(code, os.strerror(code))
        return whole(*args, **kwargs)

    setattr(module, name, call)
    try:
        yield
    finally:
        setattr(module, name, whole)

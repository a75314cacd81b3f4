"""The parts of a host that is split over three users, and where each keeps its things (docs/operating.md, "Three units")."""

from __future__ import annotations

import enum


class Part(enum.StrEnum):
    """One part of the program with a user, rights and folders of its own. The value names its folders.

    READ walks and hashes: it reads everything and has no network. NET syncs and asks: it sees no file of a customer. ACT moves
    files: root with four capabilities and no network, and what a person does as root.
    """

    READ = "read"
    NET = "net"
    ACT = "act"

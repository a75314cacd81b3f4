"""The nouns. A type is a permit: each step of a file's life adds one fact, and nothing is edited in place.

::

    FileEntry -> HashedFile -> Candidate -> Finding -> Removal -> Case
         `-> Skipped

Only a `Candidate` can be named to the service. Only a `Removal`, which holds a `Finding` with its signed verdict, can be moved.
``tests/house`` checks that each permit is issued at one address.

Each is loaded when somebody first asks for it: `hashscan status` needs the words and the lists only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashscan.model.cases import Case, Dispute, Outcome, Receipt
    from hashscan.model.lists import Delta, Lists, PublishedFile, Target, VerdictKey
    from hashscan.model.nouns import Candidate, FileEntry, Finding, HashedFile, Place, Removal, Tagged, Verdict
    from hashscan.model.walks import Reason, Sifted, Skipped, Warned
    from hashscan.model.words import (
        WITHDRAWABLE,
        Act,
        Action,
        Algorithm,
        CaseState,
        Event,
        Grade,
        Json,
        ListRef,
        Source,
        Standing,
    )

_HOMES = {
    "words": (
        "WITHDRAWABLE",
        "Act",
        "Action",
        "Algorithm",
        "CaseState",
        "Event",
        "Grade",
        "Json",
        "ListRef",
        "Source",
        "Standing",
    ),
    "lists": ("Delta", "Lists", "PublishedFile", "Target", "VerdictKey"),
    "nouns": ("Candidate", "FileEntry", "Finding", "HashedFile", "Place", "Removal", "Tagged", "Verdict"),
    "cases": ("Case", "Dispute", "Outcome", "Receipt"),
    "walks": ("Reason", "Sifted", "Skipped", "Warned"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

if not TYPE_CHECKING:  # a type checker knows the names from above, and shall complain of others

    def __getattr__(name):
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        return found


__all__ = [
    "WITHDRAWABLE",
    "Act",
    "Action",
    "Algorithm",
    "Candidate",
    "Case",
    "CaseState",
    "Delta",
    "Dispute",
    "Event",
    "FileEntry",
    "Finding",
    "Grade",
    "HashedFile",
    "Json",
    "ListRef",
    "Lists",
    "Outcome",
    "Place",
    "PublishedFile",
    "Reason",
    "Receipt",
    "Removal",
    "Sifted",
    "Skipped",
    "Source",
    "Standing",
    "Tagged",
    "Target",
    "Verdict",
    "VerdictKey",
    "Warned",
]

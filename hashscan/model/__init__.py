"""The nouns. A type is a permit: each step of a file's life adds one fact, and nothing is edited in place.

::

    FileEntry -> HashedFile -> Candidate -> Finding -> Removal -> Case
         `-> Skipped

Only a `Candidate` can be named to the service. Only a `Removal`, which holds a `Finding` with its signed verdict, can be moved.
``tests/house`` checks that each permit is issued at one address.
"""

from __future__ import annotations

from hashscan.model.cases import (
    WITHDRAWABLE,
    Action,
    Case,
    CaseState,
    Dispute,
    Outcome,
    Receipt,
)
from hashscan.model.lists import (
    Delta,
    Lists,
    PublishedFile,
    Target,
    VerdictKey,
)
from hashscan.model.nouns import (
    Act,
    Algorithm,
    Candidate,
    Event,
    FileEntry,
    Finding,
    Grade,
    HashedFile,
    Json,
    ListRef,
    Place,
    Removal,
    Source,
    Standing,
    Tagged,
    Verdict,
)
from hashscan.model.walks import (
    Reason,
    Sifted,
    Skipped,
    Warned,
)

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

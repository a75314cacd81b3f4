"""What the exit code of a run means, in a few words: for screens, pages, monitoring and logs alike."""

from __future__ import annotations

from collections.abc import Mapping

from hashscan.model import Json
from hashscan.report.fields import number, table


def meaning(data: Mapping[str, Json]) -> str:
    """The words for the exit code in ``data``, a summary or an ``exit_error``; counts are those of the summary."""
    candidates, actions = table(data, "candidates"), table(data, "actions")
    found, waiting = number(candidates, "findings"), number(candidates, "pending")
    undone = number(actions, "failed") + number(actions, "held")
    code = number(data, "exit_code")
    said = {
        0: "complete, nothing found",
        2: "not begun: the command line or the configuration is wrong",
        3: "incomplete: nothing found in what could be read",
        4: "stopped before the end",
        10: f"{found:,} confirmed {files(found)}",
        11: f"{waiting:,} candidate {files(waiting)} without an answer yet",
        12: f"{found:,} confirmed {files(found)}, {undone:,} of the actions failed or held",
        20: "a filter is missing, too old or not to be trusted",
        21: "not begun: another run holds the lock",
        22: "the service refused us",
    }
    return said.get(code, f"ended with exit code {code}")


def files(count: int) -> str:
    """ "file" or "files"."""
    return "file" if count == 1 else "files"

"""Word for word: what recovery says, writes and makes durable after a run that ended at each step of taking and restoring."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.storytelling import STEPS_OF_RESTORING, STEPS_OF_TAKING, Story, made_durable

CASE, RECORD = "vault/cases/<a>", "vault/cases/<a>/.record.json.new"


class Told(NamedTuple):
    """Outcome and detail, state and reason, what was made durable; without an outcome the detail is the one in the log."""

    outcome: str
    detail: str
    end: tuple[str, str] | None
    durable: list[str]


def _late(state: str, reason: str | None) -> Told:
    detail = f"interrupted before its last line; the case is {state}"
    return Told("", detail, None if reason is None else (state, reason), ["vault/log"])


NOTHING = _late("gone before it began", None)
HALF = Told("discarded", "it had no record yet", None, ["vault/cases", "vault/log"])
DROP = Told(
    "dropped",
    "nothing had been taken",
    ("dropped", "interrupted before anything was taken"),
    [CASE, "vault/holding", "srv", CASE, RECORD, CASE, "vault/log"],
)
CLOSE = Told(
    "done",
    "taken completely",
    ("done", "recovered after an interruption"),
    [CASE, "vault/holding", "srv", RECORD, CASE, "vault/log"],
)
FINISH = CLOSE._replace(durable=[CASE, "vault/holding", "vault/holding", "srv", RECORD, CASE, "vault/log"])
COMMIT = CLOSE._replace(
    durable=[CASE, "vault/holding", "srv", RECORD, CASE, "vault/holding", "vault/holding", "srv", RECORD, CASE, "vault/log"]
)
NOT_BACK = Told(
    "not_restored",
    "a restore was interrupted before its last step",
    ("done", "a restore was interrupted; nothing was restored"),
    [CASE, "srv", RECORD, CASE, "vault/log"],
)
BACK = NOT_BACK._replace(
    outcome="restored",
    detail="the restored file has its name",
    end=("restored", "restored; the restore had been interrupted after its last step"),
)
TAKING = [NOTHING, *[HALF] * 2, *[DROP] * 10, *[COMMIT] * 4, *[FINISH] * 2, *[CLOSE] * 4, _late("done", "")]
RESTORING = [*[_late("done", "")] * 2, *[NOT_BACK] * 3, *[BACK] * 4, _late("restored", "restored")]


def _check(story: Story, told: Told) -> None:
    with made_durable(story) as durable:
        results = story.vault().recover()
    assert [(one.outcome.value, one.detail) for one in results] == ([(told.outcome, told.detail)] if told.outcome else [])
    assert story.log()[-1] == ("recovered", "<a>", f"{told.outcome}: {told.detail}" if told.outcome else told.detail)
    assert story.ends() == ([told.end] if told.end else [])
    assert durable == told.durable
    assert story.vault().recover() == []
    assert not list((story.top / "vault/holding").iterdir())


@pytest.mark.parametrize(("moment", "told"), list(zip(STEPS_OF_TAKING, TAKING, strict=True)), ids=STEPS_OF_TAKING)
def test_after_taking(tmp_path: Path, moment: str, told: Told) -> None:
    story = Story(tmp_path / "x")
    story.cut_off(moment, lambda vault: story.take_with(vault, "a"))
    if not story.names:  # the log alone knows its id
        story.names[story.log()[0][1]] = "<a>"
    _check(story, told)
    assert (story.tree / "a").exists() == (told in (NOTHING, HALF, DROP))


@pytest.mark.parametrize(("moment", "told"), list(zip(STEPS_OF_RESTORING, RESTORING, strict=True)), ids=STEPS_OF_RESTORING)
def test_after_restoring(tmp_path: Path, moment: str, told: Told) -> None:
    story = Story(tmp_path / "x")
    case_id = story.take("a")
    story.cut_off(moment, lambda vault: vault.restore(case_id))
    _check(story, told)
    assert (story.tree / "a").exists() == (told is BACK or moment == "after record restored")
    assert story.vault().record(case_id)["restoring"] is None


@pytest.mark.parametrize("moment", ["before write certificate", "after write certificate", "before record purged"])
def test_after_a_purge_that_removed_nothing(tmp_path: Path, moment: str) -> None:
    story = Story(tmp_path / "x")
    case_id = story.take("a")
    story.cut_off(moment, lambda vault: vault.purge(case_id, by="ann", reason="x"))
    written = moment != "before write certificate"
    story.steps.clear()
    with made_durable(story) as durable:
        results = story.vault().recover()
    detail = "a purge was interrupted before anything was removed"
    assert [(one.outcome.value, one.detail) for one in results] == ([("not_purged", detail)] if written else [])
    assert durable == (["vault/certificates", "vault/log"] if written else ["vault/log"])
    if written:
        assert story.steps[:2] == ["before withdraw certificate", "after withdraw certificate"]
        assert list((story.top / "vault/certificates").iterdir()) == []
    assert story.ends() == [("done", "")]


def test_after_a_purge_whose_copy_stayed(tmp_path: Path) -> None:
    story = Story(tmp_path / "x")
    case_id = story.take("a")
    story.cut_off("before remove copy", lambda vault: vault.purge(case_id, by="ann", reason="x"))
    with made_durable(story) as durable:
        (result,) = story.vault().recover()
    assert (result.outcome.value, result.detail) == ("purged", "its copy was still there, and is gone now")
    assert durable == [CASE, CASE, "vault/log"]
    assert story.ends() == [("purged", "x (ann)")]

"""A sink that fails stops nothing: it is told, counted in the summary, and left alone after a while."""

from __future__ import annotations

import pytest

from hashscan.errors import IncompleteError, StateError, UsageError
from hashscan.model import Event
from hashscan.report import events
from hashscan.report.fallible import GIVE_UP_AFTER, Sink, Sinks
from hashscan.report.tally import Tally


class Ear:
    def __init__(self, failure: Exception | None = None) -> None:
        self.heard: list[Event] = []
        self.failure = failure

    def tell(self, event: Event) -> None:
        self.heard.append(event)
        if self.failure is not None:
            raise self.failure

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.heard]


def summary() -> Event:
    return events.summary(Tally(), complete=True, seconds=1.0)


def test_everybody_hears_everything() -> None:
    main, sink, record = Ear(), Ear(), Ear()
    sinks = Sinks(main, [Sink("file", sink)], Sink("report", record))
    for event in (Event("scan_start", {}), Event("finding", {}), summary()):
        sinks.tell(event)
    assert main.types == sink.types == record.types == ["scan_start", "finding", "summary"]
    assert main.heard[-1].data["sink_failures"] == {}


@pytest.mark.parametrize("failure", [StateError("disk full"), UsageError("no"), IncompleteError("gone")])
def test_a_failure_is_told_and_counted(failure: Exception) -> None:
    main, deaf, good, record = Ear(), Ear(failure), Ear(), Ear()
    sinks = Sinks(main, [Sink("webhook", deaf), Sink("file", good)], Sink("report", record))
    sinks.tell(Event("finding", {}))
    sinks.tell(summary())
    assert main.types == ["finding", "warning", "warning", "summary"]
    assert str(main.heard[1].data["message"]).startswith("webhook: ")
    assert main.heard[-1].data["sink_failures"] == record.heard[-1].data["sink_failures"] == {"webhook": 2}
    assert good.types == ["finding", "summary"]


def test_the_record_may_fail_too_and_the_summary_says_so() -> None:
    main = Ear()
    sinks = Sinks(main, [], Sink("report", Ear(StateError("disk full"))))
    sinks.tell(summary())
    assert main.types == ["warning", "summary"]
    assert main.heard[-1].data["sink_failures"] == {"report": 1}


def test_one_that_always_fails_is_left_alone_until_the_end() -> None:
    main, deaf = Ear(), Ear(StateError("no"))
    sinks = Sinks(main, [Sink("ping", deaf)])
    for _ in range(50):
        sinks.tell(Event("finding", {}))
    sinks.tell(summary())
    assert len(deaf.heard) == GIVE_UP_AFTER + 1
    assert main.types.count("warning") == GIVE_UP_AFTER + 2
    assert main.heard[-1].data["sink_failures"] == {"ping": GIVE_UP_AFTER + 1}


def test_the_failure_of_the_main_one_is_the_runs_and_sinks_still_hear() -> None:
    main, sink = Ear(IncompleteError("stdout is gone")), Ear()
    sinks = Sinks(main, [Sink("file", sink)])
    for event in (Event("finding", {}), summary()):
        with pytest.raises(IncompleteError, match="stdout"):
            sinks.tell(event)
    assert sink.types == ["finding", "summary"]


def test_an_early_end_is_told_by_others_to_the_main_one() -> None:
    main, sink, record = Ear(), Ear(), Ear()
    sinks = Sinks(main, [Sink("file", sink)], Sink("report", record))
    sinks.told_elsewhere(events.exit_error(StateError("x")))
    assert main.types == []
    assert sink.types == record.types == ["exit_error"]


def test_a_bug_is_no_failure_of_a_sink() -> None:
    with pytest.raises(ZeroDivisionError):
        Sinks(Ear(), [Sink("file", Ear(ZeroDivisionError()))]).tell(Event("finding", {}))

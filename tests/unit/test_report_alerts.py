"""The other sinks: file, syslog, journal, ping, hooks, mappers; and that nothing but counts and ids leaves by default."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hashscan.errors import IncompleteError, ServiceUnavailable
from hashscan.model import Event
from hashscan.report import events, hooks, syslog
from hashscan.report.console import open_console
from hashscan.report.ecs import as_ecs
from hashscan.report.hooks import Hooks, HookSink
from hashscan.report.journal import JournalReporter, Marked, is_journal
from hashscan.report.logfile import FileSink, as_it_is
from hashscan.report.minimal import ALLOWED, full, minimal
from hashscan.report.ndjson import Envelope
from hashscan.report.ocsf import as_ocsf
from hashscan.report.ping import PingSink
from hashscan.report.severity import Severity, severity
from hashscan.report.spool import Spool
from hashscan.report.syslog import SyslogSink
from hashscan.report.text import TextReporter
from hashscan.report.webhook import Courier, WebhookSink
from tests.support import nouns
from tests.support.telling import every_event, tally

SUPPORT = Path(__file__).parents[1] / "support"
ENVELOPE = Envelope("00112233445566aa", "host-1", lambda: 1_790_000_000.25)
SECRETS = (b"secret-name", b"customer-secret", nouns.SHA1.encode(), nouns.MD5.encode(), b"/srv", b"reason-secret")


def secret_events() -> list[Event]:
    """Every type, with a name, an owner, a reason and digests that must not leave."""
    told = every_event(b"www/secret-name.jpg")
    done = tally()
    done.by_tenant["customer-secret"] = 2
    return [
        *told,
        events.finding(nouns.finding(b"secret-name"), "customer-secret"),
        events.action(nouns.result("held", b"secret-name"), "customer-secret"),
        events.pending(nouns.candidate(b"secret-name"), "reason-secret"),
        Event("finding", {**events.finding(nouns.finding()).data, "entry": f"sha1:{nouns.SHA1}", "list": _local()}),
        events.summary(done, complete=True, seconds=1),
        Event("from_a_later_version", {"path": "/srv/secret-name"}),
    ]


def _local() -> dict[str, Any]:
    return {"id": "local:secret-name.txt", "version": 0, "epoch": 0}


def sent_by_all(folder: Path, detail: Callable[[Event], Event | None]) -> bytes:
    """Everything that all sinks wrote, sent or handed over."""
    out: list[bytes] = []
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    inbox.bind(str(folder / "log"))
    inbox.setblocking(False)
    program = [
        sys.executable,
        "-c",
        "import sys,os; open(sys.argv[1],'ab').write(sys.stdin.buffer.read() + repr(os.environ).encode())",
    ]
    hook = [*program, str(folder / "hooked")]
    kept = Spool(folder / "spool")
    posted = Courier(kept, b"k" * 24, lambda body, headers: out.extend([body, repr(headers).encode()]), ENVELOPE.clock)
    sinks = [
        *(FileSink(folder / f"file-{n}", ENVELOPE, detail, mapper) for n, mapper in enumerate((as_it_is, as_ecs, as_ocsf))),
        SyslogSink(str(folder / "log"), syslog.LOCAL, ENVELOPE, detail),
        SyslogSink(str(folder / "log"), syslog.RFC5424, ENVELOPE, detail),
        HookSink(Hooks(hook, hook), ENVELOPE, detail),
        WebhookSink(kept, posted, ENVELOPE, detail),
        PingSink(lambda more, body: out.extend([more.encode(), body]), ENVELOPE),
    ]
    for event in secret_events():
        for sink in sinks:
            sink.tell(event)
        with suppress(BlockingIOError):
            while True:
                out.append(inbox.recv(65_536))
    inbox.close()
    for sink in sinks:
        if isinstance(sink, (FileSink, SyslogSink)):
            sink.close()
    out += [path.read_bytes() for path in (*folder.glob("file-*"), folder / "hooked")]
    return b"\n".join(out)


def test_counts_and_ids_leave_by_default_and_nothing_else(tmp_path: Path) -> None:
    sent = sent_by_all(tmp_path, minimal)
    assert sent.count(b"e-17") > 10, "the control: all sinks did tell"
    for secret in SECRETS:
        assert secret not in sent, secret


def test_control_with_full_detail_all_of_it_would_be_seen(tmp_path: Path) -> None:
    sent = sent_by_all(tmp_path, full)
    for secret in SECRETS:
        assert secret in sent, secret


def test_the_table_of_what_may_leave_names_fields_that_exist() -> None:
    known = {event.type: set(event.data) for event in every_event()}
    for kind, allowed in ALLOWED.items():
        assert set(allowed) <= known[kind], kind


# File


def test_the_file_is_appended_to_private_and_numbered(tmp_path: Path) -> None:
    for _ in range(2):
        sink = FileSink(tmp_path / "log", ENVELOPE, full)
        for event in every_event(nouns.HOSTILE):
            sink.tell(event)
        sink.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    half = len(lines) // 2
    assert [line["seq"] for line in lines] == [*range(half), *range(half)]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_after_a_rotation_the_next_line_is_in_the_new_file(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "log", ENVELOPE, full)
    sink.tell(events.test())
    os.rename(tmp_path / "log", tmp_path / "log.1")
    sink.tell(events.test())
    sink.tell(events.test())
    os.rename(tmp_path / "log", tmp_path / "log.2")
    (tmp_path / "log").touch()
    sink.tell(events.test())
    sink.close()
    counts = [len((tmp_path / name).read_bytes().splitlines()) for name in ("log.1", "log.2", "log")]
    assert counts == [1, 2, 1]


@pytest.mark.parametrize("kind", ["link", "folder", "fifo", "missing"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "log"
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path = tmp_path / "no" / "log"
    with pytest.raises(IncompleteError):
        FileSink(path, ENVELOPE, full).tell(events.test())
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_is_told() -> None:
    with pytest.raises(IncompleteError):
        FileSink(Path("/dev/full"), ENVELOPE, full).tell(events.test())


# Syslog


@pytest.fixture
def daemon(tmp_path: Path) -> socket.socket:
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    inbox.bind(str(tmp_path / "log"))
    inbox.settimeout(5)
    return inbox


def test_both_forms_of_syslog(tmp_path: Path, daemon: socket.socket) -> None:
    with daemon:
        for form in (syslog.LOCAL, syslog.RFC5424):
            sink = SyslogSink(str(tmp_path / "log"), form, ENVELOPE, minimal)
            sink.tell(events.finding(nouns.finding()))
            sink.close()
        local, new = daemon.recv(9999).decode("ascii"), daemon.recv(9999).decode("ascii")
    head = rf"<26>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d hashscan\[{os.getpid()}\]: type=finding run_id=00112233445566aa "
    assert re.match(head, local), local
    assert new.startswith(f"<26>1 2026-09-21T14:13:20.250Z host-1 hashscan {os.getpid()} finding - type=finding run_id="), new
    assert " entry=e-17 " in local


def test_a_hostile_name_stays_in_its_field_and_its_datagram(tmp_path: Path, daemon: socket.socket) -> None:
    with daemon:
        sink = SyslogSink(str(tmp_path / "log"), syslog.LOCAL, ENVELOPE, full)
        for name in (nouns.HOSTILE, b'x" entry="forged', b"y" * 60_000):
            sink.tell(events.finding(nouns.finding(name)))
            said = daemon.recv(99_999)
            assert len(said) <= syslog.MAX_BYTES
            text = said.decode("ascii")
            assert text.isprintable()
            outside = re.sub(r'"(\\.|[^"\\])*("|$)', "", text)
            assert outside.count(" entry=") <= 1
            assert "forged" not in outside
        sink.close()


def test_a_daemon_that_was_restarted_is_found_again_and_a_missing_one_told(tmp_path: Path, daemon: socket.socket) -> None:
    sink = SyslogSink(str(tmp_path / "log"), syslog.LOCAL, ENVELOPE, full)
    sink.tell(events.test())
    daemon.close()
    os.unlink(tmp_path / "log")
    with pytest.raises(IncompleteError, match="takes no messages"):
        sink.tell(events.test())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(str(tmp_path / "log"))
        sink.tell(events.test())
        assert b"type=test" in again.recv(9999)
    sink.close()


# Journal


def test_every_line_in_the_journal_says_how_grave_it_is() -> None:
    out = io.StringIO()
    marked = Marked(out)
    reporter = JournalReporter(marked, TextReporter(open_console(marked, color=False)))  # type: ignore[arg-type]
    for event in every_event(nouns.HOSTILE):
        reporter.tell(event)
    lines = [line for line in out.getvalue().splitlines() if line]
    assert all(re.match("<[2-7]>", line) for line in lines), lines
    assert "\x1b" not in out.getvalue()
    assert any(line.startswith("<2>FINDING") for line in lines)
    assert any(line.startswith("<2>2 confirmed files") for line in lines)


def test_the_journal_is_known_by_device_and_inode(tmp_path: Path) -> None:
    with open(tmp_path / "x", "w", encoding="ascii") as stream:
        status = os.fstat(stream.fileno())
        mine = f"{status.st_dev}:{status.st_ino}"
        assert is_journal(stream, {"JOURNAL_STREAM": mine})
        assert not is_journal(stream, {"JOURNAL_STREAM": "1:1"})
        assert not is_journal(stream, {})
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": mine})


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (events.finding(nouns.finding()), Severity.CRITICAL),
        (events.action(nouns.result("failed")), Severity.ERROR),
        (events.action(nouns.result("quarantined")), Severity.NOTICE),
        (events.recovered("x", "orphan", ""), Severity.ERROR),
        (events.recovered("x", "put_back", ""), Severity.NOTICE),
        (Event("summary", {"exit_code": 0}), Severity.INFO),
        (Event("summary", {"exit_code": 12}), Severity.CRITICAL),
        (Event("summary", {"exit_code": 20}), Severity.ERROR),
        (Event("summary", {"exit_code": 99}), Severity.ERROR),
        (Event("of_a_later_version", {}), Severity.INFO),
    ],
)
def test_severities(event: Event, level: Severity) -> None:
    assert severity(event) is level


# Ping


def pings(*told: Event) -> list[str]:
    out: list[str] = []
    sink = PingSink(lambda more, _: out.append(more), ENVELOPE)
    for event in told:
        sink.tell(event)
    return out


def test_the_monitor_hears_of_beginning_and_end() -> None:
    rid = "?rid=00000000-0000-0000-0011-2233445566aa"
    start = events.scan_start([b"/srv"], "report", [], {})
    assert pings(start, events.finding(nouns.finding()), Event("summary", {"exit_code": 0})) == [f"/start{rid}", rid]
    assert pings(Event("summary", {"exit_code": 10})) == [f"/10{rid}"]
    assert pings(Event("exit_error", {"exit_code": 20})) == [f"/20{rid}"]


def test_a_monitor_that_is_gone_is_told() -> None:
    def gone(_: str, __: bytes) -> None:
        raise ServiceUnavailable("the monitor answered 500")

    with pytest.raises(IncompleteError, match="the monitor answered 500"):
        PingSink(gone, ENVELOPE).tell(Event("summary", {"exit_code": 0}))


# Hooks

PYTHON = [sys.executable, "-I", "-c"]


def hook(code: str, *arguments: str, timeout: float = 30.0) -> HookSink:
    return HookSink(Hooks((), [*PYTHON, code, *arguments], timeout), ENVELOPE, minimal)


SHOW = """
import json, os, sys
fds = sorted(int(n) for n in os.listdir("/proc/self/fd"))
me = dict(argv=sys.argv[1:], env=dict(os.environ), cwd=os.getcwd(), event=json.load(sys.stdin), fds=fds)
me["sid"] = os.getsid(0) == os.getpid()
json.dump(me, open(sys.argv[1], "w"))
"""


def test_a_hook_gets_an_event_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHSCAN_SERVICE_URL", "secret")
    out = tmp_path / "out"
    arguments = [str(out), "$(touch /x)", ";", "a b", "*"]
    hook(SHOW, *arguments).tell(Event("summary", {"exit_code": 10, "complete": True}))
    seen = json.loads(out.read_text())
    assert seen["argv"] == arguments, "no shell"
    assert set(seen["env"]) - {"LC_CTYPE"} == {"PATH", "LC_ALL", "HOME", "HASHSCAN_EVENT", "HASHSCAN_RUN_ID"}
    assert (seen["cwd"], seen["sid"]) == ("/", True)
    assert seen["event"]["type"] == "summary"
    assert max(seen["fds"]) <= 3, "only its own listing beside stdin, stdout, stderr"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.stderr.write('no route\\x1b[31m'); sys.exit(7)", r"ended with 7: no route\\x1b\[31m"),
        ("import os, signal; os.kill(os.getpid(), 9)", "ended with -9"),
    ],
)
def test_a_hook_that_fails_is_told(code: str, words: str) -> None:
    with pytest.raises(IncompleteError, match=words):
        hook(code).tell(Event("summary", {"exit_code": 0}))


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(IncompleteError, match="cannot be started: No such file"):
        HookSink(Hooks((), ["/nonexistent/program"]), ENVELOPE, minimal).tell(Event("summary", {}))


def test_one_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    code = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child:
    open(sys.argv[1], "w").write(str(child))
time.sleep(600)
"""
    with pytest.raises(IncompleteError, match="took longer than 1 s and was killed"):
        hook(code, str(tmp_path / "child"), timeout=1.0).tell(Event("summary", {}))
    child = int((tmp_path / "child").read_text())
    for _ in range(500):
        if _gone(child):
            break
        time.sleep(0.01)
    assert _gone(child)


def _gone(pid: int) -> bool:
    """No such process, or one that has ended and nobody has asked about."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_child_that_it_leaves_behind_keeps_nobody_waiting() -> None:
    began = time.monotonic()
    hook("import os, time\nif not os.fork(): time.sleep(20)", timeout=19).tell(Event("summary", {}))
    assert time.monotonic() - began < 15


def test_findings_call_their_own_program_a_hundred_times_at_most(tmp_path: Path) -> None:
    program = ["/bin/sh", "-c", "echo x >> $0", str(tmp_path / "count")]
    sink = HookSink(Hooks(program, ()), ENVELOPE, minimal)
    for _ in range(hooks.FINDINGS_A_RUN + 5):
        sink.tell(events.finding(nouns.finding()))
    sink.tell(Event("summary", {}))
    assert len((tmp_path / "count").read_text().splitlines()) == hooks.FINDINGS_A_RUN


# In the words of others


def records(name: bytes = b"www/a.jpg") -> list[dict[str, Any]]:
    return [json.loads(json.dumps(ENVELOPE.around(event, 3))) for event in every_event(name) if full(event)]


ECS = {row["field"]: row for row in csv.DictReader((SUPPORT / "ecs-9.4.0.csv").read_text().splitlines())}
ECS_TYPES = {"keyword": str, "match_only_text": str, "wildcard": str, "long": int, "date": str, "float": float}


def ecs_problems(document: Mapping[str, Any], above: str = "") -> list[str]:
    problems = []
    for key, value in document.items():
        name = f"{above}{key}"
        if name in ECS:
            wanted = ECS_TYPES[ECS[name]["type"]]
            many = ECS[name]["normalization"] == "array"
            values = value if many and isinstance(value, list) else [value]
            problems += [f"{name}: {one!r}" for one in values if type(one) is not wanted]
            problems += [f"{name}: no list"] if many and not isinstance(value, list) else []
        elif isinstance(value, dict) and name != "hashscan":
            problems += ecs_problems(value, f"{name}.")
        elif name != "hashscan":
            problems.append(f"{name} is no field")
    return problems


@pytest.mark.parametrize("name", [b"www/a.jpg", nouns.HOSTILE])
@pytest.mark.parametrize("detail", [minimal, full])
def test_fields_of_ecs_exist_and_have_their_types(name: bytes, detail: Callable[[Event], Event | None]) -> None:
    told = [one for event in every_event(name) if (one := detail(event))]
    for event in told:
        assert ecs_problems(as_ecs(ENVELOPE.around(event, 1))) == [], event.type
    assert len(told) > 7


def test_control_a_wrong_field_is_noticed() -> None:
    good = as_ecs(records()[0])
    assert ecs_problems({**good, "event": {**good["event"], "severity": "high"}}) == ["event.severity: 'high'"]  # type: ignore[dict-item]
    assert ecs_problems({**good, "filename": "x"}) == ["filename is no field"]
    assert ecs_problems({**good, "event": {"category": "file"}}) == ["event.category: no list"]


def test_what_ecs_has_no_field_for_is_below_our_name() -> None:
    (found,) = [as_ecs(one) for one in records() if one["type"] == "finding"]
    assert found["file"]["hash"] == {"md5": nouns.MD5, "sha1": nouns.SHA1}  # type: ignore[index,call-overload]
    assert found["rule"] == {"id": "e-17", "ruleset": "police-nl", "version": "7"}
    assert found["hashscan"]["grade"] == "match"  # type: ignore[index,call-overload]


OCSF = json.loads((SUPPORT / "ocsf-1.7.0.json").read_text())
OCSF_TYPES = {"integer_t": int, "long_t": int, "timestamp_t": int, "boolean_t": bool, "json_t": dict}


def ocsf_problems(value: Mapping[str, Any], attributes: Mapping[str, Any], where: str) -> list[str]:
    problems = [f"{where}.{name} is missing" for name, spec in attributes.items() if spec.get("required") and name not in value]
    for key, inner in value.items():
        spec = attributes.get(key)
        if spec is None:
            problems.append(f"{where}.{key} is no attribute")
            continue
        if bool(spec.get("array")) != isinstance(inner, list):
            problems.append(f"{where}.{key}: list or not")
            continue
        for one in inner if isinstance(inner, list) else [inner]:
            problems += _ocsf_value(one, spec, f"{where}.{key}")
    return problems


def _ocsf_value(value: Any, spec: Mapping[str, Any], where: str) -> list[str]:
    if spec["type"] == "object":  # unmapped: whatever it is
        return []
    if spec.get("object"):
        return ocsf_problems(value, OCSF["objects"][spec["type"]], where)
    wanted = OCSF_TYPES.get(spec["type"], str)
    if type(value) is not wanted:
        return [f"{where}: {value!r} is no {spec['type']}"]
    if "enum" in spec and value not in spec["enum"]:
        return [f"{where}: {value!r} is none of {spec['enum']}"]
    return []


@pytest.mark.parametrize("name", [b"www/a.jpg", nouns.HOSTILE])
@pytest.mark.parametrize("detail", [minimal, full])
def test_events_are_valid_ocsf(name: bytes, detail: Callable[[Event], Event | None]) -> None:
    for event in every_event(name):
        if told := detail(event):
            made: Any = as_ocsf(ENVELOPE.around(told, 1))
            assert ocsf_problems(made, OCSF["classes"][str(made["class_uid"])], event.type) == []
            assert made["type_uid"] == made["class_uid"] * 100 + made["activity_id"]


def test_control_what_is_wrong_in_ocsf_is_noticed() -> None:
    made: Any = as_ocsf(next(one for one in records() if one["type"] == "finding"))
    spec = OCSF["classes"]["2004"]
    assert len(ocsf_problems({**made, "finding_info": {"title": "x"}}, spec, "x")) == 1
    assert len(ocsf_problems({**made, "severity_id": 77}, spec, "x")) == 1
    assert len(ocsf_problems({**made, "path": "/x"}, spec, "x")) == 1
    assert len(ocsf_problems({**made, "evidences": {}}, spec, "x")) == 1


def test_classes_of_ocsf() -> None:
    made: dict[str, Any] = {one["type"]: as_ocsf(one) for one in records()}
    classes = {kind: (one["class_uid"], one["activity_id"]) for kind, one in made.items()}
    assert classes["finding"] == (2004, 1)
    assert classes["action"] == (2004, 2)
    assert classes["scan_start"] == (6007, 1)
    assert classes["summary"] == (6007, 2)
    assert classes["exit_error"] == (6007, 6)
    assert classes["pending"] == (0, 99)
    assert (made["summary"]["total"], made["summary"]["num_files"], made["summary"]["num_skipped_items"]) == (100, 91, 9)
    (evidence,) = made["finding"]["evidences"]
    assert {one["algorithm"]: one["value"] for one in evidence["file"]["hashes"]} == {"MD5": nouns.MD5, "SHA-1": nouns.SHA1}

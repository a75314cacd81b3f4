"""Bounds to the last unit, flags to the last bit, hints to the last word: what mutation testing found that no test held."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pyrage
import pytest

from hashscan import fsops
from hashscan.errors import LockedError, QuarantineError, UsageError
from hashscan.model import Action, Case, CaseState, Place, Source
from hashscan.ports import ActionResult
from hashscan.quarantine import cut_off, opening, proofs
from hashscan.quarantine import record_codec as records
from hashscan.quarantine.export import Request
from hashscan.quarantine.keeping import MAX_TEXT_CHARS, keeping_time
from hashscan.quarantine.limits import DAY, Counts, Limits, Removed
from hashscan.quarantine.lock import RunLock
from hashscan.quarantine.log import MAX_LINE_BYTES, START, Checked, Log, What, check, raw_lines
from hashscan.quarantine.policy import Withheld, permit
from hashscan.quarantine.record import Restoring
from hashscan.quarantine.report_only import ReportOnly
from hashscan.quarantine.restore import Wish
from hashscan.quarantine.seal import Recipients
from hashscan.quarantine.store import CaseStore
from hashscan.quarantine.survey import Survey
from hashscan.quarantine.vault import Manner, Vault
from tests.support.failing import failing
from tests.support.findings import make_finding
from tests.support.interfering import acting, stop

pytestmark = pytest.mark.usefixtures("no_descriptor_is_lost")
NOW = 1_790_000_000.0


@pytest.fixture
def case_id(vault: Vault, tree: Path) -> str:
    return vault.handle(make_finding(tree / "www/a", tree)).case_id


@contextmanager
def _seen(name: str, module: ModuleType = os) -> Iterator[list[tuple[object, ...]]]:
    """The arguments that a function of the system is called with."""
    calls: list[tuple[object, ...]] = []
    with failing(name, 0, lambda *args, **_: calls.append(args), module=module):
        yield calls


# Primitives.


def test_the_flags_that_are_asked_for_are_those_that_are_had(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    top = fsops.open_root(os.fsencode(tmp_path))
    for flags in (os.O_RDWR | os.O_NONBLOCK, os.O_RDONLY | os.O_NOATIME, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY):
        for made in (fsops.open_beneath(top, b"f", flags), fsops._open_by_steps(top, b"f", flags)):
            assert fcntl.fcntl(made, fcntl.F_GETFL) & (flags & ~os.O_NOCTTY) == flags & ~os.O_NOCTTY
            assert fcntl.fcntl(made, fcntl.F_GETFD) == fcntl.FD_CLOEXEC
            os.close(made)
    path_fd = fsops.open_beneath(top, b"f", os.O_PATH)
    for made in (opening.open_quietly(path_fd), fsops.reopen(path_fd, os.O_RDONLY | os.O_NOATIME)):
        assert fcntl.fcntl(made, fcntl.F_GETFL) & os.O_NOATIME
        os.close(made)
    os.close(path_fd)
    os.close(top)


def test_a_way_that_is_new_to_the_kernel_is_as_strict(tmp_path: Path) -> None:
    """The rules are packed once for each combination of flags."""
    (tmp_path / "link").symlink_to("/etc")
    top, root = fsops.open_root(os.fsencode(tmp_path)), fsops.open_root(b"/")
    flags = os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOATIME
    for fd, path, code in (
        (top, b"link/hostname", errno.ELOOP),
        (top, b"../x", errno.EXDEV),
        (root, b"proc/self", errno.EXDEV),
    ):
        with pytest.raises(OSError, match=r".") as caught:
            fsops.open_beneath(fd, path, flags | os.O_DIRECTORY)
        assert (caught.value.errno, caught.value.filename) == (code, path)
    os.close(top)
    os.close(root)


@pytest.mark.parametrize("by_steps", [False, True])
def test_only_directories_are_directories(tmp_path: Path, by_steps: bool) -> None:
    (tmp_path / "f").write_bytes(b"x")
    with pytest.raises(NotADirectoryError):
        fsops.open_root(os.fsencode(tmp_path / "f"))
    top = fsops.open_root(os.fsencode(tmp_path))
    with pytest.raises(NotADirectoryError):
        fsops.open_directory_fd(top, b"f")
    with pytest.raises(OSError, match="leaves its directory") as caught:
        fsops._open_by_steps(top, b"a/../b", os.O_PATH)
    assert caught.value.filename == b"a/../b"
    with pytest.raises(OSError, match=r".") as caught:
        (fsops._open_by_steps if by_steps else fsops.open_beneath)(top, b"nothing", os.O_RDONLY)
    assert caught.value.errno == errno.ENOENT
    os.close(top)


@pytest.mark.parametrize("extra", [-1, 0, 1, 2, 200])
def test_paths_around_the_longest_step(tmp_path: Path, extra: int) -> None:
    length = fsops.CHUNK + extra
    names = [b"d" * 200] * 15  # 3014 bytes with the slashes
    names.append(b"e" * (length - len(b"/".join(names)) - 1))
    if len(names[-1]) > 255:
        names[-1:] = [b"e" * 100, b"f" * (len(names[-1]) - 101)]
    here = fsops.open_root(os.fsencode(tmp_path))
    for name in names:
        os.mkdir(name, dir_fd=here)
        deeper = os.open(name, fsops.DIRECTORY, dir_fd=here)
        os.close(here)
        here = deeper
    inode = os.fstat(here).st_ino
    os.close(here)
    path = b"/".join(names)
    assert len(path) == length
    top = fsops.open_root(os.fsencode(tmp_path))
    for made in (fsops.open_beneath(top, path, os.O_PATH), fsops.open_directory_fd(top, path)):
        assert os.fstat(made).st_ino == inode
        os.close(made)
    with fsops.open_directory(top, path, os.O_PATH) as made:
        assert fcntl.fcntl(made, fcntl.F_GETFL) & os.O_PATH
    os.close(top)


def test_a_lease_is_given_back_and_its_signal_is_one_that_is_ignored(tmp_path: Path) -> None:
    """SIGIO, which the kernel sends by default to who holds a lease, would end the agent."""
    (tmp_path / "f").write_bytes(b"x")
    with (tmp_path / "f").open("rb") as stream, _seen("fcntl", fcntl) as calls:
        fd = stream.fileno()
        assert fsops.has_writer(fd) is False
    assert calls == [
        (fd, fcntl.F_SETSIG, signal.SIGURG),
        (fd, fcntl.F_SETLEASE, fcntl.F_RDLCK),
        (fd, fcntl.F_SETLEASE, fcntl.F_UNLCK),
    ]


def test_lines_of_mountinfo_that_are_cut_off() -> None:
    assert fsops.parse_mountinfo(b"1 2 3 4\n5 6 7 8 /nine\nx 6 7 8 /no") == {5: b"/nine"}


# Rules.


def test_the_first_second_beyond_a_day_counts_no_more() -> None:
    limits = Limits(per_day=1)
    assert Counts([Removed(NOW - DAY, "e", "o")]).reached(limits, entry="x", owner="x", now=NOW) == ""
    assert Counts([Removed(NOW - DAY + 0.01, "e", "o")]).reached(limits, entry="x", owner="x", now=NOW)


def test_why_a_finding_is_only_reported_in_words(tree: Path) -> None:
    finding = make_finding(tree / "www/a", tree)
    bare = replace(finding, candidate=replace(finding.candidate, hashed=replace(finding.candidate.hashed, digests={})))
    for changed, words in (
        (replace(finding, source=Source.LOCAL), "only a verdict of the service may move a file"),
        (replace(finding, envelope=b""), "the signed verdict is missing"),
        (bare, "no digest of it is known"),
    ):
        assert permit(changed, Limits()) == Withheld(Action.REPORTED, words)
    assert permit(finding, Limits(), "the limit") == Withheld(Action.HELD, "the limit; a person must look")
    assert ReportOnly().handle(finding) == ActionResult(finding, Action.REPORTED, "", "quarantine is switched off")


def test_the_terms_of_profiles_to_the_second() -> None:
    year = 365 * 86_400.0
    assert keeping_time("us", year, sealed=True) == year
    with pytest.raises(UsageError, match="keeps evidence for 365 days at least"):
        keeping_time("us", year - 1, sealed=True)
    with pytest.raises(UsageError, match="no retention profile 'uk'") as caught:
        keeping_time("uk", 0.0, sealed=True)
    assert caught.value.hint == "known are custom, nl, us"
    with pytest.raises(UsageError, match="asks for sealed evidence") as caught:
        keeping_time("us", 0.0, sealed=False)
    assert "evidence.recipients" in caught.value.hint


# The lock.


def test_what_the_lock_file_says(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"z" * 500)
    with RunLock(path, lambda: NOW + 0.75) as lock:
        assert path.read_text() == f"pid {os.getpid()} since 2026-09-21T14:13:20+00:00\n"
        with pytest.raises(LockedError, match=rf"another run holds .*: pid {os.getpid()} since") as caught, RunLock(path):
            pytest.fail("it is locked")
        assert caught.value.hint == "wait for it to end, or stop it: a scan with 'hashscan stop'"
        for said, told in ((b"", "an unnamed process"), (b"\xff", "\N{REPLACEMENT CHARACTER}")):
            path.write_bytes(said)
            with pytest.raises(LockedError, match=told), RunLock(path):
                pytest.fail("it is locked")
        assert lock._fd >= 0
    path.unlink()
    old = os.umask(0)
    with RunLock(path):
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600


# The log.


def test_what_a_check_says_to_the_last_field(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", lambda: NOW, "a test")
    head = log.append(What.TAKEN)
    whole = log.path.read_bytes()
    assert check([whole], [head, START]) == Checked(head, 0, "", torn=False, has={head: True, START: True})
    assert check([whole, b"{"], [head]) == Checked(head, 0, "", torn=True, has={head: True})
    assert check([whole, b"\0\n"], [head]) == Checked(head, 0, "", torn=True, has={head: True})
    assert check([whole, whole], [head]) == Checked(
        head, 2, "line 2 does not follow the line before it", torn=False, has={head: True}
    )
    broken = check([b"{}\n", whole], [head])
    assert (broken.head, broken.broken, broken.torn, broken.has) == (START, 1, False, {head: False})
    assert broken.problem.startswith("line 1 does not hold: ")
    first = Log(tmp_path / "log", lambda: NOW, "\x07" * 300).append(What.TORN, detail="a\nb\u202e")
    *_, raw = raw_lines(tmp_path / "log")
    assert first.lines == 2
    assert rb'"detail":"a\\nb\\u202e"' in raw
    assert b'"actor":"' + rb"\\x07" * 64 + b'"' in raw


# People.


def test_what_people_are_told_of_ids(vault: Vault, case_id: str, tmp_path: Path) -> None:
    for wrong in ("", "x", "A", "a" * 17, case_id + "\n"):
        with pytest.raises(UsageError, match="is no case id") as caught:
            vault.case(wrong)
        assert caught.value.hint == "an id is 16 hex digits, or its first ones"
    for number in range(18):
        (tmp_path / "vault/cases" / f"{number:016x}").mkdir()
    with pytest.raises(UsageError, match=r"^2 cases begin with 000000000000001"):
        vault.case("0" * 14 + "1")
    with pytest.raises(UsageError, match="cases begin with 000") as caught:
        vault.case("000")
    assert caught.value.hint == "give more digits of the id"
    listed = {case.id: case for case in vault.cases()}["0" * 16]
    assert replace(listed, reason="") == Case("0" * 16, CaseState.DAMAGED, Place(b"", b""), 0, "", "", "", 0.0, "")
    assert vault.kept(case_id).proof == b""


def test_what_must_be_said_is_named(vault: Vault, case_id: str, tmp_path: Path) -> None:
    longest = "x" * MAX_TEXT_CHARS
    for hold in ({"by": " ", "reason": "x"}, {"by": "x", "reason": longest + "x"}):
        what = "who asks for the hold" if hold["by"] == " " else "the reason"
        with pytest.raises(QuarantineError, match=f"^{what} must be said, in at most 500 characters"):
            vault.hold(case_id, **hold)
    for purge, what in (({"by": "", "reason": "x"}, "who purges"), ({"by": "x", "reason": ""}, "the reason")):
        with pytest.raises(QuarantineError, match=f"^{what} must be said"):
            vault.purge(case_id, **purge)
    vault.hold(case_id, by=longest, reason=longest)
    vault.hold(case_id, by="police", reason="case 7")
    first, second = (hold["id"] for hold in vault.record(case_id)["holds"])
    assert re.fullmatch("[0-9a-f]{8}", first)
    with pytest.raises(QuarantineError, match=re.escape(f"was not purged: {first} ({longest}), {second} (police)")):
        vault.purge(case_id, by="x", reason="x")
    with pytest.raises(QuarantineError, match="no legal hold 'nothing'") as caught:
        vault.lift(case_id, "nothing", "x")
    assert caught.value.hint == f"its holds: {first}, {second}"
    with pytest.raises(QuarantineError, match=r"^the reason must be said"):
        vault.lift(case_id, first, "")
    for one in (first, second):
        vault.lift(case_id, one, "closed")
    with pytest.raises(QuarantineError, match="no legal hold") as caught:
        vault.lift(case_id, first, "x")
    assert caught.value.hint == "its holds: none"


def test_what_forbids_a_form_of_export_and_what_helps(vault: Vault, case_id: str, tree: Path, tmp_path: Path) -> None:
    keys = [str(pyrage.x25519.Identity.generate().to_public()) for _ in range(2)]
    (tree / "b").write_bytes(b"x")
    sealer = Vault(tmp_path / "vault", Limits(), manner=Manner("scan", recipients=Recipients(keys)))
    sealed = sealer.handle(make_finding(tree / "b", tree)).case_id
    out = tmp_path / "out"
    for case, request, words, hint in (
        (case_id, Request(out), "is not sealed", "--recipient age1"),
        (case_id, Request(out, Recipients(keys), plain=True), "exclude each other", ""),
        (sealed, Request(out, plain=True), "is sealed and leaves as it is", "leave out --recipient and --plain"),
        (sealed, Request(out, Recipients(keys)), "is sealed and leaves as it is", "leave out"),
    ):
        with pytest.raises(UsageError, match=words) as caught:
            vault.export(case, request)
        assert hint in caught.value.hint
    assert not out.exists()
    vault.export(sealed, Request(out))
    assert "age -d -i IDENTITY-FILE content.age > content" in (out / "cover.txt").read_text()
    assert "Legal holds\n  none\n" in (out / "cover.txt").read_text()
    vault.export(case_id, Request(tmp_path / "again", Recipients(keys)))
    details = (tmp_path / "vault/log").read_text()
    assert f"{out} (sealed as it was)" in details
    assert f"{tmp_path}/again ({keys[0]}, {keys[1]})" in details
    assert (tmp_path / "again/content.age").exists()
    content = tmp_path / "vault/cases" / case_id / "content"
    whole = content.read_bytes()
    for number, wrong in enumerate((whole + b"x", whole[:-1], b"H" + whole[1:])):
        content.write_bytes(wrong)
        with pytest.raises(QuarantineError, match="not exported: its evidence is not what was kept"):
            vault.export(case_id, Request(tmp_path / f"out{number}", plain=True))
        assert not (tmp_path / f"out{number}/content").exists()
        assert not (tmp_path / f"out{number}/SHA256SUMS").exists()


@pytest.mark.parametrize(
    ("size", "keys", "room"), [(8, 1, 8 + 16 + 1024), (65_536, 3, 65_536 + 32 + 2048), (8, 0, 8), (0, 0, 0)]
)
def test_the_space_that_is_reserved_is_enough_to_the_byte(tree: Path, tmp_path: Path, size: int, keys: int, room: int) -> None:
    (tree / "b").write_bytes(b"x" * size)
    to = Recipients([str(pyrage.x25519.Identity.generate().to_public()) for _ in range(keys)]) if keys else None
    with _seen("posix_fallocate") as calls:
        result = Vault(tmp_path / "vault", Limits(), manner=Manner("scan", recipients=to)).handle(
            make_finding(tree / "b", tree)
        )
    assert [call[1:] for call in calls] == ([(0, room)] if room else [])
    assert (tmp_path / "vault/cases" / result.case_id / "content").stat().st_size <= room
    assert (tmp_path / "vault/cases" / result.case_id / "content").stat().st_mode & 0o777 == 0o600


def test_no_more_than_one_byte_beyond_its_size_is_read(vault: Vault, tree: Path) -> None:
    finding = make_finding(tree / "www/a", tree)
    size = finding.candidate.hashed.entry.size
    with _seen("pread") as calls:
        vault.handle(finding)
    ends = {int(str(offset)) + int(str(length)) for _, length, offset in calls if int(str(length)) > 16_384}
    assert max(ends) == size + 1


# What else no test held.


def test_links_in_the_vault_are_never_followed(vault: Vault, case_id: str, tmp_path: Path) -> None:
    for path in (tmp_path / "vault/cases" / case_id / "content",):
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(QuarantineError, match="Too many levels of symbolic links"):
            vault.kept(case_id)
        with pytest.raises(QuarantineError, match="Too many levels of symbolic links"):
            vault.export(case_id, Request(tmp_path / "out", plain=True))
    (tmp_path / "vault/proofs").mkdir(mode=0o700)
    (tmp_path / "vault/proofs" / f"{'0' * 64}.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        proofs.read(tmp_path / "vault", "0" * 64)
    with pytest.raises(QuarantineError, match="symbolic links"):
        vault.check_records()


def test_the_log_is_one_writers_at_a_time(tmp_path: Path) -> None:
    """A person who looks at a case writes while a scan runs."""
    with _seen("flock", fcntl) as calls:
        Log(tmp_path / "log", lambda: NOW, "a test").append(What.TAKEN)
    assert [call[1] for call in calls] == [fcntl.LOCK_EX]


def test_the_steps_of_setting_a_torn_line_aside(tmp_path: Path) -> None:
    steps: list[str] = []
    (tmp_path / "log").write_bytes(b"{")
    Log(tmp_path / "log", lambda: NOW, "", steps.append).append(What.TAKEN)
    aside, line = ["before set torn line aside", "after set torn line aside"], ["before write log", "after write log"]
    assert steps == [*aside, *line, *line]
    assert b'"actor":"hashscan"' in (tmp_path / "log").read_bytes()
    (tmp_path / "log").write_bytes((tmp_path / "log").read_bytes()[:-3] + b"x}\n")
    with pytest.raises(QuarantineError, match="does not hold") as caught:
        Log(tmp_path / "log", lambda: NOW, "").head()
    assert caught.value.hint == "hashscan audit verify says where it is broken; nothing is done without a log"


def test_lines_of_the_longest_length_come_whole(tmp_path: Path) -> None:
    for length in (MAX_LINE_BYTES - 1, MAX_LINE_BYTES, MAX_LINE_BYTES + 1):
        (tmp_path / "log").write_bytes(b"x" * length)
        (raw,) = raw_lines(tmp_path / "log")
        assert raw == b"x" * length + (b"" if length <= MAX_LINE_BYTES else b"\n")


def test_the_trigger_is_the_actor_and_the_reasons_are_in_the_log(vault: Vault, tree: Path, tmp_path: Path) -> None:
    finding = make_finding(tree / "www/a", tree)
    with (tree / "www/a").open("r+b") as stream:
        stream.write(b"H")
    result = vault.handle(finding)
    log = (tmp_path / "vault/log").read_text()
    assert result.reason == "changed since the scan: its md5, sha1 is another"
    assert f'"detail":"{result.reason}"' in log
    assert log.count('"actor":"test run 1"') == 2


def test_the_same_file_again_in_words(vault: Vault, tree: Path, tmp_path: Path) -> None:
    finding = make_finding(tree / "www/a", tree)
    vault.handle(finding)
    assert vault.handle(finding).reason == "taken already, for another list"
    later = Vault(tmp_path / "vault", Limits())
    assert later.handle(finding).reason == "taken already, by a run that was cut off"


def test_reasons_of_the_system_in_words() -> None:
    assert opening.plain(OSError(errno.EIO, "x")) == "Input/output error (EIO)"
    assert opening.plain(OSError(12345, "x")) == "Unknown error 12345 (?)"
    assert opening.plain(OSError("no number")) == "Success (?)"


def test_a_case_waits_twice_only_once(tree: Path, tmp_path: Path) -> None:
    """Nothing is written where a case does not wait: not a line, not a record."""
    vault = Vault(tmp_path / "vault", Limits(per_run=0), lambda: NOW)
    held = vault.handle(make_finding(tree / "www/a", tree)).case_id
    vault.dismiss(held, "no")
    before = (tmp_path / "vault/log").read_bytes()
    for act in (lambda: vault.dismiss(held, "again"), lambda: vault.release(held, make_finding(tree / "www/a", tree))):
        with pytest.raises(QuarantineError, match="is dismissed and does not wait"):
            act()
    assert (tmp_path / "vault/log").read_bytes() == before


def test_a_record_may_not_be_as_it_was_kept_and_is_not_bent(tree: Path, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault", Limits(), lambda: 7)  # a clock of whole seconds
    record = records.decode(
        CaseStore(tmp_path / "vault", lambda: 7).raw(vault.handle(make_finding(tree / "www/a", tree)).case_id)
    )
    assert record.opened == 7
    assert record.envelope() == b"signed"
    with pytest.raises(ValueError, match=r"base64|characters"):
        replace(record, finding={**record.finding, "envelope_b64": "c2ln!bmVk"}).envelope()
    assert record.finding["grade"] == "match"
    assert record.finding["act"] == "quarantine"
    for size, fits in ((1 << 64, True), ((1 << 64) + 1, False)):
        data = records.encode(replace(record, parent=size))
        if fits:
            assert records.decode(data).parent == size
        else:
            with pytest.raises(ValueError, match="field parent"):
                records.decode(data)


def test_names_that_no_letters_have_are_shown(tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    path = os.fsencode(tmp_path / "srv") + b"/\xff"
    with open(path, "wb") as stream:
        stream.write(b"x")
    vault = Vault(tmp_path / "vault", Limits())
    case_id = vault.handle(make_finding(path, os.fsencode(tmp_path / "srv"))).case_id
    with open(path, "wb"):
        pass
    with pytest.raises(QuarantineError, match=r"its name is taken: .*/srv/\\xff$") as caught:
        vault.restore(case_id)
    assert caught.value.hint == "move the file that is there away, or name another directory with --to DIR"
    case = vault.restore(case_id, Wish(beside=True))
    assert case.reason.endswith(f"/srv/\\xff.restored-{case_id[:8]}")


def test_a_temporary_name_that_another_thing_has_is_not_removed(tmp_path: Path) -> None:
    """A tenant may put anything under the name that the record tells; only the inode says that it is ours."""
    for name in ("a", ".hashscan-x"):
        (tmp_path / name).write_bytes(b"x")
    inode = os.stat(tmp_path / "a").st_ino
    place = Place(os.fsencode(tmp_path), b"a")
    assert cut_off.is_back(Restoring(place, inode, b".hashscan-x")) is True
    assert cut_off.is_back(Restoring(place, inode + 10**6, b".hashscan-x")) is False
    assert sorted(os.listdir(tmp_path)) == [".hashscan-x", "a"]
    assert cut_off.is_back(Restoring(place, os.stat(tmp_path / ".hashscan-x").st_ino, b".hashscan-x")) is False
    assert os.listdir(tmp_path) == ["a"]


def test_owners_that_wait_are_counted_up_and_down(tree: Path, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault", Limits(per_run=0))
    held = vault.handle(make_finding(tree / "www/a", tree)).case_id
    store = CaseStore(tmp_path / "vault", lambda: NOW)
    survey, record = Survey(store), store.read(held)
    assert survey.owners_waiting("police-nl/entry-17") == 1
    survey.let_go(record)
    assert survey.owners_waiting("police-nl/entry-17") == 0
    survey.hold(record)
    assert survey.owners_waiting("police-nl/entry-17") == 1
    assert survey.owners_waiting("another") == 0


def test_what_differs_from_the_scan_in_words(vault: Vault, tree: Path) -> None:
    finding = make_finding(tree / "www/a", tree)
    os.link(tree / "www/a", tree / "b")
    assert vault.handle(finding).reason == "changed since the scan: it has got other names (hard links)"
    (tree / "b").unlink()
    with (tree / "www/a").open("ab") as stream:
        stream.write(b"x")
    assert vault.handle(finding).reason == "changed since the scan: its size is another"
    (tree / "www/a").rename(tree / "www/moved")
    (tree / "www/a").write_bytes(b"x")
    assert vault.handle(finding).reason == "changed since the scan: another file has its name"
    (tree / "www/a").unlink()
    os.mkfifo(tree / "www/a")
    assert vault.handle(finding).reason == "changed since the scan: no regular file any more"


def test_what_recovery_says_of_what_it_cannot_read(vault: Vault, case_id: str, tmp_path: Path) -> None:
    (tmp_path / "vault/cases" / case_id / "record.json").write_bytes(b"{")
    (tmp_path / "vault/cases" / ("0" * 16)).mkdir()
    (tmp_path / "vault/cases" / ("0" * 16) / "notes").write_bytes(b"")
    told = {one.case_id: one.detail for one in vault.recover()}
    assert told["0" * 16] == "no record, and files in it that are not ours"
    assert "is damaged: not JSON" in told[case_id]


def test_the_notes_that_recovery_leaves_in_a_record(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        acting(tmp_path, "after capture", stop).handle(make_finding(tree / "www/a", tree))
    vault = Vault(tmp_path / "vault", Limits())
    vault.recover()
    (case,) = vault.cases()
    told = vault.record(case.id)
    note = "recovered after an interruption"
    assert [(line["state"], line["note"]) for line in told["history"]] == [
        ("intent", ""),
        ("copied", ""),
        ("committed", note),
        ("done", note),
    ]
    assert set(told["finding"]) == {
        *("act", "category", "entry", "envelope_b64", "grade", "list", "reason", "source", "standing", "verdict_id"),
    }

"""The doctor's rules: each finds what is wrong, says what to do, and is content where all is well."""

from __future__ import annotations

import dataclasses
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hashscan.central.handshake import certificate_until
from hashscan.central.link import Link
from hashscan.errors import ExitCode, ServiceUnavailable
from hashscan.jobs import doctor, examine
from hashscan.jobs.doctor import Check, Level, verdict
from hashscan.jobs.doctor_facts import Facts, FolderFacts, MountFacts, RootFacts
from hashscan.model import CaseState
from hashscan.quarantine.lock import RunLock
from tests.support.tls import Certificates, LoopbackServer
from tests.support.world import REPOSITORY

NOW = 1_790_000_000.0
DAY = 86_400.0
ROOMY = tuple(FolderFacts(name, f"/var/{name}", 1, 50 << 30, 100 << 30, 10**6, 10**7) for name in ("state", "vault", "cache"))
GOOD = Facts(
    now=NOW,
    root=True,
    capabilities=(1 << 41) - 1,
    moves=True,
    roots=(RootFacts("/home", 1), RootFacts("/srv", 1)),
    mounts=(MountFacts(1, "/", "ext4"), MountFacts(2, "/proc", "proc"), MountFacts(3, "/boot", "ext4")),
    folders=ROOMY,
    secrets=(("service.api_key_file", ""),),
    cases=((CaseState.DONE, NOW - DAY),),
    schedule=("/etc/cron.d/hashscan",),
    synchronized=True,
    service=True,
    lists_age=3600.0,
    pressure=True,
    kernel={"openat2": True, "renameat2": True, "O_TMPFILE": True, "RWF_DONTCACHE": True},
    last_run=NOW - 3600,
    last_run_code=0,
)


def found(**changes: Any) -> list[Check]:
    return [one for one in doctor.doctor(dataclasses.replace(GOOD, **changes)) if one.level > Level.OK]


def test_a_host_where_all_is_well() -> None:
    checks = doctor.doctor(GOOD)
    assert [one for one in checks if one.level > Level.OK] == []
    assert len({one.name for one in checks}) >= 11
    assert verdict(checks) is ExitCode.OK


FULL = dataclasses.replace(ROOMY[0], free=100 << 20)
SCARCE = dataclasses.replace(ROOMY[1], free=1 << 30)
NO_INODES = dataclasses.replace(ROOMY[2], free_files=0)
FEW_INODES = dataclasses.replace(ROOMY[2], free_files=500)
BTRFS = dataclasses.replace(ROOMY[0], free_files=0, files=0)  # it counts none
ON_ROOT = MountFacts(9, "/srv/shop/uploads", "xfs")
SHM = MountFacts(9, "/dev/shm", "tmpfs")
NFS = MountFacts(9, "/home/shared", "nfs4")
LUSTRE = MountFacts(9, "/home/big", "lustre")
BUCKET = MountFacts(9, "/home/bucket", "fuse.s3fs")
NTFS = MountFacts(9, "/home/disk", "fuseblk")


@pytest.mark.parametrize(
    ("changes", "name", "level", "words"),
    [
        ({"capabilities": 0, "moves": False}, "rights", Level.WARN, "only files that this user may read"),
        ({"capabilities": 1 << 2, "moves": False}, "", Level.OK, ""),
        ({"capabilities": 1 << 2}, "rights", Level.FAIL, "CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER is missing"),
        ({"roots": ()}, "folders", Level.WARN, "no folder to scan"),
        ({"roots": (*GOOD.roots, RootFacts("/data", -1, "No such file"))}, "folders", Level.FAIL, "/data: No such file"),
        ({"mounts": (*GOOD.mounts, ON_ROOT)}, "mounts", Level.WARN, "left out: /srv/shop/uploads (xfs)"),
        ({"mounts": (*GOOD.mounts, NFS)}, "mounts", Level.WARN, "left out, network: /home/shared (nfs4)"),
        ({"mounts": (*GOOD.mounts, LUSTRE)}, "mounts", Level.WARN, "left out, network: /home/big (lustre)"),
        ({"mounts": (*GOOD.mounts, BUCKET)}, "mounts", Level.WARN, "left out, network: /home/bucket (fuse.s3fs)"),
        ({"mounts": (*GOOD.mounts, NTFS)}, "mounts", Level.WARN, "left out: /home/disk (fuseblk)"),
        ({"mounts": (*GOOD.mounts, ON_ROOT), "roots": (*GOOD.roots, RootFacts("/srv/shop/uploads", 9))}, "", Level.OK, ""),
        ({"mounts": (*GOOD.mounts, MountFacts(9, "/srvx", "xfs"))}, "", Level.OK, ""),
        ({"mounts": (*GOOD.mounts, MountFacts(9, "/srv/x/proc", "proc"))}, "", Level.OK, ""),
        (
            {"mounts": (*GOOD.mounts, MountFacts(9, "/dev/shm", "tmpfs")), "roots": (RootFacts("/", 1),)},
            "mounts",
            Level.WARN,
            "/boot",
        ),
        ({"clock_doubt": "it jumped back"}, "clock", Level.FAIL, "it jumped back"),
        ({"synchronized": False}, "clock", Level.WARN, "not synchronized"),
        ({"synchronized": None}, "clock", Level.WARN, "nobody says"),
        ({"service": False}, "lists", Level.WARN, "no service is configured"),
        ({"lists_problem": "too old"}, "lists", Level.FAIL, "too old"),
        ({"lists_age": 30 * 3600.0}, "lists", Level.WARN, "signed 30 hours ago"),
        ({"online": True, "certificate_problem": "expired"}, "service", Level.FAIL, "expired"),
        ({"online": True, "certificate_until": NOW + 5 * DAY}, "service", Level.WARN, "lasts 5 days more"),
        ({"online": True, "certificate_until": NOW + 60 * DAY}, "", Level.OK, ""),
        ({"certificate_problem": "not asked for"}, "", Level.OK, ""),
        ({"folders": (FULL, *ROOMY[1:])}, "space", Level.FAIL, "state (/var/state): 0.1 GB free"),
        ({"folders": (SCARCE, ROOMY[0])}, "space", Level.WARN, "vault (/var/vault): 1.1 GB free"),
        ({"folders": (NO_INODES,)}, "space", Level.FAIL, "0 inodes free"),
        ({"folders": (FEW_INODES,)}, "space", Level.WARN, "500 inodes free"),
        ({"folders": (BTRFS,)}, "", Level.OK, ""),
        ({"pressure": False}, "pressure", Level.WARN, "tells no pressure"),
        ({"kernel": {"openat2": False}}, "kernel", Level.WARN, "no openat2"),
        ({"kernel": {"renameat2": False}}, "kernel", Level.FAIL, "no renameat2"),
        ({"kernel": {"RWF_DONTCACHE": False}}, "", Level.OK, ""),
        ({"secrets": (("service.api_key_file", "can be read by others"),)}, "secrets", Level.FAIL, "can be read by others"),
        ({"cases": ((CaseState.ORPHAN, NOW), (CaseState.ORPHAN, NOW))}, "cases", Level.WARN, "2 orphan"),
        ({"cases": ((CaseState.COPIED, NOW),)}, "cases", Level.WARN, "1 copied"),
        ({"resumable": True}, "cases", Level.WARN, "stopped before its end"),
        ({"pending": 3, "unsent": 4}, "cases", Level.WARN, "3 candidates without an answer, 4 outcomes without a receipt"),
        ({"spooled": 5}, "alerts", Level.WARN, "5 webhooks wait"),
        ({"lock_owner": "pid 7"}, "", Level.OK, ""),
        ({"schedule": ()}, "schedule", Level.WARN, "neither a timer nor a cron file"),
        ({"last_run": None}, "schedule", Level.WARN, "/etc/cron.d/hashscan is there, and no scan has ever run"),
        ({"last_run": NOW - 3 * DAY}, "schedule", Level.FAIL, "began 3 days ago"),
        ({"last_run_code": 11}, "", Level.OK, ""),
        ({"last_run_code": 20}, "schedule", Level.WARN, "exit code 20"),
        ({"last_run_code": 10}, "", Level.OK, ""),
    ],
)
def test_what_is_found(changes: dict[str, Any], name: str, level: Level, words: str) -> None:
    checks = found(**changes)
    if not name:
        assert checks == []
        return
    assert [(one.name, one.level) for one in checks] == [(name, level)]
    assert words in checks[0].seen
    assert checks[0].advice, "whoever is told something is told what to do"


def test_a_vault_elsewhere_costs_copies_and_a_read_only_mount_forbids_taking() -> None:
    away = (RootFacts("/home", 1), RootFacts("/srv", 7))
    seen = [one.seen for one in doctor.vault(dataclasses.replace(GOOD, roots=away))]
    assert seen == [
        "/srv: on another filesystem than the vault; taken files are copied, by way of .hashscan-holding at the mount point"
    ]
    fixed = (*GOOD.mounts, MountFacts(7, "/srv", "xfs", read_only=True))
    (bad, _) = doctor.vault(dataclasses.replace(GOOD, roots=away, mounts=fixed))
    assert (bad.level, bad.seen) == (Level.FAIL, "/srv: mounted read-only, nothing can be taken there")
    (off,) = doctor.vault(dataclasses.replace(GOOD, roots=away, mounts=fixed, moves=False))
    assert off.level is Level.OK


def test_long_lists_are_cut() -> None:
    many = tuple(MountFacts(n, f"/srv/m{n}", "xfs") for n in range(10, 40))
    (check,) = found(mounts=many)
    assert check.seen.endswith("and 22 more")


@pytest.mark.parametrize(
    ("levels", "code"),
    [
        ([Level.OK], ExitCode.OK),
        ([Level.OK, Level.WARN], ExitCode.INCOMPLETE),
        ([Level.FAIL, Level.WARN], ExitCode.FILTER),
        ([], ExitCode.OK),
    ],
)
def test_the_exit_code_is_that_of_the_worst(levels: list[Level], code: ExitCode) -> None:
    assert verdict([Check("x", level, "") for level in levels]) is code


@pytest.mark.parametrize("check", doctor.CHECKS, ids=lambda check: check.__name__)
def test_every_rule_stands_facts_that_nobody_could_gather(check: Callable[[Facts], Iterator[Check]]) -> None:
    for one in check(Facts(now=NOW, root=False, capabilities=0, moves=True)):
        assert one.seen
        assert one.level is Level.OK or one.advice


# Gathering, on this very host


def test_mounts_are_those_of_the_kernel() -> None:
    listed = examine.mounts()
    assert any(one.point == "/" for one in listed)
    assert any(one.kind == "proc" for one in listed)
    with open("/proc/self/mountinfo", "rb") as stream:
        assert len(listed) == len(stream.read().splitlines())


def test_what_kernel_and_filesystem_can_do_is_tried_out_and_leaves_nothing(tmp_path: Path) -> None:
    told = examine.kernel(tmp_path)
    assert set(told) == {"openat2", "renameat2", "O_TMPFILE", "RWF_DONTCACHE"}
    assert told["renameat2"], "the quarantine's own tests need it"
    assert os.listdir(tmp_path) == []
    assert set(examine.kernel(tmp_path / "missing")) == {"openat2"}


def test_folders_that_are_not_there_yet_are_judged_by_what_is_above(tmp_path: Path) -> None:
    here, there = examine.folder_of("state", tmp_path), examine.folder_of("state", tmp_path / "a" / "b")
    assert (here.mount, here.size) == (there.mount, there.size)
    assert there.free > 0


def test_roots(tmp_path: Path) -> None:
    good, bad, silent = examine.readable_roots([os.fsencode(tmp_path), b"/nonexistent", b"/hangs"], frozenset({b"/hangs"}))
    assert (good.problem, good.mount > 0) == ("", True)
    assert bad.problem == "No such file or directory"
    assert silent.problem == "its filesystem does not answer"


def test_capabilities_and_clock_are_told() -> None:
    assert examine.capabilities() >= 0
    assert examine.synchronized() in (True, False, None)


def test_schedules(tmp_path: Path) -> None:
    assert examine.schedule(tmp_path) == []
    assert {Path(one).name for one in examine._TIMERS} == {"hashscan-scan.timer", "hashscan-read.timer"}
    wants = tmp_path / "etc/systemd/system/timers.target.wants"
    wants.mkdir(parents=True)
    (wants / "hashscan-scan.timer").symlink_to("/nowhere")
    assert examine.schedule(tmp_path) == ["/etc/systemd/system/timers.target.wants/hashscan-scan.timer"]


@pytest.mark.parametrize(
    ("said", "roots"),
    [
        (None, [b"/home", b"/srv", b"/var/www"]),
        ("# SCAN_ROOTS=/x\n", [b"/home", b"/srv", b"/var/www"]),
        ("SCAN_ROOTS=/a\nSCAN_ROOTS='/b  /c'\n", [b"/b", b"/c"]),
        ('SCAN_ROOTS="/b"\nOTHER=1\n', [b"/b"]),
        ("SCAN_ROOTS=\n", []),
        ("SCAN_ROOTS='/b\n", [b"/home", b"/srv", b"/var/www"]),
    ],
)
def test_what_the_night_reads(tmp_path: Path, said: str | None, roots: list[bytes]) -> None:
    assert examine.nightly_roots(tmp_path) == []
    wants = tmp_path / "etc/systemd/system/timers.target.wants"
    wants.mkdir(parents=True)
    (wants / "hashscan-scan.timer").symlink_to("/nowhere")
    if said is not None:
        (tmp_path / "etc/default").mkdir()
        (tmp_path / "etc/default/hashscan").write_text(said)
    assert examine.nightly_roots(tmp_path) == roots


@pytest.mark.parametrize("name", ["hashscan-scan.service", "hashscan-read.service"])
def test_the_units_read_what_the_doctor_takes_for_their_roots(name: str) -> None:
    unit = (REPOSITORY / "packaging/systemd" / name).read_text()
    assert f'\nEnvironment="SCAN_ROOTS={b" ".join(examine._SCANNED).decode()}"\n' in unit
    assert f"\nEnvironmentFile=-{examine._DEFAULTS}\n" in unit


def test_the_owner_of_the_lock_is_named(tmp_path: Path) -> None:
    assert examine.lock_owner(tmp_path / "lock") == ""
    with RunLock(tmp_path / "lock"):
        assert f"pid {os.getpid()}" in examine.lock_owner(tmp_path / "lock")
    assert examine.lock_owner(tmp_path / "lock") == ""


def test_a_service_that_is_not_there_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(ServiceUnavailable, match="no trusted connection"):
            certificate_until(Link(f"https://127.0.0.1:{port}", None), NOW)
        free.listen()
        assert certificate_until(Link(f"http://127.0.0.1:{port}", None), NOW) is None
    with pytest.raises(ServiceUnavailable, match="behind a proxy"):
        certificate_until(Link("https://h.example", None, proxy="http://p:1"), NOW)


def test_how_long_the_certificate_of_the_service_lasts(tmp_path: Path) -> None:
    shown = Certificates(tmp_path)

    def answer(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
        def play(connection: socket.socket) -> None:
            with suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)

        return play

    now = time.time()
    with LoopbackServer(answer(shown.honest)) as server:
        until = certificate_until(Link(server.url, None, ca_file=shown.ca_file), now)
        assert until is not None
        assert until > now
        with pytest.raises(ServiceUnavailable, match=r"self-signed certificate in certificate chain|unable to get"):
            certificate_until(Link(server.url, None, ca_file=shown.stranger_file), now)
    with LoopbackServer(answer(shown.expired)) as server, pytest.raises(ServiceUnavailable, match="expired"):
        certificate_until(Link(server.url, None, ca_file=shown.ca_file), now)

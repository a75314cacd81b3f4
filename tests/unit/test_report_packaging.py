"""The units and the cron example: valid, and never hiding a file from the scan."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from hashscan.errors import ExitCode

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
UNITS = sorted(path for path in (PACKAGING / "systemd").iterdir() if path.is_file())
SERVICES = [path for path in UNITS if path.suffix == ".service"]
SCAN, READ, ACT = (
    (PACKAGING / "systemd" / f"hashscan-{name}.service").read_text(encoding="utf-8") for name in ("scan", "read", "act")
)

# systemd.exec(5): each of these gives the unit a mount namespace in which trees are hidden, replaced, or mounts of their own.
# RuntimeDirectory and its kin do so only together with DynamicUser, RootDirectory or one of these.
HIDING = {
    *(
        "PrivateTmp",
        "ProtectHome",
        "ProtectSystem",
        "PrivateDevices",
        "PrivateMounts",
        "PrivateUsers",
        "PrivateIPC",
        "DynamicUser",
    ),
    *("ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths", "TemporaryFileSystem", "BindPaths"),
    *(
        "BindReadOnlyPaths",
        "RootDirectory",
        "RootImage",
        "MountAPIVFS",
        "MountImages",
        "ExtensionImages",
        "ProtectProc",
        "ProcSubset",
    ),
    *(
        "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectKernelLogs",
        "ProtectControlGroups",
        "MountFlags",
        "JoinsNamespaceOf",
    ),
}


OUR_OWN = re.compile(r"-?/(var/lib|run)/hashscan-parts/(read|net|act)(/[a-z]+)?")


def settings(unit: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))


def hiding(unit: str) -> list[str]:
    """Lines that may keep a file of a customer from being seen. Our own folders may be hidden, or be mounts."""
    found = []
    for name, value in re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE):
        paths = name in {"ReadWritePaths", "InaccessiblePaths"} and all(map(OUR_OWN.fullmatch, value.split()))
        if name in HIDING and not paths and (name, value) != ("ReadOnlyPaths", "/"):
            found.append(f"{name}={value}")
    return found


@pytest.mark.parametrize("unit", [SCAN, READ, ACT], ids=["scan", "read", "act"])
def test_who_looks_at_files_of_customers_sees_every_file(unit: str) -> None:
    assert hiding(unit) == []


@pytest.mark.parametrize("unit", [SCAN, ACT], ids=["scan", "act"])
def test_who_moves_files_finds_none_read_only(unit: str) -> None:
    assert not {"ReadOnlyPaths", "ReadWritePaths"} & settings(unit).keys()


@pytest.mark.parametrize(
    "line",
    [
        *("PrivateTmp=yes", "ProtectHome=read-only", "ProtectSystem=full", "ReadOnlyPaths=/usr", "InaccessiblePaths=-/srv/old"),
        *("TemporaryFileSystem=/var", "RootDirectory=/srv", "InaccessiblePaths=/var/lib/hashscan-parts/net /root"),
        *("ReadWritePaths=/var/lib/hashscan-parts/read/../../../../home", "BindReadOnlyPaths=/a:/b", "DynamicUser=yes"),
    ],
)
def test_control_a_hiding_setting_is_noticed(line: str) -> None:
    assert hiding(f"{READ}{line}\n") == [line]


def test_findings_make_the_unit_fail() -> None:
    quiet = {int(code) for code in settings(SCAN)["SuccessExitStatus"].split()}
    assert quiet == {ExitCode.STOPPED}
    assert settings(SCAN)["Type"] == "oneshot"


def test_the_scan_is_a_good_neighbour() -> None:
    wanted = {"Nice": "19", "IOSchedulingClass": "idle", "NoNewPrivileges": "yes"}
    assert wanted.items() <= settings(SCAN).items()


def test_of_the_parts_only_what_needs_it_has_a_network_or_a_capability() -> None:
    rights = {
        path.stem: (found.get("User", "root"), found.get("PrivateNetwork", "no"), found["CapabilityBoundingSet"])
        for path in SERVICES
        if (found := settings(path.read_text(encoding="utf-8"))) and path.stem not in ("hashscan-scan", "hashscan-sync")
    }
    moving = "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_CHOWN CAP_LEASE"
    assert rights == {
        "hashscan-read": ("hashscan-read", "yes", "CAP_DAC_READ_SEARCH"),
        "hashscan-net": ("hashscan-net", "no", ""),
        "hashscan-net-sync": ("hashscan-net", "no", ""),
        "hashscan-act": ("root", "yes", moving),
    }
    for unit in (READ, ACT):
        assert settings(unit)["InaccessiblePaths"] == "/var/lib/hashscan-parts/net/keys", "where the API key is"
    quiet = {int(code) for code in settings(READ)["SuccessExitStatus"].split()}
    assert quiet == {ExitCode.STOPPED, ExitCode.PENDING}


NIGHTLY = ["hashscan-read.timer", "hashscan-scan.timer", "hashscan-sync.timer", "hashscan-net-sync.timer"]


@pytest.mark.parametrize("unit", [path for path in UNITS if path.name in NIGHTLY], ids=lambda path: path.name)
def test_timers_spread_hosts_and_catch_up(unit: Path) -> None:
    found = settings(unit.read_text(encoding="utf-8"))
    assert found["RandomizedDelaySec"]
    assert found["Persistent"] == "true"
    assert unit.with_suffix(".service") in UNITS


def test_the_nightly_scan_rests_while_others_wait_and_goes_on_where_it_was_stopped() -> None:
    for unit in (SCAN, READ):
        assert settings(unit)["ExecStart"] == "/usr/bin/hashscan scan --json --pressure on --auto-resume $SCAN_ROOTS"
    assert "hashscan scan -q --pressure on --auto-resume" in (PACKAGING / "cron" / "hashscan").read_text(encoding="utf-8")


def verify(folder: Path, units: list[Path]) -> subprocess.CompletedProcess[str]:
    """`systemd-analyze verify` on copies whose program exists; the copies come first in the unit path."""
    program = folder / "hashscan"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    copies = []
    for unit in units:
        copy = folder / unit.name
        copy.write_text(unit.read_text(encoding="utf-8").replace("/usr/bin/hashscan", str(program)), encoding="utf-8")
        copies.append(str(copy))
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"}
    command = ["systemd-analyze", "verify", "--man=no", *copies]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


@pytest.mark.optional("systemd")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    assert len(UNITS) == 14
    done = verify(tmp_path, UNITS)
    assert (done.returncode, _about_ours(done.stderr)) == (0, [])


@pytest.mark.optional("systemd")
def test_control_systemd_refuses_a_broken_unit(tmp_path: Path) -> None:
    broken = tmp_path / "source" / "hashscan-scan.service"
    broken.parent.mkdir()
    broken.write_text(SCAN.replace("Nice=19", "Nice=loud\nNicer=1"), encoding="utf-8")
    assert len(_about_ours(verify(tmp_path, [broken]).stderr)) == 2


EXPOSURE = {"scan": 57, "sync": 36, "read": 26, "net": 15, "net-sync": 15, "act": 33}
"""The most that `systemd-analyze security` may say, in tenths: 100 is no hardening at all. What reads and moves files of
customers cannot hide them from itself, so that it stays above what only talks to the service."""


def exposed(unit: Path, most: int) -> bool:
    line = ["systemd-analyze", "security", "--offline=true", f"--threshold={most}", "--no-pager", str(unit)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert "Overall exposure level" in done.stdout + done.stderr, done
    return done.returncode != 0


@pytest.mark.optional("systemd")
@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_no_unit_is_more_exposed_than_it_must_be(unit: Path) -> None:
    assert not exposed(unit, EXPOSURE[unit.stem.removeprefix("hashscan-")])


@pytest.mark.optional("systemd")
def test_control_a_unit_that_lost_its_hardening_is_noticed(tmp_path: Path) -> None:
    softer = tmp_path / "hashscan-net.service"
    whole = (PACKAGING / "systemd" / "hashscan-net.service").read_text(encoding="utf-8")
    softer.write_text(whole.replace("CapabilityBoundingSet=\n", "").replace("ProtectSystem=strict\n", ""), encoding="utf-8")
    assert exposed(softer, EXPOSURE["net"])


def _about_ours(said: str) -> list[str]:
    return [line for line in said.splitlines() if "hashscan" in line]


def test_timers_keep_the_waits_of_the_service_and_may_store_a_new_key() -> None:
    unit = (PACKAGING / "systemd" / "hashscan-sync.service").read_text(encoding="utf-8")
    assert settings(unit)["ExecStart"] == "/usr/bin/hashscan sync --scheduled --json"
    assert settings(unit)["ReadWritePaths"] == "-/etc/hashscan", "the folder of provider-key"
    assert "hashscan sync --scheduled -q" in (PACKAGING / "cron" / "hashscan").read_text(encoding="utf-8")


def test_cron_lines_are_whole() -> None:
    lines = [
        line
        for line in (PACKAGING / "cron" / "hashscan").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#") and not re.match(r"^\w+=", line)
    ]
    assert len(lines) == 2
    for line in lines:
        assert re.match(r"^(\d+|\*/15) [\d*]+ \* \* \* root test -d /run/systemd/system \|\| \{ sleep .*; \}$", line)
        assert "%" not in line, "cron turns it into a newline"
        command = line.split(" root ", 1)[1]
        assert subprocess.run(["sh", "-n", "-c", command], check=False).returncode == 0

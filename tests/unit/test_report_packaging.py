"""The units and the cron example: valid, and never hiding a file from the scan."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from hashscan.errors import ExitCode

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
UNITS = sorted(path for path in (PACKAGING / "systemd").iterdir() if path.suffix in (".service", ".timer"))
SCAN = (PACKAGING / "systemd" / "hashscan-scan.service").read_text(encoding="utf-8")

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


def settings(unit: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))


def hiding(unit: str) -> set[str]:
    return HIDING & set(settings(unit))


def test_the_scan_sees_every_file() -> None:
    assert hiding(SCAN) == set()


@pytest.mark.parametrize("line", ["PrivateTmp=yes", "ProtectHome=read-only", "ProtectSystem=full", "ReadOnlyPaths=/usr"])
def test_control_a_hiding_setting_is_noticed(line: str) -> None:
    assert len(hiding(SCAN + line + "\n")) == 1


def test_findings_make_the_unit_fail() -> None:
    quiet = {int(code) for code in settings(SCAN)["SuccessExitStatus"].split()}
    assert quiet == {ExitCode.STOPPED}
    assert settings(SCAN)["Type"] == "oneshot"


def test_the_scan_is_a_good_neighbour() -> None:
    wanted = {"Nice": "19", "IOSchedulingClass": "idle", "NoNewPrivileges": "yes"}
    assert wanted.items() <= settings(SCAN).items()


@pytest.mark.parametrize("unit", [path for path in UNITS if path.suffix == ".timer"], ids=lambda path: path.name)
def test_timers_spread_hosts_and_catch_up(unit: Path) -> None:
    found = settings(unit.read_text(encoding="utf-8"))
    assert found["RandomizedDelaySec"]
    assert found["Persistent"] == "true"
    assert unit.with_suffix(".service") in UNITS


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
    assert len(UNITS) == 4
    done = verify(tmp_path, UNITS)
    assert (done.returncode, _about_ours(done.stderr)) == (0, [])


@pytest.mark.optional("systemd")
def test_control_systemd_refuses_a_broken_unit(tmp_path: Path) -> None:
    broken = tmp_path / "source" / "hashscan-scan.service"
    broken.parent.mkdir()
    broken.write_text(SCAN.replace("Nice=19", "Nice=loud\nNicer=1"), encoding="utf-8")
    assert len(_about_ours(verify(tmp_path, [broken]).stderr)) == 2


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

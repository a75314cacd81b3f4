"""How long commands take that are asked often: the start of the interpreter, imports, and what `status` looks at."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hashscan.model import (
    Act,
    Algorithm,
    Candidate,
    CaseState,
    FileEntry,
    Finding,
    Grade,
    HashedFile,
    ListRef,
    Place,
    Source,
    Standing,
)
from hashscan.quarantine import record_codec
from hashscan.quarantine.record import FileFacts, HoldingPlace, Record, describe
from hashscan.service import admin
from hashscan.service.embedded import start_embedded
from hashscan.service.importing import ImportRequest
from hashscan.service.tables import Phase
from scripts.benchlib.ours import REPOSITORY

GOAL = 0.25  # seconds
_PEERS = {"restic version": ("restic", "version"), "clamscan --version": ("clamscan", "--version")}


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians of wall clock and processor time, in seconds, and the longest of the former."""

    name: str
    wall: float
    processor: float
    longest: float

    def row(self) -> str:
        """A line of the table."""
        return f"| {self.name} | {self.wall:.3f} | {self.processor:.3f} | {self.longest:.3f} |"


def measure(cases: int, runs: int, folder: Path) -> Iterator[Measured]:
    """An enrolled host with so many cases is made in ``folder``; each command runs once unmeasured, then all take turns."""
    shutil.rmtree(folder, ignore_errors=True)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # Modules are compiled by the unmeasured run, as they are where a package is installed.
    env |= {"PYTHONPATH": str(REPOSITORY), "PYTHONPYCACHEPREFIX": str(folder) + ".pyc"}
    config = _host(folder, env)
    _fill(folder / "state" / "vault", cases)
    ours = [sys.executable, "-m", "hashscan"]
    commands: dict[str, Sequence[str]] = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "hashscan --help": [*ours, "--help"],
        "hashscan status": [*ours, "--config", str(config), "status"],
        "hashscan status --json": [*ours, "--config", str(config), "status", "--json"],
        "hashscan status --nagios": [*ours, "--config", str(config), "status", "--nagios"],
        **{name: line for name, line in _PEERS.items() if shutil.which(line[0])},
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, line in commands.items():
            took = _timed(line, env)
            if turn:
                times[name].append(took)
    for name, took_all in times.items():
        walls = [wall for wall, _ in took_all]
        yield Measured(name, statistics.median(walls), statistics.median(cpu for _, cpu in took_all), max(walls))


def _timed(line: Sequence[str], env: Mapping[str, str]) -> tuple[float, float]:
    began = time.perf_counter()
    child = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
    with child:
        assert child.stdout is not None
        said = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode < 0 or b"Traceback" in said:
        raise ValueError(f"{' '.join(line)} failed: {said[-400:].decode(errors='replace')}")
    return wall, usage.ru_utime + usage.ru_stime


def _host(folder: Path, env: Mapping[str, str]) -> Path:
    """An enrolled host whose lists are in force, and which was scanned once; its configuration."""
    data, source, etc = folder / "service", folder / "list", folder / "etc"
    folder.mkdir(parents=True)
    admin.init(data, name="bench", root_keys=folder / "root-keys")
    source.write_text("".join(f"{number:040x}\n" for number in range(1, 1001)))
    admin.import_list(data, ImportRequest("bench", source, "bench"))
    admin.add_provider(data, "bench", phase=Phase.REGULAR, url="http://127.0.0.1:1", out=etc)
    admin.publish(data)
    config = etc / "config.toml"
    with start_embedded(data) as service:
        files = "".join(f'{name}_file = "{name.replace("_", "-")}"\n' for name in ("api_key", "provider_key"))
        config.write_text(
            f'[service]\nurl = "{service.url}"\nprovider = "bench"\n{files}root_file = "root.json"\n'
            "[paths]\n" + "".join(f'{name} = "../{name}"\n' for name in ("state", "run", "cache"))
        )
        (folder / "srv").mkdir()
        for what in (["sync"], ["scan", str(folder / "srv")]):
            line = [sys.executable, "-m", "hashscan", "--config", str(config), *what, "-q"]
            subprocess.run(line, check=True, env=dict(env))
    return config


def _fill(vault: Path, count: int) -> None:
    """Records of cases as quarantine writes them, past its journal and without evidence: nobody asks `status` for that."""
    (vault / "cases").mkdir(parents=True, mode=0o700)
    record = _record()
    for number in range(count):
        case_id = f"{number:016x}"
        (vault / "cases" / case_id).mkdir(mode=0o700)
        (vault / "cases" / case_id / "record.json").write_bytes(record_codec.encode(replace(record, id=case_id)))


def _record() -> Record:
    place = Place(b"/srv", b"www/customer/a.jpg")
    entry = FileEntry(place, 1, 2, 3, 4, 5, 0o100644, 1001, 1001, 1)
    candidate = Candidate(HashedFile(entry, {Algorithm.SHA1: "0" * 40}), (ListRef("bench", 1, 1),))
    finding = Finding(
        candidate, Source.SERVICE, ListRef("bench", 1, 1), "e_1", Grade.MATCH, Standing.ACTIVE, "A", Act.QUARANTINE, "match",
        "ab" * 32, b"signed" * 200,
    )  # fmt: skip
    facts = FileFacts(1, 2, 3, 0o644, 1001, 1001, 1, 0, 0, 0, {}, xattrs_complete=True)
    return Record(
        id="0" * 16, state=CaseState.DONE, opened=1_790_000_000.0, reason="", trigger="scan", place=place, parent=7, file=facts,
        digests={Algorithm.SHA1: "0" * 40, Algorithm.BLAKE3: "0" * 64}, finding=describe(finding),
        holding=HoldingPlace(b"/var/lib/hashscan/vault/holding", 1, 2, 3),
    )  # fmt: skip

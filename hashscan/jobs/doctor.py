"""Doctor: what would keep this host from doing its job, or make it do it worse. Pure rules over facts that were gathered.

Each check is a function from `Facts` to findings; none looks at the system itself (`jobs.examine` does). FAIL: a scan would not
do its job, or could miss in silence. WARN: it works, and somebody should know. OK says what was seen.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hashscan.errors import ExitCode
from hashscan.files.filesystems import lies_elsewhere
from hashscan.jobs.doctor_facts import Facts, MountFacts, RootFacts
from hashscan.model import CaseState


class Level(enum.IntEnum):
    """How bad."""

    OK = 0
    WARN = 1
    FAIL = 2


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was seen, and what to do about it where that is not fine."""

    name: str
    level: Level
    seen: str
    advice: str = ""


_READ_ALL = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE or CAP_DAC_READ_SEARCH (capabilities(7))
_MOVE = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3}
_VIRTUAL = frozenset({
    "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs", "fusectl",
    "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs", "sysfs", "tracefs",
})  # fmt: skip
_LOW_BYTES, _VERY_LOW_BYTES = 2 << 30, 200 << 20
_LOW_FILES = 10_000
_DAY = 86_400.0
_MOST_NAMED = 8
_KERNEL = {
    "openat2": (Level.WARN, "paths are opened one component at a time: slower, and as safe", "Linux 5.6 or newer has it"),
    "renameat2": (Level.FAIL, "nothing can be moved safely", "is the state on an old or network filesystem?"),
    "O_TMPFILE": (Level.WARN, "restored files have a name while they are written", "the filesystem does not know it"),
    "RWF_DONTCACHE": (Level.OK, "pages are dropped after reading instead", ""),
}


def rights(facts: Facts) -> Iterator[Check]:
    """May everything be read, and moved where that is wanted?"""
    if not facts.capabilities & _READ_ALL:
        advice = "run it as root, or with CAP_DAC_READ_SEARCH; else files of others count as unreadable (exit code 3)"
        yield Check("rights", Level.WARN, "only files that this user may read can be looked at", advice)
    else:
        yield Check("rights", Level.OK, "every file can be read")
    missing = [name for name, bit in _MOVE.items() if not facts.capabilities & 1 << bit]
    if facts.moves and missing:
        yield Check("rights", Level.FAIL, f"quarantine is on and {', '.join(missing)} is missing", "run it as root")


def roots(facts: Facts) -> Iterator[Check]:
    """Are the folders to scan there and readable?"""
    if not facts.roots:
        yield Check("folders", Level.WARN, "no folder to scan is known yet", "name them: hashscan doctor /home /srv")
    for root in facts.roots:
        if root.problem:
            yield Check("folders", Level.FAIL, f"{root.path}: {root.problem}", "is the name right? Is it mounted?")
    if good := [root.path for root in facts.roots if not root.problem]:
        yield Check("folders", Level.OK, f"{_named(good)} can be read")


def mounts(facts: Facts) -> Iterator[Check]:
    """Which filesystems below the roots would a scan leave out?"""
    named = {root.mount for root in facts.roots}
    below = [one for one in facts.mounts if one.id not in named and not _of_the_system(one) and _below(one, facts.roots)]
    network = [one for one in below if lies_elsewhere(one.kind.encode())]
    local = [one for one in below if one not in network]
    if local:
        advice = "a walk does not cross into a mount: name each one that holds files of customers as a folder of its own"
        yield Check("mounts", Level.WARN, f"left out: {_shown(local)}", advice)
    if network:
        advice = "scan them on the host that owns them, or name them as folders of their own"
        yield Check("mounts", Level.WARN, f"left out, network: {_shown(network)}", advice)
    if facts.roots and not below:
        yield Check("mounts", Level.OK, "no other filesystem is mounted below the folders")


def _of_the_system(mount: MountFacts) -> bool:
    """Nobody's files: what the kernel shows as files, and what systemd keeps in memory."""
    return mount.kind in _VIRTUAL or (mount.kind == "tmpfs" and mount.point.startswith(("/dev/", "/run", "/sys/")))


def _shown(found: Sequence[MountFacts]) -> str:
    return _named(list(dict.fromkeys(f"{one.point} ({one.kind})" for one in found)))


def _below(mount: MountFacts, scanned: Sequence[RootFacts]) -> bool:
    return any(mount.point.startswith(f"{root.path.rstrip('/')}/") for root in scanned)


def clock(facts: Facts) -> Iterator[Check]:
    """Is the time believed?"""
    if facts.clock_doubt:
        yield Check("clock", Level.FAIL, facts.clock_doubt, "set the clock: until then nothing new is believed")
    elif facts.synchronized is False:
        advice = "switch on systemd-timesyncd, chrony or ntpd: verdicts and evidence carry times"
        yield Check("clock", Level.WARN, "the kernel says that the clock is not synchronized", advice)
    elif facts.synchronized is None:
        yield Check("clock", Level.WARN, "nobody says whether the clock is synchronized", "look at timedatectl")
    else:
        yield Check("clock", Level.OK, "synchronized, and not before any time that it has seen")


def lists(facts: Facts) -> Iterator[Check]:
    """Would a scan use the lists?"""
    if not facts.service:
        seen = "no service is configured: only audits with --known are possible"
        yield Check("lists", Level.WARN, seen, "hashscan enroll URL CODE")
    elif facts.lists_problem:
        yield Check("lists", Level.FAIL, facts.lists_problem, "hashscan sync")
    elif facts.lists_age is not None and facts.lists_age > _DAY:
        seen = f"the lists in force were signed {_ago(facts.lists_age)} ago"
        yield Check("lists", Level.WARN, seen, "hashscan sync; is its timer running?")
    else:
        yield Check("lists", Level.OK, f"in force, signed {_ago(facts.lists_age or 0.0)} ago")


def certificate(facts: Facts) -> Iterator[Check]:
    """Is the service reached over TLS that lasts? Only with --online."""
    if not facts.online or not facts.service:
        return
    if facts.certificate_problem:
        yield Check("service", Level.FAIL, facts.certificate_problem, "read the message; hashscan selftest goes the whole way")
    elif facts.certificate_until is None:
        yield Check("service", Level.OK, "reached, without TLS on this machine")
    else:
        left = facts.certificate_until - facts.now
        level = Level.WARN if left < 14 * _DAY else Level.OK
        yield Check("service", level, f"reached; its certificate lasts {_ago(left)} more", "tell the hotline" if level else "")


def vault(facts: Facts) -> Iterator[Check]:
    """What does taking a file cost, and can it be done on every filesystem?"""
    if not facts.moves:
        yield Check("vault", Level.OK, "quarantine is off: findings are reported and stay where they are")
        return
    own = next((folder.mount for folder in facts.folders if folder.name == "vault"), -1)
    away = [root for root in facts.roots if root.mount not in (own, -1)]
    by_id = {mount.id: mount for mount in facts.mounts}
    fixed = [root.path for root in away if (mount := by_id.get(root.mount)) is not None and mount.read_only]
    if fixed:
        yield Check("vault", Level.FAIL, f"{_named(fixed)}: mounted read-only, nothing can be taken there", "mount it writable")
    if away:
        seen = f"{_named([root.path for root in away])}: on another filesystem than the vault; taken files are copied"
        yield Check("vault", Level.OK, f"{seen}, by way of .hashscan-holding at the mount point")
    elif facts.roots:
        yield Check("vault", Level.OK, "on the filesystem of all folders")


def space(facts: Facts) -> Iterator[Check]:
    """Is there room for state, evidence and cache?"""
    for folder in facts.folders:
        scarce = [f"{folder.free / 1e9:.1f} GB free"] if folder.free < _LOW_BYTES else []
        if folder.files and folder.free_files < _LOW_FILES:
            scarce.append(f"{folder.free_files:,} inodes free")
        if scarce:
            level = Level.FAIL if folder.free < _VERY_LOW_BYTES or folder.free_files == 0 < folder.files else Level.WARN
            elsewhere = "quarantine.vault" if folder.name == "vault" else f"paths.{folder.name}"
            seen = f"{folder.name} ({folder.path}): {', '.join(scarce)}"
            yield Check("space", level, seen, f"make room, or name another folder in {elsewhere}")
    if facts.folders and not any(folder.free < _LOW_BYTES for folder in facts.folders):
        least = min(folder.free for folder in facts.folders)
        yield Check("space", Level.OK, f"at least {least / 1e9:.1f} GB free for state, vault and cache")


def pressure(facts: Facts) -> Iterator[Check]:
    """Can a scan notice that the host is busy?"""
    if facts.pressure:
        yield Check("pressure", Level.OK, "the kernel tells how much others wait for the disk")
    else:
        advice = "boot with psi=1 where the kernel has CONFIG_PSI"
        yield Check("pressure", Level.WARN, "the kernel tells no pressure (/proc/pressure/io)", advice)


def kernel(facts: Facts) -> Iterator[Check]:
    """What the kernel and the filesystem of the state folder can do."""
    for name, (level, cost, advice) in _KERNEL.items():
        if facts.kernel.get(name) is False:
            yield Check("kernel", level, f"no {name}: {cost}", advice)
    if have := [name for name in _KERNEL if facts.kernel.get(name)]:
        yield Check("kernel", Level.OK, f"has {', '.join(have)}")


def secrets(facts: Facts) -> Iterator[Check]:
    """Are secrets where only we can read them?"""
    for setting, problem in facts.secrets:
        if problem:
            yield Check("secrets", Level.FAIL, f"{setting}: {problem}", "chmod 600, and owned by root or who runs hashscan")
    if (good := sum(not problem for _, problem in facts.secrets)) and good == len(facts.secrets):
        yield Check("secrets", Level.OK, f"{good} files, readable by their owner only")


def leftovers(facts: Facts) -> Iterator[Check]:
    """What earlier runs have left for somebody."""
    counts = {state: sum(one is state for one, _ in facts.cases) for state in CaseState}
    for state, advice in _WAITING.items():
        if counts[state]:
            yield Check("cases", Level.WARN, f"{counts[state]} {state.value}", advice)
    if facts.resumable:
        yield Check("cases", Level.WARN, "a scan was stopped before its end", "hashscan scan --resume, or begin a new one")
    waiting = ((facts.pending, "candidate", "without an answer"), (facts.unsent, "outcome", "without a receipt"))
    said = [f"{_number_of(count, what)} {more}" for count, what, more in waiting if count]
    if said:
        yield Check("cases", Level.WARN, ", ".join(said), "hashscan confirm")
    if facts.spooled:
        yield Check(
            "alerts",
            Level.WARN,
            f"{_number_of(facts.spooled, 'webhook')} wait{'s' if facts.spooled == 1 else ''} on disk",
            "hashscan alerts send says why",
        )
    if not any(counts[state] for state in _WAITING) and not said:
        yield Check("cases", Level.OK, f"{_number_of(len(facts.cases), 'case')}, none of which needs a person")


def _number_of(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


_WAITING = {
    CaseState.DAMAGED: "hashscan quarantine list names them; restore their records from a backup",
    CaseState.ORPHAN: "see docs/quarantine.md, what an orphan is; then hashscan quarantine settle",
    CaseState.HELD: "hashscan quarantine list --state held; then release or dismiss",
    CaseState.INTENT: "a run was killed: the next one brings it to its end",
    CaseState.COPIED: "a run was killed: the next one brings it to its end",
    CaseState.COMMITTED: "a run was killed: the next one brings it to its end",
}


def lock(facts: Facts) -> Iterator[Check]:
    """Does a run go on?"""
    if facts.lock_owner:
        yield Check("lock", Level.OK, f"a run is under way: {facts.lock_owner}")


def schedule(facts: Facts) -> Iterator[Check]:
    """Does something start a scan, and does it?"""
    if not facts.schedule:
        advice = "systemctl enable --now hashscan-sync.timer hashscan-scan.timer, or the cron example"
        yield Check("schedule", Level.WARN, "neither a timer nor a cron file of hashscan was found", advice)
    if facts.last_run is None:
        by = f"{_named(list(facts.schedule))} is there, and " if facts.schedule else ""
        yield Check("schedule", Level.WARN, f"{by}no scan has ever run", "journalctl -u hashscan-scan, or run one")
        return
    age = facts.now - facts.last_run
    if age > 2 * _DAY:
        yield Check("schedule", Level.FAIL, f"the last scan began {_ago(age)} ago", "systemctl list-timers 'hashscan*'")
    # Candidates that had no answer then (on a split host a scan has none ever) have one by now, where none is pending.
    elif facts.last_run_code not in (0, 10, None) and (facts.last_run_code != ExitCode.PENDING or facts.pending):
        seen = f"the last scan began {_ago(age)} ago and ended with exit code {facts.last_run_code}"
        yield Check("schedule", Level.WARN, seen, "hashscan report")
    else:
        yield Check("schedule", Level.OK, f"the last scan began {_ago(age)} ago")


CHECKS: tuple[Callable[[Facts], Iterator[Check]], ...] = (
    rights,
    roots,
    mounts,
    clock,
    lists,
    certificate,
    vault,
    space,
    pressure,
    kernel,
    secrets,
    leftovers,
    lock,
    schedule,
)


def doctor(facts: Facts) -> list[Check]:
    """All checks, in the order in which a person would ask."""
    return [found for check in CHECKS for found in check(facts)]


def verdict(checks: Sequence[Check]) -> ExitCode:
    """20 where a scan would not do its job, 3 where somebody should know something, else 0."""
    worst = max((check.level for check in checks), default=Level.OK)
    return {Level.OK: ExitCode.OK, Level.WARN: ExitCode.INCOMPLETE, Level.FAIL: ExitCode.FILTER}[worst]


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _ago(seconds: float) -> str:
    if abs(seconds) < 7200:
        return _number_of(round(seconds / 60), "minute")
    return f"{seconds / 3600:.0f} hours" if abs(seconds) < 3 * _DAY else f"{seconds / _DAY:.0f} days"

"""The life of a package on one machine: from nothing to a nightly timer and an alert, upgraded, removed, purged."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

from scripts.chrootlib.hotline import LISTED, Hotline
from scripts.chrootlib.jail import Jail

PUBLIC_URL = "https://hashes.example.org"
QUICK_START = "## From nothing to a nightly scan"
MOST_COMMANDS = 9
TIMERS = "/etc/systemd/system/timers.target.wants"
STATE, VAULT = "/var/lib/hashscan", "/var/lib/hashscan/vault"


def quick_start(document: Path) -> list[str]:
    """The commands of the quick start."""
    section = document.read_text(encoding="utf-8").partition(f"{QUICK_START}\n")[2]
    block = re.search(r"^```console\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert block is not None, f"{document.name} has no block below {QUICK_START!r}"
    return [line.removeprefix("$ ").partition("   #")[0].strip() for line in block[1].splitlines()]


def plant(jail: Jail) -> None:
    """A site with one file that is on the list. All of it is harmless."""
    for number in range(40):
        jail.put(f"/srv/www/site/page-{number}.html", f"<p>harmless page {number}</p>\n".encode())
    jail.put("/srv/www/site/uploads/listed.bin", LISTED)


def audit(jail: Jail) -> None:
    """Installed and asked to compare with a plain list, before there is any configuration."""
    jail.put("/opt/known.sha1", f"{hashlib.sha1(LISTED).hexdigest()}  one\n".encode())
    said = jail.run("hashscan scan --known /opt/known.sha1 /srv/www", expect=10)
    jail.holds("an audit with a plain list finds the planted file: exit code 10", "listed.bin" in said)
    jail.run("mv /srv/www/site/uploads/listed.bin /opt/")
    jail.run("hashscan scan --known /opt/known.sha1 /srv/www", expect=0)
    jail.holds("without it the exit code is 0")
    jail.run("mv /opt/listed.bin /srv/www/site/uploads/")


def contents(jail: Jail) -> None:
    """What an administrator expects of a package."""
    for path in ("/usr/share/man/man1/hashscan.1.gz", "/usr/share/man/man1/hashscan-scan.1.gz"):
        jail.holds(f"{path} is there", jail.exists(path))
    for path in (
        "bash-completion/completions/hashscan",
        "zsh/vendor-completions/_hashscan",
        "fish/vendor_completions.d/hashscan.fish",
    ):
        jail.holds(f"completions in {path}", jail.exists(f"/usr/share/{path}"))
    jail.holds("modules are compiled at installation", list((jail.top / "usr/lib/hashscan/hashscan").rglob("*.pyc")))
    told = jail.run("dpkg-query --show --showformat='${Conffiles}' hashscan")
    jail.holds("the configuration is the administrator's", "/etc/hashscan/config.toml" in told)
    jail.holds("nothing was enabled", not list((jail.top / "etc/systemd/system").rglob("hashscan*")))
    jail.holds("no state before the first run", not jail.exists(STATE))
    told = jail.run(
        "getent passwd hashscan-read hashscan-net; stat -c '%U %a' /var/lib/hashscan-parts/read /var/lib/hashscan-parts/net"
    )
    jail.holds("users and folders of a host in three parts", told.splitlines()[2:] == ["hashscan-read 710", "hashscan-net 700"])
    jail.run("hashscan config validate")
    jail.holds("the shipped configuration is valid")


def nightly(jail: Jail, hotline: Hotline, commands: list[str]) -> None:
    """The quick start, typed as it stands there but for the address of the hotline, its code and the name of the package."""
    jail.holds(f"the quick start has {len(commands)} commands, at most {MOST_COMMANDS}", 0 < len(commands) <= MOST_COMMANDS)
    for command in commands:
        line = command.replace(PUBLIC_URL, hotline.url).replace("CODE", hotline.code())
        line = re.sub(r"\./hashscan_\S+", "/opt/hashscan.deb", line)
        line = line.replace("enable --now", "enable")  # nothing is started in a chroot, and systemctl refuses to try
        if line.startswith("systemctl start"):
            line = scan_line(jail)  # for the same reason: the line of the unit, by hand
        jail.run(line, expect=10 if "hashscan scan" in line else 0)
    enabled = sorted(path.name for path in (jail.top / TIMERS.lstrip("/")).iterdir())
    jail.holds(f"timers are enabled: {', '.join(enabled)}", {"hashscan-scan.timer", "hashscan-sync.timer"} <= set(enabled))
    alerts = [json.loads(line) for line in (jail.top / "var/log/hashscan/alerts.ndjson").read_text().splitlines()]
    found = [one for one in alerts if one["type"] == "finding"]
    jail.holds("the first alert is there, and names no path", len(found) == 1 and "path" not in found[0])
    jail.holds("a fresh installation only reports", jail.exists("/srv/www/site/uploads/listed.bin"))


def scan_line(jail: Jail) -> str:
    """The command line of the scan's unit, as systemd would run it."""
    unit = (jail.top / "usr/lib/systemd/system/hashscan-scan.service").read_text()
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    variables = re.findall(r'^Environment="?(\w+)=(.*?)"?$', unit, re.MULTILINE)
    files = [one.lstrip("-") for one in re.findall(r"^EnvironmentFile=(\S+)$", unit, re.MULTILINE)]
    settled = "".join(f'{name}="{value}"; ' for name, value in variables) + "".join(
        f"! test -e {one} || . {one}; " for one in files
    )
    return f"{settled}{line}"  # systemd splits $SCAN_ROOTS at spaces, as the shell does


def quarantine(jail: Jail) -> str:
    """Switched on: the file is taken. The id of the case."""
    jail.put("/etc/hashscan/conf.d/20-quarantine.toml", b"[quarantine]\nenabled = true\n")
    jail.run("hashscan scan -q /srv/www", expect=10)
    jail.holds("with quarantine switched on the file is taken", not jail.exists("/srv/www/site/uploads/listed.bin"))
    (case,) = re.findall(r"^done +([0-9a-f]{16})", jail.run("hashscan quarantine list"), re.MULTILINE)
    return str(case)


def upgrade(jail: Jail, newer: Path, version: str, case: str) -> None:
    """A newer version is installed over this one: state, configuration and timers are what they were."""
    jail.run("echo '# a line of the administrator' >>/etc/hashscan/config.toml")
    watched = ("/etc/hashscan/config.toml", "/etc/hashscan/api-key", f"{STATE}/lists/proof.json", f"{VAULT}/log")
    before = {path: (jail.top / path.lstrip("/")).read_bytes() for path in watched if jail.exists(path)}
    jail.holds(f"{len(before)} files are compared", len(before) >= 3)
    shutil.copy(newer, jail.top / "opt/newer.deb")
    jail.run("apt-get install -y -q /opt/newer.deb")
    jail.holds(f"upgraded to {version}", version in jail.run("dpkg-query --show hashscan"))
    after = {path: (jail.top / path.lstrip("/")).read_bytes() for path in before}
    jail.holds("configuration, key, lists and the log of the vault are the same bytes", before == after)
    jail.holds("timers are still enabled", jail.exists(f"{TIMERS}/hashscan-scan.timer"))
    jail.holds("the case is still there", case in jail.run("hashscan quarantine list"))
    jail.holds("the log of the vault is whole", "the log holds" in jail.run("hashscan audit verify"))
    jail.run("hashscan scan -q /srv/www", expect=0)
    jail.holds("the newer version scans")


def remove(jail: Jail) -> None:
    """Removed: the program is gone, state and configuration stay."""
    jail.run("apt-get remove -y -q hashscan")
    for path in ("/usr/bin/hashscan", "/usr/lib/hashscan", "/usr/lib/systemd/system/hashscan-scan.service"):
        jail.holds(f"removed: {path} is gone", not jail.exists(path))
    jail.holds("removed: no timer is enabled", not jail.exists(f"{TIMERS}/hashscan-scan.timer"))
    for path in ("/etc/hashscan/config.toml", "/etc/hashscan/api-key", STATE):
        jail.holds(f"removed: {path} stays", jail.exists(path))


def purge_all(jail: Jail) -> None:
    """Purged, where nothing was ever quarantined: nothing of it is left."""
    jail.run("apt-get purge -y -q hashscan")
    jail.holds("purged: folders of a host in three parts are gone", not jail.exists(f"{STATE}-parts"))
    left = [
        path
        for path in ("/etc/hashscan", "/etc/default/hashscan", STATE, "/var/cache/hashscan", "/var/log/hashscan")
        if jail.exists(path)
    ]
    jail.holds(f"purged without cases: nothing is left {left or ''}".strip(), not left)


def purge_with_case(jail: Jail, case: str) -> None:
    """Purged, where the vault holds a case: the evidence stays, and is said to stay."""
    said = jail.run("apt-get purge -y -q hashscan")
    jail.holds("purged with a case: it is said that the vault stays", f"{VAULT} holds 1 case(s)" in said)
    content = jail.top / VAULT.lstrip("/") / "cases" / case / "content"
    jail.holds("purged with a case: the evidence is whole", content.read_bytes() == LISTED)
    left = sorted(path.name for path in (jail.top / STATE.lstrip("/")).iterdir())
    jail.holds(f"purged with a case: of the state there is {', '.join(left)}", set(left) <= {"vault", "root.json"})
    jail.holds("purged with a case: keys and configuration are gone", not jail.exists("/etc/hashscan"))
    jail.run("apt-get install -y -q /opt/hashscan.deb")
    jail.run(f"hashscan quarantine restore {case}")
    restored = jail.top / "srv/www/site/uploads/listed.bin"
    jail.holds("installed again: the case is restored, same bytes", restored.read_bytes() == LISTED)

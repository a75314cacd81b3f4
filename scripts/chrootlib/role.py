"""The Ansible role against a fresh host: everything in one run, and nothing left to do in the next."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from scripts.chrootlib.hotline import Hotline
from scripts.chrootlib.jail import Jail
from scripts.chrootlib.story import TIMERS, VAULT

PLAYBOOK = Path(__file__).resolve().parents[2] / "packaging" / "ansible" / "site.yml"


def play(jail: Jail, hotline: Hotline, package: Path, program: str) -> None:
    """``program`` is ansible-playbook, with the collection community.general, which knows chroots."""
    jail.run(f"apt-get purge -y -q hashscan; rm -rf {VAULT}")
    variables = {
        "hashscan_package": str(package.absolute()),
        "hashscan_service_url": hotline.url,
        "hashscan_code": hotline.code(),
        "hashscan_scan_roots": ["/srv"],
        "hashscan_settings": {
            "quarantine": {"enabled": True, "per_run": 7},
            "alerts": {"file": "/var/log/hashscan/alerts.ndjson"},
        },
        "ansible_connection": "community.general.chroot",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    line = [program, "-i", f"{jail.top},", str(PLAYBOOK), "-e", json.dumps(variables)]
    changed = []
    for _ in range(2):
        environment = {
            **os.environ,
            "ANSIBLE_HOME": str(jail.top.parent / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        assert variables["hashscan_code"] not in done.stdout + done.stderr, "the code was told"
        changed += [int(one) for one in re.findall(r"changed=(\d+)", done.stdout)]
    jail.holds(f"the role changed {changed[0]} things, and nothing when it was run again", changed[0] > 3 and changed[1] == 0)
    told = jail.run("hashscan config show --changed --origin")
    jail.holds("the role's settings hold", re.search(r"per_run = 7 +# /etc/hashscan/conf.d/50-ansible.toml:\d+", told))
    jail.holds("the host is enrolled", jail.run("hashscan selftest").count("ok ") == 3)
    jail.holds("the timers are enabled", jail.exists(f"{TIMERS}/hashscan-scan.timer"))

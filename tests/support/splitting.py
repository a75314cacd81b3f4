"""Whether a split host can be made here."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = sysconfig.get_path("purelib")


def can_split() -> bool:
    """Whether this is root with the programs and rights that it takes, in a checkout that other users may read."""
    programs = ("setpriv", "unshare", "systemd-sysusers", "systemd-tmpfiles")
    if os.geteuid() != 0 or not all(map(shutil.which, programs)):
        return False
    rights = "--bounding-set=-all,+dac_read_search --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search"
    lines = (
        f"unshare --net --mount setpriv --reuid=65534 --regid=65534 --clear-groups {rights} --no-new-privs true",
        f"setpriv --reuid=65534 --regid=65534 --clear-groups test -r {_REPOSITORY}/hashscan/__init__.py -a -r {PACKAGES}/click",
    )
    return all(subprocess.run(shlex.split(line), capture_output=True, check=False).returncode == 0 for line in lines)

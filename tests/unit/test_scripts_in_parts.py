"""All tests in several processes: the sum is right, and a part that fails or dies is never lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/lib/in_parts.py"
FILES = {
    "hostile/test_a.py": "def test_one(): pass\ndef test_two(): pass\n",
    "unit/test_b.py": "import pytest\n@pytest.mark.skip\ndef test_three(): pass\ndef test_four(): pass\n",
    "unit/test_c.py": "",
}


def run(tmp_path: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name, text in files.items():
        path = tmp_path / "tests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [sys.executable, str(SCRIPT), "--tests", str(tmp_path / "tests"), "--processes", "2"]
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)


def test_the_sum_of_all_parts_is_the_last_line(tmp_path: Path) -> None:
    ended = run(tmp_path, FILES | {f"unit/test_{number}.py": "def test(): pass\n" for number in range(10)})
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1] == "13 passed, 0 failed, 1 skipped"


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("def test_five(): assert 0\n", "3 passed, 1 failed, 1 skipped"),
        ("import os\ndef test_six(): os._exit(0)\n", "0 passed, 0 failed"),
        ("import nothing_of_this_name\n", "0 passed, 1 failed"),
    ],
)
def test_what_fails_or_dies_is_told(tmp_path: Path, text: str, last: str) -> None:
    ended = run(tmp_path, FILES | {"unit/test_d.py": text})
    assert ended.returncode == 1
    assert "parts that failed: 1" in ended.stdout
    assert ended.stdout.splitlines()[-1] == last


def test_no_test_at_all_is_a_failure(tmp_path: Path) -> None:
    ended = run(tmp_path, {"unit/test_c.py": ""})
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (1, "0 passed, 0 failed")

"""Old or new, never torn: whatever breaks while a file is replaced."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from hashscan.atomic import fsync_directory, make_private_directory, replace_file, write_bytes
from tests.support.acting import Crash
from tests.support.budget import attempts
from tests.support.children import end, run, start


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


def test_the_new_takes_the_place_of_the_old(path: Path) -> None:
    path.chmod(0o644)
    before = path.stat().st_ino
    with replace_file(path) as stream:
        stream.write(b"new")
        assert path.read_bytes() == b"old"
        assert Path(stream.name).parent == path.parent
        assert Path(stream.name).name.startswith(".file.")
    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != before
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(path) == ["file"]
    write_bytes(path.with_name("other"), b"x", mode=0o640)
    assert path.with_name("other").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [Crash(), KeyboardInterrupt(), OSError(28, "full")])
def test_what_breaks_in_the_block_leaves_no_trace(path: Path, error: BaseException) -> None:
    def breaking() -> None:
        with replace_file(path) as stream:
            stream.write(b"new")
            raise error

    with pytest.raises(type(error)):
        breaking()
    assert path.read_bytes() == b"old"
    assert names(path) == ["file"]


def test_the_file_beside_may_go_meanwhile(path: Path) -> None:
    with pytest.raises(FileNotFoundError), replace_file(path) as stream:
        os.unlink(stream.name)
    assert path.read_bytes() == b"old"


def test_a_full_disk_leaves_the_old_one(path: Path) -> None:
    def body() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        with pytest.raises(OSError, match="large"):
            write_bytes(path, b"x" * 100)
        assert path.read_bytes() == b"old"
        assert names(path) == ["file"]

    assert run(body) == 0


def test_a_link_in_its_place_is_replaced_and_not_followed(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    write_bytes(link, b"new")
    assert path.read_bytes() == b"old"
    assert not link.is_symlink()


def test_killed_at_any_time_it_is_the_old_or_the_new(path: Path) -> None:
    seen = set()
    for _ in range(attempts(15)):

        def body() -> None:
            for number in range(10_000):
                write_bytes(path, b"%d " % number * 5_000)

        child = start(body)
        while path.read_bytes() == b"old":
            pass
        os.kill(child, signal.SIGKILL)
        assert end(child) == -signal.SIGKILL
        words = path.read_bytes().split()
        assert len(words) == 5_000
        assert len(set(words)) == 1
        seen.add(words[0])
        path.write_bytes(b"old")
    print(f"killed {attempts(15)} times, at {len(seen)} different contents")


def test_a_private_directory_and_what_leads_to_it(tmp_path: Path) -> None:
    make_private_directory(tmp_path / "a" / "b" / "c")
    for name in ("a", "a/b", "a/b/c"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700
    (tmp_path / "a").chmod(0o755)
    make_private_directory(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755, "what is there is left as it is"


def test_what_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("file", "file/below", "dangling", "dangling/below"):
        with pytest.raises(OSError, match=r".") as caught:
            make_private_directory(tmp_path / name)
        assert isinstance(caught.value, NotADirectoryError | FileExistsError | FileNotFoundError)


def test_fsync_of_a_directory_by_path_or_descriptor(tmp_path: Path) -> None:
    fsync_directory(tmp_path)
    fd = os.open(tmp_path, os.O_RDONLY)
    fsync_directory(fd)
    os.close(fd)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        fsync_directory(tmp_path / "file")

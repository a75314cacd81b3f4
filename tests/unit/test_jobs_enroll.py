"""Enrolling a host: all files or none, whatever comes between; and the same command goes on where one was interrupted."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from hashscan.errors import FilterError, LockedError, RefusedError, ServiceUnavailable, StateError, UsageError
from hashscan.jobs import settling
from hashscan.jobs.enroll import default_label, enroll, interrupted
from hashscan.jobs.settling import Connection, Place, alone, choose
from hashscan.known.codes import Code, read_code
from hashscan.known.enrolment import Application, Handover, seal_handover
from hashscan.known.keys import KeyRing, ProviderKey
from hashscan.service import admin, enrolment
from hashscan.settings import load, read_secret
from tests.support import children
from tests.support.enrolling import DAY, NOW, Desk, found_service, opened

URL = "https://hashes.example.org"
CONNECTION = Connection(URL)
FILES = ["api-key", "config.toml", "provider-key", "root.json"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return found_service(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "hashscan"


def new_code(data: Path) -> Code:
    with opened(data) as store:
        return read_code(enrolment.new_code(store, "acme", valid=DAY, now=NOW))


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_what_an_agent_needs_for_its_owner_only(data: Path, out: Path) -> None:
    desk = Desk(data, None)
    done = enroll(new_code(data), "web1", choose(out, replace=False), CONNECTION, desk.enrol)
    assert done.provider == "acme"
    assert names(out) == FILES
    assert all(stat.S_IMODE((out / name).stat().st_mode) == 0o600 for name in FILES)
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    told = load(config=out / "config.toml", environ={}).service
    assert (told.url, told.provider) == (URL, "acme")
    assert told == done.settings.service
    assert Desk(data, Path(told.api_key_file).read_text().strip()).works()
    assert set(KeyRing.from_text(Path(told.provider_key_file).read_text()).keys) == {1}
    assert Path(told.root_file).read_bytes() == (data / "roots" / "1.root.json").read_bytes()


def test_ca_file_and_proxy_are_remembered(data: Path, out: Path) -> None:
    connection = Connection(URL, Path("/etc/ca.pem"), "http://proxy:3128", (Path("/etc/a.crt"), Path("/etc/a.key")))
    enroll(new_code(data), "web1", choose(out, replace=False), connection, Desk(data, None).enrol)
    told = load(config=out / "config.toml", environ={}).service
    assert (told.ca_file, told.proxy) == ("/etc/ca.pem", "http://proxy:3128")
    assert (told.client_cert_file, told.client_key_file) == ("/etc/a.crt", "/etc/a.key")


def test_a_refused_code_leaves_nothing(data: Path, out: Path) -> None:
    code = new_code(data)
    wrong = Code(code.id, bytes(16), code.pin)
    with pytest.raises(RefusedError):
        enroll(wrong, "web1", choose(out, replace=False), CONNECTION, Desk(data, None).enrol)
    assert not out.exists()
    out.mkdir()
    with pytest.raises(RefusedError):
        enroll(wrong, "web1", choose(out, replace=False), CONNECTION, Desk(data, None).enrol)
    assert names(out) == []


def test_a_lost_reply_costs_nothing(data: Path, out: Path) -> None:
    code, desk = new_code(data), Desk(data, None)
    desk.lose = 2
    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            enroll(code, "web1", choose(out, replace=False), CONNECTION, desk.enrol)
        assert names(out) == [".enrolling"]
        assert stat.S_IMODE((out / ".enrolling").stat().st_mode) == 0o600
    assert interrupted(out / ".enrolling", code) is not None
    assert enroll(code, "web1", choose(out, replace=False), CONNECTION, desk.enrol).provider == "acme"
    assert names(out) == FILES
    assert len(set(desk.asked)) == 1
    assert len(admin.agents(data, "acme").keys) == 1


def test_an_attempt_with_another_code_is_a_new_one(data: Path, out: Path) -> None:
    desk = Desk(data, None)
    desk.lose = 1
    with pytest.raises(ServiceUnavailable):
        enroll(new_code(data), "web1", choose(out, replace=False), CONNECTION, desk.enrol)
    code = new_code(data)
    assert interrupted(out / ".enrolling", code) is None
    enroll(code, "web1", choose(out, replace=False), CONNECTION, desk.enrol)
    assert len({Application.parse(one).api_key_sha256 for one in desk.asked}) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"code_id": 1}', b"x" * 5000])
def test_a_damaged_attempt_is_a_new_one(data: Path, out: Path, damage: bytes) -> None:
    out.mkdir(parents=True)
    (out / ".enrolling").write_bytes(damage)
    enroll(new_code(data), "web1", choose(out, replace=False), CONNECTION, Desk(data, None).enrol)
    assert names(out) == FILES


def test_a_man_in_the_middle_who_swaps_the_root_gets_nothing(data: Path, out: Path) -> None:
    """He answers himself, with a root and keys of his own, sealed as well as he can: he does not know the secret."""
    code, desk = new_code(data), Desk(data, None)
    mine = Handover("acme", KeyRing({1: ProviderKey.generate()}), b'{"signed": "my own root"}')
    for handover in (mine, Handover("acme", mine.ring, (data / "roots" / "1.root.json").read_bytes())):
        desk.change = lambda _, handover=handover: seal_handover(  # type: ignore[misc]
            handover, Application.parse(desk.asked[-1]), bytes(16)
        )
        with pytest.raises(FilterError):
            enroll(code, "web1", choose(out, replace=False), CONNECTION, desk.enrol)
        assert names(out) == [".enrolling"]
    desk.change = lambda reply: reply
    enroll(code, "web1", choose(out, replace=False), CONNECTION, desk.enrol)
    assert names(out) == FILES


def test_what_he_saw_opens_nothing(data: Path, out: Path) -> None:
    """The whole conversation holds neither the API key nor the provider key, and repeating it admits nobody else."""
    code, desk = new_code(data), Desk(data, None)
    seen: list[bytes] = []

    def tapped(reply: bytes) -> bytes:
        seen.append(reply)
        return reply

    desk.change = tapped
    enroll(code, "web1", choose(out, replace=False), CONNECTION, desk.enrol)
    talk = b"".join([*desk.asked, *seen])
    api_key = (out / "api-key").read_text().strip()
    key = KeyRing.from_text((out / "provider-key").read_text()).at(1)
    for secret in (api_key.encode(), key.raw, key.hex().encode(), code.secret, code.secret.hex().encode()):
        assert secret not in talk
    Desk(data, None).enrol(desk.asked[0])
    assert len(admin.agents(data, "acme").keys) == 1


def test_a_folder_with_an_enrolment_is_left_alone(data: Path, out: Path) -> None:
    enroll(new_code(data), "web1", choose(out, replace=False), CONNECTION, Desk(data, None).enrol)
    before = contents(out)
    with pytest.raises(UsageError, match="holds an enrolment already"):
        choose(out, replace=False)
    assert contents(out) == before


@pytest.mark.parametrize("name", FILES)
def test_one_file_of_it_is_enough(out: Path, name: str) -> None:
    out.mkdir(parents=True)
    (out / name).write_text('[service]\nurl = "https://other.example.org"\n')
    with pytest.raises(UsageError, match="holds an enrolment already"):
        choose(out, replace=False)


def test_replacing_keeps_the_old_files(data: Path, out: Path) -> None:
    enroll(new_code(data), "web1", choose(out, replace=False), CONNECTION, Desk(data, None).enrol)
    before = contents(out)
    (out / "api-key.new").write_text("of a rotation")
    enroll(new_code(data), "web1", choose(out, replace=True), Connection("https://new.example.org"), Desk(data, None).enrol)
    after = contents(out)
    assert sorted(after) == sorted([*FILES, "api-key.old", "config.toml.old"])  # root and provider key are the same
    assert (after["api-key.old"], after["config.toml.old"]) == (before["api-key"], before["config.toml"])
    assert after["api-key"] != before["api-key"]
    assert load(config=out / "config.toml", environ={}).service.url == "https://new.example.org"


def test_other_settings_in_another_folder_are_not_touched(out: Path) -> None:
    out.mkdir(parents=True)
    (out / "config.toml").write_text("[scan]\njobs = 2\n")
    for replace in (False, True):
        with pytest.raises(UsageError, match="other settings too"):
            choose(out, replace=replace)
    (out / "config.toml").write_text("[scan]\njobs = oops\n")
    with pytest.raises(UsageError, match="not TOML"):
        choose(out, replace=True)


def test_places_that_cannot_be_used_are_told_before_anybody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is not a folder"):
        choose(tmp_path / "file" / "x", replace=False)
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(UsageError, match="can be changed by others"):
        choose(tmp_path / "open", replace=False)


def test_the_environment_would_override_it(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHSCAN_SERVICE_URL", "https://other.example.org")
    with pytest.raises(UsageError, match="HASHSCAN_SERVICE_URL in the environment"):
        choose(out, replace=False)


def test_two_at_a_time_do_not_mix(data: Path, out: Path) -> None:
    out.mkdir(parents=True)
    with alone(out), pytest.raises(LockedError):
        enroll(new_code(data), "web1", choose(out, replace=False), CONNECTION, Desk(data, None).enrol)
    assert names(out) == []


def test_a_disk_that_is_full_leaves_what_was_there(data: Path, out: Path) -> None:
    """A folder in the way of the last file stands for any error of the disk."""
    enroll(new_code(data), "web1", choose(out, replace=False), CONNECTION, Desk(data, None).enrol)
    before = contents(out)
    place, code = choose(out, replace=True), new_code(data)
    (out / ".config.toml.enrolling").mkdir()
    with pytest.raises(StateError, match="cannot be written"):
        enroll(code, "web1", place, Connection("https://new.example.org"), Desk(data, None).enrol)
    (out / ".config.toml.enrolling").rmdir()
    attempt = (out / ".enrolling").read_bytes()
    assert contents(out) == {**before, ".enrolling": attempt}
    enroll(code, "web1", choose(out, replace=True), Connection("https://new.example.org"), Desk(data, None).enrol)
    assert load(config=out / "config.toml", environ={}).service.url == "https://new.example.org"


def test_an_enrolment_that_something_overrides_is_taken_back(data: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, code = choose(out, replace=False), new_code(data)
    monkeypatch.setenv("HASHSCAN_SERVICE_URL", "https://other.example.org")
    with pytest.raises(UsageError, match=r"service\.url is overridden by environment"):
        enroll(code, "web1", place, CONNECTION, Desk(data, None).enrol)
    assert names(out) == [".enrolling"]


@pytest.mark.parametrize("replace", [False, True])
def test_killed_at_every_change_of_the_disk_the_same_command_goes_on(data: Path, out: Path, *, replace: bool) -> None:
    """The process dies before each rename, link and unlink of the enrolment; until the end there is the old one or none."""
    old_url, kills = "https://old.example.org", 0
    while True:
        shutil.rmtree(out, ignore_errors=True)
        if replace:
            enroll(new_code(data), "web1", choose(out, replace=False), Connection(old_url), Desk(data, None).enrol)
        before, code = contents(out) if replace else {}, new_code(data)

        def go(code: Code = code) -> None:
            resumed = interrupted(out / ".enrolling", code) is not None
            enroll(code, "web1", choose(out, replace=replace or resumed), CONNECTION, Desk(data, None).enrol)

        def dying(moment: int = kills) -> None:
            death = children.Death(moment)
            for name in ("rename", "link", "unlink", "mkdir", "fsync"):
                _before(name, death)
            go()

        if children.run(dying) == 0:
            break
        kills += 1
        there = contents(out) if out.exists() else {}
        if replace:
            assert load(config=out / "config.toml", environ={}).service.url in {old_url, URL}
            assert there.get("api-key.old", there["api-key"]) == before["api-key"]
        go()
        assert load(config=out / "config.toml", environ={}).service.url == URL
        assert Desk(data, (out / "api-key").read_text().strip()).works()
        kept = {"api-key.old", "config.toml.old"} if replace else set()
        assert set(contents(out)) == {*FILES, *kept}
        if replace:
            assert contents(out)["api-key.old"] == before["api-key"]
    assert kills > 10
    print(f"killed at {kills} moments")


def _before(name: str, death: children.Death) -> None:
    """In a child only: the system call waits for death."""
    real = getattr(os, name)

    def call(*args: object, **more: object) -> object:
        death(name)
        return real(*args, **more)

    setattr(os, name, call)


@pytest.mark.parametrize(
    ("host", "label"),
    [("web1.example.org", "web1.example.org"), ("-x_", "x_"), ("", "agent"), ("a b/ü", "a-b--"), ("h" * 99, "h" * 64)],
)
def test_the_name_of_the_host_is_the_label(host: str, label: str) -> None:
    assert default_label(host) == label


def test_beside_a_configuration_of_its_own_it_is_a_fragment(data: Path) -> None:
    """In the configuration folder of a user who is not root: root's is the system's, so that a child becomes another user."""
    code, root = new_code(data), (data / "roots" / "1.root.json").read_bytes()
    handover = Handover("acme", KeyRing({1: ProviderKey.generate()}), root)

    def ask(body: bytes) -> bytes:
        return seal_handover(handover, Application.parse(body), code.secret)

    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o777)

        def body() -> None:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            os.environ["XDG_CONFIG_HOME"] = top
            folder = Path(top) / "hashscan"
            folder.mkdir()
            (folder / "config.toml").write_text("[scan]\njobs = 2\n")
            place = choose(folder, replace=False)
            assert place == Place(folder, folder / "conf.d" / settling.FRAGMENT, standard=True)
            done = enroll(code, "web1", place, CONNECTION, ask)
            assert (done.settings.scan.jobs, done.settings.service.url) == (2, URL)
            assert read_secret(Path(load().service.api_key_file)).startswith("hsk_")
            assert names(folder) == ["api-key", "conf.d", "config.toml", "provider-key", "root.json"]
            with pytest.raises(UsageError, match="holds an enrolment"):
                choose(folder, replace=False)
            enroll(code, "web1", choose(folder, replace=True), Connection("https://new.example.org"), ask)
            assert load().service.url == "https://new.example.org"
            assert names(folder / "conf.d") == [settling.FRAGMENT, f"{settling.FRAGMENT}.old"]
            (folder / "conf.d" / "99-mine.toml").write_text('[service]\nurl = "https://mine.example.org"\n')
            with pytest.raises(UsageError, match=r"overridden by .*99-mine"):
                enroll(code, "web1", choose(folder, replace=True), CONNECTION, ask)
            shutil.rmtree(folder)

        assert children.run(body) == 0

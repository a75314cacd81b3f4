"""Settings: every key from every source, what wins, and what is said about what is wrong. And secret files."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.errors import UsageError
from hashscan.known.keys import KeyRing
from hashscan.settings import MAX_CONFIG_BYTES, MAX_SECRET_LINES_BYTES, Settings, config_folder, load, read_secret
from hashscan.settings.pressure import PressureLimits
from hashscan.settings.timetable import Timetable, Window
from hashscan.units import parse_duration, parse_size
from tests.support.children import run

# section.key: (in TOML, in the environment, the value); paths are made absolute by the folder of the file
KEYS: dict[str, tuple[str, str, Any]] = {
    "service.url": ('"https://h.example"', "https://h.example", "https://h.example"),
    "service.provider": ('"acme"', "acme", "acme"),
    "service.api_key_file": ('"/x/key"', "/x/key", "/x/key"),
    "service.provider_key_file": ('"/x/pkey"', "/x/pkey", "/x/pkey"),
    "service.root_file": ('"/x/root"', "/x/root", "/x/root"),
    "service.client_cert_file": ('"/x/cert"', "/x/cert", "/x/cert"),
    "service.client_key_file": ('"/x/ckey"', "/x/ckey", "/x/ckey"),
    "service.ca_file": ('"/x/ca"', "/x/ca", "/x/ca"),
    "service.proxy": ('"http://p:1"', "http://p:1", "http://p:1"),
    "service.deadline": ('"2m"', "2m", 120.0),
    "service.sync_deadline": ('"1h"', "1h", 3600.0),
    "lists.max_age": ("86400", "1d", 86_400.0),
    "lists.md5_is_enough": ('["old", " older "]', "old, older", ("old", "older")),
    "lists.report_only": ('["hotline"]', "hotline", ("hotline",)),
    "scan.jobs": ("3", "3", 3),
    "scan.max_file_size": ('"1.5 GiB"', "1.5 GiB", 3 * 2**29),
    "scan.file_deadline": ("7.5", "7.5s", 7.5),
    "scan.roots": ('["/srv"]', "/srv", ("/srv",)),
    "scan.exclude": ('["*.iso", "/x/tmp/"]', "*.iso,/x/tmp/", ("*.iso", "/x/tmp/")),
    "scan.exclude_from": ('"/x/list"', "/x/list", "/x/list"),
    "scan.shard": ('"2/5"', "2/5", (2, 5)),
    "scan.checkpoint": ('"1m"', "1m", 60.0),
    "scan.resume": ('"auto"', "auto", "auto"),
    "scan.resume_within": ('"2d"', "2d", 172_800.0),
    "pace.bwlimit": ('"20M"', "20M", Timetable(((0, 20 << 20),), "20M")),
    "pace.max_iops": ("100", "100", 100),
    "pace.pressure": ('"io=30, cpu=60%"', "io=30,cpu=60", PressureLimits(io=0.3, cpu=0.6)),
    "pace.window": ('"22:00-06:00"', "22:00-06:00", Window(((1320, 360),), "22:00-06:00")),
    "pace.max_duration": ('"6h"', "6h", 21_600.0),
    "pace.splay": ('"30m"', "30m", 1800.0),
    "pace.splay_by_host": ("true", "yes", True),
    "pace.nice": ("19", "19", 19),
    "pace.ionice": ('"idle"', "idle", "idle"),
    "quarantine.enabled": ("true", "yes", True),
    "quarantine.vault": ('"/x/vault"', "/x/vault", "/x/vault"),
    "quarantine.per_run": ("7", "7", 7),
    "quarantine.per_day": ("8", "8", 8),
    "quarantine.per_entry": ("9", "9", 9),
    "quarantine.per_owner": ("0", "0", 0),
    "quarantine.allow_hard_links": ("true", "1", True),
    "tenants.profiles": ('["cpanel", "home"]', "cpanel,home", ("cpanel", "home")),
    "tenants.rules": ('["/srv/{tenant}/"]', "/srv/{tenant}/", ("/srv/{tenant}/",)),
    "evidence.recipients": ('["age1a"]', "age1a", ("age1a",)),
    "retention.profile": ('"nl"', "nl", "nl"),
    "retention.purge_after": ('"30d"', "30d", 30 * 86_400.0),
    "cache.enabled": ("false", "no", False),
    "cache.reread": ("5", "5", 5),
    "cache.max_size": ('"3M"', "3M", 3 << 20),
    "alerts.detail": ('"full"', "full", "full"),
    "alerts.file": ('"/x/log"', "/x/log", "/x/log"),
    "alerts.file_format": ('"ecs"', "ecs", "ecs"),
    "alerts.syslog": ('"/x/socket"', "/x/socket", "/x/socket"),
    "alerts.syslog_format": ('"rfc5424"', "rfc5424", "rfc5424"),
    "alerts.metrics_file": ('"/x/prom"', "/x/prom", "/x/prom"),
    "alerts.ping_url_file": ('"/x/ping"', "/x/ping", "/x/ping"),
    "alerts.webhook_url": ('"https://w.example/x"', "https://w.example/x", "https://w.example/x"),
    "alerts.webhook_secret_file": ('"/x/secret"', "/x/secret", "/x/secret"),
    "alerts.on_finding": ('["/x/a", "-v"]', "/x/a,-v", ("/x/a", "-v")),
    "alerts.on_finish": ('["/x/b"]', "/x/b", ("/x/b",)),
    "alerts.hook_timeout": ('"5s"', "5s", 5.0),
    "alerts.ca_file": ('"/x/ca2"', "/x/ca2", "/x/ca2"),
    "alerts.proxy": ('"http://p:2"', "http://p:2", "http://p:2"),
    "alerts.deadline": ('"3s"', "3s", 3.0),
    "report.keep": ("9", "9", 9),
    "report.removal_within": ('"12h"', "12h", 43_200.0),
    "paths.cache": ('"/x/cache"', "/x/cache", "/x/cache"),
    "paths.state": ('"/x/state"', "/x/state", "/x/state"),
    "paths.run": ('"/x/run"', "/x/run", "/x/run"),
    "paths.split": ("true", "yes", True),
}
FIELDS = {
    f"{section.name}.{one.name}": one
    for section in dataclasses.fields(Settings)
    if section.name not in ("origins", "part")
    for one in dataclasses.fields(getattr(Settings(), section.name))
}


def value(settings: Settings, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(getattr(settings, section), key)


def variable(name: str) -> str:
    return "HASHSCAN_" + name.replace(".", "_").upper()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "config.toml"


def written(config: Path, text: str | bytes) -> Path:
    config.parent.mkdir(exist_ok=True)
    config.write_bytes(text.encode() if isinstance(text, str) else text)
    return config


def refused(config: Path, text: str | bytes = "", environ: dict[str, str] | None = None) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load(config=written(config, text), environ=environ or {})
    return caught.value


def test_the_table_names_every_setting() -> None:
    assert set(KEYS) == set(FIELDS)


@pytest.mark.parametrize("name", KEYS)
def test_each_from_a_file_the_environment_and_a_flag(name: str, config: Path) -> None:
    toml, text, expected = KEYS[name]
    section, _, key = name.partition(".")
    from_file = load(config=written(config, f"[{section}]\n{key} = {toml}\n"), environ={})
    assert value(from_file, name) == expected
    assert from_file.origins == {name: str(config)}
    written(config, "")
    from_environment = load(config=config, environ={variable(name): text})
    assert value(from_environment, name) == expected
    assert from_environment.origins == {name: f"environment {variable(name)}"}
    assert value(load(config=config, environ={}, flags={name: text}), name) == expected
    assert load(config=config, environ={}).origins == {}
    for other in set(KEYS) - {name}:
        assert value(from_file, other) == value(load(config=config, environ={}), other)


def test_what_wins(config: Path) -> None:
    written(config, "[scan]\njobs = 1\n")
    environ = {"HASHSCAN_SCAN_JOBS": "2"}
    assert load(config=config, environ={}).scan.jobs == 1
    assert load(config=config, environ=environ).scan.jobs == 2
    chosen = load(config=config, environ=environ, flags={"scan.jobs": 3, "quarantine.enabled": None})
    assert chosen.scan.jobs == 3
    assert chosen.origins == {"scan.jobs": "flag"}
    assert load(config=config, environ=environ, flags={"scan.jobs": None}).scan.jobs == 2
    assert load(config=config, environ=environ, flags={"quarantine.enabled": False}).origins["quarantine.enabled"] == "flag"


def test_conf_d_in_the_order_of_names() -> None:
    """In a child without root, because the standard folder of root is the system's."""
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        folder = Path(base) / "hashscan"
        (folder / "conf.d").mkdir(parents=True)
        (folder / "config.toml").write_text("[scan]\njobs = 1\nfile_deadline = 5\n")
        (folder / "conf.d" / "20.toml").write_text("[scan]\njobs = 3\n")
        (folder / "conf.d" / "10.toml").write_text("[scan]\njobs = 2\n[service]\nca_file = 'ca'\n")
        (folder / "conf.d" / "30.txt").write_text("nonsense")

        def body() -> None:
            if os.geteuid() == 0:
                os.setuid(65_534)
            os.environ["XDG_CONFIG_HOME"] = str(Path(base) / "none")
            assert load(environ={}).scan.jobs == 0
            os.environ["XDG_CONFIG_HOME"] = base
            chosen = load(environ={})
            assert (chosen.scan.jobs, chosen.scan.file_deadline) == (3, 5.0)
            assert chosen.origins["scan.jobs"] == str(folder / "conf.d" / "20.toml")
            assert chosen.service.ca_file == str(folder / "conf.d" / "ca")
            assert chosen.service.api_key_file == str(folder / "api-key")

        assert run(body) == 0


# What is wrong.


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[scna]\njobs = 1", "'scan'"),
        ("[scan]\njob = 1", "'jobs'"),
        ("[service]\nurll = 'x'", "'url'"),
        ("[quarantine]\nenable = true", "'enabled'"),
        ("[service]\napi_key = 'secret'", "api_key_file"),
        ("[zzz]\n", "known are service, lists"),
        ("[paths]\nzzz = 1", "known are state"),
        ("jobs = 1", "known are"),
    ],
)
def test_an_unknown_name_and_what_may_be_meant(config: Path, text: str, hint: str) -> None:
    error = refused(config, text)
    assert str(config) in str(error)
    assert hint in error.hint


@pytest.mark.parametrize(
    ("variable", "hint"), [("HASHSCAN_SCAN_JOB", "'jobs'"), ("HASHSCAN_SCAN_", "known are"), ("HASHSCAN_LISTS", "known are")]
)
def test_an_unknown_variable(config: Path, variable: str, hint: str) -> None:
    error = refused(config, environ={variable: "1"})
    assert variable in str(error)
    assert hint in error.hint


def test_other_variables_are_none_of_ours(config: Path) -> None:
    environ = {"HASHSCAN_BUDGET": "x", "SCAN_JOBS": "x", "hashscan_scan_jobs": "x", "XHASHSCAN_SCAN_JOBS": "x"}
    assert load(config=written(config, ""), environ=environ) == load(config=config, environ={})


BAD: dict[str, list[str]] = {
    "service.url": ["1", "true", "[]", "{}", '"a\\u0000b"'],
    "service.deadline": ['"soon"', '""', "-1", "true", "nan", "inf", "-inf", '"-1s"', '"1y"', "[1]", '"9999999999w"', "1e300"],
    "lists.max_age": ['"7 days"', "1979-05-27", '"1e3"', '"' + "9" * 400 + '"'],
    "lists.md5_is_enough": ["true", "1", "[1]", '{"a" = 1}', '[["a"]]'],
    "scan.jobs": ["-1", "1.5", '"x"', "true", '""', '"-1"', '"\u0661"', "[1]", '"' + "9" * 5000 + '"'],
    "scan.max_file_size": ["-1", "1.5", '"20X"', "true", '"-1M"', '"1.5.5G"', '"nan"', '"' + "9" * 400 + 'T"', "nan", "9" * 40],
    "quarantine.enabled": ["1", "0", '"maybe"', '""', "[]", '"on "'],
    "quarantine.per_run": ["-1", "1e2", "true"],
    "quarantine.vault": ["1", "false", '"\\u0000"'],
    "scan.shard": ['"0/5"', '"6/5"', '"5"', "1", '"1/0"'],
    "scan.resume": ['"always"', "true", "[]"],
    "pace.bwlimit": [
        "20",
        '"20"',
        '"0M"',
        '"fast"',
        '"25:00,1M"',
        '"08:00"',
        '"08:00,1M 08:00,2M"',
        '"Xyz-08:00,1M"',
        '"1M:2M"',
    ],
    "pace.pressure": ["30", '"io"', '"io=0"', '"io=101"', '"disk=30"', '"io=1,io=2"'],
    "pace.window": ['"22:00"', '"22:00-22:00"', '"24:00-06:00"', '"22-6"', "[]"],
    "pace.nice": ["20", "-1", '"x"'],
    "pace.ionice": ['"realtime"', "3"],
}


@pytest.mark.parametrize(
    ("name", "bad"), [(name, bad) for name, values in BAD.items() for bad in values], ids=lambda one: one[:40]
)
def test_a_value_of_the_wrong_kind(config: Path, name: str, bad: str) -> None:
    section, _, key = name.partition(".")
    error = refused(config, f"[{section}]\n{key} = {bad}\n")
    assert name in str(error)
    assert str(config) in str(error)
    assert "must be" in str(error)


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"[scan", b"[scan]\njobs = 1\njobs = 2", b"scan = 1", b"[[scan]]\njobs = 1", b"scan = []",
     b"[scan]\njobs = " + b"9" * 5000,
     b"a = " + b"[" * 5000, b"x" * (MAX_CONFIG_BYTES + 1), b"# " + b"x" * MAX_CONFIG_BYTES, b"\0"],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_a_file_that_is_no_configuration(config: Path, text: bytes) -> None:
    assert str(config) in str(refused(config, text))


def test_a_configuration_that_cannot_be_read(config: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(config=config, environ={})
    config.mkdir(parents=True)
    with pytest.raises(UsageError, match="directory"):
        load(config=config, environ={})


# Paths.


def test_a_relative_path_belongs_to_the_folder_of_its_file(config: Path) -> None:
    text = "[service]\napi_key_file = 'k/key'\nca_file = ''\n[quarantine]\nvault = '../vault'\n[paths]\nstate = '/abs'\n"
    chosen = load(config=written(config, text), environ={"HASHSCAN_SERVICE_ROOT_FILE": "root"})
    assert chosen.service.api_key_file == str(config.parent / "k/key")
    assert chosen.service.ca_file == ""
    assert chosen.quarantine.vault == str(config.parent / "../vault")
    assert chosen.paths.state == "/abs"
    assert chosen.service.root_file == "root", "a variable is about where we stand, like an argument"


def test_the_default_names_belong_to_the_configuration_and_not_to_where_we_stand(config: Path) -> None:
    """A pinned key that lies in the folder of a tenant must not become ours because root stands there."""
    chosen = load(config=written(config, ""), environ={})
    for name, file in {
        "api_key_file": "api-key",
        "provider_key_file": "provider-key",
        "root_file": "root.json",
    }.items():
        assert getattr(chosen.service, name) == str(config.parent / file)
        assert f"service.{name}" not in chosen.origins
    assert config_folder().is_absolute()
    assert config_folder().name == "hashscan"


def test_state_run_and_vault_follow_from_one_another(config: Path) -> None:
    chosen = load(config=written(config, "[paths]\nstate = '/x/state'\nrun = '/x/run'\n"), environ={})
    assert (chosen.state_dir, chosen.run_dir, chosen.vault_dir) == (Path("/x/state"), Path("/x/run"), Path("/x/state/vault"))
    default = load(config=written(config, ""), environ={})
    assert default.state_dir.is_absolute()
    assert default.run_dir.is_absolute()
    assert default.vault_dir == default.state_dir / "vault"


# Units.


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4096", 4096), ("4096b", 4096), ("1k", 1024), ("1K", 1024), ("1KB", 1024), ("1 KiB", 1024), (" 20M ", 20 << 20),
     ("1.5G", 3 * 2**29), ("2t", 2**41), ("0.5k", 512)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("90s", 90), ("1.5m", 90), ("36h", 129_600), ("7d", 604_800), ("2 w", 1_209_600), (" 1H ", 3600)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "-1", "x", "1x", "1 2", "1,5G", "1e3", "inf", "nan", "1.", ".5", "0x10", "1kk", "\x00", "9" * 400]
)
def test_what_is_no_size_and_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|duration"):
        parse_size(text)
    with pytest.raises(ValueError, match=r"size|duration"):
        parse_duration(text)


@given(st.text())
def test_any_text_is_a_size_or_an_error(text: str) -> None:
    for parse in (parse_size, parse_duration):
        with suppress(ValueError):
            assert parse(text) >= 0


# Secrets.


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "api-key"
    path.write_text("hsk_abc\n")
    path.chmod(0o600)
    return path


def test_a_secret_is_read_without_the_space_around_it(secret: Path) -> None:
    assert read_secret(secret) == "hsk_abc"
    secret.chmod(0o400)
    assert read_secret(secret) == "hsk_abc"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644, 0o777, 0o660])
def test_a_secret_that_others_can_read(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    with pytest.raises(UsageError, match="others") as caught:
        read_secret(secret)
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize(
    "data", [b"", b"\n \n", b"\xff\xfe", b"a\0b", b"a\nb", b"a b", b"caf\xc3\xa9", b"x" * 5000, b"x" + b" " * 5000, b"\x1b[31m"]
)
def test_what_is_no_secret_is_refused_and_not_repeated(secret: Path, data: bytes) -> None:
    secret.write_bytes(data)
    with pytest.raises(UsageError, match="does not hold a key") as caught:
        read_secret(secret)
    assert "xxxx" not in str(caught.value)


def test_a_secret_of_several_lines_is_read_only_where_it_may_have_them(secret: Path) -> None:
    ring = "".join(f"{number} {'ab' * 32}\n" for number in range(1, 65))
    secret.write_text(ring)
    assert read_secret(secret, lines=True) == ring.strip()
    assert len(KeyRing.from_text(read_secret(secret, lines=True)).keys) == 64
    with pytest.raises(UsageError, match="does not hold a key"):
        read_secret(secret)
    for data in (b"", b"\n", b"1 \xff", b"1\t2", b"a\0b", b"x" * (MAX_SECRET_LINES_BYTES + 1)):
        secret.write_bytes(data)
        with pytest.raises(UsageError, match="does not hold a key"):
            read_secret(secret, lines=True)


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("missing", "directory", "fifo"):
        with pytest.raises(UsageError, match=name):
            read_secret(tmp_path / name)


def test_a_secret_of_somebody_else(secret: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("not run: only root can give a file away")
    os.chown(secret, 12_345, -1)
    with pytest.raises(UsageError, match="yours"):
        read_secret(secret)


def test_the_home_of_another_user_is_an_error_and_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after ``su`` or ``sudo``, which may leave HOME as it was."""
    home = tmp_path / "home"
    (home / ".config/hashscan").mkdir(parents=True)
    home.chmod(0)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        with pytest.raises(UsageError, match="cannot look for the configuration") as told:
            load()
    finally:
        os.seteuid(user)
        home.chmod(0o700)
    assert "HOME" in told.value.hint

"""hashscan config: what holds and why, everything that is wrong at once, a file to begin with, a schema that fits."""

from __future__ import annotations

import json
import os
import re
import socket
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hashscan.settings import load
from hashscan.settings.secrets import check_private
from hashscan.settings.sources import line_of
from hashscan.settings.writing import schema, template
from tests.support.world import Told, hashscan
from tests.unit.test_settings import BAD, KEYS


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "hashscan" / "conf.d").mkdir(parents=True)
    return tmp_path / "hashscan"


def config(etc: Path, *arguments: str, **env: str) -> Told:
    return hashscan("--config", etc / "config.toml", *arguments, env=env)


def test_what_holds_and_where_it_comes_from(etc: Path) -> None:
    (etc / "config.toml").write_text(
        '[scan]\n# a comment\njobs = 3\n[service]\nurl = "https://user:word@h.example"\n'
        "[profile.nightly]\nscan.jobs = 1\npace.nice = 19\n"
    )
    (etc / "api-key").write_text("hsk_Zebra99")
    told = config(etc, "config", "show", "--origin", HASHSCAN_PACE_BWLIMIT="08:00,1M 22:00,off")
    assert told.code == 0
    out = told.out.decode()
    assert re.search(rf"^jobs = 3 +# {etc}/config.toml:3$", out, re.MULTILINE)
    assert re.search(r'^bwlimit = "08:00,1M 22:00,off" +# environment HASHSCAN_PACE_BWLIMIT$', out, re.MULTILINE)
    assert re.search(r"^max_iops = 0 +# default$", out, re.MULTILINE)
    assert "Zebra99" not in out
    assert "word" not in out
    assert tomllib.loads(out)["scan"]["jobs"] == 3, "what is shown is TOML"
    told = hashscan("--config", etc / "config.toml", "--profile", "nightly", "config", "show", "--origin", "--changed")
    assert re.search(rf"^jobs = 1 +# {etc}/config.toml:7 \[profile.nightly\]$", told.out.decode(), re.MULTILINE)
    assert "max_iops" not in told.out.decode()
    told = config(etc, "config", "show", "--json", HASHSCAN_PROFILE="nightly")
    assert json.loads(told.out)["pace.nice"] == {"value": 19, "origin": f"{etc}/config.toml:8 [profile.nightly]"}


def test_what_is_shown_means_what_it_meant(etc: Path) -> None:
    lines: dict[str, list[str]] = {}
    for name, (toml, _, _) in KEYS.items():
        section, _, key = name.partition(".")
        lines.setdefault(section, []).append(f"{key} = {toml}")
    (etc / "config.toml").write_text("\n".join(f"[{name}]\n" + "\n".join(each) for name, each in lines.items()))
    shown = config(etc, "config", "show").out
    (etc / "again.toml").write_bytes(shown)
    first, second = load(config=etc / "config.toml", environ={}), load(config=etc / "again.toml", environ={})
    for section in lines:
        assert getattr(first, section) == getattr(second, section)


def test_everything_that_is_wrong_at_once(etc: Path) -> None:
    (etc / "config.toml").write_text(
        '[scan]\njob = 3\nfile_deadline = "soon"\n\n[scna]\njobs = 1\n[profile.nightly.pace]\nbwlimt = "1M"\nwindow = "22"\n'
        '[service]\nurl = "https://h.example"\nprovider = "acme"\nca_file = "ca.pem"\n[tenants]\nprofiles = ["cpnael"]\n'
    )
    (etc / "config.toml").chmod(0o666)
    (etc / "provider-key").write_text("x")
    (etc / "provider-key").chmod(0o644)
    told = config(etc, "config", "validate", HASHSCAN_SCAN_JOBS="many")
    assert told.code == 2
    out = told.out.decode()
    where = f"{etc}/config.toml"
    for wanted in (
        f"{where}:2: {where}: scan.job is not known; did you mean 'jobs'?",
        f"{where}:3: scan.file_deadline ({where}) must be a duration",
        f"{where}:5: {where}: section [scna] is not known; did you mean 'scan'?",
        f"{where}:8: {where}: profile.nightly.pace.bwlimt is not known; did you mean 'bwlimit'?",
        f'{where}:9: pace.window ({where} [profile.nightly]) must be hours like "22:00-06:00"',
        "scan.jobs (environment HASHSCAN_SCAN_JOBS) must be a whole number",
        f"service.api_key_file: cannot read {etc}/api-key: No such file",
        f"service.provider_key_file: the secret file {etc}/provider-key can be read by others; chmod 600",
        f"service.ca_file: cannot read {etc}/ca.pem",
        f"{where}: others can change it; chmod go-w",
        "tenants: ",
    ):
        assert wanted in out, (wanted, out)
    assert re.search(r"^hashscan: 1[0-9] problems in the configuration", told.err)


def test_a_right_configuration_is_fine(etc: Path) -> None:
    (etc / "config.toml").write_text("[scan]\njobs = 3\n")
    told = config(etc, "config", "validate")
    assert (told.code, told.out) == (0, b"fine: 1 settings of 1 file and the environment\n")


def test_what_the_first_run_makes_need_not_be_there_but_its_folder(etc: Path) -> None:
    (etc / "config.toml").write_text('[alerts]\nfile = "alerts.ndjson"\nmetrics_file = "none/hashscan.prom"\nsyslog = "log"\n')
    told = config(etc, "config", "validate")
    assert told.code == 2
    assert told.out.decode().splitlines() == [
        f"alerts.syslog: {etc}/log is no socket; does a syslog service run here?",
        f"alerts.metrics_file: {etc}/none is no folder; mkdir -m 700 {etc}/none",
    ]
    (etc / "none").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(os.path.relpath(etc / "log"))  # an address has 108 bytes at most
        assert config(etc, "config", "validate").code == 0


def test_an_unknown_profile(etc: Path) -> None:
    (etc / "config.toml").write_text("[profile.nightly.scan]\njobs = 1\n")
    told = hashscan("--config", etc / "config.toml", "--profile", "nigthly", "status")
    assert told.code == 2
    assert "'nigthly'" in told.err
    assert "did you mean 'nightly'?" in told.err
    (etc / "config.toml").write_text("")
    assert "no file has one" in hashscan("--config", etc / "config.toml", "--profile", "x", "status").err


def test_a_file_to_begin_with(etc: Path) -> None:
    told = config(etc, "config", "init")
    assert told.code == 0
    path = etc / "config.toml"
    assert load(config=path, environ={}).origins == {}
    assert tomllib.loads(path.read_text())["scan"] == {}
    again = config(etc, "config", "init")
    assert again.code == 2
    assert "is there already" in again.err
    assert config(etc, "config", "init", "-").out.decode() == template()
    assert config(etc, "config", "init", str(etc / "there" / "is.toml")).code == 0


def test_the_commented_file_says_the_defaults(etc: Path) -> None:
    body = template().partition("# A profile is taken")[0]
    bare = re.sub(r"^#([a-z0-9_]+ = )", r"\1", body, flags=re.MULTILINE)
    (etc / "all.toml").write_text(bare)
    (etc / "none.toml").write_text("")
    every, none = load(config=etc / "all.toml", environ={}), load(config=etc / "none.toml", environ={})
    assert set(every.origins) == set(KEYS)
    for name in KEYS:
        section, _, key = name.partition(".")
        assert getattr(getattr(every, section), key) == getattr(getattr(none, section), key), name
    (etc / "profile.toml").write_text(
        re.sub(r"^#(.*= )", r"\1", "#[profile" + template().partition("#[profile")[2], flags=re.MULTILINE).replace("#[", "[")
    )
    assert load(config=etc / "profile.toml", profile="nightly", environ={}).pace.nice == 19


def document(name: str, toml: str) -> dict[str, Any]:
    section, _, key = name.partition(".")
    return tomllib.loads(f"[{section}]\n{key} = {toml}\n")


def test_the_schema_takes_what_the_program_takes() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    judge = jsonschema.Draft202012Validator(schema())
    for name, (toml, _, _) in KEYS.items():
        judge.validate(document(name, toml))
        judge.validate({"profile": {"x": document(name, toml)}})
    named = {
        f"{section}.{key}"
        for section, body in schema()["properties"].items()
        if section != "profile"
        for key in body["properties"]
    }
    assert named == set(KEYS)


def test_the_schema_refuses_wrong_kinds() -> None:
    judge = jsonschema.Draft202012Validator(schema())
    refused = 0
    for name, values in BAD.items():
        for toml in values:
            try:
                body = document(name, toml)
            except ValueError:
                continue
            refused += not judge.is_valid(body)
    assert refused > 40
    assert not judge.is_valid({"scan": {"job": 1}})
    assert not judge.is_valid({"scna": {}})


def test_a_credential_takes_the_place_of_the_default_file(etc: Path, tmp_path: Path) -> None:
    handed = tmp_path / "credentials"
    handed.mkdir()
    (handed / "api-key").write_text("hsk_1")
    (handed / "api-key").chmod(0o440)
    environ = {"CREDENTIALS_DIRECTORY": str(handed)}
    path = etc / "config.toml"
    path.write_text("")
    chosen = load(config=path, environ=environ)
    assert chosen.service.api_key_file == str(handed / "api-key")
    assert chosen.origins == {"service.api_key_file": "credential"}
    assert chosen.service.provider_key_file == str(etc / "provider-key"), "what is not handed over is where it was"
    path.write_text('[service]\napi_key_file = "/x"\nprovider_key_file = "credential:mine"\n')
    chosen = load(config=path, environ=environ)
    assert chosen.service.api_key_file == "/x", "what the configuration names counts more"
    assert chosen.service.provider_key_file == str(handed / "mine")
    for text, env in (("mine", {}), ("../api-key", environ), ("", environ)):
        path.write_text(f'[service]\napi_key_file = "credential:{text}"\n')
        with pytest.raises(Exception, match="credential"):
            load(config=path, environ=env)


def test_the_mask_of_an_access_list_is_no_open_secret(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    path.write_text("x")
    path.chmod(0o440)
    status = path.stat()
    if status.st_uid == 0:
        check_private(path, status, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    path.chmod(0o444)
    for environ in ({"CREDENTIALS_DIRECTORY": str(tmp_path)}, {}):
        with pytest.raises(Exception, match="read by others"):
            check_private(path, path.stat(), environ)


def test_lines_are_found_or_not_claimed(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('a = """\n[scan]\njobs = 9\n"""\n\n[ scan ] # here\n"jobs" = 1\n[profile.a]\nscan.jobs = 2\n')
    assert line_of(path, "scan.jobs") == 7
    assert line_of(path, "scan") == 6
    assert line_of(path, "profile.a.scan.jobs") == 9
    assert line_of(path, "scan.nothing") == 0
    assert line_of(tmp_path / "none", "scan") == 0

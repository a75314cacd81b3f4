"""Word for word: what acts write into log, records, certificate and cover, which steps they take, and what they make durable.

Whoever reads these files years later has only their words, so a change of one is a change of the format and shows here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from hashscan.errors import QuarantineError
from hashscan.model import Algorithm, CaseState, Place
from hashscan.quarantine.export import Request
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.log import Line, read_line
from hashscan.quarantine.record import FileFacts, Form, HoldingPlace, LegalHold, Proof, Record, Restoring, Retention, Stored
from hashscan.quarantine.record import Line as Step
from hashscan.quarantine.record_codec import decode, encode
from hashscan.quarantine.restore import Wish
from hashscan.quarantine.vault import Vault
from hashscan.strict_json import StrictJsonError
from tests.support.findings import make_finding
from tests.support.storytelling import NOW, Story, made_durable

pytestmark = pytest.mark.usefixtures("no_descriptor_is_lost")

PROOF = "35a3b9b37a5accdcd710c68f60ba59d117f4df9f501694fcc71c98ba1a267da2"
DIGESTS = {
    "blake3": "e3e05f6fc147f6b224d3ac561406bfc0c5f67d7cf8f8a31389a657c486022f9c",
    "md5": "d8eced3b06972df4d1dd7d835fc3edd3",
    "sha1": "6fe234f247909733442aa2d05437498aaf83a01e",
}
COVER = """\
CASE {case}
Exported 2026-09-21 14:13:20 UTC by hashscan. Restricted: hand over only to the authority that asked for it.

What this is
  A file that agrees with entry police-nl/entry of a of a hash list, as a signed verdict says
  (abababababababababababababababababababababababababababababababab). Nobody needs to look at it to check that.

The file
  size     8 bytes
  blake3   {blake3}
  md5      {md5}
  sha1     {sha1}

Legal holds
  {hold}  police: case 7

History
  2026-09-21 14:13:20 UTC  intent     \n\
  2026-09-21 14:13:20 UTC  copied     \n\
  2026-09-21 14:13:20 UTC  committed  \n\
  2026-09-21 14:13:20 UTC  done       \n\
  2026-09-21 14:13:20 UTC  done       legal hold {hold} for police

How to check this bundle
  sha256sum -c SHA256SUMS
  The signed verdict is verdict.json (a DSSE envelope), what it rests on proof.json. On the host it came from:
  hashscan audit verdict {case}

How to open the evidence
  The evidence is NOT encrypted. Do not open it to look at it; compare its digests.
"""


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def _live(story: Story) -> dict[str, str]:
    """All acts once; the ids by name."""
    ids = {"a": story.take("a")}
    for name in "bc":
        ids[name] = story.take(name, Limits(per_run=0))
    vault = story.vault()
    released = vault.release(ids["b"], make_finding(story.tree / "b", story.tree, entry="entry of b")).case_id
    story.names[released] = "<b2>"
    vault.dismiss(ids["c"], "no")
    (story.tree / "a").write_bytes(b"new")
    with pytest.raises(QuarantineError, match="name is taken"):
        vault.restore(ids["a"])
    vault.restore(ids["a"], Wish(beside=True))
    (story.top / "back").mkdir()
    vault.restore(ids["a"], Wish(to=story.top / "back"))
    vault.hold(ids["a"], by="police", reason="case 7")
    (hold,) = vault.record(ids["a"])["holds"]
    story.names[hold["id"]] = "<hold>"
    vault.lift(ids["a"], hold["id"], "closed")
    vault.export(ids["a"], Request(story.top / "out", plain=True))
    vault.shown(ids["a"], "its names")
    vault.shown("", "all names")
    vault.purge(ids["a"], by="ann", reason="time is over")
    return {**ids, "b2": released}


LIMIT = "the limit of 0 removals in one run is reached; a person must look"


def test_the_log_in_words(story: Story) -> None:
    ids = _live(story)
    beside = f"<top>/srv/a.restored-{ids['a'][:8]}"
    log = story.log()
    assert re.fullmatch("[0-9a-f]{64}", log[-2][2])
    log[-2] = (*log[-2][:2], "<digest>")
    assert log == [
        ("take-intent", "<a>", "entry entry of a, 8 bytes"),
        ("taken", "<a>", ""),
        ("held-intent", "<b>", LIMIT),
        ("held", "<b>", LIMIT),
        ("held-intent", "<c>", LIMIT),
        ("held", "<c>", LIMIT),
        ("take-intent", "<b2>", "entry entry of b, 8 bytes"),
        ("taken", "<b2>", ""),
        ("released", "<b>", "taken as case <b2>"),
        ("dismissed", "<c>", "no"),
        ("restore-intent", "<a>", "into its place"),
        ("not-restored", "<a>", "case <a> was not restored: its name is taken: <top>/srv/a"),
        ("restore-intent", "<a>", "into its place"),
        ("restored", "<a>", f"restored as {beside}"),
        ("restore-intent", "<a>", "into another directory"),
        ("restored", "<a>", "restored as <top>/back/a"),
        ("hold", "<a>", "<hold> for police: case 7"),
        ("unhold", "<a>", "<hold>: closed"),
        ("exported", "<a>", "<top>/out (plain)"),
        ("shown", "<a>", "its names"),
        ("shown", "", "all names"),
        ("purge-intent", "<a>", "time is over (ann)"),
        ("certified", "<a>", "<digest>"),
        ("purged", "<a>", "8 bytes of evidence"),
    ]


def test_the_histories_in_words(story: Story) -> None:
    ids = _live(story)
    beside = f"<top>/srv/a.restored-{ids['a'][:8]}"
    told = {
        name: [(line["state"], story.told(line["note"])) for line in story.vault().record(case_id)["history"]]
        for name, case_id in ids.items()
    }
    taken = [("intent", ""), ("copied", ""), ("committed", ""), ("done", "")]
    assert told == {
        "a": [
            *taken,
            ("restored", f"restored as {beside}"),
            ("restored", "restored as <top>/back/a"),
            ("restored", "legal hold <hold> for police"),
            ("restored", "legal hold <hold> lifted: closed"),
            ("purged", "time is over (ann)"),
        ],
        "b": [("held", LIMIT), ("released", "released by a person; taken as case <b2>")],
        "c": [("held", LIMIT), ("dismissed", "no")],
        "b2": taken,
    }
    record = story.vault().record(ids["b"])
    assert (record["trigger"], story.told(record["released_to"])) == ("scan 7", "<b2>")
    assert record["retention"] == {"profile": "nl", "purge_after": NOW + 86_400.0}
    assert record["proof"] == {"sha256": PROOF, "provider": "acme", "confirm_key": "00" * 32}
    assert record["stored"] == {"form": "none", "size": 0, "blake3": "", "recipients": []}
    assert (record["parent"], record["holding"]) == (0, {"directory_b64": "", "device": 0, "inode": 0, "mount": 0})
    assert record["file"]["xattrs_b64"] == {}
    assert record["file"]["xattrs_complete"] is False
    assert (record["file"]["atime_ns"], record["file"]["mode"]) == (0, 0o644)
    purged = story.vault().record(ids["a"])
    assert (purged["stored"], purged["restoring"]) == (record["stored"], None)


def test_the_certificate_in_words(story: Story) -> None:
    case_id = _live(story)["a"]
    path = story.top / f"vault/certificates/{case_id}.json"
    document = {
        "by": "ann",
        "case": case_id,
        "entry": "police-nl/entry of a",
        "file": {"size": 8, **DIGESTS},
        "log_line": 22,
        "opened": NOW,
        "purged": NOW,
        "reason": "time is over",
        "reminder": (
            "The bytes were removed from the vault. Snapshots, backups, replicas and free blocks of disks may still hold them."
        ),
        "schema": "hashscan.purge-certificate/1",
        "stored": {"form": "plain", "size": 8, "blake3": DIGESTS["blake3"]},
        "verdict": "ab" * 32,
    }
    assert path.read_text() == json.dumps(document, indent=1, sort_keys=True) + "\n"


def test_the_cover_in_words(story: Story) -> None:
    case_id = story.take("a")
    vault = story.vault()
    vault.hold(case_id, by="police", reason="case 7")
    (hold,) = vault.record(case_id)["holds"]
    vault.export(case_id, Request(story.top / "out", plain=True))
    assert (story.top / "out/cover.txt").read_text() == COVER.format(case=case_id, hold=hold["id"], **DIGESTS)
    assert (story.top / "out/verdict.json").read_bytes() == b"signed\n"
    record = (story.top / "out/record.json").read_text()
    assert record == json.dumps(vault.record(case_id), indent=1, sort_keys=True) + "\n"
    sums = (story.top / "out/SHA256SUMS").read_text()
    names = sorted(path.name for path in (story.top / "out").iterdir() if path.name != "SHA256SUMS")
    assert sums == "".join(f"{hashlib.sha256((story.top / 'out' / name).read_bytes()).hexdigest()}  {name}\n" for name in names)


TAKE = (
    "keep proof, write log, make case, record intent, make copy, reserve copy, write copy, record copied, prepare commit, "
    "capture, sync move, commit, unlink held, sync holding, record done, write log"
)
STEPS: dict[str, tuple[Callable[[Vault, str, Path], object], str]] = {
    "restore": (
        lambda vault, case_id, _: vault.restore(case_id),
        "write log, make new file, record done, write new file, name new file, sync new file, record restored, write log",
    ),
    "hold": (lambda vault, case_id, _: vault.hold(case_id, by="x", reason="y"), "write log, record done"),
    "purge": (
        lambda vault, case_id, _: vault.purge(case_id, by="x", reason="y"),
        "write log, write certificate, write log, record purged, remove copy, write log",
    ),
    "export": (lambda vault, case_id, top: vault.export(case_id, Request(top / "out", plain=True)), "write log"),
    "show": (lambda vault, case_id, _: vault.shown(case_id, "x"), "write log"),
    "recover": (lambda vault, *_: vault.recover(), ""),
}


def _both(steps: str) -> list[str]:
    return [f"{when} {step}" for step in steps.split(", ") if step for when in ("before", "after")]


def test_the_steps_of_taking_and_holding(story: Story) -> None:
    story.take("a")
    assert story.steps == _both(TAKE)
    story.steps.clear()
    story.take("b", Limits(per_run=0))
    assert story.steps == _both("keep proof, write log, make case, record held, write log")


@pytest.mark.parametrize(("act", "steps"), STEPS.values(), ids=STEPS)
def test_the_steps_of_acts(story: Story, tmp_path: Path, act: Callable[[Vault, str, Path], object], steps: str) -> None:
    """The harnesses that kill between any two steps know no others."""
    case_id = story.take("a")
    story.steps.clear()
    act(story.vault(), case_id, tmp_path)
    assert story.steps == _both(steps)


BUNDLE = ("record.json", "verdict.json", "log-excerpt.ndjson", "proof.json", "content", "cover.txt", "SHA256SUMS")
RECORD, CASE = "vault/cases/<a>/.record.json.new", "vault/cases/<a>"
DURABLE: dict[str, tuple[Callable[[Vault, str, Path], object], list[str]]] = {
    "restore": (STEPS["restore"][0], ["vault/log", RECORD, CASE, "srv/unnamed", "srv", RECORD, CASE, "vault/log"]),
    "hold": (STEPS["hold"][0], ["vault/log", RECORD, CASE]),
    "purge": (
        STEPS["purge"][0],
        [
            *("vault/log", "<top>", "vault", "vault/certificates/.<a>.json.new", "vault/certificates", "vault/log"),
            *(RECORD, CASE, CASE, "vault/log"),
        ],
    ),
    "export": (
        STEPS["export"][0],
        [
            *("<top>", "vault/log"),
            *(
                one
                for name in (
                    "record.json",
                    "verdict.json",
                    "log-excerpt.ndjson",
                    "proof.json",
                    "content",
                    "cover.txt",
                    "SHA256SUMS",
                )
                for one in (f"out/.{name}.new", "out")
            ),
        ],
    ),
}


def test_what_taking_makes_durable_in_order(story: Story) -> None:
    """In a model of the disk: tests/hostile/test_power_loss.py."""
    story.take("first")  # makes the vault
    with made_durable(story) as told:
        story.take("a")
    assert [story.told(one) for one in told] == [
        *("<top>", "vault", "vault", "vault/proofs", "vault/log"),
        *("vault/cases", RECORD, CASE, f"{CASE}/content", RECORD, CASE, "vault/cases/<a>/.commit.json.new", CASE),
        *("vault/holding", "srv", CASE, "vault/holding", RECORD, CASE, "vault/log"),
    ]


@pytest.mark.parametrize(("act", "durable"), DURABLE.values(), ids=DURABLE)
def test_what_acts_make_durable_in_order(
    story: Story, tmp_path: Path, act: Callable[[Vault, str, Path], object], durable: list[str]
) -> None:
    case_id = story.take("a")
    with made_durable(story) as told:
        act(story.vault(), case_id, tmp_path)
    assert told == durable


# The bytes of a line and of a record.

LINE = Line(7, 1.5, "r\u00f6\u00f6t", "taken", "ab" * 8, 'de"tail', "0" * 64)


def test_the_bytes_of_a_line() -> None:
    body = (
        b'{"actor":"r\\u00f6\\u00f6t","at":1.5,"case":"abababababababab","detail":"de\\"tail",%b"n":7,"prev":"'
        + b"0" * 64
        + b'","what":"taken"}'
    )
    digest = blake3(body % b"", derive_key_context="hashscan log v1").hexdigest()
    assert LINE.hash == digest
    assert LINE.encode() == body % (b'"hash":"%b",' % digest.encode()) + b"\n"
    assert read_line(LINE.encode()[:-1]) == LINE


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({"n": 0}, False),
        ({"n": 1}, True),
        ({"n": 2**53}, True),
        ({"n": 2**53 + 1}, False),
        ({"actor": ""}, False),
        ({"actor": "x" * 256}, True),
        ({"actor": "x" * 257}, False),
        ({"what": "x" * 32}, True),
        ({"what": "x" * 33}, False),
        ({"case": ""}, True),
        ({"case": "a" * 32}, True),
        ({"case": "a" * 33}, False),
        ({"detail": "x" * 2000}, True),
        ({"detail": "x" * 2001}, False),
        ({"prev": "0" * 63}, False),
    ],
)
def test_the_bounds_of_a_line(change: dict[str, object], fits: bool) -> None:
    line = replace(LINE, **change)  # type: ignore[arg-type]
    if fits:
        assert read_line(line.encode()[:-1]) == line
    else:
        with pytest.raises(StrictJsonError, match="line"):
            read_line(line.encode()[:-1])


FULL = Record(
    id="ab" * 8,
    state=CaseState.RESTORED,
    opened=1.5,
    reason="why",
    trigger="scan 7",
    place=Place(b"/srv", b"www/\xff"),
    parent=11,
    file=FileFacts(1, 2, 3, 0o640, 5, 6, 7, 8, 9, 10, {b"user.a": b"\0"}, True),
    digests={Algorithm.SHA1: "12" * 20, Algorithm.MD5: "34" * 16},
    finding={"list": {"id": "l"}, "entry": "e", "verdict_id": "v", "envelope_b64": "c2lnbmVk"},
    holding=HoldingPlace(b"/mnt/.hashscan-holding", 1, 2, 3),
    history=(Step(CaseState.DONE, 2.5, "note"),),
    restoring=Restoring(Place(b"/srv", b"x"), 12, b".tmp"),
    tenant="alice",
    stored=Stored(Form.SEALED, 99, "56" * 32, ("age1x",)),
    holds=(LegalHold("h", "police", "case 7", 3.5),),
    retention=Retention("us", 4.5),
    released_to="cd" * 8,
    proof=Proof("78" * 32, "acme", "9a" * 32),
)


def test_the_bytes_of_a_record() -> None:
    """A change of these is another schema (docs/formats.md)."""
    data = encode(FULL)
    assert blake3(data).hexdigest() == "680c9e7dbacea9f123031406edd66a170231bf87de16858b4f9ac3a435d8bb64", data.decode()
    assert decode(data) == FULL
    least = replace(FULL, restoring=None, proof=None, retention=Retention("", None), holds=(), history=())
    assert decode(encode(least)) == least

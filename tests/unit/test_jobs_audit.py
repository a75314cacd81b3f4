"""Why was this file taken? The proof holds with nothing but the vault and the pinned root, and one altered byte breaks it."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hashscan.errors import ExitCode, UsageError
from hashscan.jobs.audit import Step, audit_verdict
from hashscan.jobs.confirm import Court, ServiceConfirmer
from hashscan.known import envelopes
from hashscan.known.keys import KeyRing, ProviderKey
from hashscan.known.trust import TufTrust
from hashscan.known.verdicts import verdict_id
from hashscan.model import Act, Algorithm, Candidate, HashedFile, Standing, VerdictKey
from hashscan.ports import Trust
from hashscan.quarantine import proofs, record_codec
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Grounds, Manner, Vault
from tests.support.budget import attempts
from tests.support.findings import digests_of, make_entry
from tests.support.hotline import LIST, NOW, PROVIDER, Hotline, Known

CONTENT = b"harmless and long enough that a byte can be altered in its middle"
STEPS = [
    "record", "content", "verdict", "signed lists", "root", "signature", "time", "provider", "list", "entry", "digests",
    "permission",
]  # fmt: skip


class Host:
    """A host that has taken one file, on the word of a hotline."""

    def __init__(self, folder: Path, known: Known | None = None, *, keep: bool = True, name: str = "a.jpg") -> None:
        self.folder = folder
        self.hotline = Hotline(lists={LIST: [known or Known(CONTENT), Known(b"another")]})
        self.root = self.hotline.root
        self.take(name, keep=keep)

    def take(self, name: str, *, keep: bool = True) -> str:
        """Publish, confirm, take; the id of the case."""
        tree = self.folder / "srv"
        tree.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(CONTENT)
        proof = self.hotline.publish()
        lists = self.hotline.trust(self.folder / "tuf").reopen(proof)
        ring = self.hotline.key
        court = Court(self.hotline, lists.verdict_keys, ring, PROVIDER, self.hotline.now, md5_is_enough=frozenset({LIST.id}))
        hashed = HashedFile(make_entry(tree / name, tree), digests_of(CONTENT))
        (ruling,) = ServiceConfirmer(court).confirm([Candidate(hashed, (LIST,))])
        assert ruling.finding is not None
        grounds = Grounds(PROVIDER, proof, lambda ref: ring.confirm_key(ref.id, ref.epoch))
        result = Vault(self.folder / "vault", Limits(), manner=Manner("test", grounds if keep else None)).handle(ruling.finding)
        assert result.action == "quarantined", result.reason
        self.case = result.case_id
        self.where = self.folder / "vault" / "cases" / self.case
        return self.case

    def trust(self, provider: str) -> Trust:
        return TufTrust(self.root, provider, self.folder / "nowhere")

    def audit(self) -> list[Step]:
        return list(audit_verdict(Vault(self.folder / "vault", Limits()), self.case, self.trust))

    def broken(self) -> tuple[str, ExitCode]:
        """The step that does not hold; each before it does."""
        steps = self.audit()
        assert [one.name for one in steps] == STEPS[: len(steps)]
        assert [one.holds for one in steps] == [True] * (len(steps) - 1) + [False], steps
        assert steps[-1].seen
        return steps[-1].name, steps[-1].code

    def document(self) -> dict[str, Any]:
        return record_codec.check((self.where / "record.json").read_bytes())

    def reseal(self, document: Mapping[str, Any]) -> None:
        """What root on this host could do: the checksum is no signature."""
        body = {**document, "checksum": record_codec._checksum(document)}
        (self.where / "record.json").write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_every_step_holds_without_anybody_being_asked(host: Host) -> None:
    asked = len(host.hotline.asked), len(host.hotline.repository.asked)
    steps = host.audit()
    assert [(one.name, one.holds) for one in steps] == [(name, True) for name in STEPS]
    assert all(one.seen for one in steps)
    assert (len(host.hotline.asked), len(host.hotline.repository.asked)) == asked
    assert not (host.folder / "nowhere").exists()
    assert list(audit_verdict(Vault(host.folder / "vault", Limits()), host.case[:3], host.trust)) == steps


def test_what_was_purged_cannot_be_looked_at_again(host: Host) -> None:
    Vault(host.folder / "vault", Limits()).purge(host.case, by="ann", reason="the law")
    assert host.broken() == ("content", ExitCode.ACTION_FAILED)
    assert f"certificates/{host.case}.json" in host.audit()[-1].seen
    assert (host.folder / "vault" / "certificates" / f"{host.case}.json").exists()


def test_years_later_everything_has_changed_but_the_pinned_root(host: Host) -> None:
    """New verdict keys, new provider key, new root keys, the list gone: what is kept is enough."""
    first = host.case
    hotline = host.hotline
    hotline.signing = envelopes.SigningKey.generate()
    hotline.verdict_keys = (VerdictKey(hotline.signing.public_hex(), NOW),)
    hotline.key = KeyRing({**hotline.key.keys, 2: ProviderKey(bytes([9]) * 32)})
    hotline.repository.add_root()
    later = host.take("b.jpg")
    host.case = first
    host.where = host.folder / "vault" / "cases" / first
    assert all(one.holds for one in host.audit())
    host.case = later
    assert all(one.holds for one in host.audit())


def test_the_proof_is_kept_once_for_all_cases_that_rest_on_it(tmp_path: Path) -> None:
    host = Host(tmp_path)
    folder = host.folder / "vault" / "proofs"
    (kept,) = folder.iterdir()
    before = kept.stat().st_mtime_ns, kept.stat().st_ino
    proof = kept.read_bytes()
    grounds = Grounds(PROVIDER, proof, lambda ref: host.hotline.key.confirm_key(ref.id, ref.epoch))
    named = proofs.keep(host.folder / "vault", grounds, LIST)
    assert kept.name == f"{named.sha256}.json"
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == before, "written once"
    assert (kept.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    kept.write_bytes(proof[:-1])
    assert proofs.read(host.folder / "vault", named.sha256) == b""
    assert proofs.keep(host.folder / "vault", grounds, LIST) == named
    assert proofs.read(host.folder / "vault", named.sha256) == proof, "what was damaged is made whole by the next case"
    assert named.confirm_key not in repr(named)


def test_an_altered_byte_anywhere_breaks_the_step_that_is_about_it(host: Host) -> None:
    """Every byte of the content, and as many of the record and of the proof as there is time for."""
    (proof,) = (host.folder / "vault" / "proofs").iterdir()
    rng = random.Random(7)
    count = 0
    for path, steps in (
        (host.where / "content", {"content"}),
        (host.where / "record.json", {"record"}),
        (proof, {"signed lists"}),
    ):
        data = path.read_bytes()
        places = range(len(data)) if len(data) < 100 else rng.sample(range(len(data)), min(len(data), attempts(500)))
        for place in places:
            path.write_bytes(data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :])
            assert host.broken()[0] in steps, (path.name, place)
            count += 1
        for changed in (data[:-1], data + b"\n", b""):
            path.write_bytes(changed)
            assert host.broken() == (min(steps), ExitCode.ACTION_FAILED)
        path.unlink()
        assert host.broken()[0] in steps
        path.write_bytes(data)
    assert all(one.holds for one in host.audit()), "the control: put back, it holds"
    print(f"{count} altered bytes")


def _set(document: dict[str, Any], place: str, value: Any) -> None:
    *way, last = place.split(".")
    for key in way:
        document = document[key]
    document[last] = value


def _another_content(host: Host, document: dict[str, Any]) -> None:
    """A file that was never on the list is put in the place of the evidence, with digests that are right for it."""
    (host.where / "content").write_bytes(b"x" * len(CONTENT))
    algorithms = map(Algorithm, document["digests"])
    document["digests"] = {one.value: value for one, value in digests_of(b"x" * len(CONTENT), algorithms).items()}
    document["stored"]["blake3"] = digests_of(b"x" * len(CONTENT), [Algorithm.BLAKE3])[Algorithm.BLAKE3]


def _another_envelope(
    change: Callable[[dict[str, Any]], None], signing: str = "theirs"
) -> Callable[[Host, dict[str, Any]], None]:
    def forge(host: Host, document: dict[str, Any]) -> None:
        said = json.loads(base64.b64decode(document["finding"]["envelope_b64"]))
        payload = json.loads(base64.b64decode(said["payload"]))
        change(payload)
        key = host.hotline.signing if signing == "ours" else envelopes.SigningKey.generate()
        envelope = key.seal(json.dumps(payload).encode(), envelopes.VERDICT)
        document["finding"]["envelope_b64"] = base64.b64encode(envelope).decode()
        document["finding"]["verdict_id"] = verdict_id(envelope)

    return forge


def _another_proof(host: Host, document: dict[str, Any]) -> None:
    """A hotline of the forger's own vouches for everything."""
    other = Hotline(lists=host.hotline.lists, signing=host.hotline.signing)
    grounds = Grounds(PROVIDER, other.publish(), lambda ref: bytes.fromhex(document["proof"]["confirm_key"]))
    document["proof"]["sha256"] = proofs.keep(host.folder / "vault", grounds, LIST).sha256


def _another_version(host: Host, document: dict[str, Any]) -> None:
    _another_envelope(lambda payload: payload["list"].update(version=6), "ours")(host, document)
    document["finding"]["list"]["version"] = 6


def _plain(place: str, value: Any) -> Callable[[Host, dict[str, Any]], None]:
    return lambda host, document: _set(document, place, value)


FORGERIES: dict[str, tuple[Callable[[Host, dict[str, Any]], None], str]] = {
    "another content": (_another_content, "digests"),
    "another digest": (_plain("digests.sha1", "00" * 20), "content"),
    "another size": (_plain("file.size", 3), "content"),
    "another verdict id": (_plain("finding.verdict_id", "ab" * 32), "verdict"),
    "no envelope": (_plain("finding.envelope_b64", ""), "verdict"),
    "an envelope that is none": (_plain("finding.envelope_b64", "*"), "verdict"),
    "a local list": (_plain("finding.source", "local"), "verdict"),
    "no proof": (_plain("proof", None), "signed lists"),
    "a proof that is not there": (_plain("proof.sha256", "ab" * 32), "signed lists"),
    "a proof of a service of one's own": (_another_proof, "root"),
    "another provider": (_plain("proof.provider", "other"), "root"),
    "a verdict by another key": (_another_envelope(lambda payload: None), "signature"),
    "an altered verdict": (_another_envelope(lambda payload: payload.update(ttl=1)), "signature"),
    "another list": (_plain("finding.list", {"id": "police", "version": 8, "epoch": 1}), "list"),
    "another entry": (_plain("finding.entry", "e_0"), "entry"),
    "another confirm key": (_plain("proof.confirm_key", "00" * 32), "digests"),
    "signed, for another provider": (_another_envelope(lambda payload: payload.update(provider="b"), "ours"), "provider"),
    "signed, and it says nothing": (_another_envelope(lambda payload: payload.update(items=[]), "ours"), "entry"),
    "signed, and no verdict": (_another_envelope(lambda payload: payload.pop("items"), "ours"), "signature"),
    "signed, about a list that was not in force": (_another_version, "list"),
}


@pytest.mark.parametrize(("forge", "step"), FORGERIES.values(), ids=FORGERIES)
def test_a_forged_record_with_a_right_checksum(host: Host, forge: Callable[[Host, dict[str, Any]], None], step: str) -> None:
    document = host.document()
    host.reseal(document)
    assert all(one.holds for one in host.audit()), "the control: resealed unchanged, it holds"
    forge(host, document)
    host.reseal(document)
    assert host.broken()[0] == step


@pytest.mark.parametrize(("since", "until"), [(NOW + 1, None), (0.0, NOW - 1)])
def test_a_key_that_was_not_in_use_when_the_verdict_was_issued(host: Host, since: float, until: float | None) -> None:
    """A key that leaked after it was retired signs nothing that is believed."""
    document = host.document()
    hotline = host.hotline
    hotline.verdict_keys = (VerdictKey(hotline.signing.public_hex(), since, until),)
    grounds = Grounds(PROVIDER, hotline.publish(), lambda ref: bytes.fromhex(document["proof"]["confirm_key"]))
    document["proof"]["sha256"] = proofs.keep(host.folder / "vault", grounds, LIST).sha256
    host.reseal(document)
    assert host.broken() == ("time", ExitCode.FILTER)


def test_what_the_verdict_permitted(host: Host) -> None:
    for name, value in (("standing", Standing.DISPUTED.value), ("act", Act.REPORT.value)):

        def change(payload: dict[str, Any], name: str = name, value: str = value) -> None:
            payload["items"][0]["entries"][0][name] = value

        document = host.document()
        _another_envelope(change, "ours")(host, document)
        host.reseal(document)
        assert host.broken() == ("permission", ExitCode.FILTER)


def test_another_root(host: Host) -> None:
    host.root = Hotline().root
    assert host.broken() == ("root", ExitCode.FILTER)
    host.root = b"{}"
    assert host.broken() == ("root", ExitCode.FILTER)


def test_md5_alone_is_said(tmp_path: Path) -> None:
    steps = Host(tmp_path, Known(CONTENT, algorithms=(Algorithm.MD5,))).audit()
    assert all(one.holds for one in steps)
    (digests,) = (one for one in steps if one.name == "digests")
    assert "md5, which this host accepted alone" in digests.seen


def test_a_case_from_before_proofs_were_kept_still_opens_and_proves_nothing(tmp_path: Path) -> None:
    host = Host(tmp_path, keep=False)
    document = host.document()
    del document["proof"]
    host.reseal(document)
    vault = Vault(host.folder / "vault", Limits())
    assert [case.id for case in vault.cases()] == [host.case]
    assert host.broken() == ("signed lists", ExitCode.ACTION_FAILED)


def test_a_case_that_is_not_there(host: Host) -> None:
    vault = Vault(host.folder / "vault", Limits())
    with pytest.raises(UsageError, match="no case"):
        list(audit_verdict(vault, "f" if not host.case.startswith("f") else "0", host.trust))


def test_what_cannot_be_read_is_said(host: Host) -> None:
    (host.where / "record.json").unlink()
    (host.where / "record.json").mkdir()
    assert host.broken() == ("record", ExitCode.ACTION_FAILED)

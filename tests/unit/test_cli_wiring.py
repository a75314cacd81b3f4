"""The composition root: what the settings say is what the tools are, and what is half said is refused."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hashscan.cli import engines, plans, wiring
from hashscan.errors import ExitCode, FilterError, QuarantineError, UsageError
from hashscan.known.keys import KeyRing, ProviderKey
from hashscan.model import ListRef
from hashscan.settings import Settings
from tests.support.acting import Told
from tests.support.findings import make_finding
from tests.support.hotline import LIST, PROVIDER, Hotline

RING = KeyRing({1: ProviderKey(bytes(range(32))), 4: ProviderKey(bytes([4]) * 32)})


class Etc:
    """The files of an enrolment, and a state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hotline = Hotline(key=RING, now=time.time)
        for name, text in {"api-key": "hsk_1", "provider-key": RING.text()}.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        (folder / "root.json").write_bytes(self.hotline.root)
        self.sections: dict[str, dict[str, Any]] = {
            "service": {"url": "https://hashes.example", "provider": PROVIDER},
            "paths": {"state": "state", "run": "run", "cache": "cache"},
        }

    def settings(self, **sections: dict[str, Any]) -> Settings:
        lines = []
        for name in {**self.sections, **sections}:
            keys = {**self.sections.get(name, {}), **sections.get(name, {})}
            values = {key: str(value).lower() if isinstance(value, bool) else repr(value) for key, value in keys.items()}
            lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]
        (self.folder / "config.toml").write_text("\n".join(lines) + "\n")
        return wiring.settings(self.folder / "config.toml")

    def synced(self, chosen: Settings) -> wiring.ServiceTools:
        """The tools of a host that has synced."""
        self.hotline.publish()
        tools = wiring.service_tools(chosen)
        lists = tools.trust.refresh(self.hotline)
        for target in lists.targets:
            tools.shelf.put(target, self.hotline.fetch(target.filter.name, max_bytes=target.filter.length))
        tools.shelf.bring_into_force(lists, time.time())
        return tools


@pytest.fixture
def etc(tmp_path: Path) -> Etc:
    return Etc(tmp_path)


def test_the_link_is_what_the_settings_say(etc: Etc) -> None:
    for name in ("cert.pem", "key.pem"):
        (etc.folder / name).write_text("x")
    link = wiring.link(
        etc.settings(
            service={
                "client_cert_file": "cert.pem", "client_key_file": "key.pem", "ca_file": "ca.pem", "proxy": "http://p:1",
                "deadline": "5s", "sync_deadline": "2m",
            }
        )
    )  # fmt: skip
    assert (link.url, link.api_key, link.proxy, link.deadline, link.total) == (
        "https://hashes.example", "hsk_1", "http://p:1", 5.0, 120.0,
    )  # fmt: skip
    assert link.client_cert == (etc.folder / "cert.pem", etc.folder / "key.pem")
    assert link.ca_file == etc.folder / "ca.pem"
    bare = wiring.link(etc.settings())
    assert (bare.client_cert, bare.ca_file, bare.proxy, bare.total) == (None, None, None, 900.0)


@pytest.mark.parametrize("given", ["client_cert_file", "client_key_file"])
def test_half_a_client_certificate_is_a_mistake(etc: Etc, given: str) -> None:
    with pytest.raises(UsageError, match="private key") as caught:
        wiring.link(etc.settings(service={given: "x.pem"}))
    assert "client_cert_file" in caught.value.hint
    assert "client_key_file" in caught.value.hint


def test_the_pinned_root_is_a_file_of_the_enrolment(etc: Etc) -> None:
    chosen = etc.settings()
    assert wiring.service_tools(chosen).trust.reopen(etc.hotline.publish()).provider == PROVIDER
    (etc.folder / "root.json").unlink()
    with pytest.raises(UsageError, match=r"root\.json"):
        wiring.service_tools(chosen)
    (etc.folder / "root.json").write_bytes(b"x" * 600_000)
    with pytest.raises(UsageError, match="longer"):
        wiring.service_tools(chosen)


def test_an_audit_begins_with_any_root_and_asks_for_no_key(etc: Etc) -> None:
    """Years later, on another machine: the proof, the root file, nothing else."""
    proof, chosen = etc.hotline.publish(), etc.settings(service={"url": "", "provider": ""})
    for name in ("api-key", "provider-key"):
        (etc.folder / name).unlink()
    assert wiring.trust_from(chosen, None)(PROVIDER).reopen(proof).provider == PROVIDER
    (etc.folder / "other.json").write_bytes(Hotline().root)
    with pytest.raises(FilterError):
        wiring.trust_from(chosen, etc.folder / "other.json")(PROVIDER).reopen(proof)
    with pytest.raises(UsageError, match="pinned root"):
        wiring.trust_from(chosen, etc.folder / "nowhere")


def test_the_ring_has_all_keys(etc: Etc) -> None:
    tools = wiring.service_tools(etc.settings())
    assert tools.ring == RING
    assert [tools.ring.confirm_key("a", epoch) for epoch in (1, 3, 4, 5)] == [RING.at(n).confirm_key("a", e) for n, e in
        ((1, 1), (1, 3), (4, 4), (4, 5))]  # fmt: skip


def test_the_court_believes_the_lists_in_force_and_follows_the_policy(etc: Etc) -> None:
    chosen = etc.settings(lists={"md5_is_enough": ["old"], "report_only": ["hotline"]})
    tools = etc.synced(chosen)
    lists, stale = tools.lists_in_force()
    with ExitStack() as stack:
        court = tools.court(stack, lists)
        assert (court.keys, court.ring, court.provider, stale) == (etc.hotline.verdict_keys, RING, PROVIDER, False)
        assert (court.md5_is_enough, court.report_only) == (frozenset({"old"}), frozenset({"hotline"}))
        assert (court.doubt(), court.withdrawn(LIST.id, "e_1")) == ("", False)
    grounds = tools.grounds(lists)
    assert (grounds.provider, grounds.proof) == (PROVIDER, lists.proof)
    assert grounds.confirm_key(ListRef("police", 9, 4)) == RING.keys[4].confirm_key("police", 4)


def test_a_clock_that_jumped_back_since_the_last_sync_is_in_doubt(etc: Etc) -> None:
    tools = etc.synced(etc.settings())
    lists, _ = tools.lists_in_force()
    ahead = time.time() + 3 * 3600
    tools.shelf.bring_into_force(lists, ahead)
    with ExitStack() as stack:
        assert "clock" in tools.court(stack, lists).doubt()


@pytest.mark.parametrize(
    ("dry_run", "enabled", "mode"), [(False, False, "report"), (False, True, "quarantine"), (True, True, "dry-run")]
)
def test_the_plan_of_a_run(etc: Etc, dry_run: bool, enabled: bool, mode: str) -> None:
    chosen = etc.settings(quarantine={"enabled": enabled})
    etc.synced(chosen)
    with ExitStack() as stack:
        plan = plans.service_plan(chosen, stack, dry_run=dry_run)
        assert (plan.mode, plan.tell is None, plan.vault is None) == (mode, dry_run, dry_run)
        assert (plan.quarantine is plan.vault) == (mode == "quarantine")
        assert plans.recover(plan, Told()) == 0


def test_a_run_notes_for_the_service_what_a_restore_could_not(etc: Etc, tmp_path: Path) -> None:
    chosen = etc.settings(quarantine={"enabled": True})
    etc.synced(chosen)
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/f").write_bytes(b"test")
    vault = wiring.vault(chosen, "a test")
    vault.restore(vault.handle(make_finding(tmp_path / "srv/f", tmp_path / "srv")).case_id)  # and nobody noted it
    with ExitStack() as stack:
        plan = plans.service_plan(chosen, stack, dry_run=False)
        assert plan.tell is not None
        assert plan.tell.outbox.unsent_count() == 0
        assert plans.recover(plan, Told()) == 0
        assert [one.action.value for one in plan.tell.outbox.unsent(10)] == ["restored"]


# Our own folders.


class Cases:
    """The holding directories of the cases, and how often their records were read."""

    def __init__(self, *folders: Path, error: Exception | None = None) -> None:
        self.reads = 0
        self._folders, self._error = folders, error

    def __call__(self) -> frozenset[tuple[int, int]]:
        self.reads += 1
        if self._error:
            raise self._error
        return frozenset((one.stat().st_dev, one.stat().st_ino) for one in self._folders)


def test_the_records_of_all_cases_are_read_once_in_a_run(etc: Etc) -> None:
    """Asked for before the scan (is a root one of ours?) and by the walk; 10,000 cases are read in seconds, not twice."""
    chosen = etc.settings()
    held = etc.folder / "mnt" / ".hashscan-holding"
    held.mkdir(parents=True)
    cases = Cases(held)
    own = engines.OwnFolders(chosen, cases)
    own.refuse([os.fsencode(etc.folder / "mnt")])
    with pytest.raises(UsageError, match="itself"):
        own.refuse([os.fsencode(held)])
    engines.engine(chosen, own)
    assert cases.reads == 1


def test_a_folder_that_a_first_run_makes_on_its_way_is_left_out_too(etc: Etc) -> None:
    chosen = etc.settings()
    own = engines.OwnFolders(chosen, Cases())
    assert own.now() == frozenset()
    chosen.state_dir.mkdir(mode=0o700)
    status = chosen.state_dir.stat()
    assert own.now() == {(status.st_dev, status.st_ino)}
    with pytest.raises(UsageError, match="itself"):
        own.refuse([os.fsencode(chosen.state_dir / "vault" / "x")])
    chosen.state_dir.chmod(0o755)
    assert own.now() == frozenset(), "one that others can enter would hide what is in it"


def test_a_vault_that_cannot_be_read_is_for_recovery_to_tell(etc: Etc) -> None:
    cases = Cases(error=QuarantineError("damaged"))
    own = engines.OwnFolders(etc.settings(), cases)
    assert (own.now(), own.now(), cases.reads) == (frozenset(), frozenset(), 1)
    assert QuarantineError("x").exit_code is ExitCode.ACTION_FAILED

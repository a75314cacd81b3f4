"""A new version of the root: drafted at the server, signed where the root keys are, installed at the server.

Until `install` has renamed the file into place the old root is in force, whatever happens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hashscan.atomic import make_private_directory, write_bytes
from hashscan.errors import HashscanError, UsageError
from hashscan.known.envelopes import key_id
from hashscan.known.metadata import RootPlan, check_root, draft_root, read_root, signed_by
from hashscan.model import VerdictKey
from hashscan.service import keys
from hashscan.service.keys import ROOT_ROLES, OnlineKeys
from hashscan.service.root_keys import Draft, day, make_root_key, read_draft, sign_draft, write_draft
from hashscan.service.store import Store
from hashscan.service.tables import Role

LIFETIME = 365 * 86_400.0  # seconds that a root lasts
WARN_BEFORE = 60 * 86_400.0  # seconds before its end that people are told


def draft_init(store: Store, publics: Sequence[str], threshold: int, *, now: float | None = None) -> Draft:
    """The first root: these root keys (64 hex digits each), this threshold, the online keys that this service has.

    Raises `UsageError` where there is a root already or the threshold cannot be met.
    """
    if keys.root_files(store):
        raise UsageError("this service has a root already", hint="change it with 'hashscan service keys add', 'rotate', ...")
    with store.reading() as session:
        online = {role.value: keys.newest_public(session, role) for role in ROOT_ROLES}
    plan = RootPlan(1, _lasting(now), tuple(publics), threshold, online)
    return Draft(None, draft_root(plan))


def draft_add(store: Store, public: str, *, onto: Draft | None = None, now: float | None = None) -> Draft:
    """One more root key. ``onto`` (here and below) is an unsigned draft that gets this change too. Raises `UsageError`."""

    def edit(plan: RootPlan) -> RootPlan:
        if public in plan.root_keys:
            raise UsageError(f"{key_id(public)} is a root key already")
        return replace(plan, root_keys=(*plan.root_keys, public))

    return _change(store, edit, onto, now)


def draft_revoke(store: Store, key: str, *, onto: Draft | None = None, now: float | None = None) -> Draft:
    """One root key less, named by its id or its public half. Raises `UsageError` where fewer than the threshold would stay."""

    def edit(plan: RootPlan) -> RootPlan:
        found = _find(plan, key)
        if len(plan.root_keys) - 1 < plan.threshold:
            raise UsageError(
                f"without {key_id(found)} there are {len(plan.root_keys) - 1} root keys, and {plan.threshold} must sign",
                hint="rotate it for a new key, add a key, or lower the threshold first",
            )
        return replace(plan, root_keys=tuple(one for one in plan.root_keys if one != found))

    return _change(store, edit, onto, now)


def draft_rotate(store: Store, old: str, new: str, *, onto: Draft | None = None, now: float | None = None) -> Draft:
    """A root key in the place of another, named by its id or its public half. Raises `UsageError`."""

    def edit(plan: RootPlan) -> RootPlan:
        found = _find(plan, old)
        if new in plan.root_keys:
            raise UsageError(f"{key_id(new)} is a root key already")
        return replace(plan, root_keys=tuple(new if one == found else one for one in plan.root_keys))

    return _change(store, edit, onto, now)


def draft_rotate_online(store: Store, roles: Sequence[Role], *, onto: Draft | None = None, now: float | None = None) -> Draft:
    """New online keys for ``roles``: made here, used once the draft is installed. Raises `UsageError`."""
    if not roles or Role.VERDICT in roles:
        raise UsageError("a root names the keys of targets, snapshot and timestamp", hint="rotate verdict keys with --verdict")
    _change(store, lambda plan: plan, onto, now)  # raises before keys are made that no draft names
    with store.writing() as session:
        made = {role.value: keys.new_key(store, session, role, time.time() if now is None else now) for role in roles}
    return _change(store, lambda plan: replace(plan, online={**plan.online, **made}), onto, now)


def draft_threshold(store: Store, threshold: int, *, onto: Draft | None = None, now: float | None = None) -> Draft:
    """Another number of root keys that must sign. Raises `UsageError` where it cannot be met."""
    return _change(store, lambda plan: replace(plan, threshold=threshold), onto, now)


def draft_renewal(store: Store, *, onto: Draft | None = None, now: float | None = None) -> Draft:
    """The same root with a new expiry. Raises `UsageError`."""
    return _change(store, lambda plan: plan, onto, now)


def _change(store: Store, edit: Callable[[RootPlan], RootPlan], onto: Draft | None, now: float | None) -> Draft:
    old = keys.latest_root(store)
    before = read_root(old)
    plan = before
    if onto is not None:
        plan = onto.plan
        if onto.old is None or read_root(onto.old) != before or plan.version != before.version + 1:
            raise UsageError("this draft does not follow the root in force", hint="write a new one to another file")
        if signed_by(onto.new, (*before.root_keys, *plan.root_keys)):
            raise UsageError("this draft is signed already: a change would void the signatures", hint="name another --out")
    changed = edit(replace(plan, version=before.version + 1, expires=_lasting(now)))
    return Draft(old, draft_root(changed))


def _find(plan: RootPlan, key: str) -> str:
    for one in plan.root_keys:
        if key.lower() in (one, key_id(one)):
            return one
    raise UsageError(f"{key!r} is no root key", hint="'hashscan service keys show' lists them")


def _lasting(now: float | None) -> float:
    return float(int((time.time() if now is None else now) + LIFETIME))


def install(store: Store, path: Path, *, now: float | None = None) -> RootPlan:
    """Put the draft in ``path`` into force, in one step; online keys that it replaces are removed.

    Raises `UsageError` where signatures of the old or the new root are missing, it is not the next version, it has expired, or
    it names an online key that this service does not have; `HashscanError` where it cannot be written.
    """
    draft, at = read_draft(path), time.time() if now is None else now
    plan = draft.plan
    if plan.expires <= at:
        raise UsageError(f"this root expired on {day(plan.expires)}", hint="draft and sign a new one")
    for role in ROOT_ROLES:
        keys.private_half(store, role, plan.online[role.value])
    folder = store.folder.roots
    with store.writing():  # whatever is signed under the lock is signed with the keys of one root
        check_root(draft.new, keys.latest_root(store) if keys.root_files(store) else None)
        try:
            make_private_directory(folder)
            write_bytes(folder / f"{plan.version}.root.json", draft.new)
        except OSError as error:
            raise HashscanError(f"cannot write {folder}: {error.strerror}", hint="the old root is still in force") from None
    keys.remove_retired(store, now=at)
    return plan


def init_single(store: Store, folder: Path) -> RootPlan:
    """For demos and tests: one root key in ``folder``/root-1.pem, and version 1 of the root signed with it and in force."""
    return init_all(store, folder, number=1, threshold=1)


def init_all(store: Store, folder: Path, *, number: int, threshold: int) -> RootPlan:
    """``number`` root keys in ``folder``, and version 1 of the root signed with all of them and in force.

    Raises `UsageError` where keys or a root are there already, `HashscanError` where something cannot be written.
    """
    if keys.root_files(store):
        raise UsageError("this service has a root already")
    if not 1 <= threshold <= number <= 16:
        raise UsageError(f"a threshold of {threshold} cannot be met with {number} root keys")
    try:
        make_private_directory(folder)
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}") from None
    made = [make_root_key(folder / f"root-{count}.pem") for count in range(1, number + 1)]
    path = folder / "root-1.draft.json"
    write_draft(path, draft_init(store, [one.public for one in made], threshold))
    for one in made:
        sign_draft(path, one.private)
    return install(store, path)


@dataclass(frozen=True, slots=True)
class Overview:
    """What ``keys show`` says: the root in force (None: there is none yet), what signs, what should be done."""

    root: RootPlan | None
    verdict: tuple[VerdictKey, ...]
    warnings: tuple[str, ...]


def overview(store: Store, *, now: float | None = None) -> Overview:
    """The state of all keys at ``now``, seconds since 1970."""
    at = time.time() if now is None else now
    plan = read_root(keys.latest_root(store)) if keys.root_files(store) else None
    verdict = OnlineKeys.open(store, now=lambda: at).verdict_keys()
    warnings = ["this service has no root yet: run 'hashscan service keys init'"] if plan is None else root_warnings(plan, at)
    ended = [one for one in verdict if not keys.in_use(one, at) and keys.key_path(store, Role.VERDICT, one.public).exists()]
    warnings += [f"verdict key {key_id(one.public)} has ended: run 'hashscan service keys retire-verdict'" for one in ended]
    return Overview(plan, verdict, tuple(warnings))


def root_warnings(plan: RootPlan, now: float) -> list[str]:
    """What should be done about a root in force, a line each."""
    left = plan.expires - now
    if left <= 0:
        return [f"the root expired on {day(plan.expires)}: agents refuse new lists; renew it now"]
    if left < WARN_BEFORE:
        return [f"the root expires on {day(plan.expires)}, in {left / 86_400:.0f} days: run 'hashscan service keys renew'"]
    return []

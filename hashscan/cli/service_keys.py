"""hashscan service keys: the root keys with their ceremony, and the keys that the service signs with.

``make`` and ``sign`` need no data folder and no database: they run where the root keys are.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from hashscan.cli.folding import speak
from hashscan.cli.groups import Group
from hashscan.cli.lines import emphasised
from hashscan.errors import ExitCode, UsageError

_BUSY_SECONDS = 30.0  # how long a change of keys waits for another writer
_ROLES = ("targets", "snapshot", "timestamp")
_FILE = click.Path(dir_okay=False, path_type=Path)
_OLD_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.option(
    "--out", type=_FILE, help="The draft; an unsigned one gets this change too. Default: root-N.draft.json here."
)


def _need(*names: str) -> None:
    """Raises `UsageError` where a library of the extra is missing."""
    if missing := [name for name in names if importlib.util.find_spec(name) is None]:
        raise UsageError(f"the keys of a service need {', '.join(missing)}", hint="pip install 'hashscan[service]'")


def _root_keys() -> Any:
    _need("cryptography")
    from hashscan.service import root_keys  # noqa: PLC0415 - an extra

    return root_keys


def _ceremony() -> Any:
    _need("cryptography", "sqlalchemy", "alembic")
    from hashscan.service import ceremony  # noqa: PLC0415 - an extra

    return ceremony


def _keys() -> Any:
    _need("cryptography", "sqlalchemy", "alembic")
    from hashscan.service import keys  # noqa: PLC0415 - an extra

    return keys


@contextmanager
def _store(data: Path) -> Iterator[Any]:
    _need("cryptography", "sqlalchemy", "alembic")
    from hashscan.service.store import open_store  # noqa: PLC0415 - an extra

    with open_store(data, busy_seconds=_BUSY_SECONDS) as store:
        yield store


@click.group(cls=Group, name="keys")
def group() -> None:
    """Root keys (offline, several must agree), online keys, verdict keys."""


@group.command()
@click.argument("file", type=_FILE)
def make(file: Path) -> int:
    """Make a root key on this machine: the private half in FILE, the public half in FILE.pub."""
    made = _root_keys().make_root_key(Path(os.path.abspath(file)))
    speak(f"made root key {made.id}")
    speak(f"  private: {made.private} (keep it off every server, with a copy elsewhere)")
    speak(f"  public:  {made.public_file} (bring it to the server)")
    return ExitCode.OK


@group.command()
@click.argument("publics", nargs=-1, metavar="[PUB]...")
@click.option("--threshold", type=click.IntRange(1, 16), required=True, help="How many root keys must sign.")
@click.option("--make", "folder", type=click.Path(file_okay=False, path_type=Path), help="Make the root keys here, at once.")
@click.option("--number", type=click.IntRange(1, 16), default=3, show_default=True, help="With --make: how many.")
@click.option("--out", type=_FILE, help="The draft. Default: root-1.draft.json here.")
@click.pass_obj
def init(data: Path, /, publics: tuple[str, ...], folder: Path | None, **options: Any) -> int:
    """Draft the first root with the root keys PUB (files or 64 hex digits), or make keys, sign and install at once."""
    if (folder is None) == (not publics):
        raise UsageError("name the public root keys, or a folder for new ones with --make", hint="not both")
    with _store(data) as store:
        if folder is None:
            read = _root_keys().read_public
            draft = _ceremony().draft_init(store, [read(one) for one in publics], options["threshold"])
            return _write(draft, options["out"])
        where = Path(os.path.abspath(folder))
        plan = _ceremony().init_all(store, where, number=options["number"], threshold=options["threshold"])
    speak("\n".join(["in force:", *_root_keys().summary(plan)]))
    emphasised(f"MOVE THE PRIVATE KEYS IN {where} OFFLINE NOW, EACH TO ANOTHER PLACE.", err=True)
    speak("As long as they are here, whoever takes this machine is the service, for ever.", err=True)
    return ExitCode.OK


def _draft(data: Path, out: Path | None, change: Callable[[Any, Any], Any]) -> int:
    """Draft a change of the root: ``change`` makes it of a store and of the unsigned draft in ``out``, if any."""
    with _store(data) as store:
        onto = _root_keys().read_draft(out) if out is not None and out.exists() else None
        return _write(change(store, onto), out)


def _write(draft: Any, out: Path | None) -> int:
    root_keys = _root_keys()
    path = out or Path(f"root-{draft.plan.version}.draft.json")
    if out is None and path.exists():
        raise UsageError(f"{path} is there already", hint="add this change to it with --out, or name another file")
    root_keys.write_draft(path, draft)
    speak("\n".join(root_keys.changes(draft.before, draft.plan)))
    speak(f"drafted in {path}; it needs {' and '.join(root_keys.missing(draft))}:")
    speak(f"  hashscan service keys sign {path} --key FILE     where the root keys are")
    speak(f"  hashscan service keys install {path}             here, afterwards")
    return ExitCode.OK


@group.command()
@click.argument("public", metavar="PUB")
@_OUT
@click.pass_obj
def add(data: Path, /, public: str, out: Path | None) -> int:
    """Draft one more root key PUB (a file or 64 hex digits)."""
    key = _root_keys().read_public(public)
    return _draft(data, out, lambda store, onto: _ceremony().draft_add(store, key, onto=onto))


@group.command()
@click.argument("key")
@_OUT
@click.pass_obj
def revoke(data: Path, /, key: str, out: Path | None) -> int:
    """Draft the end of the root key KEY (its id, its .pub file or 64 hex digits)."""
    return _draft(data, out, lambda store, onto: _ceremony().draft_revoke(store, _named(key), onto=onto))


@group.command()
@click.argument("number", type=click.IntRange(1, 16))
@_OUT
@click.pass_obj
def threshold(data: Path, /, number: int, out: Path | None) -> int:
    """Draft that NUMBER root keys must sign from then on."""
    return _draft(data, out, lambda store, onto: _ceremony().draft_threshold(store, number, onto=onto))


@group.command()
@_OUT
@click.pass_obj
def renew(data: Path, /, out: Path | None) -> int:
    """Draft the same root for another year."""
    return _draft(data, out, lambda store, onto: _ceremony().draft_renewal(store, onto=onto))


def _named(key: str) -> str:
    """A key id as it is, anything else read as a public key."""
    return key if len(key) == 32 and not Path(key).exists() else str(_root_keys().read_public(key))


@group.command()
@click.argument("pair", nargs=-1, metavar="[OLD.pub NEW.pub]")
@click.option("--online", "roles", type=click.Choice([*_ROLES, "all"]), multiple=True, help="New online key of this role.")
@click.option("--verdict", is_flag=True, help="New verdict key; no ceremony, the root does not name it.")
@click.option("--overlap", type=click.FloatRange(0.001, 366), default=14.0, show_default=True, help="Days; with --verdict.")
@_OUT
@click.pass_obj
def rotate(data: Path, /, pair: tuple[str, ...], roles: tuple[str, ...], out: Path | None, **options: Any) -> int:
    """Put a new key in the place of an old one: a root key, an online key (both draft a root), or the verdict key."""
    if [bool(pair), bool(roles), options["verdict"]].count(True) != 1 or len(pair) not in (0, 2):
        raise UsageError("rotate one thing: OLD.pub NEW.pub, --online ROLE, or --verdict")
    if options["verdict"]:
        return _rotate_verdict(data, options["overlap"])
    if pair:
        old, new = _named(pair[0]), _root_keys().read_public(pair[1])
        return _draft(data, out, lambda store, onto: _ceremony().draft_rotate(store, old, new, onto=onto))
    chosen = [_keys().Role(one) for one in (_ROLES if "all" in roles else dict.fromkeys(roles))]
    return _draft(data, out, lambda store, onto: _ceremony().draft_rotate_online(store, chosen, onto=onto))


def _rotate_verdict(data: Path, days: float) -> int:
    with _store(data) as store:
        made = _keys().rotate_verdict_key(store, days * 86_400)
    speak(f"new verdict key {_root_keys().key_id(made.public)}; the old one signs beside it for {days:g} days")
    speak("agents learn of it with their next sync; end the old one sooner with 'hashscan service keys retire-verdict'")
    return ExitCode.OK


_RETIRED = "agents that have not synced since the rotation hold their candidates back until they do"


@group.command(name="retire-verdict")
@click.pass_obj
def retire_verdict(data: Path) -> int:
    """End all verdict keys but the newest now, and remove their private halves."""
    with _store(data) as store:
        ended = _keys().retire_verdict_keys(store)
    for one in ended:
        speak(f"retired verdict key {_root_keys().key_id(one.public)}")
    speak(_RETIRED if ended else "one verdict key is in use and no other: there is nothing to retire")
    return ExitCode.OK


@group.command()
@click.argument("draft", type=_OLD_FILE)
@click.option("--key", "key_file", type=_OLD_FILE, required=True, help="Private root key, mode 0600.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def sign(draft: Path, key_file: Path, yes: bool) -> int:  # noqa: FBT001 - click
    """Show what DRAFT changes, and sign it with a root key. Needs no data folder: run it where the key is."""
    root_keys = _root_keys()
    shown, key = root_keys.read_draft(draft), root_keys.read_key(key_file)
    signed = root_keys.add_signature(shown, key)  # what is shown and not what the file holds by then
    speak("\n".join(root_keys.describe(shown, key.public_hex())))
    if not yes and not click.confirm(f"\nSign this with root key {root_keys.key_id(key.public_hex())}?"):
        speak("nothing was signed", err=True)
        return ExitCode.STOPPED
    root_keys.write_draft(draft, signed)
    left = root_keys.missing(signed)
    speak(f"signed by {', '.join(root_keys.signatures(signed))}")
    speak(f"it still needs {' and '.join(left)}" if left else "all signatures are there: bring it back and install it")
    return ExitCode.OK


@group.command()
@click.argument("draft", type=_OLD_FILE)
@click.pass_obj
def install(data: Path, draft: Path) -> int:
    """Check DRAFT and put it into force; agents follow with their next sync."""
    with _store(data) as store:
        plan = _ceremony().install(store, draft)
    speak("\n".join(["in force:", *_root_keys().summary(plan)]))
    return ExitCode.OK


@group.command()
@click.pass_obj
def show(data: Path) -> int:
    """The root in force, its keys and those of the service, and what should be done."""
    with _store(data) as store:
        found = _ceremony().overview(store)
    root_keys = _root_keys()
    if found.root is not None:
        speak("\n".join(root_keys.summary(found.root)))
    speak("verdict keys:")
    now = time.time()
    for one in found.verdict:
        end = "in use" if one.until is None else f"until {root_keys.day(one.until)}" + ("" if now < one.until else ", retired")
        speak(f"  {root_keys.key_id(one.public)}  since {root_keys.day(one.since)}, {end}  {one.public}")
    for line in found.warnings:
        speak(f"warning: {line}", err=True)
    return ExitCode.OK

"""Where the files of an enrolment go: everything is checked before the service is asked, and written all or nothing.

A folder that is read as the configuration of this user may have a config.toml of its own already; the enrolment is then a
fragment in conf.d beside it. Secrets are always in the folder itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hashscan.atomic import fsync_directory, make_private_directory, write_bytes
from hashscan.errors import LockedError, StateError, UsageError
from hashscan.settings import Settings, config_folder, load, standard_files

SECRETS = ("root.json", "provider-key", "api-key")
FRAGMENT = "10-service.toml"
LEFTOVERS = ("api-key.new", "api-key.retire")  # of a rotation of the key that is replaced
MAX_CONFIG_BYTES = 1 << 20
_STAGED = ".enrolling"  # at the end of a name: conf.d/*.toml must not take it for a configuration


@dataclass(frozen=True, slots=True)
class Connection:
    """How the agent reaches the service, as the configuration will say it. Paths are absolute.

    ``client_cert`` are the files of our certificate and its key, where the service wants to see one.
    """

    url: str
    ca_file: Path | None = None
    proxy: str | None = None
    client_cert: tuple[Path, Path] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that can take an enrolment: ``config`` is the file that will say so, ``standard`` that no --config is needed."""

    folder: Path
    config: Path
    standard: bool

    def settings(self) -> Settings:
        """The settings that are in force here. Raises `UsageError`."""
        return load(config=None if self.standard else self.config)

    @property
    def attempt(self) -> Path:
        """What an enrolment that was interrupted left to go on from."""
        return self.folder / ".enrolling"


def choose(folder: Path, *, replace: bool) -> Place:
    """The place in ``folder`` (absolute). Raises `UsageError` where it cannot be written, or holds an enrolment already."""
    _check_folder(folder)
    _check_environment()
    standard = folder == config_folder()
    main, fragment = folder / "config.toml", folder / "conf.d" / FRAGMENT
    held = [path for path in (*(folder / name for name in SECRETS), fragment) if os.path.lexists(path)]
    configured = _configured(main, standard=standard)
    if (held or configured) and not replace:
        hint = "--replace keeps the old files as .old; another folder is --out"
        raise UsageError(f"{folder} holds an enrolment already", hint=hint)
    if not os.path.lexists(main) and not (standard and fragment.exists()):
        return Place(folder, main, standard)
    if standard:
        _check_folder(fragment.parent)
        return Place(folder, fragment, standard)
    if configured and set(_tables(main)) == {"service"}:
        return Place(folder, main, standard)
    hint = "conf.d counts in the standard folder only: choose another --out, or move the other settings away"
    raise UsageError(f"{main} holds other settings too", hint=hint)


def _check_folder(folder: Path) -> None:
    """Raises `UsageError` where files cannot be made in ``folder``, or where others could change what is in it."""
    here = folder
    while not here.exists() and here != here.parent:
        here = here.parent
    if not here.is_dir():
        raise UsageError(f"{here} is not a folder")
    if not os.access(here, os.W_OK | os.X_OK):
        raise UsageError(f"{here} cannot be written", hint="are you root?")
    status = here.stat()
    if here == folder and (status.st_mode & 0o022 or status.st_uid not in {os.geteuid(), 0}):
        raise UsageError(f"{folder} can be changed by others", hint=f"chmod go-w {folder}, and own it")


def _check_environment() -> None:
    """What the environment says would count before the files. Raises `UsageError`."""
    names = [f"HASHSCAN_SERVICE_{name}" for name in ("URL", "PROVIDER", "API_KEY_FILE", "PROVIDER_KEY_FILE", "ROOT_FILE")]
    for name in names:
        if name in os.environ:
            raise UsageError(f"{name} in the environment overrides an enrolment", hint=f"unset {name}")


def make_folder(folder: Path) -> bool:
    """Make the folder where it is not there; returns whether it was made. Raises `StateError`."""
    fresh = not folder.exists()
    try:
        make_private_directory(folder)
    except OSError as error:
        raise StateError(f"{folder} cannot be made: {error.strerror}", hint="are you root?") from None
    return fresh


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """The keys in ``folder`` are changed by one process at a time. Raises `LockedError`, and `StateError`."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(f"{folder} cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise LockedError(f"another process changes the keys in {folder}", hint="wait for it to end") from None
    finally:
        os.close(fd)


def _configured(main: Path, *, standard: bool) -> bool:
    """Whether the configuration that stands there names a service. What the environment says does not count."""
    if standard:
        return bool(standard_files()) and bool(load(environ={}).service.url)
    return os.path.lexists(main) and bool(load(config=main, environ={}).service.url)


def _tables(main: Path) -> Mapping[str, object]:
    with main.open("rb") as stream:
        return tomllib.loads(stream.read(MAX_CONFIG_BYTES).decode())


def config_text(connection: Connection, provider: str, place: Place) -> bytes:
    """The configuration of an enrolment. File names are relative to the file that says them."""
    up = "" if place.config.parent == place.folder else "../"
    values = {
        "url": connection.url,
        "provider": provider,
        "api_key_file": f"{up}api-key",
        "provider_key_file": f"{up}provider-key",
        "root_file": f"{up}root.json",
    }
    if connection.ca_file is not None:
        values["ca_file"] = str(connection.ca_file)
    if connection.proxy is not None:
        values["proxy"] = connection.proxy
    if connection.client_cert is not None:
        values["client_cert_file"], values["client_key_file"] = (str(path) for path in connection.client_cert)
    # The escapes of a JSON string are those of a TOML basic string.
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    head = "# hashscan: how this agent reaches the central service, as 'hashscan enroll' wrote it."
    return "\n".join([head, "[service]", *lines, ""]).encode()


def settle(place: Place, contents: Mapping[Path, bytes], connection: Connection) -> Settings:
    """Write all files, the configuration last, or none; what was there stays as ``.old``. Returns the settings in force then.

    Raises `StateError` (no space), and `UsageError` where another file or the environment overrides what was written.
    """
    wanted = {path: data for path, data in contents.items() if _content(path) != data}
    done: list[Path] = []
    try:
        _stage(wanted)
        for path in wanted:
            _keep_old(path)
            done.append(path)
            os.rename(_staged(path), path)
        for folder in {path.parent for path in wanted}:
            fsync_directory(folder)
        settings = place.settings()
        _check_in_force(settings, place, connection)
    except BaseException as error:
        _undo(wanted, done)
        if isinstance(error, OSError):
            raise StateError(f"the enrolment cannot be written to {place.folder}: {error.strerror}") from None
        raise
    _tidy(place)
    return settings


def _tidy(place: Place) -> None:
    """What a rotation of the old key and earlier attempts that were killed left behind. Not worth failing for."""
    with suppress(OSError):
        for folder in {place.folder, place.config.parent}:
            for name in os.listdir(folder):
                if name in LEFTOVERS or (_STAGED in name and name != place.attempt.name):
                    (folder / name).unlink()


def set_aside(folder: Path) -> None:
    """Give a folder of state the name ``.old``, in the place of an older one. Raises `StateError`."""
    old = folder.with_name(f"{folder.name}.old")
    try:
        if old.exists():
            shutil.rmtree(old)
        os.rename(folder, old)
        fsync_directory(folder.parent)
    except OSError as error:
        raise StateError(f"{folder} cannot be set aside: {error.strerror}", hint=f"remove {folder}") from None


def _staged(path: Path) -> Path:
    return path.with_name(f".{path.name}{_STAGED}")


def _old(path: Path) -> Path:
    return path.with_name(f"{path.name}.old")


def _stage(contents: Mapping[Path, bytes]) -> None:
    for path, data in contents.items():
        make_private_directory(path.parent)
        write_bytes(_staged(path), data, mode=0o600)


def _keep_old(path: Path) -> None:
    """A second name for what stands there: the first is never without a file."""
    _old(path).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        os.link(path, _old(path), follow_symlinks=False)


def _undo(wanted: Mapping[Path, bytes], done: list[Path]) -> None:
    for path in wanted:
        with suppress(OSError):  # not written yet; or the disk is failing, and then the old files count more
            _staged(path).unlink()
    for path in done:
        if os.path.lexists(_old(path)):
            os.rename(_old(path), path)
        else:
            path.unlink(missing_ok=True)
    for folder in {path.parent for path in done}:
        fsync_directory(folder)


def _content(path: Path) -> bytes | None:
    """What stands there, so that a second attempt does not take the first one's files for the old ones."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_CONFIG_BYTES)
    except OSError:
        return None


def _check_in_force(settings: Settings, place: Place, connection: Connection) -> None:
    """Raises `UsageError` naming who overrides the enrolment."""
    told = settings.service
    expected = {"url": connection.url}
    for key, name in (("api_key_file", "api-key"), ("provider_key_file", "provider-key"), ("root_file", "root.json")):
        expected[key] = str(place.folder / name)
    for key, value in expected.items():
        said = getattr(told, key)
        if (os.path.normpath(said) if key != "url" else said) != value:
            origin = settings.origins.get(f"service.{key}", "default")
            raise UsageError(f"service.{key} is overridden by {origin}", hint="remove it there; nothing was changed")

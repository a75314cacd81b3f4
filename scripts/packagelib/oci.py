"""An OCI image as an archive, without a daemon: a layer with Debian's Python, a layer with hashscan, four JSON documents.

See the OCI image format specification, version 1.1. Debian's packages are unpacked, not installed:
no script of a package is run, and no package manager is in the image.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.packagelib.debian import mirror
from scripts.packagelib.ground import MACHINES, Ground, PackageError, gzipped, need, run
from scripts.packagelib.staging import Staged

SUITE, PYTHON = "trixie", "313"
PACKAGES = (
    "base-files",
    "ca-certificates",
    "libgcc-s1",
    "media-types",
    "netbase",
    "python3-minimal",
    "libpython3-stdlib",
    "tzdata",
)
NONROOT = 65532
_UNUSED = re.compile(
    r"usr/share/(doc/(?!.*/copyright$)|man|locale|info|lintian|bash-completion|zsh|fish|perl5|bug|menu|pixmaps|applications|debconf)/?"
    r"|var/(cache|lib/(apt|dpkg)|log)/.|usr/(games|src|include)/|usr/bin/(?!hashscan$|python3)|usr/sbin/.|usr/lib/(apt|dpkg|.*/perl)/|etc/(apt|cron\.|dpkg|kernel|logrotate)"
    r"|usr/lib/systemd|usr/share/perl/"
)
_ACCOUNTS = {
    "etc/passwd": f"root:x:0:0:root:/root:/sbin/nologin\nhashscan:x:{NONROOT}:{NONROOT}::/home/hashscan:/sbin/nologin\n",
    "etc/group": f"root:x:0:\nhashscan:x:{NONROOT}:\n",
}


@dataclass(frozen=True)
class Blob:
    """Bytes with their media type."""

    kind: str
    content: bytes

    @property
    def descriptor(self) -> dict[str, Any]:
        """How other documents name it."""
        return {
            "mediaType": self.kind,
            "digest": f"sha256:{hashlib.sha256(self.content).hexdigest()}",
            "size": len(self.content),
        }


def build(ground: Ground, staged: Iterable[Staged]) -> Path:
    """The image, in the output folder: agent and service on Debian's Python."""
    base = _base(ground)
    base.update(_directories())
    ours = {name: member for one in staged for name, member in from_folder(one.root).items() if is_used(name)}
    target = ground.out / f"hashscan-{ground.version}-oci-{MACHINES[ground.machine][0]}.tar"
    target.write_bytes(image(ground, [base, ours]))
    return target


def is_used(name: str) -> bool:
    """Whether the image needs it: of compiled modules, those of its own interpreter."""
    others = re.search(r"\.cpython-(\d+)-", name)
    return not _UNUSED.match(name) and (others is None or others[1] == PYTHON)


Member = tuple[tarfile.TarInfo, bytes]


def _base(ground: Ground) -> dict[str, Member]:
    """Debian's Python and what it needs, as mmdebstrap unpacks it. From the mirror that this machine uses."""
    need("mmdebstrap", "mmdebstrap")
    archive = ground.folder("oci") / "base.tar"
    environ = {"SOURCE_DATE_EPOCH": str(ground.epoch)}
    include = ",".join(PACKAGES)
    run(["mmdebstrap", "--quiet", "--variant=extract", f"--include={include}", SUITE, archive, mirror()], env=environ)
    members = {}
    with tarfile.open(archive) as tar:
        for info in tar:
            name = info.name.removeprefix("./").rstrip("/")
            if name and is_used(name) and not info.isdev():
                stream = tar.extractfile(info) if info.isreg() else None
                members[name] = (info, stream.read() if stream else b"")
    members["etc/ssl/certs/ca-certificates.crt"] = _file(_authorities(members))
    return members


def _authorities(members: dict[str, Member]) -> bytes:
    """The bundle that update-ca-certificates would make."""
    found = [
        content
        for name, (_, content) in sorted(members.items())
        if name.startswith("usr/share/ca-certificates/") and name.endswith(".crt")
    ]
    if not found:
        raise PackageError("the base has no certificate authorities")
    return b"".join(one.rstrip(b"\n") + b"\n" for one in found)


def _file(content: bytes, mode: int = 0o644, owner: int = 0) -> Member:
    info = tarfile.TarInfo()
    info.mode, info.uid, info.gid, info.size = mode, owner, owner, len(content)
    return info, content


def _folder(mode: int, owner: int = 0) -> Member:
    info = tarfile.TarInfo()
    info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, owner, owner
    return info, b""


def _directories() -> dict[str, Member]:
    """Accounts, and the folders in which both of them may write."""
    made = {name: _file(text.encode()) for name, text in _ACCOUNTS.items()}
    made |= {"etc": _folder(0o755), "root": _folder(0o700), "tmp": _folder(0o1777), "home": _folder(0o755)}
    made |= {name: _folder(0o700) for name in ("var/lib/hashscan", "var/cache/hashscan", "run/hashscan")}
    made |= {name: _folder(0o755) for name in ("var", "var/lib", "var/cache", "run")}
    return {**made, "home/hashscan": _folder(0o700, NONROOT)}


def from_folder(root: Path) -> dict[str, Member]:
    """The members of a layer, by their names, from files on disk."""
    members: dict[str, Member] = {}
    for path in sorted(root.rglob("*")):
        name, info = str(path.relative_to(root)), tarfile.TarInfo()
        info.mode = path.lstat().st_mode & 0o7777
        if path.is_symlink():
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
        elif path.is_dir():
            info.type = tarfile.DIRTYPE
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        info.size = len(content)
        members[name] = (info, content)
    return members


def layer(members: dict[str, Member], epoch: int) -> bytes:
    """An uncompressed tar: sorted, without names of owners, nothing younger than ``epoch``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted(members):
            info, content = members[name]
            info.name, info.uname, info.gname, info.mtime, info.pax_headers = name, "", "", epoch, {}
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def image(ground: Ground, layers: list[dict[str, Member]]) -> bytes:
    """The archive of an OCI layout with one image."""
    plain = [layer(members, ground.epoch) for members in layers]
    blobs = [Blob("application/vnd.oci.image.layer.v1.tar+gzip", gzipped(one)) for one in plain]
    config = Blob("application/vnd.oci.image.config.v1+json", _json(_configuration(ground, plain)))
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor,
        "layers": [one.descriptor for one in blobs],
    }
    top = Blob(str(manifest["mediaType"]), _json(manifest))
    named = {**top.descriptor, "annotations": {"org.opencontainers.image.ref.name": ground.version}}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [named]}
    files = {"oci-layout": _file(_json({"imageLayoutVersion": "1.0.0"})), "index.json": _file(_json(index))}
    files |= {"blobs": _folder(0o755), "blobs/sha256": _folder(0o755)}
    for blob in (*blobs, config, top):
        files[f"blobs/sha256/{blob.descriptor['digest'].removeprefix('sha256:')}"] = _file(blob.content)
    return layer(files, ground.epoch)


def _configuration(ground: Ground, plain: list[bytes]) -> dict[str, Any]:
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ground.epoch))
    told = ("Debian's Python", "hashscan")
    return {
        "created": created,
        "architecture": MACHINES[ground.machine][0],
        "os": "linux",
        "config": {
            "Entrypoint": ["/usr/bin/hashscan"],
            "Cmd": ["--help"],
            "Env": ["PATH=/usr/bin", "LC_ALL=C.UTF-8"],
            "WorkingDir": "/",
            "Labels": {"org.opencontainers.image.version": ground.version, "org.opencontainers.image.licenses": "Apache-2.0"},
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in plain]},
        "history": [{"created": created, "created_by": one} for one in told[: len(plain)]],
    }


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

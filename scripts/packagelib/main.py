"""The command line of scripts/package."""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from scripts.packagelib import deb, lock, oci, pexfile, rpm, sbom, staging, twice
from scripts.packagelib.ground import PYTHONS, Ground, PackageError, epoch_of, version_of
from scripts.packagelib.wheels import Wheel, closure, fetch, ours

SOURCE = Path(__file__).resolve().parents[2]
KINDS = ("wheel", "sdist", "deb", "rpm", "pex", "oci", "sbom")
SUMS = "SHA256SUMS"
_NEEDS = (
    "deb needs dpkg-deb; rpm needs rpmbuild (Debian: rpm); oci needs mmdebstrap, root or user namespaces, and a Debian mirror."
)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/package", description=f"Builds what is handed out. {_NEEDS}")
    parser.add_argument("--out", type=Path, default=SOURCE / "dist", help="where artefacts go, default dist/")
    parser.add_argument("--only", action="append", choices=KINDS, metavar="KIND", help=f"of {', '.join(KINDS)}; default all")
    parser.add_argument("--no-service", action="store_true", help="without the package of the central service")
    parser.add_argument("--python", action="append", choices=PYTHONS, help="interpreters of deb, rpm, oci; default all")
    parser.add_argument("--compression", type=int, default=6, choices=range(10), metavar="0-9", help="of xz, default 6")
    parser.add_argument(
        "--twice", action="store_true", help="build in two folders under two environments, compare every checksum"
    )
    parser.add_argument("--lock", action="store_true", help="write packaging/wheels.lock anew with the newest versions")
    return parser.parse_args()


def build(ground: Ground, asked: argparse.Namespace) -> list[Path]:
    """Make what was asked for, in ``ground.out``."""
    kinds = set(asked.only or KINDS)
    wheel, sdist = ours(ground)
    made = [Path(shutil.copy(path, ground.out)) for kind, path in (("wheel", wheel), ("sdist", sdist)) if kind in kinds]
    if not kinds - {"wheel", "sdist"}:
        return made
    own, pins = Wheel(wheel), lock.read((ground.source / lock.LOCK).read_text(encoding="utf-8"))
    cache = Path(os.environ.get("HASHSCAN_PACKAGE_CACHE") or SOURCE / "build" / "wheels")
    pythons = asked.python or PYTHONS
    # The manual pages are made by the program itself, which needs modules for the interpreter that runs this.
    here = ".".join(platform.python_version_tuple()[:2])
    everything = fetch(ground, pins, dict.fromkeys((*pythons, here)), cache)
    packed = fetch(ground, pins, pythons, cache)
    chosen = {extras: closure(packed, own, extras.split(",")) for extras in ("evidence", "evidence,service", lock.EXTRAS)}
    agent = chosen["evidence"]
    if kinds & {"deb", "rpm", "oci"}:
        pages = staging.pages(ground, [own, *closure(everything, own, lock.EXTRAS.split(","))])
        packages = [staging.agent(ground, own, agent, pages)]
        if not asked.no_service:
            packages.append(staging.service(ground, own, [one for one in chosen[lock.EXTRAS] if one not in agent], pages))
        makers: dict[str, Callable[[Ground, staging.Staged], Path]] = {"deb": deb.build, "rpm": rpm.build}
        made += [make(ground, one) for kind, make in makers.items() if kind in kinds for one in packages]
        made += [oci.build(ground, packages)] if "oci" in kinds else []
    if "pex" in kinds:
        made.append(pexfile.build(ground, own, chosen["evidence,service"], "evidence,service"))
    if "sbom" in kinds:
        bill = ground.out / f"hashscan-{ground.version}.cdx.json"
        bill.write_text(sbom.document(ground, own, chosen[lock.EXTRAS]), encoding="utf-8")
        made.append(bill)
    return made


def sums(made: list[Path]) -> str:
    """What sha256sum -c reads."""
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(made))


def once(asked: argparse.Namespace, out: Path) -> None:
    """Build into a folder beside ``out``, then take its place file by file: a build that fails leaves nothing."""
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="hashscan-package-") as work,
        tempfile.TemporaryDirectory(dir=out, prefix=".new-") as new,
    ):
        ground = Ground(SOURCE, Path(work), Path(new), epoch_of(SOURCE, os.environ), version_of(SOURCE), asked.compression)
        if asked.lock:
            wheel, _ = ours(ground)
            text = lock.renew(ground, wheel)
            (SOURCE / lock.LOCK).write_text(text, encoding="utf-8")
            print(f"{lock.LOCK}: {len(lock.read(text))} distributions")
            return
        made = build(ground, asked)
        (Path(new) / SUMS).write_text(sums(made))
        for path in (*made, Path(new) / SUMS):
            path.chmod(0o755 if path.suffix == ".pex" else 0o644)
            os.replace(path, out / path.name)
            print(f"{(out / path.name).stat().st_size:>12,}  {path.name}")


def main() -> int:
    """Build, or say in a line why not."""
    asked = arguments()
    try:
        if asked.twice:
            return twice.compare(SOURCE, epoch_of(SOURCE, os.environ), sys.argv[1:])
        once(asked, asked.out.absolute())
    except PackageError as error:
        print(f"scripts/package: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

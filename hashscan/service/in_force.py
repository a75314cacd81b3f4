"""Which of the published files are in force for a provider, and which are kept on disk: rules on rows of the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.known.metadata import TargetFileSpec
from hashscan.service.tables import HashList, Publication
from hashscan.service.tables_out import SideFile

KEPT_FILTERS = 2  # of each list on disk: the one in force, and the one that an agent may be fetching just now
KEPT_DELTAS = 16  # of each list: that many publications may be missed before the whole filter is fetched again


@dataclass(frozen=True, slots=True)
class Published:
    """The newest publications of one list for one provider, the newest first, and what was published beside each."""

    list: str
    publications: Sequence[Publication]
    beside: Sequence[SideFile]

    def withdrawn(self, publication: Publication) -> SideFile | None:
        """The withdrawn tokens that belong to a publication."""
        return next((one for one in self.beside if one.publication_id == publication.id and one.old == 0), None)

    def deltas(self) -> Iterator[tuple[Publication, SideFile]]:
        """The chain that leads to the newest filter, the newest delta first, as long as it is shorter than the filter.

        A longer one no agent would follow. It ends where a version was published without a delta.
        """
        newest = self.publications[0]
        by_version = {one.version: one for one in self.publications}
        here, length = newest, 0
        for _ in range(KEPT_DELTAS):
            delta = next((one for one in self.beside if one.publication_id == here.id and one.old != 0), None)
            if delta is None or here.epoch != newest.epoch or length + delta.length >= newest.length:
                return
            yield here, delta
            length += delta.length
            if delta.old not in by_version:
                return
            here = by_version[delta.old]


def published(session: Session, provider_id: int) -> list[Published]:
    """The lists of a provider in the order of their ids, those without a publication left out."""
    found = []
    for one in session.scalars(select(HashList).order_by(HashList.name)):
        query = (
            select(Publication)
            .where(Publication.provider_id == provider_id, Publication.list_id == one.id)
            .order_by(Publication.version.desc())
            .limit(KEPT_DELTAS + 1)
        )
        publications = session.scalars(query).all()
        if publications:
            beside = session.scalars(select(SideFile).where(SideFile.publication_id.in_([row.id for row in publications])))
            found.append(Published(one.name, publications, beside.all()))
    return found


def targets(lists: Sequence[Published]) -> tuple[TargetFileSpec, ...]:
    """The files that the signed metadata names, `verdict-keys.json` aside."""
    return tuple(spec for one in lists for spec in _targets(one))


def _targets(one: Published) -> Iterator[TargetFileSpec]:
    newest = one.publications[0]
    yield _spec(newest, newest, kind="filter", list=one.list, version=newest.version, created=int(newest.created))
    for publication, delta in one.deltas():
        yield _spec(delta, publication, kind="delta", list=one.list, version=publication.version, **{"from": delta.old})
    if (withdrawn := one.withdrawn(newest)) is not None:
        yield _spec(withdrawn, newest, kind="withdrawn", list=one.list, version=newest.version)


def _spec(file: Publication | SideFile, publication: Publication, **custom: str | int) -> TargetFileSpec:
    return TargetFileSpec(file.file_name, file.length, file.sha256, {**custom, "epoch": publication.epoch})


def kept(lists: Sequence[Published]) -> set[str]:
    """The names of the files that stay on disk: those in force, and those of the version before."""
    names = {spec.name for spec in targets(lists)}
    for one in lists:
        recent = one.publications[:KEPT_FILTERS]
        names |= {row.file_name for row in recent}
        names |= {found.file_name for row in recent if (found := one.withdrawn(row)) is not None}
        names |= {delta.file_name for delta in one.beside if delta.old != 0}
    return names

"""One list on its way out: what the database says of it, what is to be built for whom, and how that is entered.

The three steps stand apart because the middle one forks processes, and those must not meet an open session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from hashscan.errors import HashscanError
from hashscan.known.bloom import CANARIES
from hashscan.model import Algorithm, ListRef
from hashscan.service import contents, withdrawals
from hashscan.service.access import key_ring
from hashscan.service.building import Made, MadeFile, Order, Subject, make
from hashscan.service.guard import LeftOut
from hashscan.service.planning import LIMITS, Before, Limits, Wanted, is_in_force
from hashscan.service.sharing import cores, shared
from hashscan.service.store import Store
from hashscan.service.tables import HashList, Provider, Publication
from hashscan.service.tables_out import Lingering, SideFile

_ALONE = 200_000  # tokens of all filters together: for fewer no process is forked


@dataclass(frozen=True, slots=True)
class Terms:
    """How to publish: ``anew`` builds every filter from nothing, ``jobs`` is the number of processes (None: one a core)."""

    error_rate: float = 1e-6
    anew: bool = False
    jobs: int | None = None
    limits: Limits = LIMITS


@dataclass(frozen=True, slots=True)
class Published:
    """One filter that is in force now: ``length`` in bytes, ``seconds`` it took, known files and tokens in it.

    ``delta`` is the length of the delta from the version before, None where there is none. ``left_out``: what the known-good
    guard kept out of the list. ``why``: why it was built from nothing; empty where the change was added to the one before.
    ``lingering``: tokens in it of digests that have left the list.
    """

    provider: str
    list: ListRef
    length: int
    seconds: float
    entries: int
    tokens: int
    delta: int | None
    withdrawn: int
    left_out: LeftOut
    why: str = ""
    lingering: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that the database says about one list, before anything is built: processes are forked without a session."""

    store: Store
    session: Session
    list: HashList
    terms: Terms
    now: float

    def read(self, providers: Sequence[Provider]) -> Batch:
        """What is to be built for whom."""
        content, out = contents.read_list(self.session, self.list, self.store.folder.contents)
        told = withdrawals.told_of(self.session, self.list.id)
        befores = {one.id: self._before(one) for one in providers}
        subject = Subject(content, self._change(content, befores.values()), told, self._lingering(), self.terms.anew)
        kept, orders = [], []
        for provider in providers:
            order = self._order(provider, befores[provider.id], content, told.id)
            before = order.before
            unchanged = not self.terms.anew and is_in_force(before, order.wanted)
            if unchanged and before is not None and (order.folder / before.file_name).is_file():
                kept.append(before)
            else:
                orders.append((provider.id, order))
        return Batch(self.list.id, self.list.name, subject, out, tuple(kept), tuple(orders))

    def _before(self, provider: Provider) -> Before | None:
        """The publication that agents of a provider hold now."""
        of_list = (Publication.provider_id == provider.id, Publication.list_id == self.list.id)
        found = self.session.scalar(select(Publication).where(*of_list).order_by(Publication.version.desc()).limit(1))
        if found is None:
            return None
        base = self.session.scalar(select(Publication.created).where(*of_list, Publication.version == found.base))
        return Before(
            version=found.version,
            epoch=found.epoch,
            file_name=found.file_name,
            sha256=found.sha256,
            content=found.content,
            withdrawn=found.withdrawn,
            base=found.base,
            base_created=base or 0.0,
            error_rate=found.error_rate,
            tokens=found.tokens,
        )

    def _change(self, content: contents.Content, befores: Iterable[Before | None]) -> contents.Change | None:
        """From the newest publication of anybody; who missed that one gets a filter from nothing."""
        newest = max((one for one in befores if one is not None), key=lambda one: one.version, default=None)
        old = contents.open_content(self.store.folder.contents, self.list.name, newest.content) if newest is not None else None
        return contents.change(old, content) if old is not None else None

    def _lingering(self) -> dict[tuple[Algorithm, bytes], int]:
        rows = self.session.execute(
            select(Lingering.algorithm, Lingering.digest, Lingering.left).where(Lingering.list_id == self.list.id)
        )
        return {(Algorithm(row.algorithm), row.digest): row.left for row in rows}

    def _order(self, provider: Provider, before: Before | None, content: contents.Content, withdrawn: str) -> Order:
        ref = ListRef(self.list.name, self.list.version + 1, provider.epoch)
        wanted = Wanted(
            provider.epoch,
            self.terms.error_rate,
            content.id,
            withdrawn,
            content.tokens + CANARIES,
            self.now,
            self.terms.limits,
        )
        key = key_ring(self.session, provider.id).filter_key(ref.id, ref.epoch)
        return Order(ref, provider.name, self.store.folder.published(provider.name), before, wanted, key)


@dataclass(frozen=True, slots=True)
class Batch:
    """One list: what its filters are made of, which are in force already, which are to be made; for whom is a row's id."""

    list_id: int
    list_name: str
    subject: Subject
    left_out: LeftOut
    kept: tuple[Before, ...]
    orders: tuple[tuple[int, Order], ...]

    def build(self, terms: Terms) -> Built:
        """Write the files; the database does not know them yet."""
        small = len(self.orders) * self.subject.content.tokens < _ALONE
        workers = terms.jobs or (1 if small else cores())
        made: dict[int, Made] = dict(shared(len(self.orders), partial(_make, self), workers=workers))
        return Built(self, tuple(made[number] for number in range(len(self.orders))))


def _make(batch: Batch, number: int, beat: Callable[[], None]) -> Made:
    order = batch.orders[number][1]
    try:
        return make(batch.subject, order, beat)
    except OSError as error:  # here, because it may have to cross from a process to its parent
        hint = "what was in force stays; is the disk full?"
        raise HashscanError(f"cannot write what is published in {order.folder}: {error.strerror}", hint=hint) from None


@dataclass(frozen=True, slots=True)
class Built:
    """A batch, and what was made for each order."""

    batch: Batch
    made: tuple[Made, ...]

    def add_to(self, session: Session, now: float) -> None:
        """Enter everything in a session that writes."""
        batch = self.batch
        row = session.get_one(HashList, batch.list_id)
        row.published = now
        if batch.orders:
            row.version = batch.orders[0][1].list.version
        for (provider_id, order), made in zip(batch.orders, self.made, strict=True):
            publication = self._row(provider_id, order, made, now)
            session.add(publication)
            session.flush()
            session.add_all(_side_file(publication.id, one) for one in (made.delta, made.withdrawn) if one is not None)
        self._keep_lingering(session)

    def _row(self, provider_id: int, order: Order, made: Made, now: float) -> Publication:
        return Publication(
            provider_id=provider_id,
            list_id=self.batch.list_id,
            version=order.list.version,
            epoch=order.list.epoch,
            file_name=made.filter.name,
            length=made.filter.length,
            sha256=made.filter.sha256,
            created=now,
            entries=self.batch.subject.content.entries,
            tokens=made.tokens,
            content=order.wanted.content,
            withdrawn=order.wanted.withdrawn,
            base=made.base,
            error_rate=order.wanted.error_rate,
        )

    def _keep_lingering(self, session: Session) -> None:
        """What came back does not linger; what has left does, as long as there is a filter that may hold it."""
        batch, subject = self.batch, self.batch.subject
        bases = [one.base for one in self.made] + [one.base for one in batch.kept]
        left = dict(subject.lingering)
        if subject.change is not None and batch.orders:
            version = batch.orders[0][1].list.version
            for one in subject.change.added:
                left.pop(one, None)
            left.update(dict.fromkeys(subject.change.removed, version))
        still = {one: version for one, version in left.items() if version > min(bases)}
        if still != subject.lingering:
            session.execute(delete(Lingering).where(Lingering.list_id == batch.list_id))
            session.add_all(
                Lingering(list_id=batch.list_id, algorithm=one.value, digest=digest, left=version)
                for (one, digest), version in still.items()
            )

    def published(self) -> Iterator[Published]:
        """What people are told."""
        content, told = self.batch.subject.content, self.batch.subject.told
        for (_, order), made in zip(self.batch.orders, self.made, strict=True):
            yield Published(
                provider=order.provider,
                list=order.list,
                length=made.filter.length,
                seconds=made.seconds,
                entries=content.entries,
                tokens=made.tokens,
                delta=made.delta.length if made.delta else None,
                withdrawn=len(told.rows),
                left_out=self.batch.left_out,
                why=made.why,
                lingering=made.tokens - CANARIES - content.tokens,
            )


def _side_file(publication_id: int, made: MadeFile) -> SideFile:
    return SideFile(publication_id=publication_id, old=made.old, file_name=made.name, length=made.length, sha256=made.sha256)

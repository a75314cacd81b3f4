"""A service without a network for what agents ask about keys: the functions behind its routes, the errors as over HTTP.

`Desk` is held to the same contract as ``central.enrolling.HttpKeys`` (tests/contracts/test_keys.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from hashscan.errors import RefusedError, ServiceUnavailable
from hashscan.known.enrolment import Application
from hashscan.known.envelopes import PROVIDER_KEYS, seal
from hashscan.service import admin, agents, enrolling
from hashscan.service.access import Caller, NotServed, authenticate
from hashscan.service.keys import OnlineKeys
from hashscan.service.store import Store, open_store
from hashscan.service.tables import Phase, Role
from hashscan.strict_json import StrictJsonError
from tests.support import databases

NOW = 1_790_000_000.0
DAY = 86_400.0
Answer = TypeVar("Answer")


def found_service(top: Path, *providers: str) -> Path:
    """A service with a root and providers that have no agent yet; its data folder."""
    data = top / "service"
    admin.init(data, name="Test hotline", root_keys=top / "offline", database=databases.url_file(top))
    for name in providers or ("acme",):
        admin.add_provider(data, name, phase=Phase.REGULAR)
    return data


class Desk:
    """Asks with ``api_key``. ``lose`` replies get lost on their way back; ``change`` is done to replies by somebody between."""

    def __init__(self, data: Path, api_key: str | None, now: Callable[[], float] = lambda: NOW) -> None:
        self.data = data
        self.api_key = api_key
        self.now = now
        self.lose = 0
        self.change: Callable[[bytes], bytes] = lambda reply: reply
        self.asked: list[bytes] = []

    def enrol(self, application: bytes) -> bytes:
        self.asked.append(application)

        def work(store: Store) -> bytes:
            return enrolling.enrol(store, OnlineKeys.open(store), Application.parse(application), self.now())

        return self.change(self._do(work))

    def add_api_key(self, sha256: str, label: str) -> None:
        self._do(lambda store: agents.introduce(store, self._caller(store), bytes.fromhex(sha256), label, self.now()))

    def retire_api_key(self, sha256: str) -> None:
        self._do(lambda store: agents.retire(store, self._caller(store), bytes.fromhex(sha256), self.now()))

    def provider_keys(self, nonce: str, have: int) -> bytes:
        def work(store: Store) -> bytes:
            payload = enrolling.provider_keys(store, self._caller(store), nonce, have, self.now())
            return seal(payload, PROVIDER_KEYS, OnlineKeys.open(store).signing(Role.VERDICT))

        return self.change(self._do(work))

    def works(self) -> bool:
        """Whether the API key is one."""
        try:
            self._do(self._caller)
        except RefusedError:
            return False
        return True

    def close(self) -> None:
        """Nothing is open."""

    def _caller(self, store: Store) -> Caller:
        caller = authenticate(store, f"Bearer {self.api_key}" if self.api_key else None)
        agents.note_use(store, caller.api_key_id, int(self.now() // DAY))
        return caller

    def _do(self, work: Callable[[Store], Answer]) -> Answer:
        try:
            with open_store(self.data) as store:
                answer = work(store)
        except NotServed as error:
            raise RefusedError(f"the service refused us ({error.status}: {error})") from None
        except StrictJsonError as error:
            raise RefusedError(f"the service does not accept the request (422: {error})") from None
        if self.lose:
            self.lose -= 1
            raise ServiceUnavailable("the reply got lost")
        return answer


@contextmanager
def opened(data: Path) -> Iterator[Store]:
    """The store of a service, to look into it."""
    with open_store(data) as store:
        yield store

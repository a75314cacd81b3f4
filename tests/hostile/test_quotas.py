"""A stolen API key meets the budget of its agent; so does an agent that met a thousand known files: nothing of that is lost."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.support.service import question, sha1
from tests.support.world import Hotline, content, digest

OwnHotline = Callable[[], AbstractContextManager[Hotline]]
BURST = 400  # prefixes
FILES = 450  # known, of which one question names 100


def test_an_agent_that_asks_more_than_its_budget_waits_and_loses_nothing(own_hotline: OwnHotline, tmp_path: Path) -> None:
    names = [f"known {number}" for number in range(FILES)]
    with own_hotline() as hotline:
        world = hotline.admit(tmp_path / "company")
        source = tmp_path / "more"
        source.write_text("".join(f"{digest(name)}\n" for name in names))
        world.service("import", source, "--list", "police")
        world.service("publish")
        world.service("provider", "quota", "acme", "--per-day", "1", "--burst", str(BURST))
        world.plant(*names)
        assert world.run("sync", "-q").code == 0
    with own_hotline() as hotline:  # a new process, whose budget is in the database
        world.reach(hotline.url)
        told = world.scan()
        assert told.code == 10
        found, waiting = told.of("finding"), told.of("pending")
        assert 0 < len(found) <= BURST
        assert len(found) + len(waiting) == FILES
        assert any("429" in one["reason"] for one in waiting)
        assert world.pending() == len(waiting)
        assert world.run("confirm", "-q").code == 11, "asking again at once changes nothing"
        assert world.pending() == len(waiting)
        assert "its agents were slowed" in world.service("status")
    world.service("provider", "quota", "acme")  # what every provider has
    with own_hotline() as hotline:
        world.reach(hotline.url)
        told = world.run("confirm", "--json")
        assert told.code == 10
        assert len(told.of("finding")) == len(waiting)
        assert world.pending() == 0
    assert sorted(path.read_bytes() for path in world.tree.rglob("*") if path.is_file()) == sorted(map(content, names))


def test_a_thief_of_an_api_key_learns_a_bounded_number_of_prefixes(own_hotline: OwnHotline, tmp_path: Path) -> None:
    with own_hotline() as hotline:
        world = hotline.admit(tmp_path / "company")
        world.service("provider", "quota", "acme", "--per-day", "1", "--burst", str(BURST))
        key = (world.etc / "api-key").read_text().strip()
        answered = refused = 0
        for number in range(20):
            asked = question(*({"sha1": sha1(f"{number} {one}")} for one in range(50)))
            request = urllib.request.Request(
                f"{hotline.url}/v1/confirm", json.dumps(asked).encode(), {"Authorization": f"Bearer {key}"}, method="POST"
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as reply:
                    answered += reply.status == 200
            except urllib.error.HTTPError as error:
                with error:
                    refused += error.code == 429 and 1 <= int(error.headers["Retry-After"]) <= 3600
        assert (answered, refused) == (BURST // 50, 20 - BURST // 50)

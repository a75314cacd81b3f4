"""The pages in a real browser: accessible in light and dark, at a desk and on a phone, without scripts, by keyboard.

Chromium is started once. The service runs with the made-up data of ``hashscan demo --pages``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from hashscan.service.app import new_app
from hashscan.service.web.mount import pages_of
from tests.support import axe
from tests.support.chromium import Chromium, Tab, chromium

pytestmark = [pytest.mark.optional("chromium"), pytest.mark.optional("axe-core")]

DESK, PHONE = 1280, 375
NO_PAGES = {"style", "icon", "start", "export_json", "export_csv"}
LOOKS: tuple[tuple[int, bool, tuple[str, ...]], ...] = (  # width, dark, rules of axe (none: all of them)
    (DESK, False, ()),
    (DESK, True, ("color-contrast",)),
    (PHONE, False, ("target-size", "scrollable-region-focusable")),
    (PHONE, True, ()),
)


@dataclass
class Scene:
    """A service full of made-up data, a browser, and a tab for each person."""

    url: str
    password: str
    browser: Chromium
    tabs: dict[str, Tab] = field(default_factory=dict)

    def tab(self, name: str) -> Tab:
        if name not in self.tabs:
            self.tabs[name] = tab = self.browser.tab()
            axe.install(tab)
            tab.look(DESK, dark=False)
            if name:
                tab.go(f"{self.url}/web/login")
                assert tab.submit({"name": name, "password": self.password}) == 200
        return self.tabs[name]

    def disputes(self, name: str) -> list[str]:
        tab = self.tab(name)
        tab.go(f"{self.url}/web/disputes?every=yes")
        links = tab.run("[...document.querySelectorAll('tbody a')].map(one => one.getAttribute('href'))")
        return [str(one) for one in links]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """``hashscan demo --pages`` as a person starts it, and ends it with Ctrl-C."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "hashscan", "demo", "--pages"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)}) as demo:
        assert demo.stdout is not None
        said = "".join(iter(demo.stdout.readline, "Ctrl-C ends it and leaves nothing behind.\n"))
        try:
            (url,) = re.findall(r"^(http://127\.0\.0\.1:\d+)/web/$", said, re.MULTILINE)
            (password,) = re.findall(r"^  ([0-9a-f-]{19})$", said, re.MULTILINE)
            with chromium() as browser:
                yield Scene(url, password, browser)
        finally:
            demo.send_signal(signal.SIGINT)
            assert demo.wait(60) == 0
    assert os.listdir(folder) == [], "it leaves nothing behind"


def visits(scene: Scene) -> Iterator[tuple[str, str, int]]:
    """(who, path, status) of every page, with all that it can show."""
    yield from (("", f"/web/{path}", status) for path, status in (("login", 200), ("welcome", 200), ("nothing", 404)))
    for path in ("overview?names=yes&open=all&period=all", "providers/hazel-vps", "disputes?every=yes", "disputes/new"):
        yield "anna", f"/web/{path}", 200
    for path in ("trail", "people", "account?done=logins"):
        yield "anna", f"/web/{path}", 200
    for path in scene.disputes("anna"):
        yield "anna", path, 200
    for path in ("own", "disputes", "account/second-factor", *(one.removeprefix("/web/") for one in scene.disputes("dora"))):
        yield "dora", f"/web/{path}", 200
    yield "dora", "/web/trail", 403


def look(scene: Scene, who: str, path: str, status: int) -> list[str]:
    """What is wrong with one page as it is shown to somebody, in both colours and widths."""
    tab = scene.tab(who)
    got = tab.go(scene.url + path)
    problems = [] if got == status else [f"status {got}"]
    for width, dark, rules in LOOKS:
        tab.look(width, dark=dark)
        wide = tab.run("document.documentElement.scrollWidth")
        found = [f"{wide} px wide: it scrolls sideways"] if wide > width else []
        found += axe.violations(tab, rules)
        problems += [f"at {width}, {'dark' if dark else 'light'}: {one}" for one in found]
    problems += [f"the console says {one}" for one in tab.complaints() if f"status of {status}" not in one]
    return [f"{who or 'nobody'} {path} {one}" for one in problems]


def test_every_page_is_accessible_in_both_colours_and_widths(scene: Scene) -> None:
    shown = list(visits(scene))
    problems = [one for visit in shown for one in look(scene, *visit)]
    assert not problems, "\n".join(["", *problems])
    paths = [path.partition("?")[0].removeprefix("/web") for _, path, _ in shown]
    missed = {
        one.name
        for one in pages_of(new_app()).routes
        if "GET" in one.methods and not any(one.path_regex.match(path) for path in paths)  # type: ignore[attr-defined]
    }
    assert missed <= NO_PAGES
    print(f"{len(shown)} pages, {len(LOOKS)} looks each")


def test_control_what_is_wrong_is_noticed(scene: Scene) -> None:
    tab = scene.tab("")
    tab.look(PHONE, dark=False)
    tab.go(f"{scene.url}/web/login")
    assert axe.violations(tab) == []
    tab.run("document.querySelector('label').remove(); document.documentElement.lang = ''")
    tab.run("document.querySelector('h1').setAttribute('style', 'color: #bbb')")
    tab.run("document.querySelector('section').insertAdjacentHTML('beforeend', '<pre>' + 'x'.repeat(999) + '</pre>')")
    found = {one.partition(":")[0] for one in axe.violations(tab)}
    assert {"label", "html-has-lang"} <= found
    assert "color-contrast" not in found, "an inline style must not be applied"
    assert tab.run("document.documentElement.scrollWidth") > PHONE
    assert any("Content Security Policy" in one for one in tab.complaints())


def test_control_a_bad_contrast_is_noticed(scene: Scene) -> None:
    tab = scene.tab("")
    tab.look(DESK, dark=True)
    tab.go(f"{scene.url}/web/login")
    tab.run("document.documentElement.style.setProperty('--soft', '#556')")  # through the object model, which CSP allows
    assert {one.partition(":")[0] for one in axe.violations(tab, ("color-contrast",))} == {"color-contrast"}


def test_a_person_logs_in_without_scripts_and_by_keyboard(scene: Scene) -> None:
    tab = scene.browser.tab()
    tab.look(DESK, dark=False, scripts=False)
    tab.go(f"{scene.url}/web/login?next=/web/overview%3Fnames%3Dyes")
    tab.press("Tab")
    assert "Skip" in tab.focused()
    while "name" not in tab.focused():
        tab.press("Tab")
    tab.type("chris")
    tab.press("Tab")
    tab.type(scene.password)
    tab.press("Enter")
    tab.wait_for_page("/web/overview")
    assert "Overview" in tab.run("document.querySelector('h1').textContent")
    assert tab.run("document.querySelectorAll('script, iframe, object, [style], [onclick]').length") == 0
    stops = []
    for _ in range(16):
        tab.press("Tab")
        stops.append(tab.focused())
        assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid", stops
    assert len(set(stops)) >= 14, stops


def test_nothing_is_asked_of_anybody_else(scene: Scene) -> None:
    tab = scene.tab("anna")
    tab.look(DESK, dark=False)
    tab.go(f"{scene.url}/web/overview")
    asked = tab.run("performance.getEntriesByType('resource').map(one => one.name)")
    assert asked
    assert all(one.startswith(scene.url) for one in asked)
    assert tab.run("fetch('/web/overview').then(() => 'sent', () => 'refused')") == "refused", "the policy lets no script ask"


def test_on_paper_there_is_what_matters(scene: Scene) -> None:
    tab = scene.tab("anna")
    tab.look(DESK, dark=False)
    tab.go(f"{scene.url}/web/overview")
    tab.send("Emulation.setEmulatedMedia", media="print")
    hidden = "[...document.querySelectorAll('nav, form, .act')].every(one => getComputedStyle(one).display === 'none')"
    assert tab.run(hidden)
    assert tab.run("getComputedStyle(document.querySelector('.figures')).display") == "grid"
    tab.send("Emulation.setEmulatedMedia", media="")


def test_what_is_said_after_too_many_logins_is_a_page_too(scene: Scene) -> None:
    """The last test: nobody comes in from this address afterwards."""
    tab = scene.browser.tab()
    axe.install(tab)
    tab.look(PHONE, dark=True)
    tab.go(f"{scene.url}/web/login")
    tab.submit({"name": "nobody", "password": "x"})
    assert (tab.status, axe.violations(tab)) == (403, [])
    for _ in range(20):
        if tab.submit({"name": "nobody", "password": "x"}) == 429:
            break
    assert (tab.status, axe.violations(tab)) == (429, [])

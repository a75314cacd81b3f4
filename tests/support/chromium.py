"""Chromium without a window, spoken to over a pipe (DevTools protocol): no driver, no library, no port.

Messages are JSON texts that end with a zero byte, on the descriptors 3 and 4 of the browser (``--remote-debugging-pipe``).
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ANSWER_SECONDS = 60.0
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--mute-audio",
    "--remote-debugging-pipe",
)


def program() -> str | None:
    """The path of the browser, or None."""
    return next((found for one in PROGRAMS if (found := shutil.which(one))), None)


def _on_3_and_4(there: int, back: int) -> list[str]:
    return ["bash", "-c", f'exec "$@" 3<&{there} 4>&{back}', "bash"]  # dash knows one digit only


class BrowserError(Exception):
    """The browser said no, or nothing."""


class Chromium:
    """A running browser."""

    def __init__(self, folder: Path, *, more: tuple[str, ...] = ()) -> None:
        name = program()
        assert name is not None
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        self._numbers = iter(range(1, 1 << 30))
        self._rest = b""
        self._events: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [*_on_3_and_4(theirs_in, theirs_out), name, *_FLAGS, f"--user-data-dir={folder}", *more],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs_in, theirs_out),
            env={**os.environ, "HOME": str(folder)},
        )
        os.close(theirs_in)
        os.close(theirs_out)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.send("Browser.close")
            self._process.wait(15)
        except (BrowserError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        finally:
            os.close(self._in)
            os.close(self._out)

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command and its result. Raises `BrowserError`."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            answer = self._read(deadline)
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self._events.append(answer)

    def wait_for(self, event: str, session: str) -> dict[str, Any]:
        """The next event of that name. Raises `BrowserError`."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            for number, one in enumerate(self._events):
                if one.get("method") == event and one.get("sessionId") == session:
                    del self._events[: number + 1]
                    return dict(one["params"])
            self._events.append(self._read(deadline))

    def forget_events(self) -> list[dict[str, Any]]:
        """What was told without being asked since the last time."""
        told, self._events = self._events, []
        return told

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(self._in, 1 << 20) if ready else b""
            if not piece:
                raise BrowserError("the browser says nothing" if not ready else "the browser is gone")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))

    def tab(self) -> Tab:
        """A new empty tab, with cookies of its own."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Tab(self, session)


class Tab:
    """One page of the browser."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Network.setCacheDisabled", cacheDisabled=False)
        self.status = 0

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.send(method, self._session, **parameters)

    def look(self, width: int, *, dark: bool, height: int = 900, scripts: bool = True) -> None:
        """The size of the window, and what the person prefers."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)

    def go(self, url: str) -> int:
        """Open a page and wait for it; its HTTP status."""
        self._browser.forget_events()
        self.send("Page.navigate", url=url)
        return self._loaded()

    def _loaded(self) -> int:
        self._browser.wait_for("Page.loadEventFired", self._session)
        (entry,) = self.run("performance.getEntriesByType('navigation').map(one => one.responseStatus)")
        self.status = int(entry)
        return self.status

    def run(self, expression: str) -> Any:
        """What a script in the page says; promises are waited for. Raises `BrowserError`."""
        done = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            details = done["exceptionDetails"]
            raise BrowserError(str(details.get("exception", {}).get("description", details.get("text"))))
        return done["result"].get("value")

    def submit(self, fields: dict[str, str], selector: str = "main form") -> int:
        """Fill in a form and send it, as its button does; the status of the page that follows."""
        self._browser.forget_events()
        self.run(
            f"""(() => {{
                const form = document.querySelector({json.dumps(selector)}), fields = {json.dumps(fields)};
                for (const [name, value] of Object.entries(fields)) form.querySelector(`[name="${{name}}"]`).value = value;
                setTimeout(() => form.querySelector("button").click(), 0);
            }})()"""
        )
        return self._loaded()

    def press(self, key: str) -> None:
        """A key, as a person presses it."""
        text = {"text": "\r"} if key == "Enter" else {}
        code = {"Tab": 9, "Enter": 13}[key]
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def type(self, text: str) -> None:
        """Words into what has the focus."""
        self.send("Input.insertText", text=text)

    def focused(self) -> str:
        """What has the focus: its opening tag and text."""
        return str(self.run("document.activeElement.outerHTML.slice(0, 200)"))

    def wait_for_page(self, path: str) -> None:
        """Until a page with that path is there. Raises `BrowserError`."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            self._browser.wait_for("Page.loadEventFired", self._session)
            if self.run("location.pathname") == path:
                return
        raise BrowserError(f"no page {path}")

    def picture(self, *, whole: bool = True) -> bytes:
        """The page as PNG."""
        done = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        return base64.b64decode(done["data"])

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def complaints(self) -> list[str]:
        """What the browser wrote into its console since the page was opened: blocked styles, scripts, missing files."""
        found = []
        for one in self._browser.forget_events():
            if one.get("sessionId") == self._session and one["method"] == "Log.entryAdded":
                found.append(one["params"]["entry"]["text"])
        return found


@contextmanager
def chromium(*, more: tuple[str, ...] = ()) -> Iterator[Chromium]:
    """A browser with an empty profile, for the time of the block."""
    with (
        tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder,
        Chromium(Path(folder), more=more) as one,
    ):
        yield one

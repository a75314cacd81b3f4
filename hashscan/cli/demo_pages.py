"""hashscan demo --pages: the pages of a service full of made-up data, until Ctrl-C."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from hashscan.cli.folding import speak
from hashscan.cli.lines import emphasised
from hashscan.cli.service_admin import admin

_PASSWORD_WORDS = 4


def show_pages(folder: Path, port: int) -> None:
    """Make a service in ``folder``, fill it, and serve it on loopback. Returns after SIGINT or SIGTERM. Raises `UsageError`."""
    service = admin()
    # The service is an extra.
    from hashscan.service.run import Door, serve  # noqa: PLC0415
    from hashscan.service.serving import Options  # noqa: PLC0415
    from hashscan.service.store import open_store  # noqa: PLC0415
    from hashscan.service.web import made_up  # noqa: PLC0415

    data, password = folder / "service", "-".join(secrets.token_hex(2) for _ in range(_PASSWORD_WORDS))
    speak("Making up four months of eight companies that do not exist ...", err=True)
    service.init(data, name="Example Hotline", root_keys=folder / "root-keys")
    with open_store(data) as store:
        made_up.fill(store, time.time(), password=password)

    def ready(url: str) -> None:
        emphasised(f"\n{url}/web/")
        speak("\nLog in as one of these; the password of all is")
        emphasised(f"  {password}\n")
        for name, role, provider in made_up.PEOPLE:
            speak(f"  {name:8}{role}{f' of {provider}' if provider else ''}")
        speak("\nCtrl-C ends it and leaves nothing behind.")

    serve(data, Door("127.0.0.1", port), Options(), ready=ready)

"""Writes the next revision of the service's database: what the tables in the code have and the revisions so far have not."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from alembic import command
from sqlalchemy.orm import Session

from hashscan.service import schema
from hashscan.service.store import Folder, connect


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not (slug := re.sub(r"[^a-z0-9]+", "_", arguments[0].lower()).strip("_")):
        print('usage: scripts/revision "what changes"', file=sys.stderr)
        return 2
    known = schema.revisions()
    number = f"{int(known[-1]) + 1:04}" if known else schema.FIRST
    with tempfile.TemporaryDirectory() as folder:
        store = connect(Folder(Path(folder)), cache_kib=1024, busy_seconds=5.0)
        store.database.make()
        if known:
            store.upgrade()
        with Session(store.database.migrator()) as session:
            config = schema.config(session.connection())
            config.set_main_option("file_template", f"r%%(rev)s_{slug}")
            made = command.revision(config, arguments[0], rev_id=number, autogenerate=True)
        store.close()
    path = Path(made.path)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.strip().startswith("# ###")), encoding="utf-8")
    subprocess.run(["ruff", "check", "--fix", "--quiet", path], check=False)
    subprocess.run(["ruff", "format", "--quiet", path], check=True)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Manual pages from the command tree: one page a command, in the words of its help. Run on what is shipped, by its interpreter.

``python man.py TREE FOLDER EPOCH README`` writes the pages and the completions of the program in TREE. What exit codes mean
stands in the README.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = sys.argv[1:2] if __name__ == "__main__" else []

import click  # noqa: E402 - that of the tree
from click.shell_completion import get_completion_class  # noqa: E402

from hashscan import __version__  # noqa: E402
from hashscan.cli.main import cli  # noqa: E402

COMPLETIONS = {"bash": "hashscan.bash", "zsh": "_hashscan", "fish": "hashscan.fish"}
FILES = {
    "/etc/hashscan/config.toml, /etc/hashscan/conf.d/*.toml": "the configuration; 'hashscan config init -' prints all of it",
    "/var/lib/hashscan": "state: lists, pending candidates, runs, and in vault/ what was quarantined",
    "/var/cache/hashscan": "digests of unchanged files; may be removed at any time",
    "/run/hashscan": "the lock of the run",
}


def escaped(text: str) -> str:
    """Text as roff takes it literally."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(['.])", r"\\&\1", text, flags=re.MULTILINE)


def commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Every command and group by its full name, parents first."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for child in command.list_commands(context):
            below = command.get_command(context, child)
            if below is not None and not below.hidden:
                yield from commands(f"{name} {child}", below)


def paragraphs(text: str) -> Iterator[str]:
    """The help of a command as roff: \\b keeps the lines of a paragraph."""
    for part in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in part.splitlines()]
        if lines[:1] == ["\b"]:
            yield ".nf\n" + escaped("\n".join(lines[1:])) + "\n.fi"
        else:
            yield escaped(" ".join(lines))


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for one in command.get_params(context):
        record = one.get_help_record(context)
        if record is not None:
            yield f".TP\n\\fB{escaped(record[0])}\\fR\n{escaped(record[1])}"


def exit_codes(readme: str) -> list[tuple[str, str]]:
    """Codes and meanings of the table in the README, which is compared with the program."""
    table = readme.partition("<!-- exit-codes:begin -->")[2].partition("<!-- exit-codes:end -->")[0]
    return re.findall(r"^\| (\d+) \| (.+) \|$", table, re.MULTILINE)


def page(name: str, command: click.Command, names: list[str], epoch: int, codes: list[tuple[str, str]]) -> str:
    """The page of one command; ``names`` are all commands, ``codes`` what exit codes mean."""
    context = click.Context(command, info_name=name)
    title, day = name.replace(" ", "-"), time.strftime("%Y-%m-%d", time.gmtime(epoch))
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece)
    parts = [f'.TH "{escaped(title.upper())}" 1 "{day}" "hashscan {__version__}" "User Commands"']
    parts += [".SH NAME", f"{escaped(title)} \\- {escaped(command.get_short_help_str(200).rstrip('.'))}"]
    parts += [".SH SYNOPSIS", f"\\fB{escaped(name)}\\fR {escaped(usage)}"]
    parts += [".SH DESCRIPTION", "\n.PP\n".join(paragraphs(command.help or ""))]
    if options := list(_options(command, context)):
        parts += [".SH OPTIONS", *options]
    below = [one for one in names if one.rpartition(" ")[0] == name]
    if below:
        parts += [".SH COMMANDS", *(f".BR {escaped(one.replace(' ', '-'))} (1)\n.br" for one in below)]
    if name == "hashscan":
        parts += [".SH EXIT STATUS", *(f".TP\n\\fB{code}\\fR\n{escaped(meaning)}" for code, meaning in codes)]
        parts += [".SH FILES", *(f".TP\n\\fI{escaped(file)}\\fR\n{escaped(told)}" for file, told in FILES.items())]
    else:
        parts += [".SH SEE ALSO", f".BR {escaped(name.rpartition(' ')[0].replace(' ', '-'))} (1)"]
    return "\n".join(parts) + "\n"


def main(folder: Path, epoch: int, readme: str) -> None:
    """Write all pages and completions."""
    known, codes = dict(commands("hashscan", cli)), exit_codes(readme)
    for name, command in known.items():
        path = folder / "man" / f"{name.replace(' ', '-')}.1"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(name, command, list(known), epoch, codes), encoding="utf-8")
    for shell, file in COMPLETIONS.items():
        kind = get_completion_class(shell)
        assert kind is not None
        path = folder / "completions" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(kind(cli, {}, "hashscan", "_HASHSCAN_COMPLETE").source(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]).read_text(encoding="utf-8"))

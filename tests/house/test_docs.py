"""What the documents say is compared with the program. Each check has a control that shows what it would notice."""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from hashscan import settings
from hashscan.cli.main import cli
from hashscan.errors import ExitCode
from hashscan.report import schema
from hashscan.report.ndjson import ENVELOPE
from tests.house.source import REPOSITORY
from tests.house.test_words import files, word_problems

WIDTH = 160  # characters of a line
OPERATING, SERVICE, README = "docs/operating.md", "docs/service.md", "README.md"
NAMED_TESTS = ("docs/threat-model.md", "docs/quarantine.md")
EVERY_COMMAND = {"--help", "-h"}
NOT_TYPED = {"hashscan filter v1", "hashscan confirm v1", "hashscan log v1"}  # contexts of keys and hashes, no commands


def documents() -> dict[str, str]:
    """Every Markdown file that is or would be tracked, by its path below the repository."""
    found = {name: text for name, text in files() if name.endswith(".md")}
    assert len(found) > 10, "the checks would look at nothing"
    return found


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


# Links and lines


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as forges make them."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def link_problems(name: str, text: str) -> list[str]:
    problems = []
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (REPOSITORY / name).parent / path if path else REPOSITORY / name
        if not there.exists():
            problems.append(f"{name}: the link {target} leads nowhere")
        elif anchor and anchor not in anchors(text if not path else there.read_text(encoding="utf-8")):
            problems.append(f"{name}: the link {target} has no such heading")
    return problems


def width_problems(name: str, text: str) -> list[str]:
    lines = enumerate(text.splitlines(), 1)
    return [f"{name}:{number}: {len(line)} characters" for number, line in lines if len(line) > WIDTH]


def test_every_link_leads_somewhere() -> None:
    problems = [problem for name, text in documents().items() for problem in link_problems(name, text)]
    assert not problems, "\n".join(["", *problems])


@pytest.mark.parametrize("bad", ["[x](nowhere.md)", "[x](docs/wire.md#nowhere)", "[x](#nowhere)"])
def test_control_a_dead_link_is_noticed(bad: str) -> None:
    assert len(link_problems(README, f"# Here\n{bad}")) == 1
    assert link_problems(README, "# Here\n[a](#here) [b](docs/wire.md#keys-and-tokens) [c](https://example.org)") == []


def test_lines_are_short_and_know_no_machine() -> None:
    problems = [problem for name, text in documents().items() for problem in width_problems(name, text)]
    problems += word_problems(documents().items())
    assert not problems, "\n".join(["", *problems])


def test_control_a_long_line_is_noticed() -> None:
    assert width_problems("a.md", "x" * WIDTH + "\n" + "x" * (WIDTH + 1)) == [f"a.md:2: {WIDTH + 1} characters"]


# Code and tests that are named

_NAMED = re.compile(r"(?<![\w./-])((?:[\w-]+/)*[\w-]+\.py)(?::([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?))?(?![\w/])")


@cache
def defined(path: Path) -> frozenset[str]:
    """Functions, classes, methods ("Class.method") and constants at the top of a module."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = (one.name for one in node.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)))
            names.update(f"{node.name}.{name}" for name in inner)
        if isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return frozenset(names)


def code_problems(name: str, text: str) -> list[str]:
    problems = []
    for path, inside in _NAMED.findall(text):
        there = next((one for one in (REPOSITORY / "hashscan" / path, REPOSITORY / path) if one.is_file()), None)
        if there is None:
            problems.append(f"{name}: there is no {path}")
        elif inside and inside not in defined(there):
            problems.append(f"{name}: {path} has no {inside}")
    return problems


def named_tests(text: str) -> list[str]:
    return [inside for path, inside in _NAMED.findall(text) if path.startswith("tests/") and inside.startswith("test_")]


def test_code_that_is_named_exists() -> None:
    problems = [problem for name, text in documents().items() for problem in code_problems(name, text)]
    assert not problems, "\n".join(["", *problems])
    assert len(_NAMED.findall(text_of("docs/architecture.md"))) > 60


@pytest.mark.parametrize("document", NAMED_TESTS)
def test_tests_that_are_named_exist(document: str) -> None:
    named = named_tests(text_of(document))
    assert len(named) >= 10
    assert code_problems(document, text_of(document)) == []
    print(f"{document}: {len(named)} tests")


@pytest.mark.parametrize(
    "bad",
    [
        "`jobs/nothing.py`",
        "`jobs/scan.py:nothing`",
        "`quarantine/vault.py:Vault.nothing`",
        "tests/house/test_docs.py:test_nothing",
        "tests/house/test_nothing.py:test_x",
    ],
)
def test_control_a_wrong_name_is_noticed(bad: str) -> None:
    assert len(code_problems("a.md", f"see {bad}, please")) == 1


def test_control_a_right_name_is_not() -> None:
    right = "`jobs/scan.py:scan` fsops.py, `quarantine/vault.py:Vault.handle`; `hashscan/ports.py`"
    mine = "tests/house/test_docs.py:test_control_a_right_name_is_not"
    assert code_problems("a.md", f"{right} {mine} {mine.replace('test_control', 'test_control')}") == []
    assert named_tests(mine) == ["test_control_a_right_name_is_not"]


# Commands and flags


@cache
def commands() -> Mapping[str, click.Command]:
    """Every command and group by its full name ("hashscan service provider add")."""
    found: dict[str, click.Command] = {}

    def visit(name: str, command: click.Command) -> None:
        found[name] = command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for child in command.list_commands(context):
                below = command.get_command(context, child)
                assert below is not None
                visit(f"{name} {child}", below)

    visit("hashscan", cli)
    return found


def leaves() -> dict[str, click.Command]:
    return {name: command for name, command in commands().items() if not isinstance(command, click.Group)}


def flags_of(command: click.Command) -> set[str]:
    """All spellings of all options, as its help prints them."""
    return {
        spelling for one in command.params if isinstance(one, click.Option) for spelling in (*one.opts, *one.secondary_opts)
    }


def command_lines(text: str) -> Iterator[str]:
    """What a reader might type: `hashscan ...` in code spans, and in lines of code blocks."""
    parts = re.split(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    for prose in parts[0::3]:
        yield from re.findall(r"`(hashscan [^`\n]+)`", prose)
    for language, block in zip(parts[1::3], parts[2::3], strict=True):
        if language in ("console", "sh"):
            # Only what begins a command: after a prompt, at the start of a line, or behind a pipe or a semicolon.
            yield from re.findall(r"(?:^(?:\$ )?|[;|] )(hashscan [^|;#\n]+)", block, re.MULTILINE)


def command_problems(name: str, line: str) -> list[str]:
    """What in ``line`` the program would not know: a command, or a flag of the commands on the way."""
    words = line.split()
    here, known, problems = "hashscan", flags_of(commands()["hashscan"]) | EVERY_COMMAND, []
    for word in words[1:]:
        if word.startswith("-") and len(word) > 1:
            if word.rstrip(",.").partition("=")[0] not in known:
                problems.append(f"{name}: {line!r}: {here} has no flag {word}")
        elif f"{here} {word}" in commands():
            here = f"{here} {word}"
            known |= flags_of(commands()[here])
        elif isinstance(commands()[here], click.Group) and re.fullmatch(r"[a-z]+", word):
            problems.append(f"{name}: {line!r}: {here} has no command {word}")
            break
    return problems


def test_commands_in_the_documents_exist() -> None:
    lines = [(name, line) for name, text in documents().items() for line in command_lines(text) if line not in NOT_TYPED]
    problems = [problem for name, line in lines for problem in command_problems(name, line)]
    assert not problems, "\n".join(["", *problems])
    assert len(lines) > 40, "the check would look at nothing"


def test_help_prints_every_flag() -> None:
    """The flags that are compared are those of ``--help``, rendered."""
    for name, command in leaves().items():
        said = command.get_help(click.Context(command, info_name=name))
        assert all(flag in said for flag in flags_of(command)), name


def sections(text: str) -> dict[str, str]:
    """The sections of a document that are about one command."""
    found = re.findall(r"^### `(hashscan[a-z -]*)`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    return dict(found)


def command_sections() -> dict[str, str]:
    """Those of the agent's commands and those of the service's; no command is told twice."""
    agent, service = sections(text_of(OPERATING)), sections(text_of(SERVICE))
    assert not set(agent) & set(service)
    return {**agent, **service}


def flag_table(section: str) -> set[str]:
    """The flags in the first column of a section's table."""
    cells = re.findall(r"^\| (`-.*?) \|", section, re.MULTILINE)
    return {flag for cell in cells for flag in re.findall(r"`(-[\w-]+)", cell)}


def section_problems(told: Mapping[str, str]) -> list[str]:
    problems = [f"{name} has no section" for name in leaves() if name not in told]
    problems += [f"there is no {name}" for name in told if name not in leaves()]
    for name, command in leaves().items():
        if name in told and flag_table(told[name]) != flags_of(command):
            problems.append(f"{name}: {sorted(flag_table(told[name]) ^ flags_of(command))}")
    return problems


def test_every_command_is_documented_with_all_its_flags() -> None:
    problems = section_problems(command_sections())
    assert not problems, "\n".join(["", *problems])
    print(f"{len(leaves())} commands, {sum(len(flags_of(one)) for one in leaves().values())} flags")


@pytest.mark.parametrize(
    "bad",
    [
        "hashscan scna /srv",
        "hashscan scan --jsno /srv",
        "hashscan quarantine view X",
        "hashscan service provider remove x",
        "hashscan status --names",
    ],
)
def test_control_a_wrong_command_is_noticed(bad: str) -> None:
    assert list(command_lines(f"Say `{bad}` now")) == [bad]
    assert list(command_lines(f"```console\n$ {bad} # why\n```\n")) == [f"{bad} "]
    assert len(command_problems("a.md", bad)) == 1


def test_control_a_wrong_section_is_noticed() -> None:
    told = command_sections()
    without = {name: body for name, body in told.items() if name != "hashscan sync"}
    assert section_problems(without) == ["hashscan sync has no section"]
    assert section_problems({**told, "hashscan dance": ""}) == ["there is no hashscan dance"]
    more = {**told, "hashscan sync": told["hashscan sync"] + "\n| `--wrong` | no |\n"}
    assert section_problems(more) == ["hashscan sync: ['--wrong']"]
    less = {**told, "hashscan sync": told["hashscan sync"].replace("`--json`", "`--from`")}
    assert section_problems(less) == ["hashscan sync: ['--json']"]


# Tables between markers


def rows(text: str, marker: str) -> list[list[str]]:
    """The cells of the table between ``<!-- marker:begin -->`` and ``<!-- marker:end -->``, without its head."""
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    assert text.count(begin) == text.count(end) == 1, f"the marker {marker} must occur once"
    body = text.partition(begin)[2].partition(end)[0].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body[2:]]


def exit_code_problems(table: Iterable[list[str]], *, named: bool) -> list[str]:
    told = {int(cells[0]): cells[1] for cells in table}
    real = {int(code): code.name for code in ExitCode}
    problems = [f"exit code {code} is {'not told' if code in real else 'unknown'}" for code in sorted(set(told) ^ set(real))]
    if named:
        problems += [
            f"exit code {code} is {real[code]}, not {told[code]}" for code in real if told.get(code, real[code]) != real[code]
        ]
    return problems


def test_exit_codes() -> None:
    assert exit_code_problems(rows(text_of(README), "exit-codes"), named=False) == []
    assert exit_code_problems(rows(text_of(OPERATING), "exit-codes"), named=True) == []
    order = "12, 10, 20, 22, 11, 4, 3, 0"  # of report.tally.Tally.exit_code, whose own test holds it
    assert order in text_of(README)
    assert order in text_of(OPERATING)


def test_the_short_help_names_the_same_exit_codes() -> None:
    said = commands()["hashscan"].get_help(click.Context(commands()["hashscan"]))
    codes = {int(code) for code in re.findall(r"\b(\d+) [a-z]", said.partition("Exit codes:")[2].partition("Options:")[0])}
    assert codes == {int(code) for code in ExitCode} - {ExitCode.CRASH}


def test_control_a_wrong_exit_code_is_noticed() -> None:
    table = rows(text_of(OPERATING), "exit-codes")
    assert exit_code_problems(table[1:], named=True) == ["exit code 0 is not told"]
    assert exit_code_problems([*table, ["99", "X"]], named=True) == ["exit code 99 is unknown"]
    assert exit_code_problems([*table[1:], ["0", "FINE"]], named=True) == ["exit code 0 is OK, not FINE"]


def setting_fields() -> dict[str, dataclasses.Field[Any]]:
    """Every setting by its name in a file."""
    top = settings.Settings()
    return {
        f"{section.name}.{one.name}": one
        for section in dataclasses.fields(top)
        if dataclasses.is_dataclass(value := getattr(top, section.name))
        for one in dataclasses.fields(value)
    }


def setting_problems(table: Iterable[list[str]]) -> list[str]:
    told = {cells[0].strip("`"): cells[1].strip("`") for cells in table}
    real = setting_fields()
    problems = [f"{key} is {'not told' if key in real else 'unknown'}" for key in sorted(set(told) ^ set(real))]
    for key in sorted(set(told) & set(real)):
        value = real[key].metadata["convert"](tomllib.loads(f"x = {told[key]}")["x"])
        if value != real[key].default or type(value) is not type(real[key].default):
            problems.append(f"{key} is {real[key].default!r} by default, not {told[key]}")
    return problems


def test_settings() -> None:
    assert setting_problems(rows(text_of(OPERATING), "settings")) == []
    assert len(setting_fields()) >= 19


def test_control_a_wrong_setting_is_noticed() -> None:
    table = rows(text_of(OPERATING), "settings")
    assert setting_problems([row for row in table if row[0] != "`scan.jobs`"]) == ["scan.jobs is not told"]
    assert setting_problems([*table, ["`scan.magic`", "`1`"]]) == ["scan.magic is unknown"]
    assert setting_problems([*table, ["`scan.jobs`", "`3`"]]) == ["scan.jobs is 0 by default, not 3"]
    assert setting_problems([*table, ["`lists.max_age`", '`"8d"`']]) == ['lists.max_age is 604800.0 by default, not "8d"']


def event_fields() -> dict[str, set[str]]:
    """The fields of each event type of the schema."""
    definitions = schema.load("event")["$defs"]
    bodies = [body["properties"] for name, body in definitions.items() if name.startswith("event_")]
    return {body["type"]["const"]: {name for name in body if body[name] is not False} - {"type", "path_b64"} for body in bodies}


def event_problems(table: Iterable[list[str]], elsewhere: Mapping[str, set[str]]) -> list[str]:
    told = {cells[0].strip("`"): set(re.findall(r"`(\w+)`", cells[2])) for cells in table}
    real = event_fields()
    problems = [f"{kind} is {'not told' if kind in real else 'unknown'}" for kind in sorted(set(told) ^ set(real))]
    for kind in sorted(set(told) & set(real)):
        wrong = (told[kind] or elsewhere.get(kind, set())) ^ real[kind]
        problems += [f"{kind}: {sorted(wrong)}"] if wrong else []
    return problems


def fields_in_prose(text: str, kind: str) -> Mapping[str, set[str]]:
    """The fields named in the sentence that begins with "`kind` has"."""
    (sentence,) = re.findall(rf"^`{kind}` has (.*?)\.[ \n]", text, re.MULTILINE | re.DOTALL)
    return {kind: set(re.findall(r"`(\w+)`", sentence))}


def test_events() -> None:
    text = text_of(OPERATING)
    assert event_problems(rows(text, "events"), fields_in_prose(text, "summary")) == []
    assert all(f"`{name}`" in text for name in ENVELOPE)


def test_control_a_wrong_event_is_noticed() -> None:
    text = text_of(OPERATING)
    table, prose = rows(text, "events"), fields_in_prose(text, "summary")
    assert event_problems([row for row in table if row[0] != "`pending`"], prose) == ["pending is not told"]
    assert event_problems([*table, ["`dance`", "", ""]], prose) == ["dance is unknown"]
    assert event_problems([*table, ["`status`", "", "`status` `mood`"]], prose) == ["status: ['mood']"]
    assert event_problems(table, {"summary": prose["summary"] - {"complete"}}) == ["summary: ['complete']"]

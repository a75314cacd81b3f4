"""A type is a permit: each is issued at one address, so that a reader knows where innocent files are kept from being moved."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import fields

import pytest

from hashscan import model
from tests.house.source import Module, dotted, module, modules

ISSUED_BY = {
    "Candidate": ("known.sieve", "known.exact", "central.outbox"),  # the outbox stores permits and reads them again
    "Verdict": ("known.verdicts",),
    "Finding": ("known.judge",),
    "Removal": ("quarantine.policy",),
    "Case": ("quarantine.",),  # the whole room
}
BACK_DOORS = {"object.__new__", "object.__setattr__", "pickle.loads", "pickle.load"}
REPLACE = {"dataclasses.replace", "copy.replace"}
FIELDS = {name: {field.name for field in fields(getattr(model, name))} for name in ISSUED_BY}


def may_issue(one: Module, permit: str) -> bool:
    inner = one.name.removeprefix("hashscan.")
    return any(inner.startswith(place) if place.endswith(".") else inner == place for place in ISSUED_BY[permit])


def permit_problems(all_modules: Iterable[Module]) -> list[str]:
    problems = []
    for one in all_modules:
        for node in ast.walk(one.tree):
            if isinstance(node, ast.Call):
                problems += _call_problems(one, node)
            elif isinstance(node, ast.ImportFrom):
                problems += [
                    f"{one.name}:{node.lineno}: {alias.name} has one name"
                    for alias in node.names
                    if alias.name in ISSUED_BY and alias.asname
                ]
            elif isinstance(node, (ast.Assign, ast.AnnAssign)) and _named_permit(node.value):
                problems.append(f"{one.name}:{node.lineno}: {_named_permit(node.value)} has one name")
            elif isinstance(node, ast.ClassDef):
                problems += [
                    f"{one.name}:{node.lineno}: nobody inherits from {_named_permit(base)}"
                    for base in node.bases
                    if _named_permit(base)
                ]
    return problems


def _named_permit(node: ast.AST | None) -> str:
    name = dotted(node).rpartition(".")[2] if node is not None else ""
    return name if name in ISSUED_BY else ""


def _call_problems(one: Module, node: ast.Call) -> list[str]:
    permit = _named_permit(node.func)
    if permit and not may_issue(one, permit):
        return [f"{one.name}:{node.lineno}: {permit} is issued by {' or '.join(ISSUED_BY[permit])} only"]
    changed = _replaced(one, node)
    if changed:
        return [f"{one.name}:{node.lineno}: replace could change a {changed}"]
    handles = [name for name in ISSUED_BY if _mentions(one, name)]
    if handles and _is_back_door(one, node):
        return [f"{one.name}:{node.lineno}: {dotted(node.func)} could change or forge a {handles[0]}"]
    return []


def _mentions(one: Module, permit: str) -> bool:
    return any(each.name == f"hashscan.model.{permit}" for each in one.imports())


def _is_back_door(one: Module, node: ast.Call) -> bool:
    name = dotted(node.func)
    return name.rpartition(".")[2] in ("__new__", "__reduce__") or _full_name(one, name) in BACK_DOORS


def _replaced(one: Module, node: ast.Call) -> str:
    """The permit that this call of `dataclasses.replace` could change: one that has all the named fields."""
    if _full_name(one, dotted(node.func)) not in REPLACE:
        return ""
    named = {keyword.arg for keyword in node.keywords if keyword.arg}
    return next((permit for permit, has in FIELDS.items() if named <= has), "")


def _full_name(one: Module, name: str) -> str:
    """What ``name`` is called where it comes from: "replace" is "dataclasses.replace" after the import of it."""
    return next((each.name for each in one.imports() if name and each.name.rpartition(".")[2] == name), name)


def test_permits_are_issued_at_their_address() -> None:
    looked_at = modules()
    problems = permit_problems(looked_at)
    assert not problems, "\n".join(["", *problems])
    issued = {
        permit
        for one in looked_at
        for node in ast.walk(one.tree)
        if isinstance(node, ast.Call) and (permit := _named_permit(node.func))
    }
    assert "Candidate" in issued, "the check must have met at least one permit"
    print(f"{len(looked_at)} modules, issued: {sorted(issued)}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hashscan.jobs.scan", "from hashscan.model import Candidate\nCandidate(hashed, lists)"),
        ("hashscan.jobs.scan", "from hashscan import model\nmodel.Finding(1)"),
        ("hashscan.jobs.scan", "from hashscan.model import Removal as R"),
        ("hashscan.jobs.scan", "from hashscan.model import Finding\nmake = Finding"),
        ("hashscan.jobs.scan", "from hashscan.model import Finding\nclass Mine(Finding): pass"),
        ("hashscan.quarantine.take", "from hashscan.model import Removal\nRemoval(finding)"),
        ("hashscan.known.sieve", "from hashscan.model import Verdict\nVerdict()"),
        ("hashscan.known.trust_me", "from hashscan.model import Verdict\nVerdict()"),
        ("hashscan.report.text", "from hashscan.model import Case\nCase()"),
        ("hashscan.jobs.scan", "import dataclasses\nfrom hashscan.model import Finding\ndataclasses.replace(found, act=1)"),
        ("hashscan.jobs.scan", "from dataclasses import replace\nfrom hashscan.model import Finding\nreplace(found, act=1)"),
        ("hashscan.jobs.scan", "from dataclasses import replace\nreplace(self.found, reason='', **more)"),
        ("hashscan.known.judge", "from hashscan.model import Finding\nobject.__setattr__(found, 'act', 1)"),
        ("hashscan.jobs.scan", "from hashscan.model import Finding\nFinding.__new__(Finding)"),
    ],
)
def test_control_a_forged_permit_is_noticed(name: str, text: str) -> None:
    assert len(permit_problems([module(name, text)])) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hashscan.known.exact", "from hashscan.model import Candidate\nCandidate(hashed, lists)"),
        ("hashscan.quarantine.store", "from hashscan.model import Case\nCase()"),
        ("hashscan.settings", "from dataclasses import replace\nreplace(settings, jobs=1)"),
        ("hashscan.quarantine.record", "from dataclasses import replace\nreplace(self, state=state, history=history)"),
        ("hashscan.jobs.scan", "from hashscan.model import Finding\nname.replace('a', 'b')\nx: Finding = found"),
    ],
)
def test_control_an_issued_permit_is_not(name: str, text: str) -> None:
    assert permit_problems([module(name, text)]) == []

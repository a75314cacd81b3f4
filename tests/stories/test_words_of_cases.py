"""What a person is told who decides about cases: why an exit code is not 0, what was done, and what to do next."""

from __future__ import annotations

from tests.support.world import LISTED, World


def test_a_person_decides_about_cases(world: World) -> None:
    world.configure(quarantine={"enabled": True, "per_owner": 3})
    world.plant(*LISTED[:5])
    assert world.scan("-q").code == 12
    cases = world.run("quarantine", "list", "--json").of("case")
    taken, other, third = (case["case_id"] for case in cases if case["state"] == "done")  # which ones, two workers decide
    waits, refused = (case["case_id"] for case in cases if case["state"] == "held")
    (name,) = (case["path"].rsplit("/", 1)[-1] for case in cases if case["case_id"] == third)

    told = world.run("quarantine", "list")
    assert told.code == 12
    assert told.err == (
        "2 cases waiting for a person: 'hashscan quarantine release' takes the file, 'dismiss' leaves it where it is\n"
    ), "a person is told why the code is not 0"
    assert "waiting" not in told.out.decode(), "and a program that reads the list is not"

    told = world.run("quarantine", "dismiss", refused, "--reason", "a licence was shown")
    assert told.out.decode().splitlines()[-1].strip() == "a licence was shown"
    told = world.run("audit", "verdict", waits)
    assert (told.code, told.out) == (2, b"")
    assert told.complaint.startswith(f"case {waits} is held: no file was taken, there is nothing to prove\n")

    told = world.run("quarantine", "hold", taken, "--by", "police 4711", "--reason", "seizure")
    words = told.out.decode().splitlines()[-1].split()
    assert words[:2] == ["legal", "hold"]
    assert words[3:] == ["for", "police", "4711"]
    for yes in ([], ["--yes"]):
        told = world.run("quarantine", "purge", other, taken, *yes)
        assert told.code == 12
        assert f"case {taken} is under a legal hold and was not purged: {words[2]} (police 4711)" in told.complaint
        assert told.out == b"", "all of them or none"
    told = world.run("quarantine", "purge", other)
    assert told.err == "the evidence of 1 case would be purged; --yes does it\n"
    assert world.run("quarantine", "purge", "--due").err == "nothing is due to be purged\n"
    assert world.run("quarantine", "purge", other, "--yes", "--reason", "its time is over").code == 0
    told = world.run("audit", "verdict", other)
    assert told.code == 12
    assert "the evidence was purged (its time is over (" in told.out.decode()

    world.plant(name)
    told = world.run("quarantine", "restore", third, "--beside")
    assert told.code == 0
    assert f"restored as {world.tree}/alice/{name}.restored-{third[:8]}" in told.out.decode(), "where it is now"
    assert world.run("quarantine", "restore", "--withdrawn").err == "there is nothing to undo\n"
    bundle = world.top / "bundle"
    told = world.run("quarantine", "export", taken, "--to", bundle, "--plain")
    assert told.err == f"7 files in {bundle}; 'sha256sum -c SHA256SUMS' there checks them\n"
    assert len(told.out.splitlines()) == 7

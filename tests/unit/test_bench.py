"""The benchmark's own rules, and one short run of all of it: correctness only, nothing here depends on speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from scripts.benchlib import corpora, lists, measure, peers, results, rows, show, startup, verifying
from scripts.benchlib.corpora import Down, File, Up
from scripts.benchlib.ours import REPOSITORY, WrongSummary, check_recheck, check_summary, environment
from scripts.benchlib.results import Book, Result, Side, Status, Unit

ROW = Result(
    "a", "SMALL", "peer", 0.5, Unit.RATIO, Status.MEASURED, 0.4, 0.3, 0.6, Side((1.0,), (2.0,), 3, 4), Side((2.5,), (2.0,))
)


# ------------------------------------------------------------------------------------------------------------ corpora


def counts(name: str, scale: float) -> tuple[int, int, int, int]:
    """Files, directories, bytes and greatest depth of a plan, which must end where it began."""
    files = directories = size = depth = deepest = 0
    for step in corpora.steps(name, scale):
        match step:
            case File():
                files += 1
                size += step.size
            case Down():
                directories += 1
                depth += 1
                deepest = max(deepest, depth)
            case Up():
                depth -= 1
    assert depth == 0
    return files, directories, size, deepest


@pytest.mark.parametrize(
    ("name", "files", "directories", "megabytes"),
    [("small", 200_000, 10_500, 921), ("mix", 30_000, 1600, 4340), ("large", 10, 2, 5000), ("deep", 1200, 10_202, 2)],
)
def test_a_plan_has_the_size_that_it_promises(name: str, files: int, directories: int, megabytes: int) -> None:
    seen = counts(name, 1.0)
    assert seen[:2] == (files, directories)
    assert abs(seen[2] / 1e6 - megabytes) < 2
    assert (seen[3] > 10_000) == (name == "deep")


def test_mix_is_log_normal_around_30_kib() -> None:
    sizes = sorted(step.size for step in corpora.steps("mix", 1.0) if isinstance(step, File))
    assert 29_000 < sizes[len(sizes) // 2] < 33_000
    assert sizes[-1] > 10_000_000


def test_a_plan_is_the_same_every_time_and_another_for_another_name() -> None:
    assert list(corpora.steps("small", 0.001)) == list(corpora.steps("small", 0.001))
    assert list(corpora.content("small", 1, 50)) == list(corpora.content("small", 1, 50))
    assert len({b"".join(corpora.content(name, n, 50)) for name in corpora.NAMES for n in range(10)}) == 10 * len(corpora.NAMES)


def test_content_has_its_size_also_over_several_pieces() -> None:
    pieces = list(corpora.content("large", 0, (16 << 20) + 3))
    assert [len(piece) for piece in pieces] == [8 << 20, 8 << 20, 3]
    assert pieces[0] != pieces[1]


def test_a_corpus_is_made_once_and_made_again_where_it_is_not_complete(tmp_path: Path) -> None:
    said: list[str] = []
    made = corpora.ensure(tmp_path, "deep", 0.001, said.append)
    found = subprocess.run(["find", str(made.tree), "-type", "f", "-printf", "%s\n"], capture_output=True, check=True).stdout
    assert (len(found.split()), sum(map(int, found.split()))) == (made.files, made.size)
    assert corpora.ensure(tmp_path, "deep", 0.001, said.append) == made
    assert len(said) == 1
    (made.tree.parent / corpora.COMPLETE).unlink()
    assert corpora.ensure(tmp_path, "deep", 0.001, said.append) == made
    assert len(said) == 2
    subprocess.run(["rm", "-rf", str(made.tree)], check=True)  # deeper than pytest's own clearing goes


# -------------------------------------------------------------------------------------------------------------- lists


def test_random_rows_have_the_digests_of_their_kind() -> None:
    head, first, *rest = lists.random_rows(lists.KINDS["sized"], 3)
    assert head == "md5,sha1,size\n"
    md5, sha1, size = first.split(",")
    assert (len(md5), len(sha1), int(size) > 0, len(rest)) == (32, 40, True, 2)
    assert len({first, *rest}) == 3


def test_the_clamav_database_holds_what_the_list_holds() -> None:
    published = [row.strip() for row in islice(lists.random_rows(lists.KINDS["sha1"], 3), 1, None)]
    assert list(lists.random_sha1(3)) == published
    assert list(lists.clamav_lines(published))[2] == f"{published[2]}:*:Bench.2:73\n"


def test_a_control_list_names_its_algorithms(tmp_path: Path) -> None:
    text = lists.write_control(tmp_path / "list", ["md5", "blake3"], 5).read_text()
    assert Counter(line.split(" ")[0] for line in text.splitlines()) == {"MD5": 5, "BLAKE3": 5}


# -------------------------------------------------------------------------------------------------------------- peers


def test_hashdeep_is_read_by_its_header() -> None:
    text = b"%%%% HASHDEEP-1.0\n%%%% size,md5,sha1,filename\n## Invoked from: x\n5,aa,bb,/t/a,b\n0,cc,dd,/t/c d\n"
    assert peers.parse_hashdeep(text, ["md5", "sha1"]) == {
        b"/t/a,b": {"md5": "aa", "sha1": "bb"},
        b"/t/c d": {"md5": "cc", "sha1": "dd"},
    }


def test_lines_and_nul_records_are_read() -> None:
    assert peers.parse_lines(b"aa bb /t/a b\n", ["md5", "sha1"]) == {b"/t/a b": {"md5": "aa", "sha1": "bb"}}
    assert peers.parse_nul(b"aa  /t/a\nb\0bb  /t/\\c\0", ["md5"]) == {b"/t/a\nb": {"md5": "aa"}, b"/t/\\c": {"md5": "bb"}}


def test_xargs_gives_every_process_work() -> None:
    assert peers.xargs(Path("/t"), 200_000, 2, "x")[5:] == ["1000", "2", "x"]
    assert peers.xargs(Path("/t"), 10, 2, "x")[5:] == ["1", "2", "x"]


def test_a_missing_program_names_its_package() -> None:
    assert peers.missing(["sh"]) == ""
    assert peers.missing(["sh", "no-such-program-anywhere"]) == "install no-such-program-anywhere"


def test_clamscan_output_gives_whole_paths() -> None:
    assert verifying.infected(b"/t/a: b: Bench.1.UNOFFICIAL FOUND\n/t/c: OK\n\nScanned files: 2\n") == {b"/t/a: b"}


# ----------------------------------------------------------------------------------------------------------- verifying


def test_equal_digests_have_no_difference() -> None:
    one = {b"a": {"md5": "1", "sha1": "2"}}
    seen = verifying.compare(one, {b"a": {"md5": "1"}}, ["md5"])
    assert (seen.count, seen.files, seen.digests) == (0, 1, 1)


@pytest.mark.parametrize(
    "theirs", [{}, {b"a": {"md5": "2"}}, {b"a": {}}, {b"a": {"md5": "1"}, b"b": {"md5": "1"}}, {b"b": {"md5": "1"}}]
)
def test_control_every_difference_counts(theirs: peers.Digests) -> None:
    seen = verifying.compare({b"a": {"md5": "1"}}, theirs, ["md5"])
    assert seen.count == (2 if set(theirs) == {b"b"} else 1)
    assert "differences, among them b'" in str(seen)


SUMMARY = {
    "type": "summary",
    "complete": True,
    "directories": 2,
    "paths": {"scanned": 3, "cached": 1, "by_size": 1, "errors": {}},
    "candidates": {"findings": 0, "pending": 0},
}
CORPUS = corpora.Corpus("small", Path("/t"), 5, 2, 99)


def events(**changes: object) -> bytes:
    return b'{"type": "scan_start"}\n' + json.dumps({**SUMMARY, **changes}).encode() + b"\n"


def test_a_summary_that_saw_everything_is_accepted() -> None:
    assert check_summary(events(), CORPUS)["directories"] == 2
    check_summary(events(candidates={"findings": 4, "pending": 0}), CORPUS, findings=4)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"complete": False}, "complete"),
        ({"directories": 1}, "directories: 1, expected 2"),
        ({"paths": {"scanned": 4, "cached": 0, "by_size": 0, "errors": {}}}, "files: 4, expected 5"),
        ({"paths": {"scanned": 5, "cached": 0, "by_size": 0, "errors": {"EIO": 1}}}, "EIO"),
        ({"candidates": {"findings": 1, "pending": 0}}, "findings"),
        ({"candidates": {"findings": 0, "pending": 2}}, "pending"),
        ({"type": "exit_error", "message": "gone"}, "gone"),
    ],
)
def test_control_a_scan_that_missed_something_is_not(changes: dict[str, object], word: str) -> None:
    with pytest.raises(WrongSummary, match=word):
        check_summary(events(**changes), CORPUS)


def test_a_recheck_must_have_asked_about_all_files() -> None:
    check_recheck(events(paths={"cached": 5}), 5)
    for bad in ({"paths": {"cached": 4}}, {"complete": False}, {"candidates": {"findings": 0, "pending": 1}}):
        with pytest.raises(WrongSummary, match="recheck of 5"):
            check_recheck(events(**{"paths": {"cached": 5}, **bad}), 5)


# ----------------------------------------------------------------------------------------------------------- measuring


def test_a_run_counts_the_processor_time_and_memory_of_all_its_processes() -> None:
    work = "x = bytearray(60_000_000); import time; e = time.process_time() + 0.3\nwhile time.process_time() < e: pass"
    both = (
        f"import subprocess, sys; a = [subprocess.Popen([sys.executable, '-c', {work!r}]) for _ in 'ab']; [p.wait() for p in a]"
    )
    ended = measure.run([sys.executable, "-c", both], sample=True)
    assert ended.cpu > 0.6
    assert ended.peak.pss > 120e6
    assert ended.peak.rss >= ended.peak.pss


def test_a_command_that_fails_says_its_last_words_and_one_that_hangs_is_killed() -> None:
    with pytest.raises(measure.CommandError, match=r"ended with 3: the end"):
        measure.run(["sh", "-c", "echo beginning >&2; echo the end >&2; exit 3"])
    with pytest.raises(measure.CommandError, match=r"ended with -9"):
        measure.run(["sh", "-c", "sleep 100"], limit=0.2)
    assert measure.run(["sh", "-c", "exit 3"], codes=None).code == 3


def test_output_goes_to_its_file(tmp_path: Path) -> None:
    measure.run(["echo", "hello"], output=tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"hello\n"


def test_kernel_tables_are_read_in_bytes() -> None:
    text = b"55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:   12 kB\nPss:    4 kB\nHugePages_Total:  0\n"
    assert measure.parse_kib(text) == {"Rss": 12_288, "Pss": 4096}


@pytest.mark.optional("fincore")
def test_resident_pages_are_those_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    assert 100_000 <= measure.resident_bytes(tmp_path) <= 110_000


# ------------------------------------------------------------------------------------------------------------- results


def test_ratios_are_of_pairs() -> None:
    assert results.spread((1.0, 3.0, 2.0), (2.0, 3.0, 8.0)) == (0.5, 0.25, 1.0)
    with pytest.raises(ValueError, match="zip"):
        results.spread((1.0,), (1.0, 2.0))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "met"),
        ({"value": 0.5}, "met"),
        ({"value": 0.51}, "missed"),
        ({"status": Status.EXERCISED, "value": 0.1}, "exercised"),
        ({"status": Status.UNAVAILABLE, "value": None}, "not available in this version"),
    ],
)
def test_the_verdict_follows_from_target_and_value(changes: dict[str, object], verdict: str) -> None:
    assert replace(ROW, **changes).verdict == verdict  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("statuses", "failed", "code"),
    [
        ([Status.MEASURED, Status.PEER_MISSING], 0, 0),
        ([Status.EXERCISED, Status.UNAVAILABLE], 0, 0),
        ([Status.PEER_MISSING, Status.UNAVAILABLE], 0, 1),
        ([], 0, 1),
        ([Status.MEASURED, Status.FAILED], 0, 1),
        ([Status.MEASURED], 1, 1),
    ],
)
def test_only_failures_and_nothing_at_all_are_failures(statuses: list[Status], failed: int, code: int) -> None:
    assert results.exit_code([replace(ROW, status=one) for one in statuses], failed) == code


def test_a_run_goes_on_where_it_was_broken_off_but_not_with_other_settings(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    book = Book(path, {"machine": {}}, {"scale": 1.0, "source": "x"})
    book.enter(ROW)
    book.enter(replace(ROW, key="b", status=Status.FAILED))
    book.enter(replace(ROW, key="c", theirs=None, value=None))
    again = Book(path, {}, {"scale": 1.0, "source": "x"})
    assert again.resume() == 2
    assert again.results == [ROW, replace(ROW, key="c", theirs=None, value=None)]
    assert (again.has("a"), again.has("b")) == (True, False)
    assert Book(path, {}, {"scale": 1.0, "source": "y"}).resume() == 0
    assert Book(None, {}, {}).resume() == 0


# ---------------------------------------------------------------------------------------------------------------- rows


def test_rows_have_one_key_each_and_what_they_name_exists() -> None:
    assert len({row.key for row in rows.ROWS}) == len(rows.ROWS) == 18
    for row in rows.ROWS:
        assert row.corpus in corpora.NAMES
        assert not row.tool or row.tool in peers.PEERS
        assert not row.service or set(row.digests) <= set(lists.KINDS[row.service].algorithms)


def test_rows_are_chosen_by_pattern() -> None:
    assert [row.key for row in rows.chosen(["mix-*"])] == ["mix-hashdeep", "mix-b3sum"]
    assert rows.chosen([]) == list(rows.ROWS)
    with pytest.raises(ValueError, match="no row is called 'nonsense'"):
        rows.chosen(["mix-*", "nonsense"])


# ------------------------------------------------------------------------------------------------------------- showing


def test_the_table_has_every_row_also_those_without_numbers() -> None:
    missed = replace(ROW, key="b", value=0.7, note="a | b\nc")
    absent = replace(
        ROW, key="c", status=Status.PEER_MISSING, value=None, low=None, high=None, ours=Side(), theirs=None, note="install x"
    )
    lines = show.table([ROW, missed, absent]).splitlines()
    assert len({line.count(" | ") for line in [lines[0], *lines[2:5]]}) == 1
    assert "| <= 0.500 | 0.400 | 0.300 to 0.600 | 1.00 s | 2.50 s | 2.0 s / 2.0 s | 0 MB / - | met |" in lines[2]
    assert lines[3].endswith("| missed |")
    assert lines[4].endswith("| peer missing: install x |")


def test_lines_tell_the_verdict_or_the_reason() -> None:
    assert "0.400  target    0.500  met       1.00 s / 2.50 s" in show.line(ROW)
    assert show.line(replace(ROW, status=Status.FAILED, note="why")).endswith("FAILED: why")


def test_the_machine_is_told_without_its_paths() -> None:
    told = {
        "cpu": "c",
        "cores": 2,
        "memory_gb": 24,
        "kernel": "6.1",
        "filesystem": "ext4",
        "python": "3.11",
        "date": "d",
        "peers": {},
    }
    text = show.machine(told, {"hashscan": "0.1", "source": "ab", "scale": 1.0, "entries": 1_400_000, "pairs": 3, "jobs": 2})
    assert "- Settings: scale 1, 1,400,000 entries, 3 pairs, 2 workers\n" in text


def test_the_block_of_a_document_is_replaced() -> None:
    text = f"before\n{show.BEGIN}\nold\n{show.END}\nafter\n"
    assert show.replaced(text, "new\n") == f"before\n{show.BEGIN}\nnew\n{show.END}\nafter\n"
    for bad in ("nothing", f"{show.END}{show.BEGIN}", f"{text}{text}"):
        with pytest.raises(ValueError, match="must hold"):
            show.replaced(bad, "new")


def test_the_plot_is_xml_with_a_bar_and_a_tick_for_each_ratio() -> None:
    other = replace(ROW, key="b", work="<&>", value=100.0)
    drawn = show.plot([ROW, other, replace(ROW, unit=Unit.FILES), replace(ROW, value=None)])
    space = "{http://www.w3.org/2000/svg}"
    root = ET.fromstring(drawn)
    bars = root.findall(f"{space}rect")[1:]
    assert len(bars) == 2
    assert float(bars[0].attrib["width"]) < float(bars[1].attrib["width"]) <= 460
    assert "<&> / peer" in [text.text for text in root.iter(f"{space}text")]


def test_performance_md_has_the_marks_of_the_table() -> None:
    text = (REPOSITORY / "docs" / "performance.md").read_text(encoding="utf-8")
    assert show.replaced(text, "x") != text
    for row in rows.ROWS:
        assert f"`{row.key}`" in text, f"docs/performance.md does not say what {row.key} measures"


# ---------------------------------------------------------------------------------------------------------- all of it


def bench(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "scripts.benchlib.main", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300, env=environment(), cwd="/")


def test_a_quick_run_checks_rows_and_times_nothing(tmp_path: Path) -> None:
    """These rows need no peer but coreutils."""
    keys = ("deep", "size-sieve")
    done = bench("--quick", "--rows", *keys, "--json", tmp_path / "r.json", "--plot", tmp_path / "r.svg")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed, 0 failed, 0 not run" in done.stdout  # two rows; the digests of a corpus are checked
    told = {one["key"]: one for one in results.read(tmp_path / "r.json")["rows"]}
    assert {key: one["status"] for key, one in told.items()} == dict.fromkeys(keys, "exercised")
    assert "files ruled out by size" in told["size-sieve"]["note"]
    ET.parse(tmp_path / "r.svg")
    table = bench("table", tmp_path / "r.json").stdout
    assert table.count("\n| ") == len(rows.ROWS) + 1


@pytest.mark.slow
@pytest.mark.optional("bench-peers")
def test_a_quick_run_with_each_peer(tmp_path: Path) -> None:
    keys = ("mix-hashdeep", "large-rhash", "small-b3sum", "small-clamscan")
    done = bench("--quick", "--rows", *keys, "--json", tmp_path / "r.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 failed, 0 not run" in done.stdout
    assert len(results.read(tmp_path / "r.json")["rows"]) == len(keys)


def test_a_run_without_any_peer_fails_and_says_what_to_install(tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    for program in ("sh", "rm"):
        os.symlink(f"/bin/{program}", empty / program)
    argv = [sys.executable, "-m", "scripts.benchlib.main", "--quick", "--rows", "mix-b3sum"]
    env = {**environment(), "PATH": str(empty)}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100, env=env)
    assert done.returncode == 1
    assert "peer missing: install b3sum find xargs" in done.stdout


@pytest.mark.optional("bench-peers")
def test_digests_of_a_tree_are_compared_with_coreutils(tmp_path: Path) -> None:
    for number, name in enumerate([b"plain", b"new\nline", b"back\\slash", b"not\xffutf8", b"-dash", b" blank"]):
        (tmp_path / os.fsdecode(name)).write_bytes(b"harmless %d" % number)
    os.link(tmp_path / "plain", tmp_path / "other")
    done = bench("digests", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"7 files below {tmp_path}, 28 digests, 0 differences, 0 unreadable" in done.stdout


def test_sizes_of_lists() -> None:
    """Makes two versions, their delta, and loads one in a process of its own; what it costs is for docs/performance.md."""
    done = bench("list-sizes", "--entries", "2000")
    assert done.returncode == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("| 2,000 |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 9
    assert cells[3].endswith("kB")
    assert cells[7].endswith("MB")


def test_starting_up_is_measured(tmp_path: Path) -> None:
    names = [one.name for one in startup.measure(3, 1, tmp_path / "host")]
    assert {
        "python -c pass",
        "hashscan --help",
        "hashscan status",
        "hashscan status --json",
        "hashscan status --nagios",
    } <= set(names)

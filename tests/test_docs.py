"""What the documents say is so: the tutorial can be followed, and printed figures come from the code beside them."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import click
import matplotlib
import plugin_packages
import pytest
import tiny
from PIL import Image, ImageChops

from dfrd_bench.cli.main import cli
from dfrd_bench.reporting.frame import load_results

TUTORIAL = Path(__file__).parent.parent / "docs" / "adding-a-method.md"
STATISTICS = TUTORIAL.with_name("statistics.md")


class Block(NamedTuple):
    """A fenced block: its language, the file it belongs into (or ""), and its text."""

    language: str
    title: str
    text: str


def blocks(document: Path) -> list[Block]:
    fenced = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
    return [Block(*match.groups(default="")) for match in fenced.finditer(document.read_text(encoding="utf-8"))]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[plugin_packages.Install]:
    monkeypatch.chdir(tmp_path)
    with plugin_packages.installing(tmp_path / "site") as install:
        yield install


def write(path: Path, block: Block) -> None:
    """A file's first block is all of it so far; further Python under the same title goes below."""
    goes_on = block.language == "python" and not block.text.startswith('"""')
    before = path.read_text(encoding="utf-8") + "\n\n" if goes_on else ""
    path.write_text(before + block.text, encoding="utf-8")
    plugin_packages.forget()


def follow(line: str, install: plugin_packages.Install) -> str:
    """Do what a line of shell does; returns what it printed."""
    match shlex.split(line, comments=True):
        case ["dfrd-bench", *arguments]:
            outcome = tiny.command(*arguments)
            assert outcome.code == 0, f"{line}\n{outcome.err}"
            return outcome.out
        case ["pip", "install", "-e", folder, *others]:
            assert others in ([], ["pytest"])
            install(Path(folder))
        case ["pytest", folder]:
            assert plugin_packages.run_tests(Path(folder)) > 0
        case other:
            pytest.fail(f"a line the test cannot follow: {other}")
    return ""


@pytest.mark.usefixtures("few_digits")
def test_the_tutorial_can_be_followed_literally(install: plugin_packages.Install) -> None:
    printed = {}
    for block in blocks(TUTORIAL):
        if block.title:
            write(Path(block.title), block)
        elif block.language == "python":
            exec(compile(block.text, str(TUTORIAL), "exec"), {"__name__": "tutorial"})
        else:
            assert block.language == "sh", block
            for line in block.text.replace("\\\n", " ").splitlines():
                printed[line] = follow(line, install)
    assert "my-method" in printed["dfrd-bench list methods"]
    assert "dfrd-bench-my-method 0.2.0" in printed["dfrd-bench list datasets"]
    measured = load_results("results")
    ran = set(measured[["dataset", "method", "attack"]].itertuples(index=False, name=None))
    mine = {("stripes", "my-method", "noise"), ("stripes", "my-method", "pgd20"), ("digits", "my-method", "pgd20")}
    assert mine | {("digits", "zskt", "clean")} <= ran


def test_every_figure_on_statistics_is_printed_by_the_code_above_it() -> None:
    found = blocks(STATISTICS)
    assert [block.language for block in found] == ["python", "text"] * (len(found) // 2)
    for code, printed in list(pairwise(found))[::2]:
        with redirect_stdout(io.StringIO()) as out:
            exec(compile(code.text, str(STATISTICS), "exec"), {"__name__": "statistics_page"})
        assert out.getvalue() == printed.text


PAGES = [TUTORIAL.parent.parent / "README.md", *sorted(TUTORIAL.parent.glob("*.md"))]


def anchors(page: Path) -> set[str]:
    """The headings of a page, as the links to them are written."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        there = page.parent / name if name else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def commands_on(page: Path) -> list[str]:
    """What follows `dfrd-bench` in the lines of shell on a page."""
    blocks = re.findall(r"^```\w*[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line.split(" #")[0] for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    parts = [part for line in lines for part in re.split(r"&&|\|", line)]
    return [found[1] for part in parts if (found := re.match(r"\s*(?:\w+=\S+ )*dfrd-bench (\S.*)", part))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_on_a_page_exists(page: Path) -> None:
    for text in commands_on(page):
        command, words, context = cli, shlex.split(text), None
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            context = click.Context(command, context)
            command = command.get_command(context, words.pop(0))  # type: ignore[assignment]
            assert command is not None, text
        context = command.make_context(text, [*words], context, resilient_parsing=True)
        known = {option for param in command.get_params(context) for option in (*param.opts, *param.secondary_opts)}
        asked = {word.split("=")[0] for word in words if word.startswith("--") and " " not in word}
        assert asked <= known, text


def test_all_commands_are_among_those_by_what_they_are_for() -> None:
    named = {text.split()[0] for text in commands_on(TUTORIAL.with_name("commands.md"))}
    assert named == {*cli.list_commands(click.Context(cli))}


PRINTED = re.compile(r"<!-- dfrd-bench table results/(\S+) (.*) -->\n((?:.*\n)*?)<!-- end of table -->")


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed results, without other runs that may lie beside them."""
    root, copy = TUTORIAL.parent.parent, tmp_path_factory.mktemp("committed")
    tracked = subprocess.run(["git", "ls-files", "results"], cwd=root, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("needs a Git checkout: other runs may lie beside the committed ones")
    for name in tracked.stdout.split():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((root / name).read_bytes())
    return copy / "results"


@pytest.mark.parametrize(
    ("part", "arguments", "printed"),
    [found.groups() for page in PAGES for found in PRINTED.finditer(page.read_text(encoding="utf-8"))],
    ids=lambda text: text if text.startswith("-") else "",
)
def test_a_printed_table_is_what_the_committed_records_say(
    committed: Path, part: str, arguments: str, printed: str
) -> None:
    outcome = tiny.command("table", committed / part, *arguments.split())
    assert printed.strip() == outcome.out.strip()


DRAWN = re.compile(r"dfrd-bench figure (\S+) (results/[^`\n]*?) -o (docs/figures/\S+\.png) --dpi (\d+)")
ASKED_AGAIN = ("curve", "landscape", "features", "synthetic-confusion")  # whose networks take their time


def drawings() -> list[tuple[str, str, str, str]]:
    """Of each picture in the documents: its kind, of what it is, its file and its dots per inch."""
    return sorted({found.groups() for page in PAGES for found in DRAWN.finditer(page.read_text(encoding="utf-8"))})


def test_every_picture_has_its_command_and_all_are_small() -> None:
    folder = TUTORIAL.parent / "figures"
    assert {path.name for path in folder.iterdir()} == {Path(file).name for _, _, file, _ in drawings()}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 800_000


@pytest.mark.parametrize(
    ("kind", "arguments", "file", "dpi"),
    [one for one in drawings() if one[0] not in ASKED_AGAIN],
    ids=lambda text: text,
)
def test_a_picture_is_what_the_committed_records_say(
    committed: Path, tmp_path: Path, kind: str, arguments: str, file: str, dpi: str
) -> None:
    there = Image.open(TUTORIAL.parent.parent / file)
    if there.info["Software"].split(",")[0] != f"Matplotlib version{matplotlib.__version__}":
        pytest.skip(f"was drawn by {there.info['Software']}, which draws letters in another way")
    words = [
        str(committed / word.removeprefix("results/")) if word.startswith("results/") else word
        for word in arguments.split()
    ]
    outcome = tiny.command("figure", kind, *words, "-o", tmp_path / "f.png", "--dpi", dpi)
    assert outcome.code == 0, outcome.err
    same = ImageChops.difference(there.convert("RGB"), Image.open(tmp_path / "f.png").convert("RGB")).getbbox() is None
    assert same, f"no longer so: dfrd-bench figure {kind} {arguments} -o {file} --dpi {dpi}"


def test_the_readme_opens_with_two_commands_a_picture_and_five_numbers_a_method() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    opening = text[: text.index("<!-- end of table -->")]
    first, second = opening[opening.index("```") :].split("```")[1].strip().splitlines()
    assert first.startswith(
        "pip install -e .  &&  dfrd-bench run --method fast --dataset digits --epochs 14 --set lr=0.6 "
    )
    assert second.startswith('pip install -e ".[test]"  &&  pytest ')
    (picture,) = re.findall(r"!\[[^\]]+\]\((\S+)\)", opening)
    assert picture in {file for _, _, file, _ in drawings()}
    assert f"-o {picture}" in opening
    heading = next(line for line in opening.splitlines() if line.startswith("| Method"))
    assert (
        re.sub(r"\s+", " ", heading)
        == "| Method | Clean (%) ↑ | AutoAttack (%) ↑ | Worst class (%) ↑ | NSD ↓ | Minutes |"
    )
    assert "[full table](docs/results.md)" in opening
    assert len(PRINTED.findall((TUTORIAL.parent / "results.md").read_text(encoding="utf-8"))) == 1


def test_the_readme_prints_its_three_tables() -> None:
    parts = [part for part, _, _ in PRINTED.findall(PAGES[0].read_text(encoding="utf-8"))]
    assert parts == ["digits", "cifar10-jpeg", "digits"]

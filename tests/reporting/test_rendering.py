"""The formats in which a table is printed."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from rich.console import Console
from table_records import make_record

from dfrd_bench import DfrdBenchError
from dfrd_bench.reporting.escaping import escape_latex
from dfrd_bench.reporting.paper import Paper
from dfrd_bench.reporting.tables.build import build_tables
from dfrd_bench.reporting.tables.layout import ResultTable
from dfrd_bench.reporting.tables.rendering import FORMATS, render
from dfrd_bench.reporting.tables.terminal import renderable

ATTACKS = ("clean", "fgsm", "pgd20", "cw", "autoattack")
NASTY = r"a_b%&$#{x}~^\|<b>*`[red]∞±" + "\x1b[31m\n"


@pytest.fixture
def tables() -> list[ResultTable]:
    """Two students, three methods; FERD has two seeds, CMI lacks AutoAttack and has an undefined NSD."""
    records = []
    for student in ("wrn-10-1", "mobilenet_v2"):
        for seed, value in ((0, 0.5), (1, 0.6)):
            ferd = dict.fromkeys(ATTACKS, (value, value / 2, value / 4))
            records.append(make_record(ferd, seed=seed, student=student))
        records.append(make_record(dict.fromkeys(ATTACKS, (0.45, 0.2, 0.2)), method="zskt", student=student))
        cmi = {**dict.fromkeys(ATTACKS[:4], (0.3, 0.1, 0.3)), "pgd20": (0.0, 0.0, None)}
        records.append(make_record(cmi, method="cmi", student=student))
    return build_tables([("run", record) for record in records])


def test_markdown_is_a_pipe_table_with_both_marks(tables: list[ResultTable]) -> None:
    lines = [line for line in render(tables, "markdown").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in rows} == {3 + 15}
    assert rows[0][:4] == ["Student", "Method", "Seeds", "Clean<br>Avg. ↑"]
    assert rows[2][:6] == [r"mobilenet\_v2", "ZSKT", "1", "<u>45.00</u>", "<u>20.00</u>", "<u>0.200</u>"]
    assert rows[4][:6] == ["", "FERD", "2", "**55.00 ± 7.07**", "**27.50 ± 3.54**", "**0.138 ± 0.018**"]
    assert rows[3][9:12] == ["0.00", "0.00", "–"]
    assert rows[3][15:] == ["·", "·", "·"]


def test_latex_is_balanced_and_every_row_has_every_column(tables: list[ResultTable]) -> None:
    text = render(tables, "latex", Paper(wide=True))
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    bare = re.sub(r"\\[{}%&$#_]", "", body)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    depth: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", body):
        if kind == "begin":
            depth.append(name)
        else:
            assert depth.pop() == name
    assert not depth
    widths = [len(found) for found in re.findall(r"\\begin\{tabular\}\{(\w+)\}", body)]
    assert sum(width - 2 for width in widths) == 15  # in as many tables as it takes
    rows = [line for line in bare.splitlines() if line.endswith(r"\\")]
    each = 2 + 2 + 6 + 2  # head, students, methods, and what stands below the numbers of those with two seeds
    assert len(rows) == each * len(widths)
    for number, row in enumerate(rows):
        spans = [re.search(r"\\multicolumn\{(\d+)\}", cell) for cell in row.split("&")]
        assert sum(int(span[1]) if span else 1 for span in spans) == widths[number // each]
    assert r"CW$_\infty$" in body
    assert r"\textbf{55.00}" in body
    assert r"$\pm$7.07" in body
    assert r"\underline{45.00}" in body
    assert r"{l}{\emph{mobilenet\_v2}} \\" in body
    assert body.isascii()


def test_latex_escapes_every_special_character() -> None:
    assert escape_latex("100% a_b & c ± {x} #$") == r"100\% a\_b \& c $\pm$ \{x\} \#\$"
    assert escape_latex(r"\y ~^ --") == r"\textbackslash{}y \textasciitilde{}\textasciicircum{} -{}-"
    assert escape_latex("CW∞ ↑ ↓ ε <") == r"CW$_\infty$ $\uparrow$ $\downarrow$ $\varepsilon$ $<$"


@pytest.mark.parametrize("style", FORMATS)
def test_a_nasty_name_breaks_no_format(style: str) -> None:
    records = [make_record({"pgd20": (v, v, v)}, method=m, student=NASTY) for v, m in ((0.5, NASTY), (0.4, "x"))]
    plain = [make_record({"pgd20": (v, v, v)}, method=m, student="s") for v, m in ((0.5, "y"), (0.4, "x"))]
    wide = Paper(wide=True)
    text, usual = (render(build_tables([("run", r) for r in part]), style, wide) for part in (records, plain))
    if style == "csv":
        assert list(pd.read_csv(io.StringIO(text))["method"]) == [NASTY, "x"]
        return
    assert "\x1b" not in text
    if style != "terminal":  # where captions are wrapped to the table's width
        assert text.count("\n") == usual.count("\n")
    if style == "latex":
        bare = re.sub(r"\\[{}%&$#_]", "", text)
        assert bare.count("{") == bare.count("}")
        assert [line.count("&") for line in bare.splitlines()] == [line.count("&") for line in usual.splitlines()]
    if style == "markdown":
        unescaped = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()]
        assert unescaped == [line.count("|") for line in usual.splitlines()]
    if style == "html":
        assert "<b>" not in text.lower()


def test_html_is_well_nested_and_rectangular(tables: list[ResultTable]) -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.rows: list[int] = []
            self.hanging: list[tuple[int, int]] = []  # (rows left, columns) of cells that span rows

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "br":
                return
            self.open.append(tag)
            if tag == "tr":
                self.rows.append(sum(columns for _, columns in self.hanging))
                self.hanging = [(left - 1, columns) for left, columns in self.hanging if left > 1]
            if tag in ("td", "th"):
                values = dict(attrs)
                columns = int(values.get("colspan") or 1)
                self.rows[-1] += columns
                if (rows := int(values.get("rowspan") or 1)) > 1:
                    self.hanging.append((rows - 1, columns))

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    reader = Reader()
    text = render(tables, "html")
    reader.feed(text)
    assert not reader.open
    assert reader.rows == [18] * 8
    assert "<strong>55.00 ± 7.07</strong>" in text
    assert "<u>45.00</u>" in text


def test_csv_gives_the_records_numbers_back_exactly() -> None:
    numbers = {"clean": (1 / 3, 0.1, 0.7), "pgd20": (2 / 7, 1 / 9, None)}
    records = [
        make_record(numbers, student="s"),
        make_record({"clean": (0.5, 0.25, 0.123456789)}, method="zskt", dataset="many", classes=100),
    ]
    text = render(build_tables([("run", record) for record in records]), "csv")
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    first, second = frame.to_dict("records")
    assert (first["dataset"], first["student"], first["method"], first["seeds"]) == ("digits", "s", "ferd", "1")
    for attack, (average, worst, nsd) in numbers.items():
        assert float(first[f"{attack}_average"]) == average
        assert float(first[f"{attack}_worst_class"]) == worst
        assert first[f"{attack}_nsd"] == "" if nsd is None else float(first[f"{attack}_nsd"]) == nsd
        assert first[f"{attack}_average_std"] == ""
    assert float(second["clean_worst_10"]) == 0.25 + 0.01
    assert (second["clean_worst_class"], second["pgd20_average"]) == ("", "")


def test_plain_text_is_aligned_unmarked_and_as_wide_as_it_must_be(tables: list[ResultTable]) -> None:
    text = render(tables, "terminal")
    assert "\x1b" not in text
    assert "…" not in text
    assert "bold" not in text
    lines = text.splitlines()
    assert max(map(len, lines)) > 120
    (ferd, _) = (line for line in lines if " FERD " in line)
    (zskt, _) = (line for line in lines if " ZSKT " in line)
    assert [m.start() for m in re.finditer(r"\d\.\d", ferd)][::2] == [m.start() for m in re.finditer(r"\d\.\d", zskt)]


def shown(tables: list[ResultTable], width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=True, color_system="standard", _environ={}).print(
        renderable(tables)
    )
    return stream.getvalue()


def test_a_terminal_sees_real_bold_and_underline(tables: list[ResultTable]) -> None:
    text = shown(tables, 300)
    assert "\x1b[1m55.00 ± 7.07\x1b[0m" in text
    assert "\x1b[4m45.00\x1b[0m" in text


@pytest.mark.parametrize("width", [80, 100, 130, 300])
def test_a_narrow_terminal_gets_blocks_and_every_number(tables: list[ResultTable], width: int) -> None:
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown(tables, width))
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert text.count("55.00 ± 7.07") == 2 * 5
    assert text.count("0.138 ± 0.018") == 2 * 5
    assert all(text.count(title) == 1 for title in ("PGD-20", "CW∞", "AA"))


def test_an_unknown_format_is_refused(tables: list[ResultTable]) -> None:
    with pytest.raises(DfrdBenchError, match="Did you mean 'latex'"):
        render(tables, "latx")

"""Writes tables as Markdown, LaTeX, HTML, CSV or plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dfrd_bench.errors import unknown_name
from dfrd_bench.reporting.escaping import cell as cell_of
from dfrd_bench.reporting.escaping import escape_html, escape_markdown
from dfrd_bench.reporting.paper import Paper
from dfrd_bench.reporting.tables.choice import by_attack
from dfrd_bench.reporting.tables.latex import to_latex
from dfrd_bench.reporting.tables.layout import (
    ATTACK_TITLES,
    METRIC_TITLES,
    Column,
    ResultTable,
    attack_title,
)
from dfrd_bench.reporting.tables.markup import HTML, MARKDOWN, label_cells, labels
from dfrd_bench.reporting.tables.stages import with_stages
from dfrd_bench.reporting.tables.terminal import plain_text


def render(tables: Sequence[ResultTable], style: str, paper: Paper | None = None) -> str:
    """Tables as text that ends in a newline.

    Args:
        tables: from `build_tables`.
        paper: of LaTeX, how the tables are to stand there.
        style: one of `FORMATS`; "terminal" gives plain text (see `dfrd_bench.reporting.tables.terminal` for colours).

    Raises:
        DfrdBenchError: an unknown format.
    """
    if style not in FORMATS:
        raise unknown_name("table format", style, FORMATS)
    return to_latex(tables, paper) if style == "latex" else FORMATS[style](tables)


def to_markdown(tables: Sequence[ResultTable]) -> str:
    """Pipe tables for GitHub, each with its caption below."""
    from tabulate import tabulate

    parts = []
    for table in with_stages(tables):
        headers = [*labels(table), *(f"{_attack(c)}<br>{c.title}" for c in table.columns)]
        rows = []
        for group in table.groups:
            for number, row in enumerate(group.rows):
                names = label_cells(table, "" if number else group.student, row)
                rows.append([*map(escape_markdown, names), *(MARKDOWN.cell(row, c) for c in table.columns)])
        align = ["left", "left", *["right"] * (len(headers) - 2)]
        text = tabulate(rows, headers, tablefmt="pipe", disable_numparse=True, colalign=align)
        caption = [*MARKDOWN.caption(table), *(escape_markdown(f"Note. {note}") for note in table.notes)]
        parts += [f"**{escape_markdown(table.title)}**", text, "<br>\n".join(caption)]
    return "\n\n".join(parts) + "\n"


def to_html(tables: Sequence[ResultTable]) -> str:
    """One `<figure>` per table, with its caption."""
    parts = []
    for table in with_stages(tables):
        tops = "".join(f'<th rowspan="2">{label}</th>' for label in labels(table))
        tops += "".join(
            f'<th colspan="{count}">{escape_html(attack_title(attack))}</th>'
            for attack, count in by_attack(table.columns)
        )
        titles = "".join(f"<th>{escape_html(column.title)}</th>" for column in table.columns)
        parts += ["<figure>", "<table>", f"<caption>{escape_html(table.title)}</caption>"]
        parts += [f"<thead>\n<tr>{tops}</tr>\n<tr>{titles}</tr>\n</thead>"]
        for group in table.groups:
            parts.append("<tbody>")
            head = f'<th rowspan="{len(group.rows)}">{escape_html(group.student)}</th>'
            for number, row in enumerate(group.rows):
                _, method, *others = map(escape_html, label_cells(table, group.student, row))
                cells = [*others, *(HTML.cell(row, column) for column in table.columns)]
                tds = "".join(f'<td align="right">{cell}</td>' for cell in cells)
                parts.append("<tr>" + ("" if number else head) + f'<th align="left">{method}</th>{tds}</tr>')
            parts.append("</tbody>")
        caption = "<br>\n".join([*HTML.caption(table), *(escape_html(f"Note. {note}") for note in table.notes)])
        parts += ["</table>", f"<figcaption>{caption}</figcaption>", "</figure>"]
    return "\n".join(parts) + "\n"


def to_csv(tables: Sequence[ResultTable]) -> str:
    """One row per table row, for programs: fractions at full precision, names as in the records, no captions.

    A column `<attack>_<metric>` holds the mean over seeds and `<attack>_<metric>_std` the sample standard deviation,
    which is empty for a single seed; tables with intervals have `<attack>_<metric>_low` and `_high` too, those with marks `_mark`
    (best, tied or second among the students of a group), those that were tested `_p` (see `Cell`). Accuracies after the
    stages of an attack are `<attack>_after_<stage>`. A number is empty where it is undefined or was not run. `flattered` says
    whether the gradient attacks flatter the row. Beside a paper's table, `source` says which version of the paper printed a
    row. Where a method sees the training images, `sees` says what each row's method does. Where a row is contested, `best_known`
    holds what everybody's attacks leave of it. Where a row is by other code than its method's of today, `other_code` says which
    are. Columns of the tables below come last.
    """
    import pandas as pd

    found = dict.fromkeys(column for table in tables for column in (*table.columns, *table.stages))
    attacks = [*ATTACK_TITLES, *sorted({column.attack for column in found} - set(ATTACK_TITLES))]
    metrics = [*METRIC_TITLES, *(column.metric for column in found if column.stage)]
    columns = sorted(found, key=lambda c: (attacks.index(c.attack), metrics.index(c.metric)))
    columns += dict.fromkeys(column for table in tables for part in table.below for column in part.columns)
    ranked = {column for table in tables for column in table.columns}  # stages and what is below have no marks
    shown = [cell for table in tables for row in table.rows for cell in row.cells.values()]
    endings = ["", "_std"]
    endings += ["_low", "_high"] if any(cell.interval for cell in shown) else []
    endings += ["_mark"] if any(cell.mark for cell in shown) else []
    endings += ["_p"] if any(cell.p is not None for cell in shown) else []
    names = ["dataset", "teacher", "student", "kind", "method", "variant", "settings", "seeds", "flattered"]
    names += ["source"] if any(row.source for table in tables for row in table.rows) else []
    tracks = any(table.track != "data-free" for table in tables)  # a column that older readers do not know
    contested = any(row.best_known is not None for table in tables for row in table.rows)
    other_code = any(row.other_code for table in tables for row in table.rows)
    rows: list[dict[str, Any]] = []
    for table in tables:
        for group in table.groups:
            for row in group.rows:
                whose = row.origin or (table.dataset, table.teacher, group.student)
                values = (*whose, row.kind, row.method, row.variant, row.settings, len(row.seeds), bool(row.flattered))
                cells: dict[str, Any] = {"sees": row.sees, "best_known": row.best_known}
                cells["other_code"] = bool(row.other_code)
                for c, cell in row.cells.items():
                    low, high = cell.interval or (None, None)
                    all_of_it = {
                        "": cell.mean,
                        "_std": cell.std,
                        "_low": low,
                        "_high": high,
                        "_mark": cell.mark,
                        "_p": cell.p,
                    }
                    cells |= {c.key + ending: all_of_it[ending] for ending in (endings if c in ranked else endings[:2])}
                texts = map(cell_of, (*values, row.source))
                rows.append(dict(zip(names, texts, strict=False)) | cells)  # the source if it has a name
    header = (
        names
        + ["sees"] * tracks
        + ["best_known"] * contested
        + ["other_code"] * other_code
        + [column.key + ending for column in columns for ending in (endings if column in ranked else endings[:2])]
    )
    frame = pd.DataFrame(rows, columns=header)
    return frame.rename(columns=cell_of).to_csv(index=False)


FORMATS: dict[str, Callable[[Sequence[ResultTable]], str]] = {
    "terminal": plain_text,
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "html": to_html,
}


def _attack(column: Column) -> str:
    return escape_markdown(attack_title(column.attack))

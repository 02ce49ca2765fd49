"""The page of a run: what it was, its numbers, and everything that it left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.audit import Finding, audit
from dfrd_bench.records.reading import MIB, read_text
from dfrd_bench.records.schema import AttackRecord, Record
from dfrd_bench.records.weights import sha256_of
from dfrd_bench.reporting.account import Pairs, about_file, account_of
from dfrd_bench.reporting.attack_settings import settings_of_attacks
from dfrd_bench.reporting.audit.recorded import row_of
from dfrd_bench.reporting.site import chart_data, sweep_data
from dfrd_bench.reporting.site.boards import STRONGEST
from dfrd_bench.reporting.site.collecting import SiteRun, sweep_command
from dfrd_bench.reporting.site.flips import flips
from dfrd_bench.reporting.site.names import spelled
from dfrd_bench.reporting.site.pages import Chart, Page
from dfrd_bench.reporting.site.pictures import strips
from dfrd_bench.reporting.tables.comparability import level
from dfrd_bench.reporting.tables.flattered import why_flattered
from dfrd_bench.reporting.tables.layout import Column, attack_title

HISTORY = "history.jsonl"
LARGEST_HISTORY = 64 * MIB
FAMILIES = {"p": "Share of each class in what is synthesized", "w": "Weight of each class in the student's loss"}
MOST_FAMILIES = 4
Again = Callable[[Record], tuple[Mapping[str, Any], Sequence[str]]]
"""A record to the request that makes its run again, and a line for each thing that the record does not know."""


@dataclass(frozen=True)
class Line:
    """A row of a run's table of numbers."""

    attack: str
    cells: tuple[tuple[str, str], ...]
    seconds: str


@dataclass(frozen=True)
class File:
    """A file of the run: its bytes, sha256, and what it holds."""

    name: str
    size: str
    sha256: str
    about: str


def run_page(run: SiteRun, again: Again) -> Page:
    """A run's page.

    Args:
        run: which.
        again: says how it is made once more; see `Again`.
    """
    record, folder = run.record, run.folder
    history = _history(folder)
    single, families = chart_data.curves(history)
    standing, flipped = (0, []) if folder is None else flips(folder, record)
    text, unknown = _request(record, again)
    what, made, warnings, contests = _account(run)
    metrics = _metrics(record)
    return Page(
        run.page,
        f"{run.label} on {record.spec.dataset}",
        "run.html",
        {
            "run": run,
            "what": what,
            "made": made,
            "attacks": [*settings_of_attacks(record)],
            "warnings": warnings,
            "contests": contests,
            "flattered": why_flattered([record]),
            "tiles": _tiles(record),
            "metrics": [(_heading(metric), metric == "nsd") for metric in metrics],
            "lines": [_line(name, record.evaluation.attacks[name], metrics) for name in _attacks(record)],
            "worst_case": f"{100 * record.evaluation.worst_case:.2f}",
            "charts": {**_charts(record, single, families), **_swept(run)},
            "sweep_command": "" if folder is None else sweep_command(run),
            "doubted_sweeps": run.swept.doubted,
            "many": record.dataset.info.num_classes > chart_data.MOST_CLASSES,
            "strips": [] if folder is None else strips(folder, record),
            "standing": standing,
            "flips": flipped,
            "findings": _findings(run),
            "request": text,
            "unknown": unknown,
            "config": [(name, str(value)) for name, value in record.spec.config.items()],
            "files": [] if folder is None else _files(folder),
        },
    )


def _attacks(record: Record) -> list[str]:
    return chart_data.in_order(record.evaluation.attacks)


def _metrics(record: Record) -> list[str]:
    few = record.dataset.info.num_classes <= 10
    return ["average", "worst_class", *([] if few else ["worst_10"]), "nsd"]


def _heading(metric: str) -> str:
    titles = {
        "average": "Average %",
        "worst_class": "Worst class %",
        "worst_10": "Worst 10 % of classes %",
        "nsd": "NSD",
    }
    return titles[metric]


def _line(name: str, result: AttackRecord, metrics: Sequence[str]) -> Line:
    cells = []
    for metric in metrics:
        column, value, bounds = Column(name, metric), getattr(result, metric), result.intervals.get(metric)
        cells.append(
            ("–" if value is None else column.show(value), "" if bounds is None else column.show_interval(*bounds))
        )
    return Line(attack_title(name), tuple(cells), f"{result.seconds:.1f}")


def _tiles(record: Record) -> list[tuple[str, str, str]]:
    """The numbers that a reader looks for first: what, how much, and its unit."""
    attacks = record.evaluation.attacks
    tiles = [("Clean, average", f"{100 * attacks['clean'].average:.1f}", "%")] if "clean" in attacks else []
    if (name := strongest(record)) not in ("", "clean"):
        result, title = attacks[name], spelled(name)
        tiles += [
            (f"{title}, average", f"{100 * result.average:.1f}", "%"),
            (f"{title}, worst class", f"{100 * result.worst_class:.1f}", "%"),
            (f"{title}, NSD", "–" if result.nsd is None else f"{result.nsd:.3f}", ""),
        ]
    if record.training is not None:
        tiles.append(("Training", f"{record.training.seconds / 60:.1f}", "min"))
    return tiles


def strongest(record: Record) -> str:
    """The strongest attack that a run was evaluated with; "" where there was none."""
    return next((n for n in (*STRONGEST, *reversed(_attacks(record))) if n in record.evaluation.attacks), "")


def _charts(
    record: Record, single: chart_data.Table, families: Mapping[str, chart_data.Table]
) -> dict[str, Chart | list[Chart]]:
    """Only those for which there are numbers."""
    found: dict[str, Chart | list[Chart]] = {}
    names = record.dataset.info.class_names
    worst = {
        a: min((v for v in r.per_class if v is not None), default=0.0) for a, r in record.evaluation.attacks.items()
    }
    per_class = chart_data.run_classes(record)
    if per_class.rows and len(names) <= chart_data.MOST_CLASSES:
        said = ", ".join(f"{attack_title(a)} {100 * worst[a]:.1f} %" for a in _attacks(record))
        found["classes"] = Chart(
            "run-classes", per_class, f"Accuracy of each class under every attack. The worst class has: {said}."
        )
    if (matrix := chart_data.confusion(record)).rows:
        first = strongest(record)
        chosen = [attack_title(a) for a in (first, *(a for a in _attacks(record) if a != first))]
        found["confusion"] = Chart(
            "confusion",
            matrix,
            "Rows are true classes, columns what they were taken for; the number is of images, the shade of the class's share.",
            attacks=tuple(chosen),
        )
    if single.rows:
        series = list(dict.fromkeys(str(row[0]) for row in single.rows))
        found["curves"] = Chart("curves", single, f"Over epochs, each on its own scale: {', '.join(series)}.")
    found["families"] = [
        Chart(
            "family",
            chart_data.named(table, names),
            "A row per class, a column per epoch.",
            FAMILIES.get(name, f"{name} of each class"),
        )
        for name, table in list(families.items())[:MOST_FAMILIES]
        if table.rows and len({row[0] for row in table.rows}) <= chart_data.MOST_CLASSES
    ]
    return found


def _swept(run: SiteRun) -> dict[str, Chart]:
    """Accuracy against ε, where the run keeps a sweep."""
    sweeps = run.swept.sweeps
    if not sweeps:
        return {}
    left = ", ".join(
        f"{100 * one.points[-1].average:.1f} % at ε = {level(one.points[-1].eps)} under {attack_title(one.attack)}"
        for one in sweeps
    )
    names = tuple(attack_title(one.attack) for one in sweeps)
    own = level(sweeps[0].eps)
    text = (
        f"Each step to the right doubles ε; the dashed line is the run's own, {own}. What is left at the end: {left}."
    )
    return {"epsilon": Chart("run-epsilon", sweep_data.of_run(sweeps), text, attacks=names)}


def _account(run: SiteRun) -> tuple[Pairs, Pairs, Sequence[str], Pairs]:
    """What was run, how it was made, its warnings, and who contested it."""
    if run.folder is None:
        return (("record", run.shown),), (("recorded", run.record.created),), run.record.warnings, ()
    try:
        account = account_of(run.folder, run.record)
    except DfrdBenchError as error:  # a plugin that cannot be loaded
        return (("method", str(error)),), (("recorded", run.record.created),), run.record.warnings, ()
    return account.what, account.made, account.warnings, account.contests


def _request(record: Record, again: Again) -> tuple[str, Sequence[str]]:
    """The file for `run --config`, and what it cannot know; "" with the reason where there is none."""
    import yaml

    try:
        request, unknown = again(record)
    except DfrdBenchError as error:
        return "", [str(error)]
    return yaml.safe_dump(dict(request), sort_keys=False, allow_unicode=True), unknown


def _findings(run: SiteRun) -> list[Finding]:
    return audit([row_of((run.where, run.record))])


def _history(folder: Path | None) -> list[str]:
    if folder is None or not (folder / HISTORY).is_file():
        return []
    try:
        return read_text(folder / HISTORY, LARGEST_HISTORY).splitlines()
    except DfrdBenchError:
        return []


def _files(folder: Path) -> list[File]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.is_symlink():
            try:
                digest, size = sha256_of(path), path.stat().st_size
            except (DfrdBenchError, OSError):
                continue
            found.append(File(path.name, f"{size:,}", digest, about_file(path.name)))
    return found

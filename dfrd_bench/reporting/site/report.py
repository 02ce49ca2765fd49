"""A report from records: every page of a site, and what goes beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dfrd_bench.records.files import write_atomically
from dfrd_bench.reporting.evidence import Run, predictions_beside_records
from dfrd_bench.reporting.site.assets import assets
from dfrd_bench.reporting.site.board_page import board_page
from dfrd_bench.reporting.site.boards import Board, Step, build_boards
from dfrd_bench.reporting.site.collecting import SiteRun, site_runs, without_the_way
from dfrd_bench.reporting.site.compare_page import compare_page
from dfrd_bench.reporting.site.index_file import index_of
from dfrd_bench.reporting.site.index_page import index_page, methods_page, runs_page
from dfrd_bench.reporting.site.method_page import method_addresses, method_pages
from dfrd_bench.reporting.site.pages import Page
from dfrd_bench.reporting.site.rendering import Renderer
from dfrd_bench.reporting.site.run_page import Again, run_page
from dfrd_bench.reporting.site.writing import INDEX_FILE, check_folder, write_site
from dfrd_bench.reporting.tables.beside import PublishedRows


@dataclass(frozen=True)
class Report:
    """Everything of a site but its form."""

    pages: tuple[Page, ...]
    boards: tuple[Board, ...]
    runs: tuple[SiteRun, ...]
    left_out: tuple[str, ...]
    renderer: Renderer
    made: str

    def index(self, files: Sequence[str]) -> dict[str, Any]:
        """What `index.json` says."""
        return index_of(self.boards, self.runs, _by_record(self.runs), self.left_out, files, self.made)


def build_report(
    runs: Sequence[Run],
    folders: Sequence[Path],
    left_out: Sequence[str],
    *,
    title: str,
    again: Again,
    published: Sequence[PublishedRows],
    step: Step,
) -> Report:
    """Work out every page.

    Args:
        runs: records that are believed, those of teachers among them.
        folders: the results folders that they are from.
        left_out: a sentence for each record that is not believed.
        title: of the site.
        again: says how a run is made once more.
        published: papers' tables to show beside ours.
        step: told how far it is.
    """
    found, skipped = site_runs(runs, folders), tuple(without_the_way(text, folders) for text in left_out)
    by_record, evidence = _by_record(found), predictions_beside_records()
    boards = build_boards(found, evidence, step)
    compared = compare_page(found, boards, by_record, evidence, step)
    methods = method_pages(found)
    of_runs = []
    for number, run in enumerate(found, start=1):
        of_runs.append(run_page(run, again))
        step("runs", number, len(found))
    pages = [
        index_page(title, boards, found, skipped),
        *(board_page(board, by_record, published) for board in boards),
        *(runs_page(found), methods_page(methods), compared),
        *methods,
        *of_runs,
    ]
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    names = sorted({run.record.spec.method for run in found if run.is_student})
    renderer = Renderer(title, method_addresses(names), made)
    return Report(tuple(pages), tuple(boards), tuple(found), skipped, renderer, made)


def write_folder(report: Report, folder: Path) -> None:
    """Write a report as a folder with a file per page, scripts in assets/, and index.json.

    Raises:
        DfrdBenchError: the folder holds somebody's own files, or cannot be written; or the extra is not installed.
    """
    before, beside = check_folder(folder), assets()
    names = [*(f"{page.name}.html" for page in report.pages), *beside]
    files = (*report.renderer.files(report.pages), *beside.items())
    write_site(folder, files, report.index([*names, INDEX_FILE]), before)


def write_file(report: Report, path: Path) -> None:
    """Write a report as one file.

    Raises:
        DfrdBenchError: it cannot be written; or the extra is not installed.
    """
    write_atomically(path, report.renderer.single(report.pages, assets()).encode("utf-8", "replace"))


def _by_record(runs: Sequence[SiteRun]) -> dict[int, SiteRun]:
    return {id(run.record): run for run in runs}

"""The page of a method: its paper, its hyper-parameters with their sources, and all its runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.registry import METHODS
from dfrd_bench.reporting.hyperparameters import kin, lines
from dfrd_bench.reporting.site.collecting import SiteRun, slug
from dfrd_bench.reporting.site.pages import Page
from dfrd_bench.reporting.site.rows import run_view, short_headings
from dfrd_bench.reporting.tables.layout import display_name
from dfrd_bench.summaries import first_line

SAFE_LINKS = ("https://", "http://")


def method_pages(runs: Sequence[SiteRun]) -> list[Page]:
    """A page for every method that has a run, in the order of their names."""
    methods = sorted({run.record.spec.method for run in runs if run.is_student})
    pages = method_addresses(methods)
    return [
        _page(name, pages[name], [run for run in runs if run.is_student and run.record.spec.method == name])
        for name in methods
    ]


def method_addresses(methods: Sequence[str]) -> dict[str, str]:
    """The page of each method; two never share one."""
    found: dict[str, str] = {}
    for name in methods:
        page = wanted = f"methods/{slug(name)}"
        number = 1
        while page in found.values():
            number += 1
            page = f"{wanted}-{number}"
        found[name] = page
    return found


def _page(name: str, page: str, runs: Sequence[SiteRun]) -> Page:
    return Page(
        page,
        display_name(name),
        "method.html",
        {
            "name": name,
            "display": display_name(name),
            **_declared(name),
            "views": [run_view(run) for run in sorted(runs, key=lambda run: (bool(run.superseded), run.page))],
            "numbers": short_headings(),
        },
    )


def _declared(name: str) -> dict[str, Any]:
    """What the installed method says of itself; only why not where it is not installed or cannot be loaded."""
    try:
        found = METHODS.get(name)
    except DfrdBenchError as error:
        return {"problem": str(error)}
    link = found.reference.link.replace(",", " ").split(" ")[0]  # some say more behind the address
    return {
        "problem": "",
        "summary": first_line(found),
        "reference": found.reference,
        "paper": link if link.startswith(SAFE_LINKS) else "",
        "code": f"{found.__module__}.{found.__qualname__}",
        "provider": METHODS.distribution(name),
        "sees": found.sees,
        "lines": list(lines(found.Config)),
        "kin": kin(found),
    }

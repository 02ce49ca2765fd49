"""Writes the findings of an audit as text or CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from io import StringIO
from typing import get_args

from dfrd_bench.evaluation.audit import Finding, Kind
from dfrd_bench.reporting.escaping import cell, printable


def to_text(findings: Sequence[Finding]) -> str:
    """A paragraph per table or run, in it the findings row by row, and last how many there are of each kind."""
    width = max((len(finding.kind) for finding in findings), default=0)
    places: dict[str, dict[str, list[str]]] = {}
    for f in findings:
        details = f.numbers if f.cell in f.numbers else ": ".join(filter(None, (f.cell, f.numbers)))
        line = f"    {f.kind:{width}}  {f.rule}: {f.sentence} [{details}]"
        places.setdefault(f.where, {}).setdefault(f.row, []).append(line)
    paragraphs = []
    for where, rows in places.items():
        lines = [where, *(line for row, below in rows.items() for line in (f"  {row}", *below))]
        paragraphs.append("\n".join(map(printable, lines)))
    return "\n\n".join([*paragraphs, summary(findings)]) + "\n"


def to_csv(findings: Sequence[Finding]) -> str:
    """A row per finding, with the fields of `Finding` as columns."""
    stream = StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(Finding)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(text) for name, text in asdict(finding).items()} for finding in findings)
    return stream.getvalue()


def summary(findings: Sequence[Finding]) -> str:
    """E.g. "3 findings: 1 impossible, 2 suspicious."."""
    if not findings:
        return "No rule is broken."
    counts = {kind: sum(finding.kind == kind for finding in findings) for kind in get_args(Kind)}
    parts = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return f"{len(findings)} finding{'s' if len(findings) > 1 else ''}: {parts}."


FORMATS: dict[str, Callable[[Sequence[Finding]], str]] = {"text": to_text, "csv": to_csv}

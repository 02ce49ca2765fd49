"""`dfrd-bench doctor`: whether all that is needed is here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from dfrd_bench.cli import options, threads
from dfrd_bench.cli.streams import one_line

EPILOG = """
\b
Examples:
  dfrd-bench doctor
  dfrd-bench doctor --results /scratch/results --json
"""


@click.command(epilog=EPILOG)
@options.results
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def doctor(results: str, as_json: bool) -> None:
    """Check versions, device, precision, threads, folders and the space in them, plugins, and RobustBench.

    A line each; where something is wrong, with what to do. The exit code is 1 where anything is.
    """
    from dfrd_bench.runs.health import examined

    granted = min(threads.processors(), threads.processor_share(threads.CGROUPS, threads.OWN_CGROUPS))
    shown, wrong = [], 0
    for finding in examined(Path(results), granted):
        wrong += bool(finding.fix)
        shown.append({"check": finding.name, "ok": not finding.fix, "found": finding.found, "fix": finding.fix})
        if not as_json:
            mark, fix = ("WRONG", f". To do: {finding.fix}") if finding.fix else ("ok", "")
            click.echo(f"{mark:6} {finding.name:12} {one_line(finding.found)}{one_line(fix)}")
    if as_json:
        click.echo(json.dumps(shown, indent=1, ensure_ascii=False))
    if wrong:
        sys.exit(1)

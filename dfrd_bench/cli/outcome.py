"""How one evaluation is shown on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from dfrd_bench.records.schema import EvaluationRecord


def print_outcome(evaluation: EvaluationRecord) -> None:
    """A small table: one row per attack, with the 95% interval of the average and of the worst class."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("attack")
    for heading in ("average %", "95 %", "worst class %", "95 %", "worst 10 %", "NSD", "seconds"):
        table.add_column(heading, justify="right")
    for name, attack in evaluation.attacks.items():
        table.add_row(
            name,
            f"{100 * attack.average:.2f}",
            _interval(attack.intervals.get("average")),
            f"{100 * attack.worst_class:.2f}",
            _interval(attack.intervals.get("worst_class")),
            f"{100 * attack.worst_10:.2f}",
            "–" if attack.nsd is None else f"{attack.nsd:.3f}",
            f"{attack.seconds:.1f}",
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    console.print(table)
    console.print(f"survives every attack: {100 * evaluation.worst_case:.2f} %")


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f}"

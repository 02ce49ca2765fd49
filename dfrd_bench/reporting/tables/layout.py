"""The papers' table as data: columns, cells, rows, groups, and what they are called."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from dfrd_bench.records.schema import NO_TEACHER

if TYPE_CHECKING:
    from dfrd_bench.records.schema import Record
    from dfrd_bench.reporting.tables.tracks import Track

ATTACK_TITLES = {
    **{"clean": "Clean", "fgsm": "FGSM", "pgd20": "PGD-20", "pgd20x5": "PGD-20 ×5", "cw": "CW∞", "autoattack": "AA"},
}
METHOD_TITLES = {
    **{"zskt": "ZSKT", "cmi": "CMI", "deepinv": "DeepInv", "fast": "Fast", "dfhl": "DFHL"},
    **{"ferd": "FERD", "ferd-released": "FERD (released code)", "steady": "Steady", "noise": "Noise"},
    **{"natural": "Natural", "sat": "SAT", "trades": "TRADES", "ard": "ARD", "fair-ard": "Fair-ARD", "iad": "IAD"},
    **{"bat": "BAT", "cfa-ard": "CFA-ARD", "dafa": "DAFA"},
    **{"fat-ard": "FAT-ARD", "frl-ard": "FRL-ARD", "gair-ard": "GAIR-ARD"},
    **{
        "fair-iad": "Fair-IAD",
        "rslad": "RSLAD",
        "fair-rslad": "Fair-RSLAD",
        "mtard": "MTARD",
        "fair-mtard": "Fair-MTARD",
    },
    **{
        "fair-ard-released": "Fair-ARD (released code)",
        "fair-iad-released": "Fair-IAD (released code)",
        "fair-rslad-released": "Fair-RSLAD (released code)",
        "fair-mtard-released": "Fair-MTARD (released code)",
    },
    **{"absld": "ABSLD", "adaad": "AdaAD", "igdm": "IGDM"},
}
METRIC_TITLES = {"average": "Avg. ↑", "worst_class": "Worst ↑", "worst_10": "Worst-10% ↑", "nsd": "NSD ↓"}
STAGE_TITLES = {
    "apgd-ce": "APGD-CE",
    "apgd-t": "APGD-T",
    "apgd-t-rest": "APGD-T rest",
    "fab-t": "FAB-T",
    "square": "Square",
}
STAGE_PREFIX = "after_"  # of a metric: the accuracy after a stage of the attack
UNDEFINED, NOT_RUN, TIED, FLATTERED, CONTESTED, OTHER_CODE = "–", "·", "†", "‡", "§", "¶"
UNCONVERTED = "conversion=false"
WITH_DATA = {"data-free": "", "with data": " with the training images", "both": " with and without the training images"}
"""What a title says of the track."""


@dataclass(frozen=True)
class Column:
    """One metric under one attack, or the accuracy after one of its stages; `key` is its flat name, e.g. pgd20_worst_class."""

    attack: str
    metric: str

    @property
    def key(self) -> str:
        return f"{self.attack}_{self.metric}"

    @property
    def stage(self) -> str:
        """The stage after which it is; "" for a metric of the whole attack."""
        return self.metric.removeprefix(STAGE_PREFIX) if self.metric.startswith(STAGE_PREFIX) else ""

    @property
    def title(self) -> str:
        return STAGE_TITLES.get(self.stage, self.stage) or METRIC_TITLES[self.metric]

    @property
    def lower_is_better(self) -> bool:
        return self.metric == "nsd"

    def show(self, value: float) -> str:
        """NSD with three decimals, anything else in percent with two."""
        return f"{value:.3f}" if self.metric == "nsd" else f"{100 * value:.2f}"

    def show_interval(self, low: float, high: float) -> str:
        """In brackets, percent with one decimal: resampling settles no more of an interval's ends."""
        return f"[{low:.3f}, {high:.3f}]" if self.metric == "nsd" else f"[{100 * low:.1f}, {100 * high:.1f}]"


Mark = Literal["best", "tied", "second"]


@dataclass(frozen=True)
class Cell:
    """One number of the table.

    Attributes:
        mean: over seeds, a fraction (NSD: as it is); None where undefined or not run.
        std: sample standard deviation over seeds (ddof = 1); None for a single seed.
        text: the mean as printed, `UNDEFINED` or `NOT_RUN`.
        spread: the standard deviation as printed, or "".
        interval: 95% bootstrap interval over test images, to be shown in place of the spread; None where it is not.
        mark: "best" of its column among the students of its group, "tied" with the best, or "second", next after these.
        p: two-sided, of its difference from the best of its column, over test images (paired bootstrap, not corrected for how
            many are compared); None for the best itself, and where nothing was tested.
    """

    mean: float | None
    std: float | None
    text: str
    spread: str
    interval: tuple[float, float] | None = None
    mark: Mark | None = None
    p: float | None = None


@dataclass(frozen=True)
class Row:
    """One method, with one variant and one setting of everything, over all its seeds.

    Attributes:
        kind: ours are "student" or "teacher"; beside a paper's table there are also "published" rows and "difference" rows.
        settings: what tells it from other rows of the same method and variant, e.g. "epochs=30"; usually "".
        label: how the row is called, e.g. "FERD (utae=false)" or "Teacher (wrn-10-2)".
        seeds: the seeds of its runs, in order; none for a row that is not ours.
        origin: dataset, teacher and student where these are not the table's and the group's.
        source: which version of a paper its printed numbers are of; "" for a row without any.
        records: what it was made of, by seed; none for a row that is not ours.
        flattered: what shows that the gradient attacks flatter it, see `flattered`; "" where nothing does.
        sees: what the method sees of the dataset; "" for a row that is no student of ours.
        best_known: what everybody's attacks leave, a fraction, where somebody else's broke more than ours, see `contested`.
        other_code: by which code it was made, where that is not its method's of today, see `other_code`; else "".
    """

    kind: Literal["student", "teacher", "published", "difference"]
    method: str
    variant: str
    settings: str
    label: str
    seeds: tuple[int, ...]
    cells: dict[Column, Cell] = field(repr=False)
    origin: tuple[str, str, str] | None = None
    source: str = ""
    records: tuple[Record, ...] = field(default=(), repr=False, compare=False)
    flattered: str = ""
    sees: str = ""
    best_known: float | None = None
    other_code: str = ""

    @property
    def marks(self) -> str:
        """The signs behind its label."""
        contested = self.best_known is not None
        return FLATTERED * bool(self.flattered) + CONTESTED * contested + OTHER_CODE * bool(self.other_code)

    def uncertainty(self, column: Column) -> str:
        """What stands behind a number: its interval, or ± its spread over seeds, or ""."""
        cell = self.cells[column]
        if cell.interval is not None:
            return f" {column.show_interval(*cell.interval)}"
        return f" ± {cell.spread}" if cell.spread else ""


@dataclass(frozen=True)
class Group:
    """The rows that compete with each other: one student architecture."""

    student: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class ResultTable:
    """All results on one dataset from one teacher.

    Attributes:
        beside: what the title adds, e.g. ", beside ferd:table1"; usually "".
        legend: sentences that explain the numbers and where they come from.
        warnings: why some rows must not be compared; empty when all is well.
        notes: what else a reader should know.
        tested: whether marks come from significance tests (a note says where they do not) or from the printed values.
        subject: what the title begins with.
        part: what is shown of the results, for a table below another; "" for the papers' own.
        below: smaller tables of the same rows, to be shown below.
        stages: columns that are not part of this table, but of a smaller one below it, see `with_stages`.
        track: whether its methods see the training images, see `tracks`; with "both" a column says which do.
        shared: the variant of all its students, which their labels leave out; "" where it is the default or differs.
    """

    dataset: str
    teacher: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    legend: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    beside: str = ""
    tested: bool = False
    subject: str = "Robustness and class fairness"
    part: str = ""
    below: tuple[ResultTable, ...] = ()
    stages: tuple[Column, ...] = ()
    track: Track = "data-free"
    shared: str = ""

    @property
    def title(self) -> str:
        taught = "trained without a teacher" if self.teacher == NO_TEACHER.name else f"distilled from {self.teacher}"
        return f"{self.subject} on {self.dataset}, {taught}{WITH_DATA[self.track]}{self.beside}"

    @property
    def attacks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column.attack for column in self.columns))

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for group in self.groups for row in group.rows)

    @property
    def several_seeds(self) -> bool:
        return any(len(row.seeds) > 1 for row in self.rows)


def display_name(method: str) -> str:
    """A method as the papers write it; a name they do not know as it is registered."""
    return METHOD_TITLES.get(method, method)


def row_name(method: str, variant: str, unconverted: Collection[str]) -> tuple[str, str]:
    """A student's method as the papers write it, and what its label still has to say about the variant ("" for the default).

    A DFKD method is called as it is called in the papers' main tables, where every row is converted. In a table that also has
    it as it was (variant `conversion=false`), that row takes the bare name and the converted one is "+RSLAD" (FERD, table 8).

    Args:
        method: name in the registry.
        variant: the run's variant, e.g. "quick+conversion=false".
        unconverted: the methods of which the table has both.
    """
    name, parts = display_name(method), [part for part in variant.split("+") if part not in ("default", UNCONVERTED)]
    if UNCONVERTED in variant.split("+"):
        parts += [] if method in unconverted else ["un-converted"]
    elif method in unconverted:
        name += "+RSLAD"
    return name, "+".join(parts)


def row_label(
    kind: str, method: str, variant: str, student: str, settings: str = "", unconverted: Collection[str] = ()
) -> str:
    """How a row is called, e.g. "FERD (utae=false, epochs=30)" or "Teacher (wrn-10-2)"; see `row_name`."""
    named = ("Teacher", student) if kind == "teacher" else row_name(method, variant, unconverted)
    name, *extras = filter(None, (*named, settings))
    return f"{name} ({', '.join(extras)})" if extras else name


def attack_title(attack: str) -> str:
    """An attack as the papers write it; a name they do not know stays as it is."""
    return ATTACK_TITLES.get(attack, attack)

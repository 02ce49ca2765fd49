"""The numbers the papers print: read from the package, validated, found by paper and table."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.records.reading import MIB, read_text
from dfrd_bench.reporting.papers import numbers_folder, papers

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

LARGEST = 4 * MIB  # bytes of a paper's numbers
ACCURACIES = ("average", "worst_class", "worst_10")
CLASSES = {"cifar10": 10, "cifar100": 100, "tiny-imagenet": 200}
OWN_SETTINGS = frozenset(
    {
        *("conversion=true", "layer=block3", "layer=last", "strategy=softmax"),
        *("lambda_adv=1", "lambda_bn=5", "lambda_oh=1", "lambda_uni=5"),
    }
)
"""What FERD's tables spell out although it is the method's own setting, so that it is no variant."""


class Entry(BaseModel):
    """One printed number.

    Attributes:
        teacher: the robust teacher; empty for a network trained without one.
        variant: as in a record, e.g. "default" or "fae=false+utae=false".
        metric: `average_change` is FERD's table 8 in parentheses; `inherited_*` is Fair-ARD's table 1.
        value: exactly as printed; accuracies in percent.
        mark: "second" where it is underlined; bold is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    paper: str
    table: Annotated[str, Field(pattern=r"^table\d+$")]
    dataset: Literal["cifar10", "cifar100", "tiny-imagenet"]
    teacher: str
    student: Annotated[str, Field(min_length=1)]
    method: Annotated[str, Field(min_length=1)]
    variant: Annotated[str, Field(min_length=1)]
    attack: Literal["clean", "fgsm", "pgd20", "cw", "autoattack"]
    metric: Literal["average", "worst_class", "worst_10", "nsd", "average_change", "inherited_cat", "inherited_car"]
    value: Annotated[str, Field(pattern=r"^[+-]?\d+(\.\d+)?$")]
    mark: Literal["", "second"]

    @property
    def number(self) -> float:
        """The value as records hold it: a fraction, or NSD as it is."""
        return float(Decimal(self.value).scaleb(-self._shift))

    @property
    def rounding(self) -> float:
        """Half a unit of the last printed digit, on the scale of `number`."""
        return float(Decimal("0.5").scaleb(-len(self.value.partition(".")[2]) - self._shift))

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Whose number it is: dataset, student, method and what sets the variant apart."""
        return self.dataset, self.student, self.method, "+".join(sorted(variant_key(self.variant)))

    @property
    def _shift(self) -> int:
        return 0 if self.metric == "nsd" else 2


def variant_key(variant: str) -> frozenset[str]:
    """What sets a variant apart, the same for every spelling of it, e.g. {"lambda_bn=1"} for "quick+lambda_bn=1.0".

    Presets are budgets and not variants, and a setting that is the method's own anyway sets nothing apart.
    """
    settings = (part.partition("=") for part in variant.split("+") if "=" in part)
    return frozenset(f"{name}={_plain(value)}" for name, _, value in settings) - OWN_SETTINGS


def _plain(value: str) -> str:
    try:
        return f"{float(value):g}"
    except ValueError:
        return value


@cache
def published() -> Mapping[str, tuple[Entry, ...]]:
    """Every printed number, by table in the papers' order: "ferd:table1" -> its entries, row by row.

    Raises:
        DfrdBenchError: a file of the installation is damaged.
    """
    tables: dict[str, list[Entry]] = {}
    for paper in papers():
        for entry in read_entries(numbers_folder() / f"{paper}.csv"):
            tables.setdefault(f"{paper}:{entry.table}", []).append(entry)
    return MappingProxyType({name: tuple(entries) for name, entries in tables.items()})


def read_entries(path: Path | Traversable) -> list[Entry]:
    """The printed numbers in a paper's CSV file.

    Raises:
        DfrdBenchError: it cannot be read, or holds something else.
    """
    try:
        return [Entry.model_validate(row) for row in csv.DictReader(StringIO(read_text(path, LARGEST)))]
    except (OSError, ValueError, csv.Error) as error:
        raise DfrdBenchError(f"The published numbers in {path} are damaged; reinstall dfrd-bench.") from error


def tables_called(name: str) -> tuple[str, ...]:
    """The names of all tables of a paper, e.g. "ferd", or of the one that is named, e.g. "ferd:table1".

    Raises:
        DfrdBenchError: there is no such paper or table.
    """
    if name in papers():
        return tuple(full for full in published() if full.startswith(f"{name}:"))
    published_table(name)
    return (name,)


def published_table(name: str) -> tuple[Entry, ...]:
    """The numbers of one table, e.g. "ferd:table1", as printed from left to right and from top to bottom.

    Raises:
        DfrdBenchError: there is no such paper or table.
    """
    known = published()
    paper, separator, _ = name.partition(":")
    if paper not in papers():
        raise unknown_name("paper", paper, papers())
    if name not in known:
        tables = [full for full in known if full.startswith(f"{paper}:")]
        if not separator:
            raise DfrdBenchError(f"{paper!r} is a paper. Name one of its tables: {', '.join(tables)}.")
        raise unknown_name(f"table of {paper}", name, tables)
    return known[name]

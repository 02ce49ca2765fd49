"""Names to things: one registry class over the entry-point groups that plugins and the built-ins share."""

from __future__ import annotations

import logging
import sys
from collections import defaultdict
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from dfrd_bench.errors import DfrdBenchError, FailedError, asked_to_stop, unknown_name, why_not_loaded
from dfrd_bench.sources import code_digest
from dfrd_bench.summaries import summary_in_source, summary_of, word_in_source

T = TypeVar("T")
log = logging.getLogger(__name__)
OWN_DISTRIBUTION = "dfrd-bench"
TO_INSTALL = "(One of your own has to be installed first: `pip install -e .` in its folder.)"
TRAINING = ("dfrd_bench.methods.", "dfrd_bench.distillation.", "dfrd_bench.attacks.")
"""Of dfrd-bench's own code, what trains."""


@dataclass(frozen=True)
class Entry:
    """One registered name: where it comes from, and what went wrong with it, if anything.

    Attributes:
        name: the name users type.
        distribution: the installed distribution that provides it, with its version.
        summary: the object's `summary` or the first line of its docstring; empty when not loaded.
        problem: why it cannot be used, or an empty string.
        sees: of a method, what it sees of a dataset; empty for anything else, and when not loaded.
    """

    name: str
    distribution: str
    summary: str = ""
    problem: str = ""
    sees: str = ""


class Registry(Generic[T]):
    """The things of one kind, found through the entry points of one group and loaded on first use.

    A name may carry an argument after a colon (`checkpoint:PATH`); `parse` splits it off.
    When two distributions register the same name, dfrd-bench's own wins, then the alphabetically first distribution;
    the others are reported by `entries` and otherwise ignored.
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group

    @cached_property
    def _candidates(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = defaultdict(list)
        seen: set[tuple[str, str, str]] = set()
        for point in entry_points(group=self.group):
            key = (point.name, point.value, _distribution(point).split()[0])
            if key not in seen:  # an editable install next to a build folder lists the same point twice
                seen.add(key)
                found[point.name].append(point)
        for points in found.values():
            points.sort(key=lambda p: (not _is_own(p), _distribution(p)))
        return dict(sorted(found.items()))

    def names(self) -> list[str]:
        """Every registered name, sorted, without loading anything."""
        return list(self._candidates)

    def _found(self, head: str) -> EntryPoint:
        """What a name stands for.

        Raises:
            DfrdBenchError: nothing that is installed has it; a user who wrote such a thing has to install it.
        """
        if head not in self._candidates:
            raise DfrdBenchError(f"{unknown_name(self.kind, head, self._candidates)} {TO_INSTALL}")
        return self._candidates[head][0]

    @staticmethod
    def parse(name: str) -> tuple[str, str]:
        """Split `kind:argument` into its two halves; the second is empty when there is no colon."""
        head, _, argument = name.partition(":")
        return head, argument

    def get(self, name: str) -> T:
        """Load what is registered under a name; the argument after a colon, if any, is for the caller to use.

        Raises:
            DfrdBenchError: nothing has this name, or there is an argument and the thing has no true `takes_argument`.
            FailedError: its plugin cannot be imported, whatever it raises or even if it tries to end the program.
        """
        head, argument = self.parse(name)
        point = self._found(head)
        try:
            loaded: T = _load(point)
        except BaseException as error:
            if asked_to_stop(error):
                raise
            raise FailedError(
                f"The {self.kind} {head!r} of {_distribution(point)} cannot be loaded: {why_not_loaded(error)}"
            ) from error
        if argument and not getattr(loaded, "takes_argument", False):
            raise DfrdBenchError(f"The {self.kind} {head!r} takes no argument: write {head}, not {name}.")
        return loaded

    def select(self, names: Iterable[str]) -> dict[str, T]:
        """Load several, in their order.

        Raises:
            DfrdBenchError: there is none, or one cannot be had (see `get`).
        """
        if loaded := {name: self.get(name) for name in names}:
            return loaded
        raise DfrdBenchError(f"Name at least one {self.kind}.")

    def name_of(self, thing: Any) -> str | None:
        """The name under which a class or object is registered, without loading anything; None if it is not."""
        value = f"{getattr(thing, '__module__', '')}:{getattr(thing, '__qualname__', '')}"
        return next((name for name, points in self._candidates.items() if points[0].value == value), None)

    def distribution(self, name: str) -> str:
        """The distribution and version that provide a name, e.g. `dfrd-bench 0.1.0`."""
        head, _ = self.parse(name)
        return _distribution(self._found(head))

    def code(self, name: str) -> str:
        """The digest of the source of what is registered under a name, as it is on disk now, without loading anything.

        It is of the module and of all that it imports from its own distribution, see `dfrd_bench.sources`; of dfrd-bench's own,
        of what trains (methods, distillation, attacks).

        Raises:
            DfrdBenchError: nothing has this name.
        """
        head, _ = self.parse(name)
        return _code(self._found(head))

    def code_loaded(self, name: str) -> str:
        """As `code`, of what `get` gives now: where a file is edited after it was loaded, as it was when this was first asked.

        Raises:
            DfrdBenchError: see `get`.
        """
        head, _ = self.parse(name)
        return _code_when_asked(self.get(head), self._candidates[head][0])

    def entries(self) -> list[Entry]:
        """Every registered name with its origin and one-line summary; loads plugins, and reports what fails to load."""
        rows = []
        for name, points in self._candidates.items():
            for position, point in enumerate(points):
                origin = _distribution(point)
                if position > 0:
                    taken_by = _distribution(points[0])
                    rows.append(Entry(name, origin, problem=f"ignored: the name is taken by {taken_by}"))
                    continue
                try:
                    rows.append(Entry(name, origin, summary=_summary(point), sees=_sees(point)))
                except BaseException as error:
                    if asked_to_stop(error):
                        raise
                    log.debug("loading %s %s failed", self.kind, name, exc_info=True)
                    rows.append(Entry(name, origin, problem=f"cannot be loaded: {why_not_loaded(error)}"))
        return rows


def _distribution(point: EntryPoint) -> str:
    return " ".join(_name_and_version(point.dist)) if point.dist else "unknown distribution"


def _is_own(point: EntryPoint) -> bool:
    return point.dist is not None and _name_and_version(point.dist)[0] == OWN_DISTRIBUTION


@lru_cache
def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """Each asks for all of a distribution's metadata to be parsed again, and all its entry points share it.

    One that is half installed or half removed may have none.
    """
    try:
        return distribution.name or "unnamed", distribution.version or "unknown"
    except Exception:  # of several types, by Python's version
        return "unnamed", "unknown"


def _code(point: EntryPoint) -> str:
    """The digest of an entry point's module, and of what it imports from its distribution."""
    if _is_own(point):
        return code_digest(point.module, lambda module: module.startswith(TRAINING))
    tops = {point.module.partition(".")[0], *_top_levels(point)}
    return code_digest(point.module, lambda module: module.partition(".")[0] in tops)


@lru_cache
def _code_when_asked(_thing: object, point: EntryPoint) -> str:
    """The digest when it was first asked for a thing that was loaded; one that is loaded anew is another thing."""
    return _code(point)


def _top_levels(point: EntryPoint) -> list[str]:
    """The packages that a distribution says it has."""
    text = point.dist.read_text("top_level.txt") if point.dist else None
    return (text or "").split()


def _load(point: EntryPoint) -> Any:
    """What an entry point names; what a plugin prints while it is imported is not a command's output."""
    with redirect_stdout(sys.stderr):
        return point.load()


def _summary(point: EntryPoint) -> str:
    """The one line about a registered object; only of dfrd-bench's own is it read without loading it.

    They are known to load, as tests load them. Of a plugin that is not known, and a list is where its user learns of it.
    """
    return (_is_own(point) and summary_in_source(point.module, point.attr)) or summary_of(_load(point))


def _sees(point: EntryPoint) -> str:
    """What a method sees of a dataset, found out as its summary is."""
    if _is_own(point):
        return word_in_source(point.module, point.attr, "sees")
    return str(getattr(_load(point), "sees", ""))


METHODS: Registry[Any] = Registry("method", "dfrd_bench.methods")
DATASETS: Registry[Any] = Registry("dataset", "dfrd_bench.datasets")
TEACHERS: Registry[Any] = Registry("teacher", "dfrd_bench.teachers")
STUDENTS: Registry[Any] = Registry("student", "dfrd_bench.students")
ATTACKS: Registry[Any] = Registry("attack", "dfrd_bench.attacks")
LAUNCHERS: Registry[Any] = Registry("launcher", "dfrd_bench.launchers")
OBSERVERS: Registry[Any] = Registry("observer", "dfrd_bench.observers")

REGISTRIES: dict[str, Registry[Any]] = {
    "methods": METHODS,
    "datasets": DATASETS,
    "teachers": TEACHERS,
    "students": STUDENTS,
    "attacks": ATTACKS,
    "launchers": LAUNCHERS,
    "observers": OBSERVERS,
}

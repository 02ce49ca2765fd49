"""What runs are made with: the versions of the packages that their numbers come from, to hold another machine's against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.registry import ATTACKS, DATASETS, METHODS, OWN_DISTRIBUTION, STUDENTS, TEACHERS
from dfrd_bench.runs.request import Request

ALWAYS = (OWN_DISTRIBUTION, "torch")


def versions_for(requests: Iterable[Request]) -> dict[str, str]:
    """By distribution, the version of dfrd-bench, of PyTorch, and of every plugin that one of these runs names."""
    found: dict[str, str] = {}
    for request in requests:
        named = [(METHODS, request.method), (DATASETS, request.dataset), (STUDENTS, request.student)]
        named += [(TEACHERS, request.teacher), (TEACHERS, request.natural_teacher)]
        named += [(ATTACKS, attack) for attack in request.attacks]
        for registry, name in named:
            with suppress(DfrdBenchError):  # of no name: the run says so, or it is a file
                distribution, _, number = registry.distribution(name or "").rpartition(" ")
                found[distribution] = number
    return {**found, **{name: version(name) for name in ALWAYS}}


def installed(names: Iterable[str]) -> dict[str, str]:
    """The versions of these distributions that are here; those that are not are left out."""
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def differing(wanted: Mapping[str, str], there: Mapping[str, str]) -> str:
    """What is elsewhere in another version than is wanted, or not at all, as "torch is 2.5.1 there, not 2.6.0"; "" if nothing."""
    wrong = {name: number for name, number in wanted.items() if there.get(name) != number}
    return "; ".join(
        f"{name} is {there[name]} there, not {number}" if name in there else f"{name} is missing there"
        for name, number in wrong.items()
    )

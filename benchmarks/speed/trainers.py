"""A method as the product has it, and the same as the plain recipe has it, from the same weights and seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dfrd_bench.benchmarks.speed.cases import Case
from dfrd_bench.benchmarks.speed.plain.ferd import PlainFERD
from dfrd_bench.benchmarks.speed.plain.inversion import PlainCMI, PlainDeepInv, PlainFast
from dfrd_bench.benchmarks.speed.plain.others import PlainDFHL, PlainZSKT
from dfrd_bench.benchmarks.speed.plain.trainer import PlainStudent
from dfrd_bench.registry import METHODS

if TYPE_CHECKING:
    from dfrd_bench.method import Method

PLAIN: dict[str, Any] = {
    "ferd": PlainFERD,
    "ferd-released": PlainFERD,
    "zskt": PlainZSKT,
    "cmi": PlainCMI,
    "deepinv": PlainDeepInv,
    "fast": PlainFast,
    "dfhl": PlainDFHL,
}


def ours(case: Case, method: str, **changes: Any) -> Method:
    """The product's method."""
    made: Method = METHODS.get(method)(case.problem(plain=False), case.config(method, **changes))
    return made


def plain(case: Case, method: str, **changes: Any) -> PlainStudent:
    """The plain recipe's."""
    made: PlainStudent = PLAIN[method](case.problem(plain=True), case.config(method, **changes))
    return made

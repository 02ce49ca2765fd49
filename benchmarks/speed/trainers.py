"""A method as the product has it, and the same as the plain recipe has it, from the same weights and seed."""

from __future__ import annotations

from typing import Any

from dfrd_bench.registry import METHODS

from .cases import Case
from .plain.ferd import PlainFERD
from .plain.inversion import PlainCMI, PlainDeepInv, PlainFast
from .plain.others import PlainDFHL, PlainZSKT
from .plain.trainer import Trainer

PLAIN: dict[str, Any] = {
    "ferd": PlainFERD,
    "ferd-released": PlainFERD,
    "zskt": PlainZSKT,
    "cmi": PlainCMI,
    "deepinv": PlainDeepInv,
    "fast": PlainFast,
    "dfhl": PlainDFHL,
}


def ours(case: Case, method: str, seed: int = 0, **changes: Any) -> Trainer:
    """The product's method."""
    made: Trainer = METHODS.get(method)(case.problem(plain=False, seed=seed), case.config(method, **changes))
    return made


def plain(case: Case, method: str, seed: int = 0, **changes: Any) -> Trainer:
    """The plain recipe's."""
    made: Trainer = PLAIN[method](case.problem(plain=True, seed=seed), case.config(method, **changes))
    return made

"""Every built-in method keeps the contract, by the same check that a plugin's author uses."""

from __future__ import annotations

import pytest

from dfrd_bench.registry import METHODS
from dfrd_bench.testing import check_method

BUILT_IN = [name for name in METHODS.names() if METHODS.distribution(name).startswith("dfrd-bench ")]


@pytest.mark.parametrize("name", BUILT_IN)
def test_keeps_the_contract(name: str) -> None:
    check_method(METHODS.get(name))

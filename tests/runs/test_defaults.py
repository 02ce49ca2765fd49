"""What a caller has set for PyTorch changes no number of a run, and is as it was afterwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import torch

import dfrd_bench

pytestmark = pytest.mark.usefixtures("few_digits")


def weights(results: Path) -> str:
    """sha256 of the student of a run of a second."""
    settings = {"distillation_steps": 2, "batch_size": 8, "attack_steps": 2}
    done = dfrd_bench.run("zskt", epochs=1, settings=settings, attacks=("clean", "pgd20"), results=results)
    return done.record.weights_sha256 + str(done.record.evaluation.worst_case)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    with pytest.MonkeyPatch.context() as patch:
        import tiny

        tiny.cut_digits(patch)
        return weights(tmp_path_factory.mktemp("expected"))


@pytest.mark.parametrize(
    "mode",
    [nullcontext, torch.no_grad, torch.inference_mode, lambda: torch.device("meta")],
    ids=["float64", "no_grad", "inference", "meta"],
)
def test_a_run_is_the_same(tmp_path: Path, expected: str, mode: Callable[[], AbstractContextManager[object]]) -> None:
    dtype = torch.float64 if mode is nullcontext else torch.float32
    torch.set_default_dtype(dtype)
    try:
        with mode():
            device, grad = torch.get_default_device(), torch.is_grad_enabled()
            assert weights(tmp_path) == expected
            assert torch.get_default_dtype() == dtype
            assert torch.get_default_device() == device
            assert torch.is_grad_enabled() == grad
    finally:
        torch.set_default_dtype(torch.float32)

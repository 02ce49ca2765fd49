"""How far a batch's feature statistics lie from those a network's BatchNorm layers remember."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dfrd_bench.errors import DfrdBenchError


class BatchNormStatistics:
    """Collects the batch mean and variance at the input of every BatchNorm2d layer of a network.

    Args:
        model: the network; hooks are on it only inside `record`.
        owner: who asks, for the error message ("ferd's L_bn").

    Raises:
        DfrdBenchError: the network has no BatchNorm layer with running statistics.
    """

    def __init__(self, model: nn.Module, owner: str) -> None:
        self.layers = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats]
        if not self.layers:
            raise DfrdBenchError(
                f"{owner} needs the running statistics of BatchNorm layers, and {type(model).__name__} has none: "
                "set its weight to 0 or choose a teacher with BatchNorm."
            )
        self._seen: dict[nn.BatchNorm2d, tuple[Tensor, Tensor]] = {}

    @contextmanager
    def record(self) -> Iterator[None]:
        """Forward passes inside this context are measured (the last one counts)."""
        self._seen.clear()
        handles = [layer.register_forward_pre_hook(self._measure) for layer in self.layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _measure(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, nn.BatchNorm2d)
        variance, mean = torch.var_mean(inputs[0].float(), dim=(0, 2, 3), correction=0)  # [N, C, H, W] -> [C], [C]
        self._seen[layer] = (mean, variance)

    def measured(self) -> list[tuple[Tensor, Tensor]]:
        """Batch (mean, biased variance), [C] each, per layer in the order of the network's modules."""
        return [self._seen[layer] for layer in self.layers]

    def distance(self) -> Tensor:
        """L_bn = Σ_l ‖μ_l(x) − μ_l‖₂ + ‖σ²_l(x) − σ²_l‖₂ (Yin et al. 2020; FERD eq. 8) of the recorded pass, a scalar."""
        terms = []
        for layer, (mean, variance) in zip(self.layers, self.measured(), strict=True):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            terms += [torch.linalg.vector_norm(mean - layer.running_mean)]
            terms += [torch.linalg.vector_norm(variance - layer.running_var)]
        return torch.stack(terms).sum()

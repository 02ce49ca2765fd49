"""What a network's BatchNorm layers see: how far a batch's statistics lie from those they remember, and image features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from dfrd_bench.distillation.moments import ChannelMoments
from dfrd_bench.errors import DfrdBenchError

T = TypeVar("T")

Moments = tuple[Tensor, Tensor]
"""(mean, biased variance) per channel, [C] each."""


class BatchNormRecorder(ABC, Generic[T]):
    """Measures what enters every BatchNorm2d layer of a network.

    Args:
        model: the network; hooks are on it only inside `record`.
        owner: who asks, for the error message ("ferd's L_bn (lambda_bn)").

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
        self._seen: dict[nn.BatchNorm2d, T] = {}

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
        self._seen[layer] = self.measure(inputs[0].float())

    @abstractmethod
    def measure(self, features: Tensor) -> T:
        """What is kept of a layer's input [N, C, H, W] in float32."""

    def measured(self) -> list[tuple[nn.BatchNorm2d, T]]:
        """Each layer that the recorded pass went through and what was kept of its input, in the order of the network's modules.

        A network may hold layers that no pass reaches: RobustBench's WideResNets have a whole block of them.
        """
        return [(layer, self._seen[layer]) for layer in self.layers if layer in self._seen]


class BatchNormStatistics(BatchNormRecorder[Moments]):
    """The batch mean and variance at the input of every BatchNorm2d layer, and how far they lie from the layer's own."""

    def measure(self, features: Tensor) -> Moments:
        """[N, C, H, W] -> [C], [C]."""
        mean, variance = ChannelMoments.apply(features)
        return mean, variance

    def compared(self) -> list[tuple[nn.BatchNorm2d, Moments]]:
        """What `distance` compares with the layers' running statistics: the batch's own."""
        return self.measured()

    def distance(self) -> Tensor:
        """L_bn = Σ_l ‖μ_l(x) − μ_l‖₂ + ‖σ²_l(x) − σ²_l‖₂ (Yin et al. 2020; FERD eq. 8) of the recorded pass, a scalar."""
        terms = []
        for layer, (mean, variance) in self.compared():
            assert layer.running_mean is not None
            assert layer.running_var is not None
            terms += [torch.linalg.vector_norm(mean - layer.running_mean)]
            terms += [torch.linalg.vector_norm(variance - layer.running_var)]
        return torch.stack(terms).sum()


class MovingStatistics(BatchNormStatistics):
    """Statistics of all rounds so far, not of one batch: m·(moving average) + (1 − m)·(batch) (Fang et al. 2022, released code).

    So a single batch may differ from the training data, as long as all batches together do not.

    Args:
        model: the network.
        owner: who asks, for the error message.
        momentum: m, the weight of the past; until the first `remember` the batch counts alone.
    """

    def __init__(self, model: nn.Module, owner: str, *, momentum: float) -> None:
        super().__init__(model, owner)
        self.momentum = momentum
        self._past: list[Moments] = []

    def compared(self) -> list[tuple[nn.BatchNorm2d, Moments]]:
        """The moving average with the recorded batch mixed in."""
        now = self.measured()
        if not self._past:
            return now
        return [(layer, self._mixed(past, batch)) for past, (layer, batch) in zip(self._past, now, strict=True)]

    def _mixed(self, past: Moments, now: Moments) -> Moments:
        return now[0].lerp(past[0], self.momentum), now[1].lerp(past[1], self.momentum)

    def remember(self) -> None:
        """End a round: the recorded batch enters the moving average."""
        self._past = [(mean.detach(), variance.detach()) for _, (mean, variance) in self.compared()]

    def state_dict(self) -> dict[str, list[Moments]]:
        """The moving average."""
        return {"past": self._past}

    def load_state_dict(self, state: dict[str, list[Moments]]) -> None:
        """Restore what `state_dict` returned."""
        assert self.layers[0].running_mean is not None
        device = self.layers[0].running_mean.device
        self._past = [(mean.to(device), variance.to(device)) for mean, variance in state["past"]]


class InstanceMeans(BatchNormRecorder[Tensor]):
    """Features of single images: each channel's spatial mean at the input of every BatchNorm2d layer (Fang et al. 2021)."""

    def measure(self, features: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C]."""
        return features.mean(dim=(2, 3))

    def features(self) -> Tensor:
        """One vector per image of the recorded pass, [N, F], attached to its graph."""
        return torch.cat([means for _, means in self.measured()], dim=1)

    def width(self) -> int:
        """F, the length of a feature vector, of the recorded pass."""
        return sum(means.shape[1] for _, means in self.measured())

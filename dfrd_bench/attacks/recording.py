"""The same work again and again without Python in between: on a GPU, kernels recorded once as a CUDA graph and replayed."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dfrd_bench.attacks.tally import Tally, tally_of

REHEARSALS = 2  # calls before the one that is recorded, in which libraries choose their algorithms
Outputs = dict[str, Tensor]
Work = Callable[..., Outputs]
"""Tensors in, named tensors out; it may change weights and statistics in place, draw from its generator, and fill gradients."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Recording:
    """A graph, the tensors it reads and writes, and what one replay counts as.

    Attributes:
        graph: what is replayed.
        inputs: where the graph reads.
        outputs: where it writes.
        gradients: of each leaf that it is taken for.
        passes: per network, images forwards and backwards.
    """

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    outputs: Outputs
    gradients: list[tuple[Tensor, Tensor]]
    passes: list[tuple[nn.Module, int, int]]

    def replay(self, inputs: tuple[Tensor, ...]) -> Outputs:
        """The outputs are copies; the gradients are the graph's own, valid until the next replay."""
        for mine, given in zip(self.inputs, inputs, strict=True):
            mine.copy_(given)
        self.graph.replay()
        for leaf, gradient in self.gradients:
            leaf.grad = gradient
        for network, forward, backward in self.passes:
            tally_of(network).add(forward, backward)
        return {name: value.clone() for name, value in self.outputs.items()}


class Recorder:
    """What all recorded work of a training shares.

    Args:
        device: where it is done; it is recorded on a GPU only.
        generator: what it draws from.
        networks: whose passes are counted (`Tally`).
        possible: False does all work as it is.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        generator: torch.Generator | None = None,
        networks: Iterable[nn.Module] = (),
        possible: bool = True,
    ) -> None:
        self.device, self.generator, self.networks = device, generator, tuple(networks)
        self.possible = possible and device.type == "cuda"
        self.state = 0  # of the generator: what was recorded with another is not valid
        self._saved: Any = None

    def of(self, work: Work, leaves: Callable[[], Iterable[Tensor]] = tuple) -> Recorded:
        """Work to be recorded; `leaves` are the tensors whose gradients it fills, asked for when it is."""
        return Recorded(self, work, leaves)

    def begin(self, graph: torch.cuda.CUDAGraph) -> None:
        """A recording begins."""
        if self.generator is not None:
            self._saved = self.generator.clone_state()
            graph.register_generator_state(self.generator)

    def failed(self) -> None:
        """It could not be recorded: the generator, which still waits for its end, is replaced by what it was."""
        torch.cuda.synchronize(self.device)
        if self.generator is not None:
            self.generator.graphsafe_set_state(self._saved)
        self.state += 1


class Recorded:
    """Work of unchanging shape, done many times: on a GPU recorded at its third call and replayed from then on, else just done.

    A replay launches the same kernels on the same addresses: weights, statistics and the generator's state are read where they
    are and as they then are, and what Python did while recording (branches, numbers that it computed) stays as it was. Work
    that waits for the GPU cannot be recorded; it is done as it is, with one line in the log.

    Args:
        recorder: device, generator and networks.
        work: what is done; called with tensors of the same shapes each time.
        leaves: whose gradients it fills.
    """

    def __init__(self, recorder: Recorder, work: Work, leaves: Callable[[], Iterable[Tensor]]) -> None:
        self.recorder, self.work, self.leaves = recorder, work, leaves
        self.refused = False
        self.recording: _Recording | None = None
        self._state = 0
        self._rehearsed = 0
        self._before: torch.cuda.CUDAGraph | None = None  # kept until the next is recorded: it holds their memory
        self._pool: Any = None
        self._stream: torch.cuda.Stream | None = None

    def anew(self, work: Work, leaves: Callable[[], Iterable[Tensor]]) -> Recorded:
        """Other work of the same kind, as of a new generator, in the memory of what was recorded so far; returns itself."""
        self.work, self.leaves = work, leaves
        if self.recording is not None:
            self._before, self.recording = self.recording.graph, None
        return self

    def __call__(self, *inputs: Tensor) -> Outputs:
        """Do the work."""
        if self.refused or not self.recorder.possible:
            return self.work(*inputs)
        if self.recording is None or self._state != self.recorder.state:
            if self._rehearsed < REHEARSALS:
                return self._rehearse(inputs)
            self.recording = self._record(inputs)
            if self.recording is None:
                return self.work(*inputs)
        return self.recording.replay(inputs)

    def _rehearse(self, inputs: tuple[Tensor, ...]) -> Outputs:
        """On the stream on which it will be recorded."""
        device = self.recorder.device
        if self._stream is None:
            self._stream, self._pool = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()  # type: ignore[no-untyped-call]
        self._rehearsed += 1
        here = torch.cuda.current_stream(device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream), on_two_streams():
            outputs = self.work(*inputs)
        here.wait_stream(self._stream)
        return outputs

    def _record(self, inputs: tuple[Tensor, ...]) -> _Recording | None:
        """Nothing is computed meanwhile. Where it fails, None, and it is not tried again."""
        graph = torch.cuda.CUDAGraph()
        places = tuple(x.detach().clone() for x in inputs)
        before = [copy.copy(tally_of(network)) for network in self.recorder.networks]
        leaves = list(self.leaves())
        for leaf in leaves:
            leaf.grad = None
        torch.cuda.synchronize(self.recorder.device)
        try:
            self.recorder.begin(graph)
            with torch.cuda.stream(self._stream), on_two_streams():
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                try:
                    outputs = self.work(*places)
                finally:
                    graph.capture_end()
        except Exception as error:  # of many types, by whatever waits for the GPU
            self.refused = True
            self.recorder.failed()
            self._passed_since(before)
            reason = " ".join(str(error).split())[:160]
            log.warning("Steps are not replayed as a CUDA graph, which costs time and nothing else: %s", reason)
            return None
        self._before, self._state = None, self.recorder.state
        gradients = [(leaf, leaf.grad) for leaf in leaves if leaf.grad is not None]
        return _Recording(graph, places, outputs, gradients, self._passed_since(before))

    def _passed_since(self, before: list[Tally]) -> list[tuple[nn.Module, int, int]]:
        """Images that went through each network while it was recorded, which is taken back: nothing was computed."""
        passed = []
        for network, old in zip(self.recorder.networks, before, strict=True):
            tally = tally_of(network)
            passed.append((network, tally.forward - old.forward, tally.backward - old.backward))
            tally.forward, tally.backward = old.forward, old.backward
        return passed


@contextmanager
def on_two_streams() -> Iterator[None]:
    """Without PyTorch's warning (from 2.9 on) that a weight was used on another stream before: they wait for each other."""
    warn = getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None)
    if warn is not None:
        warn(False)
    try:
        yield
    finally:
        if warn is not None:
            warn(True)

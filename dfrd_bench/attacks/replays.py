"""A frozen network as attacks ask it thousands of times: on a GPU its passes are recorded once per shape and replayed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

WORTH = 6  # calls of a shape before it is recorded, which takes as long as about five
KEPT = 4  # shapes that are kept, the newest; each holds the memory of a pass

log = logging.getLogger(__name__)


class Replays(nn.Module):
    """The same function as a network, of its weights as they are; on a CPU, or under autocast, the network itself.

    For attacks that take one gradient of a pass, before they ask again: of an earlier pass it would be that of the last, and a
    second one is refused. Not for a network that does different things for different images.

    Args:
        network: in eval mode; it is shared, not copied.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training
        self._asked: Counter[Any] = Counter()
        self._graphs: dict[Any, Callable[[Tensor], Tensor]] = {}
        self._refused = False

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, K]."""
        if self._refused or x.device.type != "cuda" or torch.is_autocast_enabled("cuda"):
            return self._ask(x)
        searching = x.requires_grad and torch.is_grad_enabled()
        key = (searching, x.shape, x.stride(), x.dtype)
        self._asked[key] += 1
        if self._asked[key] <= WORTH:
            return self._ask(x)
        if key not in self._graphs and not self._record(key, x, searching):
            return self._ask(x)
        if not searching:
            return self._graphs[key](x)
        x = x.view_as(x)  # a node of its own, so that the hook sees this pass's gradient alone
        x.register_hook(_copied_once())  # type: ignore[no-untyped-call]
        return self._graphs[key](x).clone()

    def _ask(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits

    def _record(self, key: Any, x: Tensor, searching: bool) -> bool:
        """Record a shape; whether that could be done."""
        example = torch.zeros_like(x).copy_(x.detach()).requires_grad_(searching)
        while len(self._graphs) >= KEPT:
            del self._graphs[next(iter(self._graphs))]
        try:
            if searching:
                graphed: Any = torch.cuda.make_graphed_callables(self._ask, (example,), allow_unused_input=True)
                self._graphs[key] = graphed
            else:
                self._graphs[key] = _forwards(self._ask, example)
        except Exception as error:  # of many types, by whatever waits for the GPU
            self._refused = True
            torch.cuda.synchronize(x.device)
            reason = " ".join(str(error).split())[:160]
            log.warning(
                "The network's passes are not replayed as CUDA graphs, which costs time and nothing else: %s", reason
            )
            return False
        return True


def _copied_once() -> Callable[[Tensor], Tensor]:
    """Hands a gradient on as a copy, since the graph writes its next one over it; and refuses a second one of the same pass.

    The way back uses the memory of what the way there left behind, so a second one would be wrong.
    """
    taken = False

    def copied(gradient: Tensor) -> Tensor:
        nonlocal taken
        if taken:
            raise RuntimeError("a replayed pass gives its gradient once: ask the network itself")
        taken = True
        return gradient.clone()

    return copied


def _forwards(ask: Callable[[Tensor], Tensor], example: Tensor) -> Callable[[Tensor], Tensor]:
    """Passes without a gradient, for images of an example's shape."""
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize(example.device)
    with torch.no_grad(), torch.cuda.graph(graph):
        logits = ask(example)

    def replayed(x: Tensor) -> Tensor:
        example.copy_(x)
        graph.replay()
        return logits.clone()

    return replayed

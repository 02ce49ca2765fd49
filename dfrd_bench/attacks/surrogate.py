"""The network as an attack searches on it: the same function of the same weights, cheaper to ask."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from dfrd_bench.attacks.folding import Folded
from dfrd_bench.attacks.replays import Replays

AGREEMENT = 1e-3  # largest difference of two logits, as a share of the largest logit, that rounding may make
GRADIENTS = 4  # images whose gradients are compared
GRADIENT_AGREEMENT = 0.05  # the same of two gradients, by norm: rounding moves some ReLUs to the other side of zero


class Surrogate(nn.Module):
    """A frozen float32 copy of a network, folded (`Folded`); on a CPU there is a fused graph of it for queries.

    Its logits and gradients are those of the network up to the rounding of float32. Where a network cannot be rewritten so, or
    the result does not agree with it, the network itself is asked. (Tracing loses what `torch.no_grad` and custom backward passes
    do.)

    Args:
        model: the network, in eval mode; it is not changed.
        example: images [N, C, H, W] to check the agreement on.
        fused: build the fused graph, which takes about a second.
        reduced: ask for gradients under bfloat16 autocast, on a GPU for logits as well; they come back as float32.
        on_call: called on every forward pass.

    Attributes:
        deterministic: whether the network answers the same when it is asked again.
    """

    def __init__(
        self,
        model: nn.Module,
        example: Tensor,
        *,
        fused: bool = True,
        reduced: bool = False,
        on_call: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.reduced, self.on_call = reduced, on_call
        expected = Behaviour(model, example)
        self.deterministic = expected.answered_by(model)
        folded = _folded(model, expected)
        self.differentiable = Replays(folded)
        on_cpu = fused and example.device.type == "cpu"
        self.queried = _fused(folded, expected) if on_cpu else self.differentiable
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, K]; the gradient comes back in plain NCHW layout, as pyautoattack calls `.view` on it."""
        self.on_call()
        asked = x.requires_grad and torch.is_grad_enabled()
        if asked:
            x = x.contiguous()
            x.register_hook(torch.Tensor.contiguous)  # type: ignore[no-untyped-call]
        network = self.differentiable if asked else self.queried
        reduced = self.reduced and network is self.differentiable
        with torch.autocast(x.device.type, torch.bfloat16) if reduced else nullcontext():
            logits: Tensor = network(x)
        return logits.float()


def has_bfloat16_units(device: torch.device) -> bool:
    """Whether a device is quicker in bfloat16 than in float32, as a GPU from Ampere on and a CPU with AMX or AVX-512 BF16 are."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    asks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, ask, bool)() for ask in asks)


class StandIns:
    """Folded copies that attacks of a training search on, in the place of networks that learn meanwhile; made when asked for.

    The copy of a network that was compiled in place is compiled too.
    """

    def __init__(self) -> None:
        self._copies: dict[nn.Module, Folded | None] = {}

    def of(self, model: nn.Module, example: Tensor) -> nn.Module:
        """The folded copy of a network with its present weights, or the network itself where no copy agrees with it.

        Args:
            model: in eval mode; where it cannot be folded, it is the answer.
            example: images [N, C, H, W] to check the agreement on, when the network is met for the first time.
        """
        if model not in self._copies:
            kind = example.device.type
            autocast = torch.is_autocast_enabled(kind)
            with torch.autocast(kind, enabled=False):
                self._copies[model] = folded = _agreeing(model, example[:GRADIENTS].float(), cast_once=autocast)
            if folded is not None and getattr(model, "_compiled_call_impl", None) is not None:
                folded.graph.compile()  # as the network was
        folded = self._copies[model]
        if folded is None:
            return model
        folded.refresh()
        return folded


def _agreeing(model: nn.Module, example: Tensor, *, cast_once: bool) -> Folded | None:
    try:
        folded = Folded(model, cast_once=cast_once)
        # a copy is asked, and the graph alone: these are no passes of the training
        return folded if Behaviour(copy.deepcopy(model), example).shared_by(folded.graph) else None
    except Exception:  # a network that cannot be traced, or copied, fails in any way it likes
        return None


class Behaviour:
    """What a network does to some images, for comparison with a rewritten one.

    Args:
        model: the network, in eval mode.
        example: images [N, C, H, W].
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        self.example, self.logits = example, _ask(model, example)
        self.gradient = _gradient(model, example[:GRADIENTS])

    def answered_by(self, model: nn.Module) -> bool:
        """Whether a rewritten network gives the same logits, also for a batch of another size."""
        limit = AGREEMENT * self.logits.abs().max()
        sizes = (len(self.example), 1)
        return all(bool((_ask(model, self.example[:n]) - self.logits[:n]).abs().max() <= limit) for n in sizes)

    def shared_by(self, model: nn.Module) -> bool:
        """Whether a rewritten network has the same gradients as well."""
        if not self.answered_by(model):
            return False
        difference = _gradient(model, self.example[:GRADIENTS]) - self.gradient
        return bool(difference.norm() <= GRADIENT_AGREEMENT * self.gradient.norm())


def _ask(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(x)
    return logits


def _gradient(model: nn.Module, x: Tensor) -> Tensor:
    """Of a weighted sum of the logits, with respect to the images; zero where the logits have none."""
    with torch.enable_grad():
        logits = model(x := x.detach().clone().requires_grad_())
        weights = torch.linspace(1, 2, logits.shape[1], device=x.device)
        if not logits.requires_grad:
            return torch.zeros_like(x)
        (gradient,) = torch.autograd.grad((logits * weights).sum(), x, allow_unused=True, materialize_grads=True)
    return gradient


def _folded(model: nn.Module, expected: Behaviour) -> nn.Module:
    """A frozen copy of the network, folded where that is possible."""
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    try:
        folded = Folded(frozen.to(memory_format=torch.channels_last))
        if expected.shared_by(folded):
            return folded
    except Exception:  # a network that cannot be traced fails in any way it likes
        pass
    return copy.deepcopy(model).eval().requires_grad_(False)


def _fused(model: nn.Module, expected: Behaviour) -> nn.Module:
    """The network as a frozen TorchScript graph with fused operations, for passes without a gradient."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # a network that does different things for different values is not a graph
            warnings.simplefilter("error", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            graph = torch.jit.freeze(torch.jit.trace(model, expected.example))  # type: ignore[no-untyped-call]
            fused = torch.jit.optimize_for_inference(graph)
            if expected.answered_by(fused):
                return fused
    except Exception:  # as above
        pass
    return model

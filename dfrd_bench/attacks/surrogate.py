"""The network as an attack searches on it: the same function of the same weights, cheaper to ask."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

AGREEMENT = 1e-3  # largest difference of two logits, as a share of the largest logit, that rounding may make
GRADIENTS = 4  # images whose gradients are compared
GRADIENT_AGREEMENT = 0.05  # the same of two gradients, by norm: rounding moves some ReLUs to the other side of zero


class Surrogate(nn.Module):
    """A frozen float32 copy of a network, with BatchNorm folded into convolutions.

    On a CPU there is a fused graph of it for queries, and for gradients a copy without the layers whose backward pass is slow.

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
        self.queried = self.differentiable = _folded(model, expected)
        if example.device.type == "cpu":
            self.differentiable = _relieved(self.queried, expected)
            if fused:
                self.queried = _fused(self.queried, expected)
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
    """A frozen copy of the network with every BatchNorm that follows a convolution folded into it."""
    from torch.fx.experimental.optimization import fuse

    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    try:
        folded = fuse(frozen).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        if expected.shared_by(folded):
            return folded
    except Exception:  # a network that cannot be traced fails in any way it likes
        pass
    return frozen


class _Affine(nn.Module):
    """BatchNorm in eval mode as the scale and shift it is: its backward pass is one multiplication."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = (norm.running_var + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight)
        shift = -norm.running_mean * scale + (0 if norm.bias is None else norm.bias)
        self.scale = scale.detach()[:, None, None]
        self.shift = shift.detach()[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift.to(x.dtype), x, self.scale.to(x.dtype))


def _subsampling(pointwise: nn.Conv2d) -> nn.Module:
    """A 1×1 convolution with a stride as one without, of every n-th pixel: oneDNN is slow to go back through a stride."""
    dense = copy.deepcopy(pointwise)
    dense.stride = (1, 1)
    return nn.Sequential(nn.AvgPool2d(1, pointwise.stride), dense)  # type: ignore[arg-type]


def _relieved(model: nn.Module, expected: Behaviour) -> nn.Module:
    """A copy without layers whose backward pass takes a CPU longer than it must."""
    relieved = copy.deepcopy(model)
    for parent in list(relieved.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.BatchNorm2d and layer.running_mean is not None:
                setattr(parent, name, _Affine(layer))
            elif type(layer) is nn.Conv2d and layer.kernel_size == (1, 1) != layer.stride and layer.padding == (0, 0):
                setattr(parent, name, _subsampling(layer))
    return relieved if expected.shared_by(relieved) else model


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

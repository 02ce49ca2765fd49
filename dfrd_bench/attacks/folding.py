"""A network in eval mode with less to compute: BatchNorm goes into the convolution before it, or is a scale and a shift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from dfrd_bench.attacks.tally import COUNT


class Casts:
    """Frozen tensors in the number formats in which they are asked for, cast once and not at every pass.

    Args:
        tensors: gives them as they are now.
    """

    def __init__(self, tensors: Callable[[], tuple[Tensor | None, ...]]) -> None:
        self._tensors = tensors
        self._made: dict[tuple[torch.dtype, torch.device], tuple[Tensor | None, ...]] = {}

    def to(self, dtype: torch.dtype) -> tuple[Tensor | None, ...]:
        """Those tensors in a format."""
        present = self._tensors()
        first = next(tensor for tensor in present if tensor is not None)
        if first.dtype == dtype:
            return present
        if torch.compiler.is_compiling():
            return _cast(present, dtype)
        key = dtype, first.device
        if key not in self._made:
            self._made[key] = _cast(present, dtype)
        return self._made[key]

    def refresh(self) -> None:
        """Take the tensors in again, in place."""
        for made in self._made.values():
            for mine, value in zip(made, self._tensors(), strict=True):
                if mine is not None and value is not None:
                    mine.copy_(value)


def _cast(tensors: tuple[Tensor | None, ...], dtype: torch.dtype) -> tuple[Tensor | None, ...]:
    return tuple(None if tensor is None else tensor.to(dtype) for tensor in tensors)


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm as the scale and the shift that it is in eval mode: going back through it is one multiplication.

    Args:
        norm: a layer with running statistics. Its tensors are shared; where they have moved, `refresh` takes them in again.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine)
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            setattr(self, name, getattr(norm, name))
        self.train(norm.training)
        for name, value in zip(("scale", "shift"), scale_and_shift(norm), strict=True):
            self.register_buffer(name, value[:, None, None], persistent=False)
        self._casts = Casts(self._frozen)

    def _frozen(self) -> tuple[Tensor, Tensor]:
        return self.shift, self.scale

    @torch.no_grad()
    def refresh(self) -> None:
        """Take in the weights and statistics as they are now."""
        for mine, value in zip((self.scale, self.shift), scale_and_shift(self), strict=True):
            mine.copy_(value[:, None, None])
        self._casts.refresh()

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]; in training mode as any BatchNorm."""
        if self.training:
            trained: Tensor = super().forward(input)
            return trained
        shift, scale = cast(tuple[Tensor, Tensor], self._casts.to(input.dtype))
        return torch.addcmul(shift, input, scale)


class FoldedConv2d(nn.Module):
    """A convolution and the BatchNorm behind it as one convolution.

    On a CPU a 1×1 convolution with a stride subsamples first: oneDNN is slow to go back through a stride.

    Args:
        conv: the convolution.
        norm: what follows it, if anything does.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> None:
        super().__init__()
        self._layers = (conv, norm)  # in a tuple: no parts of this module
        self.subsample = conv.stride if _subsamples(conv) and conv.weight.device.type == "cpu" else None
        self.register_buffer("weight", torch.empty_like(conv.weight))
        has_bias = norm is not None or conv.bias is not None
        self.register_buffer("bias", conv.weight.detach().new_empty(conv.out_channels) if has_bias else None)
        self._casts = Casts(self._frozen)
        self.refresh()

    def _frozen(self) -> tuple[Tensor, Tensor | None]:
        return self.weight, self.bias

    @torch.no_grad()
    def refresh(self) -> None:
        """Take in the weights and statistics as they are now."""
        conv, norm = self._layers
        weight, bias = conv.weight, conv.bias
        if norm is not None:
            scale, shift = scale_and_shift(norm)
            weight = weight * scale[:, None, None, None]
            bias = shift if bias is None else torch.addcmul(shift, bias, scale)
        self.weight.copy_(weight)
        if self.bias is not None:
            self.bias.copy_(cast(Tensor, bias))
        self._casts.refresh()

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', H', W']."""
        conv, kind = self._layers[0], x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.weight.dtype
        weight, bias = self._casts.to(dtype)
        if self.subsample is None:
            return cast(Tensor, conv._conv_forward(x, cast(Tensor, weight), bias))
        return F.conv2d(F.avg_pool2d(x, 1, self.subsample), cast(Tensor, weight), bias, groups=conv.groups)


class Folded(nn.Module):
    """What a network computes in eval mode, of its weights and statistics as they were at the last `refresh`.

    Args:
        model: the network, in eval mode. It is neither changed nor copied: layers that stay as they are, are shared.
        cast_once: it will be asked under autocast, so convolutions that stay as they are keep their weights cast as well.

    Raises:
        Exception: torch.fx cannot trace it; of any type.
    """

    def __init__(self, model: nn.Module, *, cast_once: bool = False) -> None:
        super().__init__()
        self._source = (model,)  # as above
        self.graph = fx.GraphModule(model, LeafTracer().trace(model))
        layers = dict(self.graph.named_modules())
        uses = Counter(str(node.target) for node in self.graph.graph.nodes if node.op == "call_module")
        for node in list(self.graph.graph.nodes):
            if node.op != "call_module" or uses[str(node.target)] > 1:
                continue
            layer = layers[str(node.target)]
            if normalises(layer):
                self._fold(node, layer, layers, uses)
            elif type(layer) is nn.Conv2d and (_subsamples(layer) or cast_once):
                self._put(node, FoldedConv2d(layer, None))
        self.graph.recompile()
        self.graph.delete_all_unused_submodules()
        self.eval()

    def _fold(self, node: fx.Node, norm: nn.BatchNorm2d, layers: dict[str, nn.Module], uses: Counter[str]) -> None:
        """BatchNorm into the convolution before it, where nothing else wants what that gives."""
        before: Any = node.args[0]
        conv = layers.get(str(before.target)) if before.op == "call_module" and len(before.users) == 1 else None
        if type(conv) is nn.Conv2d and uses[str(before.target)] == 1:
            self._put(before, FoldedConv2d(conv, norm))
            node.replace_all_uses_with(before)
            self.graph.graph.erase_node(node)
        else:
            self._put(node, FrozenBatchNorm2d(norm))

    def _put(self, node: fx.Node, layer: nn.Module) -> None:
        parent, _, name = str(node.target).rpartition(".")
        setattr(self.graph.get_submodule(parent), name, layer)

    def refresh(self) -> None:
        """Take in the network's weights and statistics as they are now."""
        for layer in self.graph.modules():
            if isinstance(layer, (FoldedConv2d, FrozenBatchNorm2d)):
                layer.refresh()

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, C, H, W] -> logits [N, K]; counts as a pass of the network."""
        logits: Tensor = self.graph(x)
        count: Callable[[Tensor], None] | None = vars(self._source[0]).get(COUNT)
        if count is not None:
            count(logits)
        return logits


class LeafTracer(fx.Tracer):
    """Traces a network without looking inside `FrozenBatchNorm2d`, nor inside one module that is named.

    Args:
        leaf: its name.
    """

    def __init__(self, leaf: str | None = None) -> None:
        super().__init__()
        self.leaf = leaf

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module stays one call."""
        named = module_qualified_name == self.leaf
        return named or isinstance(m, FrozenBatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


def normalises(layer: nn.Module) -> bool:
    """Whether a layer is a BatchNorm that eval mode makes a scale and a shift."""
    return type(layer) in (nn.BatchNorm2d, FrozenBatchNorm2d) and layer.running_var is not None


def freeze_norms(model: nn.Module) -> nn.Module:
    """Put `FrozenBatchNorm2d` in the place of a frozen network's BatchNorm layers; returns the same network."""
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.BatchNorm2d and normalises(layer):
                setattr(parent, name, FrozenBatchNorm2d(layer))
    return model


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """γ/√(σ² + ε) and β − μ·γ/√(σ² + ε), [C] each, without a graph."""
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = (variance + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach()
    shift = -mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach()


def _subsamples(conv: nn.Conv2d) -> bool:
    return conv.kernel_size == (1, 1) != conv.stride and conv.padding == (0, 0)

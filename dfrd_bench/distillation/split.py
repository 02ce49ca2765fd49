"""Cutting a teacher in two at a layer, so that what follows the layer can be run alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn

from dfrd_bench.attacks.folding import LeafTracer
from dfrd_bench.errors import DfrdBenchError


def feature_layers(model: nn.Module, prefix: str = "") -> list[str]:
    """Names of the places where a network can be split ("block3", …): its parts that convolve and do not classify, in order.

    A part with a linear layer in it, such as the network behind a normalisation, is looked into, and so is a list of parts.
    """
    names: list[str] = []
    for name, child in model.named_children():
        kinds = {type(module) for module in child.modules()}
        if nn.Conv2d in kinds:
            whole = nn.Linear not in kinds and not isinstance(child, (nn.ModuleList, nn.ModuleDict))
            names += [prefix + name] if whole else feature_layers(child, f"{prefix}{name}.")
    return names


def with_batchnorm(model: nn.Module, layer: str) -> str:
    """The BatchNorm that a network declares right behind one of its parts, or that part where it declares none there."""
    parent, _, name = layer.rpartition(".")
    siblings = dict(model.get_submodule(parent).named_children())
    behind = [*siblings][[*siblings].index(name) + 1 :][:1]
    return f"{parent}.{behind[0]}".lstrip(".") if behind and isinstance(siblings[behind[0]], nn.BatchNorm2d) else layer


class SplitTeacher:
    """A teacher f seen as f_{l+} ∘ f_l: `features` hands out f_l's output of a full pass, `head` runs f_{l+} alone.

    Args:
        model: the teacher; its modules are shared, not copied.
        layer: name of a module, or "last" for the last of `feature_layers`.

    Raises:
        DfrdBenchError: no such layer, a network `torch.fx` cannot trace, or one whose later layers reach back before the cut.
    """

    def __init__(self, model: nn.Module, layer: str = "last") -> None:
        layers = feature_layers(model)
        if layer == "last":
            if not layers:
                raise DfrdBenchError(f"{type(model).__name__} has no convolutional block to take features from.")
            layer = layers[-1]
        modules = dict(model.named_modules())
        if layer not in modules or not layer:
            raise DfrdBenchError(f"{type(model).__name__} has no layer {layer!r}. Its blocks: {', '.join(layers)}.")
        if not any(isinstance(m, (nn.Conv2d, nn.BatchNorm2d)) for m in modules[layer].modules()):
            raise DfrdBenchError(f"Layer {layer!r} gives no feature map. Blocks that do: {', '.join(layers)}.")
        self.model = model
        self.layer = layer
        self._module = modules[layer]
        self.head = _head_after(model, layer)
        self._features: Tensor | None = None

    @contextmanager
    def record(self) -> Iterator[None]:
        """Forward passes of the teacher inside this context leave f_l(x) in `features` (the last one counts)."""
        handle = self._module.register_forward_hook(self._keep)
        try:
            yield
        finally:
            handle.remove()

    def need_positions(self, shape: tuple[int, int, int], owner: str) -> None:
        """Make sure that the features have a spatial extent, without which no channel has a variance.

        Args:
            shape: of the task's images, [C, H, W].
            owner: who asks, for the error message ("ferd's L_uni").

        Raises:
            DfrdBenchError: the layer's feature maps are 1x1 for images of this size.
        """
        with self.record(), torch.no_grad():
            self.model(torch.zeros(1, *shape, device=next(self.model.parameters()).device))
        if self.features[0, 0].numel() == 1:
            size = "x".join(map(str, shape[1:]))
            raise DfrdBenchError(
                f"{owner} needs feature maps with more than one position, and {self.layer!r} of {type(self.model).__name__} has "
                f"one for {size} images: choose an earlier layer ({', '.join(feature_layers(self.model))})."
            )
        self._features = None

    def _keep(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._features = output

    @property
    def features(self) -> Tensor:
        """Z = f_l(x) of the recorded pass, [N, C, H, W], still attached to its graph."""
        if self._features is None:
            raise ValueError("run the teacher inside `record` first")
        return self._features


def _head_after(model: nn.Module, layer: str) -> nn.Module:
    """What the network computes after a layer, as a module that takes the layer's output."""
    try:
        graph = LeafTracer(layer).trace(model)
    except Exception as error:  # torch.fx raises many types, all meaning the same
        reason = " ".join(str(error).split())[:160]
        raise DfrdBenchError(f"{type(model).__name__} cannot be split at {layer!r}: torch.fx says: {reason}") from error
    cuts = [node for node in graph.nodes if node.op == "call_module" and node.target == layer]
    if len(cuts) != 1:
        raise DfrdBenchError(f"{type(model).__name__} runs {layer!r} {len(cuts)} times in a pass; a split needs one.")
    head = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {cuts[0]: head.placeholder("features")}
    try:
        for node in _ancestors_after(graph, cuts[0]):
            copies[node] = head.node_copy(node, copies.__getitem__)
    except KeyError as error:
        raise DfrdBenchError(
            f"{type(model).__name__} cannot be split at {layer!r}: what follows also uses {error.args[0]} from before it."
        ) from error
    return fx.GraphModule(model, head)


def _ancestors_after(graph: fx.Graph, cut: fx.Node) -> list[fx.Node]:
    """The nodes that depend on the cut, parameters they read, and the output, in order."""
    needed: set[fx.Node] = set()
    for node in graph.nodes:
        if node is not cut and any(parent is cut or parent in needed for parent in node.all_input_nodes):
            needed.add(node)
    constants = {p for node in needed for p in node.all_input_nodes if p.op == "get_attr"}
    return [node for node in graph.nodes if node in needed or node in constants]

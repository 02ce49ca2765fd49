"""What AutoAttack's versions are made of: the library's attacks in their order, on a surrogate of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from dfrd_bench.attacks.campaign import Stage
from dfrd_bench.attacks.crew import Calls
from dfrd_bench.attacks.pursuit import Pursuit
from dfrd_bench.attacks.remembering import Remembering
from dfrd_bench.attacks.surrogate import Surrogate, has_bfloat16_units
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import ThreatModel

STANDARD_TARGETS = 9  # target classes of APGD-T and FAB-T; all other classes where there are fewer
TARGETED = "apgd-t"
DLR_CLASSES = 4  # the targeted DLR loss of APGD-T looks at the four largest logits
EXAMPLE = 32  # images on which a surrogate must agree with its network
LIKELY_TARGETS = 3  # that `autoattack-fast` tries on every image
FEW_IMAGES = 100  # for which a fused graph does not earn what it costs


def stages_of(
    model: nn.Module,
    images: LabelledImages,
    device: torch.device,
    threat: ThreatModel,
    seed: int,
    calls: Calls,
    *,
    fast: bool = False,
) -> list[Stage]:
    """The attacks, on a surrogate of the network; which one that is depends on all test images, not on a batch.

    Args:
        model: in eval mode, on the device, in float32.
        images: the test images.
        device: where the model is.
        threat: the ball.
        seed: of every random draw.
        calls: counts the surrogate's passes.
        fast: see `AutoAttack`.
    """
    example, fused = images.floats(slice(0, EXAMPLE)).to(device), len(images) > FEW_IMAGES

    def on(surrogate: Surrogate) -> list[Stage]:
        library = library_of(surrogate, model, example, threat, seed)
        return _shortened_stages(library, surrogate, model) if fast else standard_stages(library)

    exact = on(Surrogate(model, example, fused=fused, on_call=calls))
    if not fast or not has_bfloat16_units(example.device):
        return exact
    quick = Surrogate(model, example, fused=fused, reduced=True, on_call=calls)
    return [replace(search, perturb=_confirmed(search, stage)) for search, stage in zip(on(quick), exact, strict=True)]


def library_of(surrogate: Surrogate, model: nn.Module, example: Tensor, threat: ThreatModel, seed: int) -> Any:
    """The library's attacks, set up as its `run_standard_evaluation` does, with as many targets as there are classes for."""
    from pyautoattack import AutoAttack as Library

    with torch.no_grad():
        classes = model(example[:1]).shape[1]
    library = Library(surrogate, norm=threat.norm, eps=threat.eps, device=example.device, seed=seed)
    library.apgd.loss, library.fab.targeted, library.fab.n_restarts = "ce", True, 1
    library.apgd_targeted.n_target_classes = library.fab.n_target_classes = min(STANDARD_TARGETS, classes - 1)
    if surrogate.deterministic:
        library.square.predict = Remembering(surrogate, surrogate.on_call)
    return library


def standard_stages(library: Any) -> list[Stage]:
    """The four attacks of the standard version."""
    ce, targeted, fab, square = library.apgd, library.apgd_targeted, library.fab, library.square
    targets = targeted.n_target_classes
    stages = [
        Stage("apgd-ce", ce.perturb, ce.n_iter + 2),
        Stage("apgd-t", targeted.perturb, targets * (targeted.n_iter + 2)),
        Stage("fab-t", fab.perturb, targets * (2 * fab.n_iter + 2)),
        Stage("square", square.perturb, square.n_queries + 2),
    ]
    return [stage for stage in stages if stage.name != TARGETED or targets >= DLR_CLASSES - 1]


def _shortened_stages(library: Any, surrogate: Surrogate, model: nn.Module) -> list[Stage]:
    """The same attacks; each image is let go once it is broken, and what seldom breaks one begins with the likeliest."""
    targeted = library.apgd_targeted

    def pursuit(name: str, attack: Any, ranks: Sequence[int] = (), *, selective: bool = False) -> Stage:
        perturb = Pursuit(attack, surrogate, model, ranks)
        calls = max(len(ranks), 1) * (attack.n_iter + 1) + 1
        return Stage(name, perturb, calls, lambda found, y: perturb.denied, selective)

    def denied(found: Tensor, y: Tensor) -> Tensor:
        claimed, judged = surrogate(found).argmax(dim=1), model(found).argmax(dim=1)
        return torch.logical_and(claimed != y, judged == y)

    stages = []
    for stage in standard_stages(library):
        if stage.name == "apgd-ce":
            stages.append(pursuit(stage.name, library.apgd))
        elif stage.name == "apgd-t":
            ranks = range(1, targeted.n_target_classes + 1)
            stages.append(pursuit(stage.name, targeted, ranks[:LIKELY_TARGETS]))
            if rest := ranks[LIKELY_TARGETS:]:
                stages.append(pursuit("apgd-t-rest", targeted, rest, selective=True))
        else:
            stages.append(replace(stage, denied=denied, selective=True))
    return stages


def _confirmed(search: Stage, exact: Stage) -> Callable[[Tensor, Tensor], Tensor]:
    """The search, and for images whose success the network itself denies, the exact attack."""

    def perturb(x: Tensor, y: Tensor) -> Tensor:
        found = search.perturb(x, y).detach()
        if (denied := search.denied(found, y)).any():
            found[denied] = exact.perturb(x[denied].contiguous(), y[denied]).detach()
        return found

    return perturb

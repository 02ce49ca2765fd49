"""Images per second under the evaluation's attacks, ours and a plain loop that fills the weights' gradients too."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dfrd_bench.errors import unknown_name
from dfrd_bench.evaluation.under_attack import predict_under_attack
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import Precision, ThreatModel
from dfrd_bench.registry import ATTACKS

from .cases import Case
from .plain import attacks as simple
from .timing import Pair, Seconds, in_turn, now, since

COMPARED = ("fgsm", "pgd20", "cw")
SLOW = ("autoattack",)
BATCH = 300
SEED = 0


def checked(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names; those that take no long time for none.

    Raises:
        DfrdBenchError: one has no plain counterpart.
    """
    for name in names:
        if name not in (*COMPARED, *SLOW):
            raise unknown_name("attack of the benchmark", name, (*COMPARED, *SLOW))
    return names or COMPARED


def measure(
    case: Case, attack: str, images: int, *, repetitions: int, on_turn: Callable[[], None] = lambda: None
) -> tuple[dict[str, Pair], int]:
    """Seconds per image, and on how many images the verdicts differ.

    Args:
        case: its teacher is attacked, and its images, in float32.
        attack: one of `COMPARED` or `SLOW`.
        images: how many.
        repetitions: pairs of turns that count.
        on_turn: told after every turn.
    """
    part, threat = case.images(images), case.task[1]
    teacher = case.teacher().to(case.device).eval()
    model = copy.deepcopy(teacher).requires_grad_(False).to(memory_format=torch.channels_last)
    verdicts: dict[str, Tensor] = {}

    def turn(name: str, predict: Callable[[], Tensor]) -> Callable[[], Mapping[str, Seconds]]:
        def once() -> Mapping[str, Seconds]:
            began = now(case.device)
            verdicts[name] = predict() == part.labels
            return {"image": since(began, now(case.device), len(part))}

        return once

    with Precision("fp32").backends(same_shapes=False):
        pairs = in_turn(
            turn("plain", lambda: plainly(attack, teacher, part, threat, case.device)),
            turn("ours", lambda: as_evaluated(attack, model, part, threat, case.device)),
            repetitions=repetitions,
            warmups=0 if attack in SLOW else 1,
            on_turn=on_turn,
        )
    return pairs, int((verdicts["plain"] != verdicts["ours"]).sum())


def as_evaluated(
    attack: str, model: nn.Module, images: LabelledImages, threat: ThreatModel, device: torch.device
) -> Tensor:
    """Predictions [N] as an evaluation makes them."""
    found: Any = ATTACKS.get(attack)
    common: dict[str, Any] = {"threat": threat, "device": device, "seed": SEED, "batch_size": BATCH}
    if hasattr(found, "predict"):
        predicted: Tensor = found.predict(model, images, **common)
        return predicted
    return predict_under_attack(found, model, images, **common)


def plainly(attack: str, model: nn.Module, images: LabelledImages, threat: ThreatModel, device: torch.device) -> Tensor:
    """Predictions [N] of a plain loop over batches, or of pyautoattack."""
    predictions = []
    for first, x, y in images.batches(BATCH, device):
        x_adv = perturbed(attack, model, x.contiguous(), y, threat, first)
        with torch.no_grad():
            predictions.append(model(x_adv).argmax(dim=1).cpu())
    return torch.cat(predictions)


def perturbed(attack: str, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, first: int) -> Tensor:
    """Adversarial images of a batch that begins at a place in the test set."""
    if attack == "autoattack":
        from pyautoattack import AutoAttack

        library = AutoAttack(model, norm="Linf", eps=threat.eps, device=x.device, seed=SEED)
        x_adv: Tensor = library.run_standard_evaluation(x, y, batch_size=BATCH)[0]
        return x_adv
    if attack == "fgsm":
        return simple.fgsm(model, x, y, eps=threat.eps)
    climbing = {"pgd20": simple.pgd, "cw": simple.cw}[attack]
    start = simple.from_ball(x, threat.eps, first, SEED)
    return climbing(model, x, y, start, eps=threat.eps, step=threat.step, steps=20)

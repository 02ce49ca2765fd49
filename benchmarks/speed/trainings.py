"""Whether students of ours and of the plain recipe end alike: whole trainings with several seeds, evaluated on the test images.

Step by step the two agree to rounding (`agreement`), but rounding errors grow over a training, so that students of the same seed
are different networks. What may be asked is whether their accuracies differ by more than those of different seeds do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from .cases import Case
from .trainers import ours, plain

PROGRAMS: dict[str, Callable[..., Any]] = {"plain": plain, "ours": ours}


@dataclass(frozen=True)
class Training:
    """One student.

    Attributes:
        method: its method's name.
        program: "plain" or "ours".
        seed: of its weights and draws.
        seconds: of processor time, of the training.
        average, worst: accuracy on the test images and that of the worst class, fractions, by attack.
    """

    method: str
    program: str
    seed: int
    seconds: float
    average: dict[str, float]
    worst: dict[str, float]


def train(case: Case, method: str, program: str, seed: int, attacks: Sequence[str], **changes: Any) -> Training:
    """Train a student by one of the programs and attack it.

    Args:
        case: networks and budget; its dataset has test images.
        method: name of a data-free method.
        program: "plain" or "ours".
        seed: see `Training`.
        attacks: names of attacks.
        changes: hyper-parameters that differ from the budget, e.g. epochs.
    """
    from dfrd_bench.evaluation.evaluate import evaluate_model

    trainer = PROGRAMS[program](case, method, seed=seed, **changes)
    began = time.process_time()
    for epoch in range(trainer.config.epochs):
        trainer.train_epoch(epoch)
    seconds = time.process_time() - began
    info, threat = case.task
    record, _, _ = evaluate_model(
        trainer.problem.student.float(),
        case.dataset.load("test"),
        num_classes=info.num_classes,
        threat=threat,
        attacks=attacks,
        device=case.device,
    )
    average = {name: attack.average for name, attack in record.attacks.items()}
    worst = {name: attack.worst_class for name, attack in record.attacks.items()}
    return Training(method, program, seed, seconds, average, worst)


def table(found: Sequence[Training]) -> str:
    """A row for each method and program: percent, mean ± sample standard deviation over seeds, average / worst class."""
    from tabulate import tabulate

    attacks, rows = list(found[0].average), []
    for method, program in dict.fromkeys((each.method, each.program) for each in found):
        part = [each for each in found if (each.method, each.program) == (method, program)]
        rows.append(
            [
                method,
                program,
                f"{fmean(each.seconds for each in part):.0f}",
                *(
                    " / ".join(_spread([getattr(each, what)[name] for each in part]) for what in ("average", "worst"))
                    for name in attacks
                ),
            ]
        )
    return tabulate(rows, ["method", "program", "seconds", *attacks], disable_numparse=True)


def _spread(values: Sequence[float]) -> str:
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.1f}{spread}"

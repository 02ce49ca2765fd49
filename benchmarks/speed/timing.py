"""Taking turns: two ways of doing the same, one after the other, again and again, and what is said about their times."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from .plain.trainer import Trainer

Seconds = tuple[float, float]
"""Wall time and processor time (of all threads of this process)."""
Turn = Callable[[], Mapping[str, Seconds]]
"""Do the work once; how long each part of it took."""


def now(device: torch.device | None = None) -> Seconds:
    """Both clocks, when a GPU has finished what it was given."""
    if device is not None and device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter(), time.process_time()


def since(began: Seconds, ended: Seconds, parts: int = 1) -> Seconds:
    """What has passed on both clocks, per part."""
    return (ended[0] - began[0]) / parts, (ended[1] - began[1]) / parts


@dataclass(frozen=True)
class Pair:
    """One quantity, measured of the plain recipe and of ours in turn.

    Attributes:
        plain, ours: seconds per unit of each turn: wall and processor time.
    """

    plain: list[Seconds]
    ours: list[Seconds]

    def row(self) -> dict[str, float]:
        """Medians, the ratio of medians (above 1: ours is quicker), and the least and largest ratio of one turn each."""
        numbers: dict[str, float] = {}
        for clock, name in enumerate(("wall", "processor")):
            theirs, mine = [s[clock] for s in self.plain], [s[clock] for s in self.ours]
            ratios = [ratio(a, b) for a, b in zip(theirs, mine, strict=True)]
            numbers |= {
                f"plain_{name}": median(theirs),
                f"ours_{name}": median(mine),
                f"ratio_{name}": ratio(median(theirs), median(mine)),
                f"least_{name}": min(ratios),
                f"most_{name}": max(ratios),
            }
        return numbers


def ratio(theirs: float, mine: float) -> float:
    """How many times as quick mine is; a NaN where there is nothing to compare."""
    return theirs / mine if mine > 0 else float("nan")


def in_turn(plain: Turn, ours: Turn, *, repetitions: int, warmups: int, on_turn: Callable[[], None]) -> dict[str, Pair]:
    """A B A B …: the plain recipe, ours, the plain recipe, ours, after turns that do not count.

    Args:
        plain: one turn of it.
        ours: one turn of it; the same parts.
        repetitions: pairs that count.
        warmups: pairs before them.
        on_turn: told after every turn.
    """
    seen: dict[str, Pair] = {}
    for number in range(warmups + repetitions):
        theirs = plain()
        on_turn()
        mine = ours()
        on_turn()
        if number >= warmups:
            for part, seconds in theirs.items():
                pair = seen.setdefault(part, Pair([], []))
                pair.plain.append(seconds)
                pair.ours.append(mine[part])
    return seen


class Stopwatch:
    """Divides an epoch into its steps by what every method reports; the clocks are read at the ends of a stage only.

    A method without a stage of synthesis (ZSKT) has its generator's steps between the beginning of the stage "distill" and the
    first call of `distill`, with the images for that call.
    """

    def __init__(self, trainer: Trainer, device: torch.device, generator_steps: int) -> None:
        self.device = device
        self.generator_steps = generator_steps
        self.marks: dict[str, Seconds] = {}
        self.counts: dict[str, int] = {}
        self.trainer = trainer
        trainer.progress = self.progress
        self.distill = trainer.distill
        trainer.distill = self.first_distill  # type: ignore[method-assign]

    def progress(self, stage: str, done: int, total: int) -> None:
        """Told by the method."""
        if done == 0:
            self.marks[f"{stage} began"] = now(self.device)
        elif done == total:
            self.marks[f"{stage} ended"] = now(self.device)
            self.counts[stage] = total

    def first_distill(self, images: Any, *about: Any) -> Any:
        """In place of the method's own: notes when it is called first."""
        if "first" not in self.marks:
            self.marks["first"] = now(self.device)
        return self.distill(images, *about)

    def epoch(self, number: int) -> dict[str, Seconds]:
        """Run one: seconds per step of synthesis, per step of the student, and what is left of a round of synthesis."""
        self.marks.clear()
        began = now(self.device)
        self.trainer.train_epoch(number)
        ended = now(self.device)
        marks, steps = self.marks, self.counts["distill"]
        if "synthesize ended" not in marks:
            distilled, synthesis = marks["first"], since(marks["distill began"], marks["first"], self.generator_steps)
            return {"synthesis step": synthesis, "student step": since(distilled, marks["distill ended"], steps)}
        synthesized = since(marks["synthesize began"], marks["synthesize ended"])
        distilled = since(marks["distill began"], marks["distill ended"])
        whole = since(began, ended)
        return {
            "synthesis step": (synthesized[0] / self.counts["synthesize"], synthesized[1] / self.counts["synthesize"]),
            "student step": (distilled[0] / steps, distilled[1] / steps),
            "rest of a round": (whole[0] - synthesized[0] - distilled[0], whole[1] - synthesized[1] - distilled[1]),
        }

"""One evaluation by a sequence of attacks: each on the images that survived those before it, resumable after every batch."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dfrd_bench.attacks.projected_gradient import margin
from dfrd_bench.attacks.verdict import judge
from dfrd_bench.images import LabelledImages

TICK = 0.5  # seconds between two reports of progress
FEWEST = 8  # images that make a tenth

Arrays = dict[str, NDArray[Any]]
OnProgress = Callable[[str, int, int, float], None]
"""Stage, images done in it, images in it, robust accuracy so far."""


@dataclass(frozen=True)
class Stage:
    """One attack of the sequence.

    Attributes:
        name: e.g. "apgd-ce".
        perturb: images [n, C, H, W] and labels [n] -> attacked images.
        calls: about how often it asks the network, for progress within a batch.
        denied: attacked images and labels of the last batch -> which of them the network that was asked takes for broken and the
            one that judges does not, [n] bool; none where both are the same.
        selective: take the images in the order of how near they came to being broken, a tenth at a time, and stop after a tenth
            of whose farther half none was broken.
    """

    name: str
    perturb: Callable[[Tensor, Tensor], Tensor]
    calls: int
    denied: Callable[[Tensor, Tensor], Tensor] = lambda found, y: torch.zeros_like(y, dtype=torch.bool)
    selective: bool = False


def no_margins(predictions: Tensor) -> Tensor:
    """The margins of images [N] before any attack: ∞, float32."""
    return torch.full(predictions.shape, math.inf)


@dataclass
class State:
    """What must be kept to go on after a stop as if there had been none.

    Attributes:
        predictions: [N] class of each image under the attack that broke it, or its own where none has.
        batch_size: images per batch; halved when memory runs out.
        margins: [N] float32, the smallest margin that an attack has left each image; ∞ before any.
        accuracies: share of images still standing, before the first stage and after each finished one.
        pending: positions of the images that the current stage has still to attack; None between stages.
        tenth: positions of the images that a selective stage has attacked since it last decided to go on.
        unpredicted: images for which the network gave a NaN or an infinity.
        notes: warnings so far.
    """

    predictions: Tensor
    batch_size: int
    margins: Tensor
    accuracies: list[float]
    pending: Tensor | None = None
    tenth: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    unpredicted: int = 0
    notes: list[str] = field(default_factory=list)

    def to_arrays(self) -> Arrays:
        """As arrays for a file."""
        pending = {} if self.pending is None else {"pending": self.pending.numpy().copy()}
        return {
            "predictions": self.predictions.numpy().copy(),
            "batch_size": np.array(self.batch_size),
            "margins": self.margins.numpy().copy(),
            "tenth": self.tenth.numpy().copy(),
            "accuracies": np.array(self.accuracies),
            "unpredicted": np.array(self.unpredicted),
            "notes": np.array(self.notes, dtype=np.str_),
            **pending,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> State:
        """What `to_arrays` gave, now or before there were selective stages."""
        predictions = torch.from_numpy(arrays["predictions"].copy())
        return cls(
            predictions=predictions,
            batch_size=int(arrays["batch_size"]),
            margins=torch.from_numpy(arrays["margins"].copy()) if "margins" in arrays else no_margins(predictions),
            accuracies=[float(value) for value in arrays["accuracies"]],
            pending=torch.from_numpy(arrays["pending"].copy()) if "pending" in arrays else None,
            tenth=torch.from_numpy(arrays.get("tenth", np.empty(0, np.int64)).copy()),
            unpredicted=int(arrays["unpredicted"]),
            notes=[str(note) for note in arrays["notes"]],
        )

    def note(self, text: str) -> None:
        """Keep a warning, once."""
        if text not in self.notes:
            self.notes.append(text)


class Campaign:
    """The loop over stages and batches.

    Args:
        model: the network whose verdict counts: eval mode, float32, on the device.
        images: the test images.
        device: where the model is.
        stages: the attacks, in order.
        state: a new one, or that of a stopped evaluation.
        on_state: given the state after every batch.
        on_progress: told how it goes, about twice a second.
        on_broken: given positions and adversarial images whenever some were found.
    """

    def __init__(
        self,
        model: nn.Module,
        images: LabelledImages,
        device: torch.device,
        stages: list[Stage],
        state: State,
        *,
        on_state: Callable[[State], None],
        on_progress: OnProgress,
        on_broken: Callable[[Tensor, Tensor], None],
    ) -> None:
        self.model, self.images, self.device = model, images, device
        self.stages, self.state = stages, state
        self.on_state, self.on_progress, self.on_broken = on_state, on_progress, on_broken
        self.calls, self.reported = 0, 0.0
        self.report: Callable[[int], None] = lambda calls: None

    def run(self) -> None:
        """Every stage that is not finished."""
        with library_warnings(self.state.note):
            for stage in self.stages[len(self.state.accuracies) - 1 :]:
                if self.state.pending is None:
                    self.state.pending = self._standing_images(stage)
                size = len(self.state.pending)
                while len(self.state.pending):
                    self._batch(stage, size)
                    self.on_state(self.state)
                self.state.pending = None
                self.state.accuracies.append(self.standing)
                self.on_progress(stage.name, size, size, self.standing)

    def _standing_images(self, stage: Stage) -> Tensor:
        """The positions of the images that no attack has broken yet, as the stage takes them."""
        at = (self.state.predictions == self.images.labels).nonzero()[:, 0]
        return at[self.state.margins[at].argsort()] if stage.selective else at

    @property
    def standing(self) -> float:
        """Share of all images that no attack has broken yet."""
        return float((self.state.predictions == self.images.labels).float().mean())

    def called(self) -> None:
        """The network was asked once: report how far the batch is, if it is time to."""
        self.calls += 1
        if time.monotonic() - self.reported > TICK:
            self.reported = time.monotonic()
            self.report(self.calls)

    def _batch(self, stage: Stage, size: int) -> None:
        """Attack the next images that are pending; with half as many when memory runs out."""
        state = self.state
        assert state.pending is not None
        wanted = min(state.batch_size, self._tenth - len(state.tenth)) if stage.selective else state.batch_size
        where = state.pending[:wanted]
        done, standing = size - len(state.pending), self.standing
        self.calls = 0
        self.report = lambda calls: self.on_progress(
            stage.name, done + int(len(where) * min(calls / stage.calls, 1)), size, standing
        )
        x, y = self.images.floats(where).to(self.device).contiguous(), self.images.labels[where].to(self.device)
        judged = judge(torch.no_grad()(stage.perturb), self.model, x, y)  # it enables gradients where it needs them
        if judged is None:
            state.batch_size = max(len(where) // 2, 1)
            state.note(f"out of memory: batches of {state.batch_size} images from {stage.name} on")
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            return
        broken = judged.classes != y
        at = where[broken.cpu()]
        state.predictions[at] = judged.classes[broken].cpu()
        state.unpredicted += int(judged.without.sum())
        state.margins[where] = state.margins[where].minimum(margin(judged.logits, y).cpu())
        state.pending = state.pending[len(where) :]
        if stage.selective:
            self._decide(stage, where)
        self.on_broken(at, judged.x_adv[broken])

    @property
    def _tenth(self) -> int:
        """Images that a selective stage attacks before it decides whether to go on."""
        return max(FEWEST, math.ceil(len(self.images) * self.state.accuracies[-1] / 10))

    def _decide(self, stage: Stage, where: Tensor) -> None:
        """After a tenth of the images that stood, stop if none of its farther half was broken."""
        state = self.state
        assert state.pending is not None
        state.tenth = torch.cat([state.tenth, where])
        if len(state.tenth) < self._tenth and len(state.pending):
            return
        farther = state.tenth[len(state.tenth) // 2 :]
        if len(state.pending) and bool((state.predictions[farther] == self.images.labels[farther]).all()):
            state.note(f"{stage.name} left out {len(state.pending)} images")
            state.pending = state.pending[:0]
        state.tenth = state.tenth[:0]


class _Forward(logging.Handler):
    """Hands the warnings the library logs to a function."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self.note = note

    def emit(self, record: logging.LogRecord) -> None:
        self.note(" ".join(record.getMessage().split()))


@contextmanager
def library_warnings(note: Callable[[str], None]) -> Iterator[None]:
    """While it lasts, what pyautoattack warns about (a randomised model, zero gradients, …) goes to `note`."""
    logger, handler = logging.getLogger("auto-attack"), _Forward(note)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)

"""One evaluation by a sequence of attacks: each on the images that survived those before it, resumable after every batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dfrd_bench.attacks.projected_gradient import margin
from dfrd_bench.attacks.state import State
from dfrd_bench.attacks.verdict import judge
from dfrd_bench.images import LabelledImages

TICK = 0.5  # seconds between two reports of progress

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
        wanted = min(state.batch_size, state.a_tenth - len(state.tenth)) if stage.selective else state.batch_size
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

    def _decide(self, stage: Stage, where: Tensor) -> None:
        """After a tenth of the images that stood, stop if none of its farther half was broken."""
        state = self.state
        assert state.pending is not None
        state.tenth = torch.cat([state.tenth, where])
        if len(state.tenth) < state.a_tenth and len(state.pending):
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

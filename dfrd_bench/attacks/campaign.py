"""One evaluation by a sequence of attacks: each on the images that survived those before it, resumable after every batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor, nn

from dfrd_bench.attacks.crew import Attacking, Crew, Found, Here
from dfrd_bench.attacks.projected_gradient import margin
from dfrd_bench.attacks.state import State
from dfrd_bench.attacks.verdict import judge
from dfrd_bench.images import LabelledImages

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


def attacking(stages: Sequence[Stage], model: nn.Module, images: LabelledImages, device: torch.device) -> Attacking:
    """What attacks a batch by a stage of this name, on this device; `model` is the network whose verdict counts."""
    named = {stage.name: stage for stage in stages}

    def attack(stage: str, where: Tensor) -> Found | None:
        notes: list[str] = []
        x, y = images.floats(where).to(device).contiguous(), images.labels[where].to(device)
        with library_warnings(notes.append):
            perturb = torch.no_grad()(named[stage].perturb)  # it enables gradients where it needs them
            judged = judge(perturb, model, x, y)
        if judged is None:
            if device.type == "cuda":
                torch.cuda.empty_cache()
            return None
        margins, broken = margin(judged.logits, y).cpu(), judged.x_adv[judged.classes != y]
        return Found(judged.classes.cpu(), int(judged.without.sum()), margins, tuple(notes), broken)

    return attack


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
        on_broken: given positions and adversarial images whenever some were found here, and not by another process.
        crew: who attacks the batches; this process when None.
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
        crew: Crew | None = None,
    ) -> None:
        self.images, self.stages, self.state = images, stages, state
        self.on_state, self.on_progress, self.on_broken = on_state, on_progress, on_broken
        self.crew = crew or Here(attacking(stages, model, images, device))
        self.begun = 0

    def run(self) -> None:
        """Every stage that is not finished."""
        for stage in self.stages[len(self.state.accuracies) - 1 :]:
            if self.state.pending is None:
                self.state.pending = self._standing_images(stage)
            size = len(self.state.pending)
            self._attack(stage, size)
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

    def _attack(self, stage: Stage, size: int) -> None:
        """Attack what is pending of a stage, as many batches at a time as the crew has room for.

        Batches are the same whoever attacks them, and in whatever order they end: one that is taken out of what is pending leaves
        the others as they are, also for whoever goes on after a stop. Of a selective stage they count in the order begun, since
        each tenth decides about the next.
        """
        state, before, notes = self.state, [*self.state.notes], dict[int, tuple[str, ...]]()
        underway, calls, ready = dict[int, Tensor](), dict[int, int](), dict[int, Found]()

        def tell(number: int, count: int) -> None:
            calls[number] = count
            shares = (len(where) * min(calls.get(n, 0) / stage.calls, 1) for n, where in underway.items())
            self.on_progress(stage.name, size - len(_present(state.pending)) + int(sum(shares)), size, self.standing)

        while len(_present(state.pending)):
            while self.crew.has_room and len(where := self._next(stage, underway)):
                self.begun += 1
                underway[self.begun] = where
                self.crew.begin(self.begun, stage.name, where)
            number, found = self.crew.result(tell)
            if found is None:
                state.batch_size = max(min(state.batch_size, len(underway.pop(number)) // 2), 1)
                notes[number] = (f"out of memory: batches of {state.batch_size} images from {stage.name} on",)
            else:
                notes[number], ready[number] = found.notes, found
            state.notes = list(dict.fromkeys([*before, *(text for n in sorted(notes) for text in notes[n])]))
            for done in [n for n in underway if n in ready] if not stage.selective else _first(underway, ready):
                self._take(stage, underway.pop(done), ready.pop(done))
            self.on_state(state)

    def _next(self, stage: Stage, underway: Mapping[int, Tensor]) -> Tensor:
        """The positions of the next batch; none where all are under way, or where a tenth must be decided on first."""
        state, pending = self.state, _without(_present(self.state.pending), [*underway.values()])
        wanted = state.batch_size
        if stage.selective:
            wanted = min(wanted, state.a_tenth - len(state.tenth) - sum(map(len, underway.values())))
        return pending[:wanted]

    def _take(self, stage: Stage, where: Tensor, found: Found) -> None:
        """Note what came of a batch."""
        state = self.state
        assert found.margins is not None
        broken = found.classes != self.images.labels[where]
        state.predictions[where[broken]] = found.classes[broken]
        state.unpredicted += found.unpredicted
        state.margins[where] = state.margins[where].minimum(found.margins)
        state.pending = _without(_present(state.pending), [where])
        if stage.selective:
            self._decide(stage, where)
        if found.x_adv is not None:
            self.on_broken(where[broken], found.x_adv)

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


def _present(pending: Tensor | None) -> Tensor:
    assert pending is not None
    return pending


def _without(pending: Tensor, batches: Sequence[Tensor]) -> Tensor:
    """Positions without those of some batches, in the same order."""
    return pending[~torch.isin(pending, torch.cat([*batches, pending[:0]]))]


def _first(underway: Mapping[int, Tensor], ready: Mapping[int, Found]) -> list[int]:
    """The batches that were begun first, as far as they are ready."""
    return list(takewhile(ready.__contains__, underway))


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

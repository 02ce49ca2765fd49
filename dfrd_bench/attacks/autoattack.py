"""AutoAttack (Croce & Hein 2020), standard version: its four attacks are the library's (pyautoattack)."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dfrd_bench.attacks.autoattack_stages import DLR_CLASSES, STANDARD_TARGETS, TARGETED, stages_of
from dfrd_bench.attacks.campaign import Campaign, OnProgress, Stage, attacking, library_warnings
from dfrd_bench.attacks.crew import Attacking, Calls, Crew, Here
from dfrd_bench.attacks.effort import Effort, autoattack_effort
from dfrd_bench.attacks.memory import fitting_batch
from dfrd_bench.attacks.state import Arrays, State, no_margins
from dfrd_bench.attacks.verdict import AttackWarning, require_eval_mode, verdict
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import ThreatModel

log = logging.getLogger(__name__)
SEARCH = "bfloat16 where there are units for it, confirmed in float32; apgd-t-rest, fab-t, square on likely images"
STEPS, QUERIES = 100, 5000  # of APGD and FAB, and of Square, as the library's standard version has them


@dataclass(frozen=True, kw_only=True)
class AutoAttack:
    """AutoAttack standard: APGD-CE, APGD-T, FAB-T and Square, each on the images that survived those before it.

    The classes are those that the library's `run_standard_evaluation` finds with the same seed and batch size. The search runs
    on a `Surrogate` of the network; whether an image is broken is for the float32 network itself to say.

    Attributes:
        summary: one line for `dfrd-bench list attacks`.
        fast: save effort where successes are unlikely. What seldom breaks an image that APGD-CE and APGD-T with the three
            likeliest targets left (APGD-T's other targets, FAB-T, Square) takes the tenth that came nearest to being broken, and
            goes on with the next only if it broke any of the farther half. Hardware that has bfloat16 units searches with them;
            where float32 denies a success, float32 searches again.
    """

    summary: str
    fast: bool = False

    def parameters(self, threat: ThreatModel) -> dict[str, Any]:
        """What a record stores about this attack."""
        library = f"pyautoattack {metadata.version('pyautoattack')}"
        version = {"version": "shortened", "search": SEARCH} if self.fast else {"version": "standard"}
        return {"norm": threat.norm, "eps": threat.eps, "library": library, **version}

    def as_run(self, parameters: Mapping[str, Any], stages: Collection[str]) -> dict[str, Any]:
        """These parameters as a record stores them of an evaluation that had these stages: a version is named for what ran."""
        left_out = f" without {TARGETED}" if stages and TARGETED not in stages else ""
        return {**parameters, "version": f"{parameters['version']}{left_out}"}

    def effort(self, num_classes: int) -> Effort:
        """Of the standard version's stages, see `autoattack_effort`; what Square remembers on small images is not taken off."""
        return autoattack_effort(min(STANDARD_TARGETS, num_classes - 1), STEPS, QUERIES, fast=self.fast)

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, *, threat: ThreatModel, indices: Tensor, seed: int
    ) -> Tensor:
        """Adversarial images for a batch; images that survive all four attacks come back unchanged.

        What the library warns about (a randomised model, zero gradients, …) is passed on as `AttackWarning`.
        """
        x_adv = x.detach().clone(memory_format=torch.contiguous_format)

        def keep(where: Tensor, found: Tensor) -> None:
            x_adv[where.to(x.device)] = found

        images = LabelledImages(x.detach().cpu().contiguous(), y.cpu())
        self.predict(
            model, images, threat=threat, device=x.device, seed=seed, batch_size=max(len(y), 1), on_broken=keep
        )
        return x_adv

    def predict(
        self,
        model: nn.Module,
        images: LabelledImages,
        *,
        threat: ThreatModel,
        device: torch.device,
        seed: int,
        batch_size: int,
        known: Mapping[str, NDArray[Any]] | None = None,
        on_state: Callable[[Arrays], None] = lambda arrays: None,
        on_progress: OnProgress = lambda stage, done, total, accuracy: None,
        on_broken: Callable[[Tensor, Tensor], None] = lambda where, found: None,
        on_stage: Callable[[str, float], None] = lambda stage, standing: None,
        crew: Crew | None = None,
    ) -> Tensor:
        """The network's classes for the attacked images, [N] int64 on the CPU.

        Args:
            model: in eval mode, on the device, in float32.
            images: the test images.
            threat: the ball.
            device: where the model is.
            seed: of every random draw.
            batch_size: images per batch; fewer, with a warning, where little memory is free or when it runs out.
            known: the last arrays handed to `on_state`, to go on from; what is damaged is not, and nothing is lost but time.
            on_state: given what is needed to go on, after every batch.
            on_progress: told how it goes, about twice a second.
            on_broken: given positions and adversarial images whenever some were found.
            on_stage: told at the end, stage by stage in order, what share of all images stood after it; also of the stages
                that were done before `known`.
            crew: who attacks the batches, by what `attacking` gives; this process when None.

        Raises:
            DfrdBenchError: the network is in training mode.
        """
        from pyautoattack import checks

        require_eval_mode(model)
        kept = None if known is None else _kept(known, model, images, device, batch_size)
        wanted = batch_size if kept is None else kept.batch_size
        sharing = 1 if crew is None else crew.sharing
        fitting = max(1, fitting_batch(model, images.floats(slice(0, 1)).to(device), wanted * sharing) // sharing)
        state = kept or _begin(model, images, device, fitting)
        if fitting < wanted:
            state.batch_size = fitting
            state.note(f"little memory is free: batches of {fitting} images, not {wanted}")
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):  # the library seeds globally
            stages = self.stages(model, images, device, threat, seed, calls := Calls())
            if len(state.accuracies) > len(stages) + 1:  # what was kept is of more stages than there are
                kept, state = None, _begin(model, images, device, fitting)
            if kept is None:
                with library_warnings(state.note):
                    _check_defence(model, images, device, fitting)
            if TARGETED not in [stage.name for stage in stages]:
                state.note(
                    f"APGD-T needs {DLR_CLASSES} classes or more and was left out: this is not the standard version"
                )
            Campaign(
                model,
                images,
                device,
                stages,
                state,
                on_state=lambda reached: on_state(reached.to_arrays()),
                on_progress=on_progress,
                on_broken=on_broken,
                crew=crew or Here(attacking(stages, model, images, device), calls),
            ).run()
        reached = dict(zip(["clean", *(stage.name for stage in stages)], state.accuracies, strict=True))
        with library_warnings(state.note):
            checks.check_square_sr(reached, logger=_logger())
        for stage, standing in [*reached.items()][1:]:
            on_stage(stage, round(standing * len(images)) / len(images))  # they are float32
        if state.unpredicted:
            state.note(f"NaN or infinite logits for {state.unpredicted} images, counted as misclassified")
        for note in state.notes:
            warnings.warn(f"autoattack{'-fast' * self.fast}: {note}", AttackWarning, stacklevel=2)
        return state.predictions

    def attacking(
        self,
        model: nn.Module,
        images: LabelledImages,
        *,
        threat: ThreatModel,
        device: torch.device,
        seed: int,
        calls: Calls,
    ) -> Attacking:
        """What attacks a batch of `predict`'s, for a process that helps it; see there for the arguments."""
        stages = self.stages(model, images, device, threat, seed, calls)
        return attacking(stages, model, images, device)

    def stages(
        self,
        model: nn.Module,
        images: LabelledImages,
        device: torch.device,
        threat: ThreatModel,
        seed: int,
        calls: Calls,
    ) -> list[Stage]:
        """The attacks of this version in their order; see `stages_of`."""
        return stages_of(model, images, device, threat, seed, calls, fast=self.fast)


def _begin(model: nn.Module, images: LabelledImages, device: torch.device, batch_size: int) -> State:
    """The state before the first attack: every image as the network classifies it."""
    predictions, unpredicted = torch.empty_like(images.labels), 0
    for start, x, y in images.batches(batch_size, device):
        with torch.no_grad():
            classes, without = verdict(model(x), y)
        predictions[start : start + len(y)] = classes.cpu()
        unpredicted += int(without.sum())
    share = float((predictions == images.labels).float().mean())
    return State(predictions, batch_size, no_margins(predictions), [share], unpredicted=unpredicted)


def _kept(
    known: Mapping[str, NDArray[Any]], model: nn.Module, images: LabelledImages, device: torch.device, batch_size: int
) -> State | None:
    """The state of a stopped evaluation; None, with a warning, if it is damaged."""
    with torch.no_grad():
        classes = model(images.floats(slice(0, 1)).to(device)).shape[1]
    state = State.from_arrays(known, len(images), classes)
    if state is None or state.batch_size > batch_size:
        log.warning("What a stopped evaluation kept of AutoAttack is damaged: it begins again.")
        return None
    return state


def _check_defence(model: nn.Module, images: LabelledImages, device: torch.device, batch_size: int) -> None:
    """The library's checks before it begins; it logs what it finds."""
    from pyautoattack import checks

    _, x, y = next(images.batches(batch_size, device))
    traced = sys.gettrace()  # one check sets a trace function, and then none
    try:
        checks.check_randomized(model, x, y, bs=batch_size, logger=_logger())
        checks.check_range_output(model, x, logger=_logger())
        checks.check_dynamic(model, x, False, logger=_logger())
    finally:
        sys.settrace(traced)


def _logger() -> Any:
    return logging.getLogger("auto-attack")


autoattack = AutoAttack(
    summary="AutoAttack standard: APGD-CE, APGD-T, FAB-T, Square (Croce & Hein 2020), by pyautoattack"
)
autoattack_fast = AutoAttack(
    summary="AutoAttack with less effort where successes are unlikely; confirmed in float32, not comparable with `autoattack`",
    fast=True,
)

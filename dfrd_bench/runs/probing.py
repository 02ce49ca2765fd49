"""Probes: a cheap look at the student every few epochs of its training, which changes nothing of it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.errors import in_a_line
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import Precision, Problem, TrainingProblem
from dfrd_bench.records.probes import METRICS, ProbeOn, probe_key

if TYPE_CHECKING:
    from dfrd_bench.method import Method

log = logging.getLogger(__name__)
PROBED = 200  # images, evenly spread over the classes where these are known
STEPS = 5  # of PGD, from a random start
Probe = Callable[["Method", int], dict[str, float]]
"""Asked after every epoch (counted from 0): what there is to say of the student now."""


def no_probe(_method: Method, _epoch: int) -> dict[str, float]:
    """The probe of a run that is not probed."""
    return {}


@dataclass
class Probing:
    """Measures a student after every n-th epoch, and after the last: without attack, and under PGD of five steps.

    A student is measured as a copy, in float32, on at most 200 images: on the newest synthetic ones, whose classes are the
    teacher's; of a method that sees the training images, on some of these; or on the first test images of each class. On test
    images it is still no result: hyper-parameters that are chosen by it are chosen on the test set.

    Attributes:
        every: n.
        epochs: in all.
        problem: of the training.
        tested: the test images, where these are asked for.
    """

    every: int
    epochs: int
    problem: Problem
    tested: LabelledImages | None = None
    _silent: bool = field(default=False, init=False)

    @property
    def source(self) -> str:
        """What is looked at, as histories call it."""
        if self.tested is not None:
            return "test"
        return "training" if isinstance(self.problem, TrainingProblem) else "synthetic"

    def __call__(self, method: Method, epoch: int) -> dict[str, float]:
        """The numbers of this epoch for the history; none between two probes.

        A method whose images cannot be had is not probed, with one warning: its training is worth more.
        """
        from dfrd_bench.testing.untouched import globals_put_back

        if (epoch + 1) % self.every and epoch + 1 != self.epochs:
            return {}
        with globals_put_back():
            try:
                images = self._images(method)
            except Exception as error:  # somebody else's code, in the middle of a training
                if not self._silent:
                    log.warning("No probe of this training: its images cannot be had (%s).", in_a_line(error))
                self._silent = True
                return {}
            return self._measured(method, images) if len(images) else {}

    def _images(self, method: Method) -> LabelledImages:
        if self.tested is not None:
            return _some_of(self.tested)
        if isinstance(self.problem, TrainingProblem):
            return _some_of(LabelledImages(self.problem.images, self.problem.labels))
        import torch

        images = undisturbed_sample(method, PROBED).detach().float().clamp(0, 1)
        with torch.no_grad():
            classes = self.problem.teacher(self.problem.precision.images(images)).argmax(dim=1)
        return LabelledImages(images.cpu(), classes.cpu())

    def _measured(self, method: Method, images: LabelledImages) -> dict[str, float]:
        from dfrd_bench.attacks.clean import clean
        from dfrd_bench.attacks.projected_gradient import pgd20
        from dfrd_bench.evaluation.metrics import confusion_matrix, metrics
        from dfrd_bench.evaluation.under_attack import predict_under_attack

        problem, labels = self.problem, images.labels.numpy()
        model = copy.deepcopy(method.student).float().eval()  # a copy is not compiled, and has statistics of its own
        found: dict[str, float] = {}
        with Precision("fp32").backends(same_shapes=False):
            looks: tuple[Any, ...] = (clean, replace(pgd20, steps=STEPS))
            for attack in looks:
                predicted = predict_under_attack(
                    attack, model, images, threat=problem.threat, device=problem.device, seed=problem.seed
                )
                confusion = confusion_matrix(labels, predicted.numpy(), problem.num_classes)
                numbers = metrics(confusion.diagonal(), np.asarray(confusion.sum(axis=1)))
                if attack is clean:
                    found["clean"] = float(numbers["average"])
                else:
                    found |= {name: float(numbers[name]) for name in METRICS if name in numbers}
        return {probe_key(self.source, name): found[name] for name in METRICS}


def undisturbed_sample(method: Method, n: int) -> Any:
    """A method's synthetic images [n, C, H, W], in the middle of its training; its state is as before afterwards.

    Built-in methods sample from sources of their own. Of another one, whose `sample` draws from the sources of its training,
    the state is put back as after a stop.
    """
    from dfrd_bench.testing.untouched import difference

    before = copy.deepcopy(method.state_dict())
    images = method.sample(n)
    if difference(before, method.state_dict()) is not None:
        method.load_state_dict(before)
    return images


def evenly(labels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Places of at most so many images, as many of each class as there are, the first of each, in order."""
    classes = np.unique(labels)
    each = max(1, most // max(1, len(classes)))
    return np.sort(np.concatenate([np.flatnonzero(labels == k)[:each] for k in classes]))


def _some_of(images: LabelledImages) -> LabelledImages:
    import torch

    places = torch.from_numpy(evenly(images.labels.cpu().numpy(), PROBED))
    return LabelledImages(images.images[places.to(images.images.device)].cpu(), images.labels.cpu()[places])


def probing(
    every: int | None, on: ProbeOn, epochs: int, problem: Problem, tested: Callable[[], LabelledImages]
) -> Probe:
    """The probe that a request asks for.

    Args:
        every: after how many epochs; never when None.
        on: which images.
        epochs: of the training.
        problem: of the training.
        tested: loads the test images.
    """
    return no_probe if every is None else Probing(every, epochs, problem, tested() if on == "test" else None)

"""A first estimate of a run, from its settings alone: how many operations, before anything of it is tried.

Networks are asked once, about one image that is not there (on PyTorch's meta device). A gradient with respect to images counts
as much again as the pass forward, one with respect to weights too as twice as much. What a method does beside its synthesis
steps and student steps is left out, and so are generators.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dfrd_bench.attacks.effort import Effort
from dfrd_bench.registry import ATTACKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from dfrd_bench.method import MethodConfig
    from dfrd_bench.runs.preparation import Prepared

BACK_TO_IMAGES, BACK_TO_WEIGHTS = 2.0, 3.0  # of a pass forward, with that pass
SYNTHESIS = 1 + BACK_TO_IMAGES  # of teacher and student: some methods watch both


@dataclass(frozen=True)
class Sizes:
    """What a run's operations depend on beside its settings.

    Attributes:
        teacher, student: operations of a pass forward of one image; 0 where there is no teacher.
        training_images: that the method sees; 0 where it sees none.
        test_images: to attack.
        classes: of the task.
    """

    teacher: float
    student: float
    training_images: int
    test_images: int
    classes: int


def sizes_of(prepared: Prepared, test_images: int) -> Sizes:
    """What there is to know of a prepared run."""
    problem, taught = prepared.problem, prepared.method_class.has_teacher
    return Sizes(
        teacher=forward_operations(problem.teacher, problem.shape) if taught else 0.0,
        student=forward_operations(problem.student, problem.shape),
        training_images=prepared.training_images,
        test_images=test_images,
        classes=problem.num_classes,
    )


def training_operations(config: MethodConfig, sizes: Sizes) -> float:
    """Of a whole training at these settings."""
    values: dict[str, Any] = config.model_dump()
    batch, epochs = int(values.get("batch_size", 1)), config.epochs
    attack = BACK_TO_IMAGES * int(values.get("attack_steps", 0)) * (values.get("conversion", True) is not False)
    learned = sizes.teacher + sizes.student * (attack + 2 * BACK_TO_WEIGHTS)
    if sizes.training_images:
        return epochs * sizes.training_images * learned
    made = config.made()
    steps = made.get("student steps", epochs * int(values.get("distillation_steps", 0)))
    synthesis = made.get("synthesis steps", 0) * SYNTHESIS * (sizes.teacher + sizes.student)
    return float(batch * (steps * learned + synthesis))


def efforts(attacks: Iterable[str], classes: int) -> dict[str, Effort | None]:
    """How often each attack asks the network about an image; None of one that does not say (`effort`)."""
    found: dict[str, Effort | None] = {}
    for name in attacks:
        told = getattr(ATTACKS.get(name), "effort", None)
        found[name] = told(classes) if told is not None else None
    return found


def evaluation_operations(attacks: Iterable[str], sizes: Sizes) -> float:
    """Of all attacks that say how often they ask."""
    known = [effort for effort in efforts(attacks, sizes.classes).values() if effort is not None]
    each = sum(effort.queries + BACK_TO_IMAGES * effort.gradients for effort in known)
    return sizes.test_images * each * sizes.student


def forward_operations(model: nn.Module, shape: tuple[int, int, int]) -> float:
    """Floating-point operations of matrices and convolutions for one image (a multiply-add counts as two)."""
    import torch

    def asked(network: nn.Module, device: str) -> float:
        with torch.no_grad(), counted() as performed:
            network(torch.zeros(1, *shape, device=device))
            return performed()

    was_training = model.training
    try:
        return asked(copy.deepcopy(model).eval().to("meta"), "meta")
    except (RuntimeError, NotImplementedError, TypeError):  # something in it cannot do without numbers
        return asked(model.eval(), str(next(model.parameters()).device))
    finally:
        model.train(was_training)


@contextmanager
def counted() -> Iterator[Callable[[], float]]:
    """While it lasts, a function that says how many floating-point operations of matrices and convolutions were performed."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
        total = 0.0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            formula = flop_registry.get(func._overloadpacket)
            if formula is not None:
                self.total += formula(*args, **(kwargs or {}), out_val=out)
            return out

    with Count() as count:  # type: ignore[no-untyped-call]
        yield lambda: count.total

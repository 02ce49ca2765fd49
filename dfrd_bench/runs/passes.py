"""How many images pass through teacher and student while a method trains, and how many steps the student takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from types import MethodType
from typing import TYPE_CHECKING, Any

from dfrd_bench.attacks.tally import COUNT, TALLY, Tally
from dfrd_bench.observer import OnStep
from dfrd_bench.records.schema import PassesRecord

if TYPE_CHECKING:
    from torch import Tensor, nn

NETWORKS = ("teacher", "student")
STUDENT_STAGE = "distill"  # as which a method reports the student's steps; of any other the number is not known
COMPILED_CALL = "_compiled_call_impl"  # where `nn.Module.compile` keeps what a call of the module goes to


class Passes:
    """Counts images through whole networks while `counting`, and the student's steps.

    A forward pass is a call of the network, of its `forward`, or of a folded copy that stands in for it (`Folded`). A backward
    pass is a gradient that reaches what it returned, whether it goes on to its weights, to its input or both; each time that
    one does. What runs only a part of a network is no pass of it: the head of the teacher behind FERD's bottleneck is not
    counted, nor is any other copy of a network.

    Networks compute what they compute without it, compiled or not: nothing is added inside them. Meanwhile `forward`, and the
    call of a network that was compiled in place, lead through a function that looks at the result.

    Args:
        networks: "teacher" and "student"; none for a training without them, of which nothing is recorded.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self._tallies = {name: Tally() for name in NETWORKS}
        self._student_steps: int | None = None
        self._reported = 0
        self._known = bool(networks)
        # made once: a compiled network that found others in the next epoch would be compiled again
        self._wrapped = [(network, _wrappers(network, self._tallies[name])) for name, network in networks.items()]

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what happens inside, an epoch; afterwards the networks are as they were."""
        self._reported = 0
        with ExitStack() as stack:
            for network, wrappers in self._wrapped:
                stack.enter_context(_replaced(vars(network), wrappers))
            yield

    def watching(self, on_step: OnStep) -> OnStep:
        """A method's progress, passed on; the student's steps are counted by it."""

        def watched(stage: str, done: int, total: int) -> None:
            if stage == STUDENT_STAGE:
                self._reported = self._reported if done >= self._reported else 0  # else the stage has begun anew
                self._student_steps = (self._student_steps or 0) + done - self._reported
                self._reported = done
            on_step(stage, done, total)

        return watched

    def record(self) -> PassesRecord | None:
        """The totals so far; None where nothing is counted, or a part of the training went before without being counted."""
        if not self._known:
            return None
        images = {
            f"{name}_{way}": number for name, tally in self._tallies.items() for way, number in asdict(tally).items()
        }
        return PassesRecord(student_steps=self._student_steps, **images)

    def state_dict(self) -> dict[str, Any] | None:
        """The totals, for a checkpoint; None where they are not known."""
        record = self.record()
        return None if record is None else record.model_dump()

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Go on from these totals; None, as in a checkpoint from before they were kept, leaves them unknown for good."""
        self._known = self._known and state is not None
        totals = dict(state or {})
        self._student_steps = totals.pop("student_steps", None)
        for name, tally in self._tallies.items():
            tally.forward, tally.backward = (totals.get(f"{name}_{way}", 0) for way in ("forward", "backward"))


def _counter(tally: Tally) -> Callable[[Tensor], None]:
    """Looks at a network's result, logits [N, K]: N images have passed, and N more do whenever a gradient comes back."""

    def count(logits: Tensor) -> None:
        number = len(logits)
        tally.add(number, 0)
        if logits.requires_grad:
            logits.register_hook(lambda _: tally.add(0, number))  # type: ignore[no-untyped-call]

    return count


def _wrappers(network: nn.Module, tally: Tally) -> dict[str, Any]:
    """What stands in for a network's attributes while it is counted.

    `forward` is a bound method, so that a copy made meanwhile runs itself, and not the network it is a copy of.
    """
    import torch

    own: Any = vars(network).get("forward")
    compiled: Any = vars(network).get(COMPILED_CALL)
    calling = False
    count = _counter(tally)

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        result = type(self).forward(self, *args, **kwargs) if own is None else own(*args, **kwargs)
        if not torch.compiler.is_compiling() and not calling and self is network:
            count(result)
        return result

    def compiled_call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calling
        calling = True
        try:
            result = compiled(*args, **kwargs)
        finally:
            calling = False
        count(result)
        return result

    def counted(self: nn.Module, logits: Tensor) -> None:
        if self is network:
            count(logits)

    bound: dict[str, Any] = {"forward": MethodType(forward, network), COUNT: MethodType(counted, network), TALLY: tally}
    return bound if compiled is None else {**bound, COMPILED_CALL: compiled_call}


@contextmanager
def _replaced(attributes: dict[str, Any], others: Mapping[str, Any]) -> Iterator[None]:
    """Others in place of attributes, for a while."""
    before = {name: attributes[name] for name in others if name in attributes}
    attributes.update(others)
    try:
        yield
    finally:
        for name in others:
            del attributes[name]
        attributes.update(before)

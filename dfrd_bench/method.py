"""The contract every method fulfils: a few members, and everything else is the method's own business."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dfrd_bench.problem import DatasetInfo, Problem, Sees, ThreatModel

Progress = Callable[[str, int, int], None]
"""Called by a method within an epoch, when a stage begins and after each of its steps: its name, steps done, steps in all."""


@dataclass(frozen=True)
class Reference:
    """Where a method comes from, as a bibliography would print it."""

    title: str
    venue: str
    link: str


def param(default: Any, meaning: str, source: str, *, since: str | None = None, **constraints: Any) -> Any:
    """A hyper-parameter of a `MethodConfig`: its default, what it means, where the number comes from, and its range.

    Args:
        default: the value used unless told otherwise: that of CIFAR-10 in the paper, or wherever `source` says.
        meaning: one line for `dfrd-bench show`.
        source: the paper (with section or equation), the released code, or the shared recipe.
        since: of one that was added later, the version that brought it. Records, and the hash of a run, leave it out where its
            value is what it is when nothing is said of it: so older records read as the default, and keep their bytes and hash.
        constraints: pydantic's, e.g. `gt=0`, `le=1`.
    """
    extra: dict[str, Any] = {"source": source} if since is None else {"source": source, "since": since}
    return Field(default, description=meaning, json_schema_extra=extra, **constraints)


class MethodConfig(BaseModel):
    """Base of every method's hyper-parameters: frozen, validated, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = param(220, "distillation epochs", "FERD paper, section 5.1", ge=1)

    @classmethod
    def for_classes(cls, num_classes: int) -> dict[str, Any]:
        """The hyper-parameters whose values depend on the number of classes, where that makes them differ from the defaults.

        The papers print them for CIFAR-100. A preset and the user's settings go before them.
        """
        return {}

    @classmethod
    def at_budget(cls, budget: Mapping[str, Any]) -> dict[str, Any]:
        """The hyper-parameters this method takes from a dataset's preset; by default those it has under the same name.

        A method whose steps cost more or less than the recipe's translates the budget here.
        """
        return {name: value for name, value in budget.items() if name in cls.model_fields}

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """The hyper-parameters whose defaults depend on others, given what was said of those; by default none.

        They hold wherever nothing else is said, and are no difference from a preset in a variant's name.
        """
        return {}

    def idle(self) -> dict[str, str]:
        """The hyper-parameters that change nothing at these values, each with what makes it so ("utae=false"), for `show`.

        By default those whose meaning begins with "not used".
        """
        fields = type(self).model_fields.items()
        return {name: "not used" for name, info in fields if (info.description or "").startswith("not used")}

    def stands_for(self, info: DatasetInfo, threat: ThreatModel) -> dict[str, Any]:
        """What the hyper-parameters that are null come to on a dataset, for `show`; without those of which null says it all."""
        return {}

    @model_validator(mode="before")
    @classmethod
    def _with_implied(cls, values: Any) -> Any:
        return {**cls.implied(values), **values} if isinstance(values, Mapping) else values

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = usual(self)
        implied = self.implied(dict(self))
        for name, info in type(self).model_fields.items():
            extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
            if "since" in extra and getattr(self, name) == implied.get(name, info.default):
                content.pop(name, None)
        return content

    def made(self) -> dict[str, int]:
        """What a whole run makes and takes at these hyper-parameters (synthetic images, synthesis steps, …), for `show`.

        Presets are fair where these agree among methods; what a method cannot count here it leaves out.
        """
        return {}


@runtime_checkable
class Stateful(Protocol):
    """Anything that can be saved and restored: modules, optimisers, schedules, pools."""

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state: Any, /) -> Any: ...


def silent(stage: str, done: int, total: int) -> None:
    """The progress of a training nobody watches."""


class Resumable:
    """Whose state is every instance attribute that is a tensor, a `torch.Generator`, or has a state itself (`Stateful`)."""

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on after a stop as if there had been none."""
        import torch

        state: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                state[name] = value
            elif isinstance(value, torch.Generator):
                state[name] = value.get_state()
            elif isinstance(value, Stateful):
                state[name] = value.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            KeyError: the state belongs to something else.
        """
        import torch

        mine = self.state_dict().keys()
        if mine != state.keys():
            raise KeyError(f"state of something else: {sorted(set(mine) ^ set(state))} differ")
        for name in mine:
            value = getattr(self, name)
            if isinstance(value, torch.Tensor):
                setattr(self, name, state[name].to(value.device))
            elif isinstance(value, torch.Generator):
                value.set_state(state[name].cpu())  # a CPU tensor whatever the device
            else:
                value.load_state_dict(state[name])


class Method(Resumable, ABC):
    """A way to train a student from a teacher: without data, or with the training images where it says that it sees them.

    A method needs a `Config`, a `reference`, `train_epoch` and `sample`. Its state is that of `Resumable`; a method with
    state of another kind extends `state_dict` and `load_state_dict`.

    Attributes:
        sees: "nothing", or "training images": then the problem is a `TrainingProblem`, and records and tables say so.
        has_teacher: whether a teacher teaches; a method without one is given `NoTeacher`, and its record names none.
        needs_natural_teacher: whether a second, naturally trained teacher teaches as well (`TrainingProblem.natural_teacher`);
            only for methods that see the training images.
        problem: teacher, shapes, threat model; see `Problem`.
        config: the validated hyper-parameters.
        student: the network being trained (`problem.student`).
        cautions: what a reader of this run's numbers must know; set in the constructor, shown, and kept in the record.
        progress: call it inside `train_epoch` when a stage begins (0 done) and after each step; the harness shows it. The
            student's own steps are the stage "distill": by their number the cost of a run is divided.
    """

    Config: ClassVar[type[MethodConfig]] = MethodConfig
    reference: ClassVar[Reference]
    sees: ClassVar[Sees] = "nothing"
    has_teacher: ClassVar[bool] = True
    needs_natural_teacher: ClassVar[bool] = False

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        self.problem = problem
        self.config = config
        self.student: nn.Module = problem.student
        self.cautions: tuple[str, ...] = ()
        self.progress: Progress = silent

    @abstractmethod
    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train for one epoch (counted from 0) and return its numbers, e.g. mean losses, for the history."""

    def findings(self) -> tuple[str, ...]:
        """What a reader of this run's numbers must know that only the training showed; asked for after the last epoch."""
        return ()

    @abstractmethod
    def sample(self, n: int) -> Tensor:
        """At most n synthetic images [n, C, H, W] in [0, 1], for pictures.

        Where a method sees the training images, these as it is shown them; no run keeps them.
        """

"""What is measured on: a teacher, a student, a budget, and images, without anything to download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dfrd_bench.errors import DfrdBenchError, unknown_name

if TYPE_CHECKING:
    import torch
    from torch import nn

    from dfrd_bench.datasets.base import Dataset
    from dfrd_bench.images import LabelledImages
    from dfrd_bench.method import MethodConfig
    from dfrd_bench.problem import DatasetInfo, Precision, Problem, ThreatModel

CASES = {
    "digits": "8x8 grey digits, the shipped teacher wrn-10-2 to wrn-10-1, the default preset",
    "random": "random weights for 32x32 colour images, wrn-16-2 to wrn-10-2, the preset cpu (batches of 64)",
    "paper": "random weights for 32x32 colour images, wrn-34-10 to resnet-18, the papers' budget (batches of 256)",
}
METHODS = ("ferd", "ferd-released", "zskt", "cmi", "deepinv", "fast", "dfhl")
NETWORKS = {"random": ("wrn-16-2", "wrn-10-2"), "paper": ("wrn-34-10", "resnet-18")}  # teacher and student


def checked_methods(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, all of them for none.

    Raises:
        DfrdBenchError: one has no plain recipe.
    """
    for name in names:
        if name not in METHODS:
            raise unknown_name("method of the benchmark", name, METHODS)
    return names or METHODS


@dataclass(frozen=True)
class Case:
    """A name of `CASES`, and where and how it is computed.

    Attributes:
        name: which.
        device: "cpu" or "cuda".
        precision: of the training passes.
        batch_size: images per batch; the preset's when None.
    """

    name: str
    device: torch.device
    precision: Precision
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.name not in CASES:
            raise unknown_name("dataset of the benchmark", self.name, CASES)
        if self.batch_size is not None and self.batch_size < 2:
            raise DfrdBenchError(f"--batch-size must be 2 or more, not {self.batch_size}.")

    @property
    def dataset(self) -> Dataset:
        """The dataset whose task and threat model it has."""
        from dfrd_bench.datasets.base import open_dataset

        return open_dataset("digits" if self.name == "digits" else "cifar10")

    @property
    def task(self) -> tuple[DatasetInfo, ThreatModel]:
        """Shapes, classes and ball."""
        dataset = self.dataset
        return dataset.info, dataset.threat

    @property
    def student(self) -> str:
        """Its architecture."""
        return self.dataset.default_student if self.name == "digits" else NETWORKS[self.name][1]

    def budget(self) -> dict[str, Any]:
        """The preset's values."""
        from dfrd_bench.datasets.base import SHARED_PRESETS

        presets = {"digits": self.dataset.presets["default"], "random": SHARED_PRESETS["cpu"], "paper": {}}
        chosen = dict(presets[self.name])
        if self.batch_size is not None:
            chosen["batch_size"] = self.batch_size
        return chosen

    @property
    def images_per_batch(self) -> int:
        """Of most methods."""
        size: int = self.config("fast").model_dump()["batch_size"]
        return size

    def config(self, method: str, **changes: Any) -> MethodConfig:
        """A method's hyper-parameters at the budget, and some that differ."""
        from dfrd_bench.registry import METHODS as REGISTRY
        from dfrd_bench.runs.preparation import budget_of

        method_class = REGISTRY.get(method)
        values = budget_of(method_class, self.task[0].num_classes, self.budget())
        known = method_class.Config.model_fields
        config: MethodConfig = method_class.Config(**{**values, **{n: v for n, v in changes.items() if n in known}})
        return config

    def problem(self, *, plain: bool, seed: int = 0) -> Problem:
        """Teacher and student, of a seed always of the same weights, as a run prepares them; contiguous for the plain recipe."""
        from dataclasses import replace

        from dfrd_bench.attacks.folding import freeze_norms
        from dfrd_bench.problem import Problem
        from dfrd_bench.students.base import build_network

        info, threat = self.task
        precision = replace(self.precision, channels_last=not plain)
        student = build_network(self.student, channels=info.shape[0], num_classes=info.num_classes, seed=seed)
        teacher = precision.place(self.teacher(), self.device).eval().requires_grad_(False)
        return Problem(
            teacher=teacher if plain else freeze_norms(teacher),
            student=precision.place(student, self.device),
            info=info,
            threat=threat,
            device=self.device,
            precision=precision,
            seed=seed,
        )

    def teacher(self) -> nn.Module:
        """The shipped one, or one of random weights whose answers vary as a trained one's do."""
        import torch

        from dfrd_bench.problem import Precision
        from dfrd_bench.students.base import build_network
        from dfrd_bench.teachers.base import load_teacher

        info, _ = self.task
        if self.name == "digits":
            cpu = torch.device("cpu")
            return load_teacher(
                "digits-wrn-10-2", info, architecture=None, device=cpu, precision=Precision(channels_last=False)
            ).model
        model = build_network(
            NETWORKS[self.name][0], channels=info.shape[0], num_classes=info.num_classes, seed=1000
        ).train()
        with torch.no_grad():
            model.get_submodule("fc").get_parameter("weight").mul_(8)
            model.to(self.device)
            for seed in range(20):  # so that BatchNorm remembers images
                model(structured(info.shape, 32, seed).to(self.device))
        return model.eval().cpu()

    def images(self, count: int) -> LabelledImages:
        """Test digits, or structured noise with the random teacher's own answers for labels."""
        import torch

        from dfrd_bench.images import LabelledImages

        if self.name == "digits":
            whole = self.dataset.load("test")
            return LabelledImages(whole.images[:count], whole.labels[:count])
        x = structured(self.task[0].shape, count, seed=77)
        with torch.no_grad():
            return LabelledImages(x, self.teacher()(x).argmax(dim=1))


def structured(shape: tuple[int, int, int], count: int, seed: int) -> torch.Tensor:
    """Coarse noise, enlarged: [count, C, H, W] in [0, 1]."""
    import torch
    from torch.nn import functional as F

    coarse = torch.rand(count, shape[0], 4, 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=shape[1:], mode="bilinear")

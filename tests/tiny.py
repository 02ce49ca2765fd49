"""Networks and problems small enough for a test, and plugins that tests register."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.datasets.digits import Digits
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import DatasetInfo, Precision, Problem, ThreatModel
from dfrd_bench.students.base import build_network
from dfrd_bench.teachers.base import Loaded, TeacherSource

CPU = torch.device("cpu")


class SmallConv(nn.Module):
    """Two convolutions and a linear layer, without BatchNorm; weights from a seed, logits large enough to attack."""

    def __init__(self, channels: int = 1, num_classes: int = 10, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv1 = nn.Conv2d(channels, 8, 3, padding=1)
            self.conv2 = nn.Conv2d(8, 8, 3, stride=2, padding=1)
            self.fc = nn.LazyLinear(num_classes)
            self.fc(torch.zeros(1, 8 * 4 * 4))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x - 0.5))))
        logits: Tensor = 10 * self.fc(x.flatten(1))
        return logits


def random_images(n: int, shape: tuple[int, int, int] = (1, 8, 8), seed: int = 0) -> Tensor:
    """Uniform noise in [0, 1], [n, *shape]."""
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def own_labels(model: nn.Module, x: Tensor) -> Tensor:
    """The network's own predictions, so that its clean accuracy is 1."""
    with torch.no_grad():
        return model(x).argmax(dim=1)


def wide_resnet(channels: int = 1, num_classes: int = 4, size: int = 8, seed: int = 0) -> nn.Module:
    """An untrained WideResNet-10-1 in eval mode whose BatchNorm statistics are those of random images.

    Its last features vary and its logits differ as much as a trained network's.
    """
    model = build_network("wrn-10-1", channels=channels, num_classes=num_classes, seed=seed).train()
    with torch.no_grad():
        model.block3.layer[0].conv2.weight *= 2
        model.fc.weight *= 8
        for batch in range(10):
            model(random_images(32, (channels, size, size), seed=1000 + batch))
    return model.eval()


def problem(
    *,
    channels: int = 1,
    size: int = 8,
    classes: int = 4,
    seed: int = 0,
    eps: float = 0.1,
    teacher: nn.Module | None = None,
    mirrored: bool = True,
) -> Problem:
    """A data-free problem with a tiny teacher and a student of another seed."""
    precision = Precision()
    model = teacher if teacher is not None else wide_resnet(channels, classes, size, seed=7)
    student = build_network("wrn-10-1", channels=channels, num_classes=classes, seed=seed)
    return Problem(
        teacher=precision.place(model, CPU).eval().requires_grad_(False),
        student=precision.place(student, CPU),
        info=DatasetInfo(
            name="tiny", shape=(channels, size, size), class_names=tuple(map(str, range(classes))), mirrored=mirrored
        ),
        threat=ThreatModel(eps=eps, step=eps / 4),
        device=CPU,
        precision=precision,
        seed=seed,
    )


def _small_conv(_argument: str, info: DatasetInfo, _architecture: str | None) -> Loaded:
    return Loaded(SmallConv(info.shape[0], info.num_classes), "small-conv", "f" * 64)


without_batchnorm = TeacherSource("a teacher without BatchNorm", _small_conv)


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str


def command(*args: str | Path) -> Outcome:
    """Run `dfrd-bench` with these arguments in this process."""
    from dfrd_bench.cli.main import main

    code, out, err = 0, io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(arg) for arg in args])
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


def settings(**values: object) -> list[str]:
    """`--set` options of a run that takes a second, and those given."""
    small = {
        "batch_size": 8,
        "warmup_epochs": 0,
        "synthesis_steps": 2,
        "distillation_steps": 2,
        "attack_steps": 2,
        "probe_steps": 2,
        "bottleneck_steps": 2,
        "generator_width": 8,
    }
    return [part for name, value in {**small, **values}.items() for part in ("--set", f"{name}={value}")]


def files_below(folder: Path) -> list[str]:
    """Every file below a folder, relative to it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


FEW = 60


def cut_digits(patch: pytest.MonkeyPatch, *, pictures: bool = False) -> None:
    """Leave only the first few images of the digits' splits, and the picture of synthetic images undrawn (2 s)."""
    load = Digits.load

    def few(self: Digits, split: Literal["train", "test"]) -> LabelledImages:
        whole = load(self, split)
        return LabelledImages(whole.images[:FEW], whole.labels[:FEW])

    patch.setattr(Digits, "load", few)
    if not pictures:
        patch.setattr("dfrd_bench.reporting.figures.samples.draw_samples", lambda *_, **__: None)


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks have equal weights and buffers."""
    ours, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)

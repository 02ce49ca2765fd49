"""Asking the networks of finished runs, for figures: about one image's surroundings, features, and synthetic images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.images import LabelledImages
from dfrd_bench.observer import Observer
from dfrd_bench.problem import Precision, Problem
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import load_predictions
from dfrd_bench.registry import ATTACKS
from dfrd_bench.runs.environment import choose_device
from dfrd_bench.runs.inspection import its_teacher
from dfrd_bench.runs.probing import evenly
from dfrd_bench.runs.subject import check_same_images, open_again, recorded_network

if TYPE_CHECKING:
    import torch
    from torch import nn

    from dfrd_bench.evaluation.features import Features
    from dfrd_bench.evaluation.landscape import Landscape

REAL = 1_000  # test images that are looked at, evenly spread over the classes
UNIFORM_TARGETS = 0.5  # γ of FERD's eq. 10, for runs of methods that have none
UTAE_STEPS = 20


@dataclass(frozen=True)
class Where:
    """Where things are that records do not say, and where to compute.

    Attributes:
        dataset, data_dir: see `open_again`.
        teacher: see `its_teacher`.
        device: auto, cpu, cuda or cuda:N.
        observer: told about reading and downloading, and about attacks.
    """

    dataset: str | None = None
    data_dir: str | Path | None = None
    teacher: str | None = None
    device: str = "auto"
    observer: Observer = field(default_factory=Observer)

    def images_of(self, record: Record) -> LabelledImages:
        """The test images that a record was measured on.

        Raises:
            DfrdBenchError: they are not to be had, or are others.
        """
        images = open_again(record, self.dataset, self.data_dir, self.observer).load_tested()
        check_same_images(record, images.digest())
        return images

    def network_of(self, folder: Path, record: Record) -> nn.Module:
        """The network of a record, ready to be asked.

        Raises:
            DfrdBenchError: its weights are missing, or others.
        """
        model = recorded_network(folder, record, record.dataset.info)
        return Precision().place(model.float().eval().requires_grad_(False), choose_device(self.device))


def telling_image(folder: Path, record: Record) -> int:
    """A test image that says something of a network: one that withstands PGD-20 but not AutoAttack, where both are known.

    Else the first that is right without attack.

    Raises:
        DfrdBenchError: the predictions are missing or damaged, or nothing is right.
    """
    found = load_predictions(folder, images=record.dataset.test_images)
    right = {name: classes == found.labels for name, classes in found.attacks.items()}
    candidates = right.get("clean", np.ones(len(found.labels), dtype=bool))
    if {"pgd20", "autoattack"} <= right.keys():
        telling = candidates & right["pgd20"] & ~right["autoattack"]
        candidates = telling if telling.any() else candidates
    if not candidates.any():
        raise DfrdBenchError(f"{folder} is right on no test image: name one by --image.")
    return int(np.flatnonzero(candidates)[0])


def landscapes(runs: Sequence[tuple[Path, Record]], image: int, where: Where) -> list[Landscape]:
    """The loss of each run's network around one test image.

    Args:
        runs: of one dataset.
        image: its place among the test images.
        where: the images are.

    Raises:
        DfrdBenchError: there is no such image; the runs were tested on different ones; weights or images are not to be had.
    """
    from dfrd_bench.evaluation.landscape import landscape

    first = runs[0][1]
    images, device = where.images_of(first), choose_device(where.device)
    if not 0 <= image < len(images):
        raise DfrdBenchError(f"There is no test image {image}: they are numbered 0 … {len(images) - 1}.")
    for folder, record in runs:
        if record.dataset.test_digest != first.dataset.test_digest:
            raise DfrdBenchError(f"{folder} was tested on other images than {runs[0][0]}.")
    x, label = images.floats(slice(image, image + 1))[0].to(device), int(images.labels[image])
    found = []
    with Precision("fp32").backends():
        for number, (folder, record) in enumerate(runs, start=1):
            model = where.network_of(folder, record)
            name = record.dataset.info.class_names[label]
            found.append(landscape(model, x, label, eps=record.spec.threat.eps, seed=0, class_name=name))
            where.observer.on_data("landscapes", number, len(runs))
    return found


def features_of(folder: Path, record: Record, where: Where) -> Features:
    """The teacher's features of the images that a run kept, and of test images; at most a thousand of these, of all classes.

    Raises:
        DfrdBenchError: the run kept no images; or the teacher or the test images are not to be had.
    """
    import torch

    from dfrd_bench.evaluation.features import Features, last_features

    kept, classes = _kept(folder, record)
    images = where.images_of(record)
    chosen = evenly(images.labels.numpy(), REAL)
    teacher = its_teacher(record, where.teacher, where.device)
    device = next(teacher.parameters()).device
    with Precision("fp32").backends():
        real = last_features(teacher, images.floats(torch.from_numpy(chosen)).to(device))
        synthetic = last_features(teacher, kept.to(device))
    return Features(real, images.labels.numpy()[chosen], synthetic, classes)


def synthetic_confusion(folder: Path, record: Record, attack: str, where: Where) -> dict[str, NDArray[np.int64]]:
    """Counts [K, K] of what a student takes the images for that its run kept, by the class that the teacher gives them.

    Under an attack as on test images; and as uniform-target adversarial examples (FERD eq. 10) with the run's γ, or 0.5.

    Args:
        folder: of the run.
        record: of the run.
        attack: name of an attack.
        where: the teacher is.

    Raises:
        DfrdBenchError: the run kept no images; weights or teacher are not to be had; or the attack is unknown.
    """
    import torch

    from dfrd_bench.distillation.adversaries import DivergenceAdversary
    from dfrd_bench.evaluation.metrics import confusion_matrix
    from dfrd_bench.evaluation.under_attack import predict_under_attack
    from dfrd_bench.reporting.tables.layout import attack_title

    kept, classes = _kept(folder, record)
    chosen, info, device = ATTACKS.get(attack), record.dataset.info, choose_device(where.device)
    model = where.network_of(folder, record)
    teacher = its_teacher(record, where.teacher, where.device)
    threat = record.spec.threat
    gamma = record.spec.config.get("gamma", UNIFORM_TARGETS)
    problem: Any = Problem(teacher, model, info, threat, device, Precision(), record.spec.seed)
    with Precision("fp32").backends():
        images = LabelledImages(kept, torch.from_numpy(classes))
        attacked = predict_under_attack(
            chosen,
            model,
            images,
            threat=threat,
            device=device,
            seed=record.evaluation.seed,
            on_batch=lambda done, accuracy: where.observer.on_attack(attack, done, len(images), accuracy),
        )
        x = Precision().images(kept.to(device))
        with torch.no_grad():
            logits = teacher(x).float()
        adversary = DivergenceAdversary(problem=problem, steps=UTAE_STEPS, step=threat.step, gamma=gamma)
        utaes = adversary(model, x, logits, torch.Generator(device).manual_seed(record.evaluation.seed))
        with torch.no_grad():
            uniform = model(utaes).argmax(dim=1).cpu()
    return {
        f"synthetic, {attack_title(attack)}": confusion_matrix(classes, attacked.numpy(), info.num_classes),
        "synthetic, UTAE": confusion_matrix(classes, uniform.numpy(), info.num_classes),
    }


def _kept(folder: Path, record: Record) -> tuple[torch.Tensor, NDArray[np.int64]]:
    """The images that a run kept, [N, C, H, W] in [0, 1], and the classes that the teacher gave them."""
    import torch

    from dfrd_bench.reporting.figures.samples import SAMPLES_FILE, load_samples

    if not (folder / SAMPLES_FILE).exists():
        raise DfrdBenchError(
            f"{folder} kept no synthetic images ({SAMPLES_FILE}): methods that see the training images keep none."
        )
    samples = load_samples(folder, record.dataset.info)
    return torch.from_numpy(samples.images).float() / 255, samples.classes

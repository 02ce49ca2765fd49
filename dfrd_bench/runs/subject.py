"""What a record speaks of, its network, its test images and its request: found again, and refused where they are others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dfrd_bench.datasets.base import IMAGE_FOLDER, Dataset, open_dataset, own_images
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.problem import DatasetInfo, Precision
from dfrd_bench.records.schema import NO_TEACHER, Record
from dfrd_bench.records.store import RECORD_FILE, TEACHER_SUFFIX, WEIGHTS_FILE
from dfrd_bench.registry import METHODS
from dfrd_bench.reporting.codes import is_by_other_code, short
from dfrd_bench.runs.request import Request

if TYPE_CHECKING:
    from torch import nn

ELSEWHERE = ("checkpoint:", "run:")  # teachers whose place is not in their name


def check_same_images(record: Record, digest: str) -> None:
    """Refuse to put numbers measured on other test images into a record, or beside it.

    Raises:
        DfrdBenchError: the digest is not the record's.
    """
    if record.dataset.test_digest != digest:
        raise DfrdBenchError(
            f"The test images of {record.spec.dataset} are not those of the record "
            f"(digest {digest[:8]}, recorded {record.dataset.test_digest[:8]}): its numbers cannot be added to or checked. "
            "For new numbers use another --results folder, or another name for a folder of images."
        )


def check_own_images(record: Record, dataset: Dataset) -> None:
    """Refuse a record of another folder of images that has the same name, or of the same folder before it was changed.

    Raises:
        DfrdBenchError: it is such a record; or the images cannot be read.
    """
    if own_images(dataset.info.name):
        check_same_images(record, dataset.load_tested().digest())


def check_trained_on(folder: Path, there: str | None, digest: str | None) -> None:
    """Refuse to take a run for one, or to go on with one, that was trained on other images than it would be now.

    Args:
        folder: of the run.
        there: the digest of the images that it was trained on; None for a method that sees none.
        digest: of those that it would be trained on.

    Raises:
        DfrdBenchError: they differ.
    """
    if there != digest:
        raise DfrdBenchError(
            f"{folder} was trained on other training images (digest {str(there)[:8]}, now {str(digest)[:8]}): "
            "use another --results folder, for a teacher another --output, or another name for a folder of images."
        )


def open_again(
    record: Record, name: str | None = None, data_dir: str | Path | None = None, observer: Observer = SILENT
) -> Dataset:
    """The dataset a record was measured on, with as many of its test images.

    Args:
        record: of a run or a teacher.
        name: the dataset as the user calls it, e.g. `imagefolder:PATH`; as the record calls it when None.
        data_dir: see `open_dataset`.
        observer: told about reading and downloading.

    Raises:
        DfrdBenchError: no such dataset, another than the record's, or a folder of images that must be named.
    """
    known, recorded = record.dataset.info.name, record.dataset
    if name is None and own_images(known):
        raise DfrdBenchError(f"Say where the images of {known} are: --dataset {IMAGE_FOLDER}:PATH.")
    part = None if record.spec.dataset == known else recorded.test_images
    dataset = open_dataset(name or known, data_dir=data_dir, test_images=part, progress=observer.on_data)
    if dataset.info != recorded.info:
        raise DfrdBenchError(f"The record is of {known}, not of {dataset.info.name} with its shape and classes.")
    return dataset


def request_again(record: Record) -> tuple[Request, list[str]]:
    """The request that makes a record's run or teacher once more, with every hyper-parameter that it had.

    Returns:
        The request, and a line for each thing of the user's own whose place no record knows.

    Raises:
        DfrdBenchError: a teacher that was not trained here, or by a version whose settings had other names.
    """
    from dfrd_bench.teachers.base import teacher_source

    spec, info, unknown = record.spec, record.dataset.info, []
    if spec.kind == "teacher" and record.training is None:
        raise DfrdBenchError(
            f"{spec.teacher.name} was not trained here: `dfrd-bench evaluate --teacher` made its record."
        )
    name = info.name
    if own_images(name):
        name = f"{IMAGE_FOLDER}:{name.removeprefix(f'{IMAGE_FOLDER}-')}"
        unknown.append("dataset: say where that folder is.")
    if spec.kind == "teacher" and spec.method not in METHODS.names():
        raise DfrdBenchError(f"{spec.teacher.name} was trained by {spec.provider}, whose settings had other names.")
    request = Request(
        method=spec.method,
        dataset=name,
        student=spec.student,
        settings=spec.config,
        seed=spec.seed,
        eps=spec.threat.eps,
        step=spec.threat.step,
        precision=spec.precision,
        test_images=None if spec.dataset == info.name else record.dataset.test_images,
        compile=spec.compiled,
        attacks=tuple(record.evaluation.attacks),
    )
    if spec.kind == "teacher":
        return request, unknown
    has_teacher = spec.teacher != NO_TEACHER
    takes_one = has_teacher and teacher_source(spec.teacher.name, info.name).takes_architecture
    if spec.teacher.name.startswith(ELSEWHERE):
        unknown.append(f"teacher: say where that file is; its sha256 is {spec.teacher.sha256}.")
    here = METHODS.distribution(spec.method)
    if spec.provider != here:
        unknown.append(
            f"made with {spec.provider}, this is {here}: settings that it did not have take today's defaults."
        )
    elif is_by_other_code(spec.method, spec.code):
        unknown.append(
            f"made by other code ({short(spec.code)}) than today's: this makes another run, under another hash."
        )
    preset = spec.variant.partition("+")[0]
    natural = spec.natural_teacher
    if natural is not None and natural.name.startswith(ELSEWHERE):
        unknown.append(f"natural_teacher: say where it is; its sha256 is {natural.sha256}.")
    return replace(
        request,
        teacher=spec.teacher.name if has_teacher else None,
        teacher_arch=spec.teacher.architecture if takes_one else None,
        natural_teacher=natural.name if natural else None,
        natural_teacher_arch=natural.architecture if natural and natural.name.startswith("checkpoint:") else None,
        preset=preset if "=" not in preset else "default",
    ), unknown


def recorded_network(folder: Path, record: Record, info: DatasetInfo) -> nn.Module:
    """The network that a record describes, on the CPU: from its weights, or a teacher not trained here from its source.

    Raises:
        DfrdBenchError: the weights are missing, or not those of the record.
    """
    import torch

    from dfrd_bench.records.weights import fill, read_weights, sha256_of
    from dfrd_bench.students.base import build_network
    from dfrd_bench.teachers.base import load_teacher, teacher_source

    spec = record.spec
    if spec.kind == "teacher" and record.training is None:
        name = spec.teacher.name
        takes_one = teacher_source(name, info.name).takes_architecture
        architecture = spec.teacher.architecture if takes_one else None
        teacher = load_teacher(name, info, architecture=architecture, device=torch.device("cpu"), precision=Precision())
        if teacher.record.sha256 != record.weights_sha256:
            raise DfrdBenchError(f"Teacher {name} is not the network that {folder / RECORD_FILE} describes.")
        return teacher.model
    path = folder / WEIGHTS_FILE if spec.kind == "student" else folder.resolve().with_suffix(TEACHER_SUFFIX)
    weights = read_weights(path)
    if sha256_of(path) != record.weights_sha256:
        raise DfrdBenchError(f"{path} is not the network that {folder / RECORD_FILE} describes: their sha256 differ.")
    model = build_network(spec.student, channels=info.shape[0], num_classes=info.num_classes, seed=spec.seed)
    fill(model, weights, source=str(path), architecture=spec.student)
    return model

"""Teachers from RobustBench's zoo: `robustbench:NAME`, any L∞ model for CIFAR-10 and CIFAR-100."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import DatasetInfo
from dfrd_bench.records.weights import sha256_of
from dfrd_bench.teachers.base import Loaded, TeacherSource
from dfrd_bench.teachers.robustbench_files import models_folder, obtain, paths
from dfrd_bench.teachers.robustbench_import import robustbench as imported
from dfrd_bench.teachers.robustbench_zoo import DATASETS, ZooModel, find, zoo

if TYPE_CHECKING:
    from torch import nn


def _load(argument: str, info: DatasetInfo, _architecture: str | None) -> Loaded:
    model = find(argument, info.name)
    files = obtain(model)
    return Loaded(_built(model), model.architecture, _digest(files))


def _built(model: ZooModel) -> nn.Module:
    """The network with its weights, as RobustBench itself puts them together; the files must be there.

    The global random state stays as it was, although a network that is built draws weights.
    """
    import torch

    utils = imported("utils")
    try:
        with torch.random.fork_rng(devices=[]), redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network: nn.Module = utils.load_model(model.name, models_folder(), model.dataset, "Linf")
    except Exception as error:  # every architecture fails in its own way
        reason = " ".join(str(error).split())[:240].rstrip(".")
        raise DfrdBenchError(f"RobustBench cannot load {model.name}: {type(error).__name__}: {reason}.") from error
    return network


def _unfetched(argument: str, info: DatasetInfo) -> tuple[nn.Module, str] | None:
    """The network as it is built, before weights are read into it, where a file of them is missing."""
    import torch
    from torch import nn

    model = find(argument, info.name)
    if all(path.is_file() for path in paths(model)):
        return None
    build = imported(f"model_zoo.{model.dataset}").linf[model.name]["model"]
    try:
        with torch.random.fork_rng(devices=[]), redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = build()
    except Exception as error:  # every architecture fails in its own way
        raise DfrdBenchError(f"RobustBench cannot build {model.name} without its weights: {error}.") from error
    if not isinstance(network, nn.Module):  # an ensemble
        raise DfrdBenchError(f"RobustBench cannot build {model.name} without its weights.")
    return network, model.architecture


def _digest(files: Sequence[Path]) -> str:
    """sha256 of the file; of an ensemble, sha256 of its files' digests one after another."""
    digests = [sha256_of(path) for path in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _names(dataset: str) -> dict[str, str]:
    """Names and architectures of the models for a dataset."""
    return {name: model.architecture for name, model in zoo(dataset).items()} if dataset in DATASETS else {}


robustbench = TeacherSource(
    summary="RobustBench's L∞ models for cifar10 and cifar100: robustbench:NAME (names: list teachers --dataset cifar10)",
    load=_load,
    takes_argument=True,
    names=_names,
    unfetched=_unfetched,
)

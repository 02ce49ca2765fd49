"""`autoattack` and `autoattack-fast` against plain pyautoattack: time, and the images on which their verdicts differ.

dfrd-bench bench autoattack student.safetensors --arch wrn-10-1 --images 300
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from dfrd_bench.attacks.autoattack import autoattack, autoattack_fast
from dfrd_bench.attacks.surrogate import Surrogate
from dfrd_bench.datasets.base import open_dataset
from dfrd_bench.runs.environment import choose_device
from dfrd_bench.teachers.checkpoint import load_file

Search = Callable[[], Tensor]
"""-> which images are still classified correctly, [N] bool."""


def timed(search: Search, device: torch.device) -> tuple[Tensor, float, float]:
    """What a search says, its wall seconds and its processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    standing = search()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return standing, time.perf_counter() - wall, time.process_time() - processor


def milliseconds(call: Callable[[], object], device: torch.device, repetitions: int = 15) -> float:
    """The quickest of some calls, after a few to warm up."""
    best = float("inf")
    for number in range(repetitions + 4):
        began = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if number >= 4:
            best = min(best, time.perf_counter() - began)
    return 1000 * best


def calls_of(model: nn.Module, x: Tensor) -> dict[str, Callable[[], object]]:
    """What attacks ask a network for."""

    def query() -> object:
        with torch.no_grad():
            return model(x)

    def gradient() -> object:
        variable = x.clone().requires_grad_()
        return torch.autograd.grad(model(variable).logsumexp(dim=1).sum(), variable)

    def backward() -> object:
        return model(x.clone().requires_grad_()).logsumexp(dim=1).sum().backward()

    return {"query": query, "gradient": gradient, "backward": backward}


def compare(
    weights: Path,
    arch: str,
    *,
    dataset: str,
    images: int,
    batch_size: int,
    device: str,
    seed: int,
    no_fast: bool,
    calls_only: bool,
) -> Iterator[str]:
    """Measure in one process, one after the other: plain pyautoattack, autoattack, autoattack-fast; a line about each.

    Args:
        weights: a weights file.
        arch: its architecture.
        dataset: whose test images.
        images: how many of them, the first of each class.
        batch_size: images per batch.
        device: auto, cpu or cuda.
        seed: of the attacks.
        no_fast: leave autoattack-fast out.
        calls_only: only what one call costs.

    Raises:
        DfrdBenchError: no such thing.
    """
    from pyautoattack import AutoAttack as Library

    data, place = open_dataset(dataset, test_images=images), choose_device(device)
    model = load_file(weights, data.info, arch).model.to(place).eval()
    part = data.load_tested()
    x, y = part.floats().to(place).contiguous(), part.labels.to(place)
    eps = data.threat.eps

    def plain() -> Tensor:
        library = Library(model, norm="Linf", eps=eps, device=place, seed=seed)
        x_adv, _ = library.run_standard_evaluation(x, y, batch_size=batch_size)
        with torch.no_grad():
            return torch.cat([model(b).argmax(1) for b in x_adv.split(batch_size)]).eq(y).cpu()

    def ours(attack: object) -> Search:
        def search() -> Tensor:
            predictions: Tensor = attack.predict(  # type: ignore[attr-defined]
                model, part, threat=data.threat, device=place, seed=seed, batch_size=batch_size
            )
            return predictions == part.labels

        return search

    searches: dict[str, Search] = {"pyautoattack": plain, "autoattack": ours(autoattack)}
    if not no_fast:
        searches["autoattack-fast"] = ours(autoattack_fast)
    yield (f"{weights.name} ({arch}), {len(part)} images of {data.info.name}, {torch.get_num_threads()} threads")
    asked = {"network": model, "surrogate": Surrogate(model, x[:32]), "reduced": Surrogate(model, x[:32], reduced=True)}
    for name, network in asked.items():
        costs = {what: milliseconds(call, place) for what, call in calls_of(network, x[:batch_size]).items()}
        yield (f"{name:16} " + "  ".join(f"{what} {cost:6.1f} ms" for what, cost in costs.items()))
    if calls_only:
        return
    reference: tuple[Tensor, float, float] | None = None
    for name, search in searches.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = timed(search, place)
        reference = reference or result
        standing, wall, processor = result
        differing = int((standing != reference[0]).sum())
        yield (
            f"{name:16} robust {100 * standing.float().mean():6.2f} %  differing verdicts {differing:3d}  "
            f"wall {wall:7.1f} s (x{reference[1] / wall:.2f})  processor {processor:7.1f} s (x{reference[2] / processor:.2f})"
        )

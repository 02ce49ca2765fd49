"""What piles up in a long run: memory, open files, threads and the size of its folder, over many epochs of a tiny one.

python -m dfrd_bench.benchmarks.reliability.long_runs --method ferd --epochs 200
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from dfrd_bench.observer import Observer
from dfrd_bench.runs.run import run

SMALL = {
    **{"batch_size": 8, "warmup_epochs": 0, "synthesis_steps": 2, "distillation_steps": 2, "attack_steps": 2},
    **{"probe_steps": 2, "bottleneck_steps": 2, "generator_width": 8, "pool_size": 64},
}
ROWS = 10  # of the table, beside the first epoch


@dataclass(frozen=True)
class Size:
    """How large the process and its folder are after an epoch.

    Attributes:
        memory: bytes that are resident.
        descriptors: open files; 0 on Windows, which counts other things.
        threads: of the system.
        folder: bytes of the run's files.
        files: how many those are.
    """

    epoch: int
    memory: int
    descriptors: int
    threads: int
    folder: int
    files: int


def size(epoch: int, folder: Path) -> Size:
    """What is there now."""
    process = psutil.Process()
    descriptors = 0 if psutil.WINDOWS else process.num_fds()
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    memory, threads = process.memory_info().rss, process.num_threads()
    return Size(epoch, memory, descriptors, threads, sum(sizes), len(sizes))


def measured(method: str, epochs: int, results: Path) -> list[Size]:
    """Sizes after the first epoch, after every tenth part of the others, and after all is recorded; on one thread."""
    import torch

    from dfrd_bench.registry import METHODS

    torch.set_num_threads(1)
    known = METHODS.get(method).Config.model_fields
    wanted = {1, *(round(epochs * part / ROWS) for part in range(1, ROWS + 1))}
    found: list[Size] = []
    place = [results]

    def begin(folder: Path, *_: int) -> None:
        place[:] = [folder]

    def note(epoch: int, numbers: dict[str, float]) -> None:
        if epoch + 1 in wanted:
            found.append(size(epoch + 1, place[0]))

    settings = {name: value for name, value in SMALL.items() if name in known}
    done = run(
        method,
        epochs=epochs,
        settings=settings,
        attacks=["clean"],
        device="cpu",
        results=results,
        observer=Observer(on_start=begin, on_epoch=note),
    )
    return [*found, size(epochs + 1, done.folder)]


@click.command(help=__doc__)
@click.option("--method", default="ferd", show_default=True)
@click.option("--epochs", default=200, show_default=True)
def main(method: str, epochs: int) -> None:
    """Print a line per size."""
    with tempfile.TemporaryDirectory() as results:
        found = measured(method, epochs, Path(results))
    click.echo(f"{'epoch':>9}{'memory, MiB':>13}{'descriptors':>13}{'threads':>9}{'folder, KiB':>13}{'files':>7}")
    for one in found:
        name = "recorded" if one.epoch > epochs else str(one.epoch)
        click.echo(
            f"{name:>9}{one.memory / 2**20:13.1f}{one.descriptors:13}{one.threads:9}{one.folder / 1024:13.1f}{one.files:7}"
        )


if __name__ == "__main__":
    main()

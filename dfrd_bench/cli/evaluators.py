"""How many processes attack batches side by side: as many as are asked for, or as there is room for."""

from __future__ import annotations

from dataclasses import replace

import click

from dfrd_bench.cli import threads
from dfrd_bench.runs.request import Request


def fitted(request: Request) -> Request:
    """The request with no more evaluation jobs than there are cores, which is said; on a GPU several share one."""
    cores = threads.cores()
    if request.evaluation_jobs <= cores:
        return request
    from dfrd_bench.runs.environment import choose_device

    if choose_device(request.device).type != "cpu":
        return request
    room = "1 core" if cores == 1 else f"{cores} cores"
    click.echo(f"{request.evaluation_jobs} jobs do not fit at once: {cores} on {room}, with 1 thread each.", err=True)
    return replace(request, evaluation_jobs=cores)

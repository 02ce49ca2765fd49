"""How many processes attack batches side by side: as many as are asked for, or as there is room for."""

from __future__ import annotations

from dataclasses import replace

import click

from dfrd_bench.cli import threads
from dfrd_bench.runs.request import Request


def fitted(request: Request, beside: int = 1) -> Request:
    """The request with no more evaluation jobs than its share of the cores, which is said; on a GPU several share one.

    Args:
        request: as it was asked for.
        beside: how many such requests are met at a time, on this machine.
    """
    cores = threads.cores()
    room = max(1, cores // beside)
    if request.evaluation_jobs <= room:
        return request
    from dfrd_bench.runs.environment import choose_device

    if choose_device(request.device).type != "cpu":
        return request
    where = "1 core" if cores == 1 else f"{cores} cores"
    what, each = f"{request.evaluation_jobs} jobs", str(room)
    if beside > 1:
        what, each = f"{what} for each of {beside} runs at a time", f"{room} for each"
    click.echo(f"{what} do not fit at once: {each} on {where}, with 1 thread each.", err=True)
    return replace(request, evaluation_jobs=room)

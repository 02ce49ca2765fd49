"""How many processes attack batches side by side: as many as are asked for, or as there is room for."""

from __future__ import annotations

from dataclasses import replace

import click

from dfrd_bench.cli import threads
from dfrd_bench.runs.request import Request


def fitted(request: Request, beside: int = 1) -> Request:
    """The request with no more evaluation jobs than its share of the cores, which is said; on a GPU several share one.

    Where none are asked for it stays as it is: the evaluation then takes as many as pay.

    Args:
        request: as it was asked for.
        beside: how many such requests are met at a time, on this machine.
    """
    asked = request.evaluation_jobs
    return request if asked is None else replace(request, evaluation_jobs=fitting(asked, request.device, beside))


def fitting(jobs: int, device: str, beside: int = 1) -> int:
    """As many jobs as are asked for on a device, or as there is room for; see `fitted`."""
    cores = threads.cores()
    room = max(1, cores // beside)
    if jobs <= room:
        return jobs
    from dfrd_bench.runs.environment import choose_device

    if choose_device(device).type != "cpu":
        return jobs
    where = "1 core" if cores == 1 else f"{cores} cores"
    what, each = f"{jobs} jobs", str(room)
    if beside > 1:
        what, each = f"{what} for each of {beside} runs at a time", f"{room} for each"
    click.echo(f"{what} do not fit at once: {each} on {where}, with 1 thread each.", err=True)
    return room

"""Whether a run is there with all that is asked for: not by names alone, as `status` has it, but with what they stand for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dfrd_bench.errors import asked_to_stop
from dfrd_bench.execution.status import standing
from dfrd_bench.records.store import load_record
from dfrd_bench.runs.leftovers import left_in
from dfrd_bench.runs.preparation import prepare, with_defaults
from dfrd_bench.runs.request import Request
from dfrd_bench.runs.subject import check_own_images, check_trained_on
from dfrd_bench.runs.twins import recorded_at


def recorded(request: Request) -> Path | None:
    """The folder of a run that is there with all that is asked for, of these teachers' weights and these images; else None.

    Only where it seems to be there are its teachers loaded, to be sure of it. What is wrong then is a worker's to say, and what a
    killed one left behind is a worker's to remove.
    """
    now = standing(request)
    if now.stage != "done":
        return None
    try:
        prepared = prepare(replace(with_defaults(request), device="cpu"))
        folder = recorded_at(prepared.spec, Path(request.results))
        record = load_record(folder)
        check_own_images(record, prepared.dataset)
        check_trained_on(folder, record.dataset.training_digest, prepared.training_digest)
    except BaseException as error:
        if asked_to_stop(error):
            raise
        return None
    return folder if folder == now.folder and not left_in(folder, record) else None

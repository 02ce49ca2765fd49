"""The network of a finished run, ready to be asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dfrd_bench.records.files import expanded
from dfrd_bench.records.nearest import named_record
from dfrd_bench.runs.defaults import usual_defaults
from dfrd_bench.runs.environment import choose_device
from dfrd_bench.runs.subject import recorded_network

if TYPE_CHECKING:
    from torch import nn


@usual_defaults()
def load_student(run: str | Path, *, device: str = "cpu") -> nn.Module:
    """The student of a finished run, or a teacher trained here, by the folder of its record.

    It takes images [N, C, H, W] in [0, 1], as they are: whatever normalisation it has is inside. It returns logits [N, K]; the
    names of the classes are in the record (`dataset.info.class_names`).

    Args:
        run: the folder in which `record.json` lies.
        device: auto, cpu, cuda or cuda:N.

    Returns:
        The network in eval mode, in float32.

    Raises:
        DfrdBenchError: there is no valid record (then also where was looked, and the nearest runs), its weights are missing, or
            they are not those that it describes (sha256).
    """
    folder = expanded(str(run))
    record = named_record(folder)
    return recorded_network(folder, record, record.dataset.info).eval().to(choose_device(device))

"""Methods of the field that are known and not part of the benchmark, and why."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from dfrd_bench.problem import Sees
from dfrd_bench.records.files import read_mapping
from dfrd_bench.reporting.papers import Text, numbers_folder
from dfrd_bench.settings import validated

KNOWN = "known.yaml"


class KnownMethod(BaseModel):
    """One method.

    Attributes:
        summary: what it is, or its paper's title.
        venue: where it appeared.
        link: to the paper, or to its code.
        sees: what it sees of a dataset.
        why: why it is not here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    summary: Text
    venue: Text
    link: Text
    sees: Sees
    why: Text


def known_methods() -> Mapping[str, KnownMethod]:
    """Every such method of the package by the name it would have.

    Raises:
        DfrdBenchError: the file of the installation is damaged.
    """
    where = numbers_folder() / KNOWN
    return {
        name: validated(KnownMethod, entry, f"{name} in {where}", "entry")
        for name, entry in read_mapping(where).items()
    }

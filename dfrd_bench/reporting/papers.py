"""The papers whose printed numbers are in the package, and of which version of each the numbers are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.files import read_mapping

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

PAPERS = "papers.yaml"
Text = Annotated[str, Field(min_length=1)]


class Paper(BaseModel):
    """One paper.

    Attributes:
        title: as printed.
        venue: where it appeared, e.g. "NeurIPS 2023".
        version: which version of it the numbers beside this entry are of, in words that begin with the paper's short name.
        link: where that version is, or the paper's page.
        note: what a reader of the numbers has to know about other versions; "" if nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    title: Text
    venue: Text
    version: Text
    link: Annotated[str, Field(pattern=r"^https://\S+$")]
    note: str = ""

    @property
    def source(self) -> str:
        """One sentence without its full stop: the version and, after a semicolon, the note."""
        return "; ".join(filter(None, (self.version, self.note)))


def numbers_folder() -> Traversable:
    """Where the package keeps the printed numbers: papers.yaml, and a CSV file for each paper in it."""
    return files("dfrd_bench.benchmarks") / "published"


def read_papers(folder: Traversable) -> Mapping[str, Paper]:
    """The papers of a folder by the names of their CSV files, in the order of its papers.yaml.

    Raises:
        DfrdBenchError: papers.yaml cannot be read, has an entry that is not valid, or has not one entry for each CSV file.
    """
    where = folder / PAPERS
    papers = {}
    for name, entry in read_mapping(where).items():
        try:
            papers[name] = Paper.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, (name, *first["loc"])))
            raise DfrdBenchError(f"{where}: {place}: {first['msg']}. Correct it, or reinstall dfrd-bench.") from error
    tables = {file.name.removesuffix(".csv") for file in folder.iterdir() if file.name.endswith(".csv")}
    for name in sorted(tables - papers.keys()):
        raise DfrdBenchError(
            f"{where} has no entry {name!r}, the paper of {name}.csv. Add it, or reinstall dfrd-bench."
        )
    for name in sorted(papers.keys() - tables):
        raise DfrdBenchError(
            f"{where} has an entry {name!r}, but there is no {name}.csv. Correct it, or reinstall dfrd-bench."
        )
    return MappingProxyType(papers)


@cache
def papers() -> Mapping[str, Paper]:
    """Every paper of the package: "ferd" -> title, venue, and the version that the numbers of ferd.csv are of.

    Raises:
        DfrdBenchError: a file of the installation is damaged.
    """
    return read_papers(numbers_folder())

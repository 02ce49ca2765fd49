"""Contests on disk: what somebody else's attacks did to a run's network, in folders of their own below the run's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import ThreatModel
from dfrd_bench.records.files import file_name, replace_whole, whole_folder
from dfrd_bench.records.reading import not_valid, opened, unreadable
from dfrd_bench.records.schema import EnvironmentRecord, EvaluationRecord, Predictions
from dfrd_bench.records.store import LARGEST_RECORD, PREDICTIONS_FILE, packed_predictions

CONTESTS_FOLDER = "contests"
CONTEST_FILE = "contest.json"
LONGEST_NAME = 200  # characters of who made it


class ContestRecord(BaseModel):
    """Somebody's evaluation of the network that a record describes; `predictions.npz` beside it says what each image became.

    Attributes:
        created: when.
        by: who attacked, as they call themselves.
        weights_sha256: of the network, as in the run's record.
        test_digest: of the images, as in the run's record.
        threat: the threat model, as in the run's record.
        evaluation: what each attack did, with its settings and its seed.
        providers: attack -> distribution and version that provide it.
        environment: where the attacks ran.
        warnings: what the attacks had to say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    schema_version: Literal[1] = 1
    created: str
    by: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    weights_sha256: str
    test_digest: str
    threat: ThreatModel
    evaluation: EvaluationRecord
    providers: dict[str, str]
    environment: EnvironmentRecord
    warnings: tuple[str, ...] = ()

    def digest(self) -> str:
        """Eight hexadecimal digits of what was asked: who, of which network and images, and every setting of the attacks."""
        asked = {
            **{"by": self.by, "weights": self.weights_sha256, "images": self.test_digest},
            **{"providers": self.providers, "seed": self.evaluation.seed},
            "attacks": {name: result.parameters for name, result in self.evaluation.attacks.items()},
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]

    def folder(self, run: Path) -> Path:
        """Its folder below the run's."""
        return run / CONTESTS_FOLDER / f"{file_name(self.by)[:40]}-{self.digest()}"


def save_contest(run: Path, contest: ContestRecord, predictions: Predictions) -> Path:
    """Write a contest below a run's folder, whole or not at all, and return its folder; one that is there stays.

    Raises:
        DfrdBenchError: nothing can be written there.
    """
    place = contest.folder(run)
    text = json.dumps(contest.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    ContestRecord.model_validate_json(text)
    if not place.exists():
        with whole_folder(place) as part:
            replace_whole(part / PREDICTIONS_FILE, packed_predictions(predictions))
            replace_whole(part / CONTEST_FILE, text.encode())
    return place


def load_contest(folder: Path) -> ContestRecord:
    """Read and validate `contest.json` of a contest's folder.

    Raises:
        DfrdBenchError: there is none, or it is no valid contest.
    """
    path = folder / CONTEST_FILE
    try:
        with opened(path, LARGEST_RECORD) as file:
            return ContestRecord.model_validate_json(file.read())
    except FileNotFoundError as error:
        raise DfrdBenchError(f"No contest in {folder}: {CONTEST_FILE} is missing.") from error
    except OSError as error:
        raise unreadable(path, error) from error
    except ValidationError as error:
        raise not_valid(path, "contest", error) from error


def find_contests(run: Path) -> Iterator[tuple[Path, ContestRecord | DfrdBenchError]]:
    """Every contest below a run's folder, in order of path, or what is wrong with it; unfinished ones are passed over."""
    below = run / CONTESTS_FOLDER
    try:
        folders = sorted(path for path in below.iterdir() if (path / CONTEST_FILE).exists())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield below, unreadable(below, error)
        return
    for folder in folders:
        try:
            yield folder, load_contest(folder)
        except DfrdBenchError as error:
            yield folder, error

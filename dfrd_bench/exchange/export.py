"""A finished run's student, packed for others: weights, evidence, programs that need no dfrd-bench, and a model card."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.evaluation.best_known import best_known
from dfrd_bench.evaluation.contradictions import believed_record
from dfrd_bench.exchange.card import model_card
from dfrd_bench.exchange.robustbench_entry import robustbench_entry, to_fill_in, why_no_entry
from dfrd_bench.observer import SILENT, OnStep
from dfrd_bench.records.files import file_name, replace_whole, whole_folder
from dfrd_bench.records.reading import chunks
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import PREDICTIONS_FILE, RECORD_FILE, WEIGHTS_FILE
from dfrd_bench.runs.defaults import usual_defaults

FORMATS = ("safetensors", "torch", "onnx", "robustbench")
CARD_FILE, PROGRAM_FILE, ONNX_FILE = "README.md", "student.pt2", "student.onnx"
WHAT = {
    WEIGHTS_FILE: "the weights",
    RECORD_FILE: "every setting and every number",
    PREDICTIONS_FILE: "the class that each test image was given under each attack",
    PROGRAM_FILE: "the network for PyTorch alone",
    ONNX_FILE: "the network as ONNX",
}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        files: their paths in it, the card first.
        notes: what was left out, and what is still to be filled in.
    """

    folder: Path
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()


@usual_defaults()
def export(
    run: str | Path,
    into: str | Path,
    *,
    formats: Sequence[str] | None = None,
    model_name: str | None = None,
    authors: str | None = None,
    additional_data: bool | None = None,
    progress: OnStep = SILENT.on_data,
) -> Exported:
    """Pack the student of a finished run into a new folder, whole or not at all.

    The weights are the run's, to the byte, beside its record and predictions and a model card; so the new folder is one that
    `load_student`, `verify` and `evaluate --contest` take.

    Args:
        run: the folder in which `record.json` lies.
        into: the new folder; one that is there must be empty.
        formats: which of `FORMATS` beside the weights; all that can be had by default.
        model_name: of RobustBench's entry, where it is made; made of the method, the architecture and the seed by default.
        authors: of RobustBench's entry, see `robustbench_entry`.
        additional_data: likewise.
        progress: told which format is made.

    Raises:
        DfrdBenchError: no such format, or it cannot be had; the record is contradicted, or is a teacher's, or its weights are
            missing; or nothing can be written there.
    """
    folder, into = Path(run), Path(into)
    for name in formats or ():
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    record = believed_record(folder)
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise DfrdBenchError(f"{into} is there already: name a new folder.")
    pack = _Pack(folder, record, formats, model_name, authors, additional_data)
    with whole_folder(into) as part:
        for number, (step, make) in enumerate(pack.steps()):
            progress(f"exporting {step}", number, len(pack.steps()))
            make(part)
        progress("exporting", 1, 1)
    return Exported(into, (CARD_FILE, *pack.files), tuple(pack.notes))


class _Pack:
    """One export on its way: what is written so far, and what is to be said about it."""

    def __init__(
        self,
        folder: Path,
        record: Record,
        formats: Sequence[str] | None,
        model_name: str | None,
        authors: str | None,
        additional_data: bool | None,
    ) -> None:
        from dfrd_bench.exchange.programs import lacking_for_onnx

        self.folder, self.record = folder, record
        self.best = best_known(folder, record)
        self.named = (model_name, authors, additional_data)
        self.files: dict[str, tuple[str, str]] = {}
        self.notes: list[str] = []
        why_not = {"onnx": lacking_for_onnx(), "robustbench": why_no_entry(record)}
        if refused := [why_not[name] for name in formats or () if why_not.get(name)]:
            raise DfrdBenchError(refused[0])
        if record.spec.kind != "student":
            raise DfrdBenchError(f"{folder} is the record of a teacher: `export` takes the run of a student.")
        self.formats = tuple(formats) if formats is not None else tuple(n for n in FORMATS if not why_not.get(n))
        if formats is None:
            self.notes += [f"Left out {name}: {why}" for name, why in why_not.items() if why]

    def steps(self) -> list[tuple[str, Callable[[Path], None]]]:
        """What is made, in order; the card, which speaks of all the rest, last."""
        programs = [("program", self._programs)] if {"torch", "onnx"} & set(self.formats) else []
        entry = [("entry", self._entry)] if "robustbench" in self.formats else []
        return [("weights", self._copies), *programs, *entry, ("card", self._card)]

    def _copies(self, part: Path) -> None:
        from dfrd_bench.records.weights import sha256_of

        sources = {name: self.folder / name for name in (WEIGHTS_FILE, RECORD_FILE)}
        if (self.folder / PREDICTIONS_FILE).exists():
            sources[PREDICTIONS_FILE] = self.folder / PREDICTIONS_FILE
        for name, source in sources.items():
            with (part / name).open("xb") as file:
                for chunk in chunks(source):
                    file.write(chunk)
            self._note(part, name)
        if sha256_of(part / WEIGHTS_FILE) != self.record.weights_sha256:
            raise DfrdBenchError(
                f"{sources[WEIGHTS_FILE]} is not the network that {RECORD_FILE} describes: their sha256 differ."
            )

    def _programs(self, part: Path) -> None:
        from dfrd_bench.exchange.programs import program_of, write_onnx, write_program
        from dfrd_bench.runs.student import load_student

        shape = self.record.dataset.info.shape
        model = load_student(self.folder)
        program = program_of(model, shape)
        for name, file, write in (("torch", PROGRAM_FILE, write_program), ("onnx", ONNX_FILE, write_onnx)):
            if name in self.formats:
                write(part / file, program, model, shape)
                self._note(part, file)

    def _entry(self, part: Path) -> None:
        name, authors, additional_data = self.named
        entry = robustbench_entry(self.record, self.best, authors=authors, additional_data=additional_data)
        spec = self.record.spec
        called = file_name(name or f"{spec.method}_{spec.student}_seed{spec.seed}")
        path = Path("robustbench", "model_info", self.record.dataset.info.name, spec.threat.norm, f"{called}.json")
        (part / path).parent.mkdir(parents=True)
        replace_whole(part / path, (json.dumps(entry, indent=2, ensure_ascii=False) + "\n").encode())
        self._note(part, str(path), "RobustBench's entry")
        if empty := to_fill_in(entry):
            self.notes.append(f"Fill in {', '.join(empty)} of {path}: no record knows.")

    def _card(self, part: Path) -> None:
        replace_whole(part / CARD_FILE, model_card(self.record, self.best, self.files).encode())

    def _note(self, part: Path, name: str, what: str = "") -> None:
        from dfrd_bench.records.weights import sha256_of

        self.files[name] = (what or WHAT[name], sha256_of(part / name))

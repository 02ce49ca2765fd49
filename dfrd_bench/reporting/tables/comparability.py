"""What the numbers of a table mean, and whether they may be compared at all."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dfrd_bench.datasets.base import IMAGE_FOLDER, own_images
from dfrd_bench.problem import ThreatModel
from dfrd_bench.records.schema import NO_TEACHER, ExperimentSpec, Record
from dfrd_bench.reporting.codes import short
from dfrd_bench.reporting.one_class import taken_for_one_class
from dfrd_bench.reporting.tables.flattered import about_flattered
from dfrd_bench.reporting.tables.layout import NOT_RUN, UNDEFINED, ResultTable, attack_title
from dfrd_bench.reporting.tables.other_code import about_apart, about_other_code
from dfrd_bench.reporting.tables.tracks import ABOUT

Member = tuple[str, list[Record]]
"""What a row is called, and its records."""

WORST = {
    "worst_class": "Worst: accuracy of the worst class (%)",
    "worst_10": "Worst-10%: mean accuracy of the worst tenth of the classes (%)",
}
MEANINGS = {
    "average": "Avg.: accuracy (%)",
    **WORST,
    "nsd": "NSD: standard deviation of the per-class accuracies over their mean; lower is fairer",
}
CONVERTED = "+RSLAD: converted to robust distillation (FERD, A.8); without it: the DFKD method as it was."
OWN_IMAGES = (
    "The images of {name} are the user's own copy, digest {digest}: these numbers are comparable with those measured on "
    "this very copy, and with no published ones."
)
FIRST_IMAGES = "Only the first {each} test images of each class are used: not comparable with numbers on all of them."
SUPERSEDED = {
    "dfrd-bench 0.1.0": "made before the methods were corrected (docs/reproducibility.md, What version 0.2.0 corrected)",
    "dfrd-bench 0.2.0": "made before the presets gave every method the same (docs/reproducibility.md, What a preset gives)",
}
"""Why runs of an older provider are no longer what their method gives."""
OWN_WARNINGS = "Runs of these rows carry warnings of their own"
COLLAPSED = (
    "These rows have runs that take nearly every clean image for one class; what such a network keeps under attack is that "
    "class's share of the images, and no robustness"
)
DEFAULT_RESULTS = Path("results")
SHOWN_SETTINGS = 2
LONGEST_SETTING = 24


def level(value: float) -> str:
    """A perturbation size as people write it: a short decimal, else k/255 if it is one, else a decimal."""
    k = round(255 * value)
    if abs(255 * value - k) > 1e-6 or round(value, 2) == value:
        return f"{value:.4g}"
    return f"{k}/255"


def threat_text(threat: ThreatModel) -> str:
    """E.g. "L∞, ε = 8/255, step 2/255"."""
    return f"L∞, ε = {level(threat.eps)}, step {level(threat.step)}"


def legend(table: ResultTable, records: Sequence[Record]) -> tuple[str, ...]:
    """Where the numbers come from, what the columns are, and the signs that occur."""

    def each(value: Callable[[Record], object], between: str = " or ") -> str:
        return between.join(dict.fromkeys(str(value(record)) for record in records))

    metrics = dict.fromkeys(column.metric for column in table.columns)
    classes = each(lambda r: r.dataset.info.num_classes)
    sha256 = dict.fromkeys(r.spec.teacher.sha256[:8] for r in records if r.spec.teacher != NO_TEACHER)
    teacher = f"Teacher {table.teacher}, sha256 {' or '.join(sha256)}." if sha256 else "No teacher."
    about = [
        f"Dataset {table.dataset}: {classes} classes, {each(lambda r: r.dataset.test_images)} test images. "
        f"Threat model: {each(lambda r: threat_text(r.spec.threat))}. "
        f"{teacher}",
        " ".join(f"{MEANINGS[metric]}." for metric in MEANINGS if metric in metrics),
    ]
    about += filter(None, [ABOUT[table.track]])
    about.extend(dict.fromkeys(text for record in records for text in _about_images(record)))
    about += filter(None, [about_apart(table.rows)])
    texts = {row.cells[column].text for row in table.rows for column in table.columns}
    uncertain = " ".join({row.uncertainty(column) for row in table.rows for column in table.columns})
    if "±" in uncertain:
        about.append("Mean ± sample standard deviation over seeds (ddof = 1).")
    if "[" in uncertain:
        mean = ", of the mean over seeds where there are several" if table.several_seeds else ""
        about.append(
            f"[low, high]: 95% bootstrap interval over test images, resampled within each class{mean}; "
            "the trained networks are held fixed. Worst and NSD may lie at its edge or beyond: see docs/statistics.md."
        )
    if any("+RSLAD" in row.label for row in table.rows):
        about.append(CONVERTED)
    signs = {UNDEFINED: "undefined, as no image is classified correctly", NOT_RUN: "not run"}
    if explained := "; ".join(f"{sign} {meaning}" for sign, meaning in signs.items() if sign in texts):
        about.append(f"{explained}.")
    if flattered := about_flattered(table.groups):
        about.append(flattered)
    if other_code := about_other_code(table.groups):
        about.append(other_code)
    return tuple(about)


def _about_images(record: Record) -> Iterator[str]:
    """What sets the test images apart from those a reader expects."""
    info, images = record.dataset.info, record.dataset.test_images
    if own_images(info.name):
        yield OWN_IMAGES.format(name=info.name, digest=record.dataset.test_digest[:8])
    if record.spec.dataset != info.name:
        yield FIRST_IMAGES.format(each=images // info.num_classes)


def dataset_options(record: Record) -> str:
    """How a command is told to use a record's test images, e.g. "--dataset digits --test-images 100"."""
    info = record.dataset.info
    name = f"{IMAGE_FOLDER}:PATH" if own_images(info.name) else info.name
    part = "" if record.spec.dataset == info.name else f" --test-images {record.dataset.test_images}"
    return f"--dataset {name}{part}"


def teacher_options(record: Record) -> str:
    """How a command is told to use a record's teacher; a record holds a checkpoint's file name, not where it lies."""
    teacher = record.spec.teacher
    if not teacher.name.startswith("checkpoint:"):
        return f"--teacher {teacher.name}"
    return f"--teacher checkpoint:PATH --teacher-arch {teacher.architecture}"


def results_option(folder: Path, record: Record) -> str:
    """How a command is told to leave a record where those are among which this one lies; "" where that is where it would."""
    below = record.spec.folder(Path())
    root = Path(*folder.parts[: -len(below.parts)])
    return "" if root == DEFAULT_RESULTS or root / below != folder else f" --results {shlex.quote(str(root))}"


def trained_here(record: Record) -> str:
    """What else a user can do who trained a record's teacher: name the folder of its record, which lies beside the weights."""
    kind, _, file = record.spec.teacher.name.partition(":")
    folder = f"{file.removesuffix('.safetensors')}.record"
    return f"; if it was trained here, `dfrd-bench table RESULTS PATH/{folder} --teacher` shows it" * (
        kind == "checkpoint"
    )


def warnings_about(members: Iterable[Member]) -> tuple[str, ...]:
    """One sentence for each thing that rows must share and do not, and one for the runs' own warnings."""
    members = list(members)
    attacks = dict.fromkeys(name for _, records in members for record in records for name in record.evaluation.attacks)
    checks: dict[str, Callable[[Record], str | None]] = {
        "the same teacher weights (sha256)": lambda r: r.spec.teacher.sha256[:8] or None,
        "the same test images (digest)": lambda r: r.dataset.test_digest[:8],
        "the same training images (digest)": lambda r: r.dataset.training_digest and r.dataset.training_digest[:8],
        "the same threat model": lambda r: threat_text(r.spec.threat),
    }
    for attack in attacks:
        checks[f"the same settings of {attack_title(attack)}"] = partial(_parameters, attack=attack)
    sentences = []
    for what, value in checks.items():
        rows_by_value: dict[str, dict[str, None]] = {}
        for label, records in members:
            for record in records:
                found = value(record)
                if found is not None:
                    rows_by_value.setdefault(found, {})[label] = None
        if len(rows_by_value) > 1:
            usual, *others = sorted(rows_by_value, key=lambda found: -len(rows_by_value[found]))
            parts = "; ".join(f"{', '.join(rows_by_value[found])}: {found}" for found in others)
            sentences.append(f"Not comparable: the rows do not share {what}. {parts}; the others: {usual}.")
    for provider, why in SUPERSEDED.items():
        if old := dict.fromkeys(label for label, records in members if any(_made_by(r, provider) for r in records)):
            sentences.append(f"Superseded, {why}: {', '.join(old)}.")
    if collapsed := dict.fromkeys(label for label, records in members if any(map(taken_for_one_class, records))):
        sentences.append(f"{COLLAPSED}: {', '.join(collapsed)}.")
    flagged = dict.fromkeys(label for label, records in members if any(record.warnings for record in records))
    if flagged:
        sentences.append(f"{OWN_WARNINGS}, which dfrd-bench show RUN prints: {', '.join(flagged)}.")
    return tuple(sentences)


def _made_by(record: Record, provider: str) -> bool:
    return record.spec.kind == "student" and record.spec.provider == provider


def settings_of(spec: ExperimentSpec) -> str:
    """Equal for two runs of a row exactly if they differ in nothing but seed and label."""
    return json.dumps(spec.model_dump(mode="json", exclude={"variant", "seed"}), sort_keys=True)


def distinguish(specs: Sequence[ExperimentSpec]) -> list[str]:
    """A short text per setting that tells it from the others; empty if there is only one.

    Example: ["epochs=30", "epochs=220"], or the providers where these tell them all apart, as another version may have other
    settings altogether; where that would be long or ambiguous, the digest of a run.
    """
    if len(specs) > 1 and len(providers := {spec.provider: None for spec in specs}) == len(specs):
        return list(providers)
    flat = [_flat(spec) for spec in specs]
    names = sorted({name for settings in flat for name in settings})
    differing = [name for name in names if len({json.dumps(settings.get(name)) for settings in flat}) > 1]
    texts = [", ".join(f"{name}={_short(settings.get(name))}" for name in differing) for settings in flat]
    if len(differing) > SHOWN_SETTINGS or len(set(texts)) < len(specs):
        return [f"settings {spec.digest()}" for spec in specs]
    return texts


def _flat(spec: ExperimentSpec) -> dict[str, Any]:
    """The settings in which runs of one method may differ, by name."""
    content = spec.model_dump(
        mode="json", exclude={"variant", "seed", "config", "teacher", "natural_teacher", "threat"}
    )
    return {
        **content,
        "code": short(spec.code),
        "teacher": spec.teacher.sha256,
        **({"natural_teacher": spec.natural_teacher.sha256} if spec.natural_teacher else {}),
        "eps": spec.threat.eps,
        "step": spec.threat.step,
        **{str(name): value for name, value in spec.config.items()},
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _short(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= LONGEST_SETTING else text[:8]


def _parameters(record: Record, attack: str) -> str | None:
    """An attack's settings beyond the threat model; None if it was not run."""
    result = record.evaluation.attacks.get(attack)
    if result is None:
        return None
    own = {name: value for name, value in result.parameters.items() if name not in ("norm", "eps", "step")}
    return ", ".join(f"{name}={_text(own[name])}" for name in sorted(own)) or "none"

"""A model card: what a student is, how it was made, how robust it is in every class, and how to load it, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import yaml
from tabulate import tabulate

from dfrd_bench._version import __version__
from dfrd_bench.evaluation.best_known import BestKnown
from dfrd_bench.records.files import file_name
from dfrd_bench.records.schema import NO_TEACHER, AttackRecord, Record
from dfrd_bench.registry import METHODS
from dfrd_bench.reporting.escaping import escape_markdown as safe
from dfrd_bench.reporting.escaping import printable
from dfrd_bench.reporting.tables.comparability import threat_text
from dfrd_bench.reporting.tables.flattered import why_flattered
from dfrd_bench.reporting.tables.layout import attack_title, display_name

ATTACKED_ONLY = (
    "What it withstands was measured with the attacks above, on these test images, within this threat model. Every such "
    "number is an upper bound: a stronger attack may find more. Of other perturbations (other norms, larger ε, rotations, "
    "corruptions, patches) nothing is known.",
    "The average hides classes: read the table by class before you rely on one.",
    "It is a benchmark's student, small and made to be compared, not for decisions about people, nor where an error does harm.",
)
DATA_FREE = (
    "It saw no image of the dataset, so nothing was checked on real images while it was trained; what its teacher gets wrong, it "
    "learned."
)


def model_card(record: Record, best: BestKnown, files: Mapping[str, tuple[str, str]]) -> str:
    """The card of a record's network.

    Args:
        record: what is known of it.
        best: what others found.
        files: those beside the card, each with what it is and its sha256.
    """
    spec = record.spec
    parts = [
        _front_matter(record),
        f"# {safe(display_name(spec.method))}: {safe(spec.student)} on {safe(spec.dataset)}, seed {spec.seed}",
        *_what(record),
        "## How it was made",
        *_made(record),
        "## How robust it is",
        *_robustness(record, best),
        "## Limits",
        "\n".join(f"- {text}" for text in _limits(record)),
        "## How to load it",
        *_loading(record, files),
        "## Files",
        _table(
            ["file", "what", "sha256"], [[f"`{name}`", what, f"`{digest}`"] for name, (what, digest) in files.items()]
        ),
        f"Written by dfrd-bench {__version__}. Every number is from `record.json`, and follows from `predictions.npz`, as "
        "`dfrd-bench verify` checks.",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(record: Record) -> str:
    """What model hubs read: tags, and no licence, which is the author's to choose."""
    spec = record.spec
    tags = ["adversarial-robustness", "knowledge-distillation", "dfrd-bench", file_name(spec.method)]
    tags += ["data-free"] if spec.sees == "nothing" else []
    content = {
        "pipeline_tag": "image-classification",
        "library_name": "pytorch",
        "datasets": [file_name(spec.dataset)],
        "tags": tags,
    }
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---"


def _what(record: Record) -> Iterator[str]:
    spec, info = record.spec, record.dataset.info
    shape = " × ".join(map(str, info.shape))
    yield (
        f"A {_code(spec.student)} with {record.parameters:,} parameters. It takes images [N, {shape}] with values in [0, 1], as "
        f"they are: whatever normalisation there is lies inside. It returns {info.num_classes} logits, in this order: "
        f"{', '.join(map(safe, info.class_names))}."
    )


def _made(record: Record) -> Iterator[str]:
    spec, training = record.spec, record.training
    reference = METHODS.get(spec.method).reference if spec.method in METHODS.names() else None
    seen = "no image of the dataset" if spec.sees == "nothing" else "the training images"
    taught = (
        "none"
        if spec.teacher == NO_TEACHER
        else f"{safe(spec.teacher.name)} ({safe(spec.teacher.architecture)}), sha256 {_code(spec.teacher.sha256)}"
    )
    rows = [["method", f"{safe(spec.method)} of {safe(spec.provider)}"]]
    rows += (
        [["paper", f"{safe(reference.title)}. {safe(reference.venue)}, {safe(reference.link)}"]] if reference else []
    )
    rows += [["teacher", taught], ["saw", seen], ["seed", str(spec.seed)], ["precision", spec.precision]]
    if training is not None:
        rows.append(
            [
                "training",
                f"{training.epochs} epochs, {training.seconds / 60:,.1f} minutes on {safe(record.environment.device)}",
            ]
        )
    rows.append(["recorded", safe(record.created)])
    yield _table(["", ""], rows)
    if spec.config:
        yield "Hyper-parameters:"
        yield _fenced("yaml", yaml.safe_dump(spec.config, sort_keys=True, allow_unicode=True))


def _robustness(record: Record, best: BestKnown) -> Iterator[str]:
    data, attacks = record.dataset, record.evaluation.attacks
    yield (
        f"On {data.test_images:,} test images of {safe(record.spec.dataset)} (digest {_code(data.test_digest[:8])}), threat "
        f"model {threat_text(record.spec.threat)}. Accuracies in %, with 95 % bootstrap intervals over test images; NSD is the "
        "standard deviation of the per-class accuracies over their mean."
    )
    rows = [[safe(_attack(name)), *_overall(result, data.info.class_names)] for name, result in attacks.items()]
    yield _table(["attack", "average", "worst class", "which", "worst 10 %", "NSD"], rows)
    yield f"Survive every attack: {100 * record.evaluation.worst_case:.2f} %."
    if best.contests:
        by = ", ".join(dict.fromkeys(safe(one.record.by) for one in best.contests))
        yield f"**Best known robust accuracy: {100 * best.accuracy:.2f} %**, after evaluations of the same weights by {by}."
    if signs := why_flattered([record]):
        yield f"**Gradient attacks flatter it** ({safe(signs)}): of these numbers, believe AutoAttack."
    yield "By class:"
    names = [safe(_attack(name)) for name in attacks]
    classes = enumerate(data.info.class_names)
    yield _table(
        ["class", *names], [[safe(name), *(_share(r.per_class[k]) for r in attacks.values())] for k, name in classes]
    )


def _overall(result: AttackRecord, classes: Sequence[str]) -> list[str]:
    shares = [(share, name) for share, name in zip(result.per_class, classes, strict=True) if share is not None]
    worst = min(shares, key=lambda pair: pair[0])[1] if shares else "–"
    nsd = "–" if result.nsd is None else f"{result.nsd:.3f}"
    average, lowest = (_with_interval(result, metric) for metric in ("average", "worst_class"))
    return [average, lowest, safe(worst), f"{100 * result.worst_10:.2f}", nsd]


def _with_interval(result: AttackRecord, metric: str) -> str:
    value, bounds = 100 * getattr(result, metric), result.intervals.get(metric)
    return f"{value:.2f}" if bounds is None else f"{value:.2f} ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _limits(record: Record) -> Iterator[str]:
    yield from ATTACKED_ONLY
    if record.spec.sees == "nothing":
        yield DATA_FREE
    if "autoattack" not in record.evaluation.attacks:
        yield "AutoAttack was not run: what the gradient attacks above leave may be far more than is really left."
    yield from (safe(text) for text in record.warnings)


def _loading(record: Record, files: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """A way for each file that can be loaded."""
    yield "With dfrd-bench, checked against the record's sha256:"
    yield _fenced("python", 'import dfrd_bench\n\nmodel = dfrd_bench.load_student("THIS_FOLDER")\n')
    if "student.pt2" in files:
        yield "With PyTorch alone, gradients included, so that it can be attacked (but only load files of people you trust so):"
        yield _fenced("python", 'import torch\n\nmodel = torch.export.load("student.pt2").module()\n')
    if "student.onnx" in files:
        yield "With onnxruntime:"
        yield _fenced(
            "python",
            'import onnxruntime\n\nsession = onnxruntime.InferenceSession("student.onnx")\n'
            '(logits,) = session.run(["logits"], {"images": images})  # float32, values in [0, 1]\n',
        )
    yield f"`student.safetensors` holds the weights alone, for a {_code(record.spec.student)} of your own."


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True)


def _attack(name: str) -> str:
    """An attack as a stranger knows it."""
    return "AutoAttack" if name == "autoattack" else attack_title(name)


def _code(text: str) -> str:
    """A word of a record between backticks, whatever is in it."""
    plain = printable(text).replace("`", "'")
    return f"`{plain}`"


def _fenced(language: str, text: str) -> str:
    """A block of code that nothing in its text can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}{fence}"

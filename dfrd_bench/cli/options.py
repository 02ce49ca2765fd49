"""Options that several commands share, and the request that their values make."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource

from dfrd_bench.attacks import STANDARD_ATTACKS
from dfrd_bench.cli.threads import use
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.probes import ProbeOn
from dfrd_bench.runs.request import Request, read_request, requested
from dfrd_bench.settings import from_yaml, number

Option = Callable[[Callable[..., Any]], Callable[..., Any]]

results = click.option("--results", default="results", show_default=True, metavar="DIR", help="Folder of all results.")
quiet = click.option("--quiet", is_flag=True, help="No progress, only the outcome.")
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
data_dir = click.option(
    "--data-dir", metavar="DIR", help="Where the dataset's files are already; downloaded once into a cache by default."
)
dataset = click.option("--dataset", metavar="NAME", help="See `list datasets`; digits by default.")
seed = click.option("--seed", default=0, show_default=True, help="Seed of every random draw.")
BALL: tuple[Option, ...] = (
    click.option("--eps", type=float, help="Radius of the L∞ ball; the dataset's by default."),
    click.option("--step", type=float, help="Step size of the attacks; the dataset's by default."),
)
precision = click.option(
    "--precision", default="fp32", show_default=True, type=click.Choice(["fp32", "tf32", "bf16"]), help="Of training."
)
precision_or_auto = click.option(
    "--precision",
    default="fp32",
    show_default=True,
    type=click.Choice(["fp32", "tf32", "bf16", "auto"]),
    help="Of training; auto: fp32 or bf16, whichever is quicker here.",
)
student = click.option(
    "--student",
    metavar="NAME",
    help="See `list students`; the dataset's own by default: wrn-10-1 for digits and on a CPU, on a GPU by the size of the "
    "images (up to 12 pixels wrn-10-1, 24 wrn-16-2, 48 resnet-18, else preactresnet-18).",
)
teacher = click.option(
    "--teacher",
    metavar="NAME",
    help="See `list teachers`; by default the dataset's own: digits-wrn-10-2; of cifar10 and cifar100 "
    "robustbench:Chen2024Data_WRN_34_10, on a CPU robustbench:Addepalli2022Efficient_RN18; other datasets have none.",
)
teacher_arch = click.option(
    "--teacher-arch", metavar="NAME", help="Architecture of a checkpoint: teacher (see `list students`)."
)
NATURAL: tuple[Option, ...] = (
    click.option(
        "--natural-teacher",
        metavar="NAME|FILE|RUN",
        help="Of methods with two teachers, the second: a teacher's name, a weights file, or a run's folder; "
        "the dataset's own by default.",
    ),
    click.option("--natural-teacher-arch", metavar="NAME", help="Its architecture, where it is a weights file."),
)

IMAGES: tuple[Option, ...] = (
    dataset,
    data_dir,
    click.option(
        "--test-images", type=int, metavar="N", help="Test on N images only: the first N / classes of each class."
    ),
)
"""What is classified."""

NETWORKS: tuple[Option, ...] = (
    teacher,
    teacher_arch,
    *NATURAL,
    student,
    click.option(
        "--preset",
        metavar="NAME",
        help="Budget: default, quick, paper, cpu (not for digits); with data also teacher. By default `default`, which "
        "is the papers' but for digits; on a CPU `cpu`, but for digits.",
    ),
    precision_or_auto,
    click.option(
        "--compile/--no-compile", help="Compile the student with torch.compile: for long runs on a GPU.", default=False
    ),
)
"""What learns from what, and for how long."""

PROBING: tuple[Option, ...] = (
    click.option(
        "--probe",
        type=click.IntRange(min=1),
        metavar="N",
        help="Measure the student every N epochs, cheaply, for `figure epochs`; changes nothing of the run.",
    ),
    click.option(
        "--probe-on",
        type=click.Choice(get_args(ProbeOn)),
        default="synthetic",
        show_default=True,
        help="On synthetic images (of methods with data: training images), or on a part of the test images, marked as such.",
    ),
)
"""A look at the training while it goes on."""


def observers(metavar: str, help: str) -> Option:
    """`--observer NAME`: who else is told of a run."""
    return click.option("--observer", "observers", multiple=True, metavar=metavar, help=help)


MEASURING: tuple[Option, ...] = (
    click.option(
        "--attacks",
        default=",".join(STANDARD_ATTACKS),
        show_default=True,
        metavar="A,B,…",
        help="Attacks to run (see `list attacks`).",
    ),
    device,
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Values of these options from a YAML or JSON file; those given here go before them.",
    ),
)
"""How it is measured, and where all of this may stand as well."""


def _use_threads(context: click.Context, option: click.Parameter, count: int | None) -> None:
    if count is not None:
        use(count)


JOBS = (
    "Processes that attack batches of test images side by side, on a GPU or with one thread each (docs/scaling.md); by default, "
    "for AutoAttack on a CPU, as many as there would be threads."
)
jobs = click.option("--jobs", "evaluation_jobs", type=click.IntRange(min=1), metavar="N", help=JOBS)
evaluation_jobs = click.option("--evaluation-jobs", type=click.IntRange(min=1), metavar="N", help=JOBS)
"""Of a command that evaluates one network, and of one that makes many runs, whose `--jobs` are these."""


threads = click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    expose_value=False,
    callback=_use_threads,
    help="Processor threads; as many as OMP_NUM_THREADS says, else as PyTorch takes, by default.",
)


def several(option: Option) -> Option:
    """The same option, but one of a dataset, a teacher or a student may be given several times, or several names with commas."""
    if option not in (dataset, teacher, student):
        return option

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        found = option(command)
        made: click.Option = found.__click_params__[-1]  # type: ignore[attr-defined]  # where click notes it
        made.multiple, made.default, made.metavar = True, (), "NAME,…"
        made.callback = lambda context, option, names: ",".join(names) or None
        return found

    return decorated


def settings(help: str) -> Option:
    """`--set NAME=VALUE`."""
    return click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help=help)


def architecture(help: str) -> Option:
    """`--arch NAME`: the request's student, by a name that also suits a teacher."""
    return click.option("--arch", "student", metavar="NAME", help=help)


def request(*options: Option) -> Option:
    """Give a command these options, and their values as one `Request`.

    A value comes from the command line, or from the file of `--config`, or is the default.
    """

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_request(**values: Any) -> Any:
            context = click.get_current_context()
            owner = _called(context)
            said = {name: values.pop(name) for name in [*values] if name in Request.__dataclass_fields__}
            given = {n: v for n, v in said.items() if context.get_parameter_source(n) is not ParameterSource.DEFAULT}
            if "settings" in given:
                given["settings"] = parse_settings(given["settings"])
            if (file := values.pop("config")) is not None:
                found = read_request(file).to_dict()
                if useless := [name for name in found if name not in said]:
                    raise DfrdBenchError(f"{file}: {useless[0]} is of no use to `{owner}`.")
                for name in given.get("settings", {}):
                    found.pop(name, None)  # --set epochs=1 over the file's `epochs: 3`
                merged = {**found.get("settings", {}), **given.get("settings", {})}
                given = {**found, **given, **({"settings": merged} if merged else {})}
            return command(request=requested(given, owner), **values)

        for option in reversed(options):
            option(with_request)  # click notes its options on the function
        return with_request

    return decorated


def _called(context: click.Context) -> str:
    """A command as users type it, however the program was started."""
    return f"{_called(context.parent)} {context.info_name}" if context.parent else "dfrd-bench"


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """`name=value` texts to values by name; values are read as YAML scalars (0.5, true, null, softmax).

    Raises:
        DfrdBenchError: a text without a name or a value.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.strip():
            raise DfrdBenchError(f"--set takes name=value, not {pair!r}.")
        try:
            values[name.strip()] = number(from_yaml(value, pair))
        except DfrdBenchError as error:
            raise DfrdBenchError(f"--set {pair!r}: the value cannot be read.") from error
    return values

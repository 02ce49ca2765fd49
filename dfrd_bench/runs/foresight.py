"""What is said before a long run begins: how long it will take, about, and which choice is shorter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dfrd_bench.runs.devices import rate_of
from dfrd_bench.runs.forecast import guessed_seconds
from dfrd_bench.runs.guess import Sizes, evaluation_operations, sizes_of, training_operations
from dfrd_bench.runs.preparation import Prepared, resolve_config
from dfrd_bench.runs.rehearsal import duration
from dfrd_bench.runs.request import Request, is_cpu

PLANNED = "--device cuda --dry-run"
LONG = 3600.0  # seconds that need no word
SLOWEST = 2e9  # operations a second that any device does: below so many in all nothing has to be timed
HALF = 0.5  # of the time; a choice that saves less is not named
WHOLE_BALL = 2.0  # times ε, its width
STEPS_OF_ATTACKS = ("attack_step",)  # hyper-parameters that are such a step
QUICK_ATTACKS = ("clean", "fgsm", "pgd20", "cw")


def foreseen(request: Request, prepared: Prepared, attacks: Sequence[str]) -> Iterator[str]:
    """Every line that is to be said before a run begins."""
    lines = (
        said_of_defaults(request, prepared),
        said_of_rounds(request, prepared),
        said_of_steps(prepared),
        said_before(request, prepared, attacks),
    )
    yield from filter(None, lines)


def said_of_defaults(request: Request, prepared: Prepared) -> str:
    """A line on what was chosen for a CPU because nobody said otherwise; "" where nothing was."""
    dataset, spec = prepared.dataset, prepared.spec
    open_ = {
        "default_preset": (request.preset is None and spec.kind == "student", f"--preset {dataset.default_preset}"),
        "default_student": (request.student is None and spec.kind == "student", f"--student {dataset.default_student}"),
        "default_teacher": (
            request.teacher is None and prepared.method_class.has_teacher,
            f"--teacher {dataset.default_teacher}",
        ),
    }
    chosen = [said for field, (asked, said) in open_.items() if asked and field in dataset.on_cpu]
    if not is_cpu(request.device) or not chosen:
        return ""
    slower = (
        ""
        if request.preset in (None, "cpu") or "default_preset" not in dataset.on_cpu
        else " The quickest is --preset cpu."
    )
    return (
        f"On a CPU {', '.join(chosen)}: chosen as they are quick.{slower} The papers' budget is --preset default. What a GPU "
        f"takes by default is another run: the same command with {PLANNED} says what it is and takes, here too."
    )


def said_of_rounds(request: Request, prepared: Prepared) -> str:
    """A line on synthesis steps that were asked for where the preset has several rounds of them; "" where that costs no more."""
    config, method, dataset = prepared.config, prepared.method_class, prepared.dataset
    values, asked = config.model_dump(), request.settings
    rounds, steps = values.get("synthesis_rounds", 1), values.get("synthesis_steps", 0)
    if rounds == 1 or not {"synthesis_steps", "synthesis_rounds"} & asked.keys():
        return ""
    others = {name: value for name, value in asked.items() if name not in ("synthesis_steps", "synthesis_rounds")}
    usual, _ = resolve_config(replace(request, settings=others), method, dataset)
    made, before = (one.made().get("synthesis steps", 0) for one in (config, usual))
    if made <= before or not before:
        return ""
    sizes = sizes_of(prepared, 0)
    rate = rate_of(prepared.problem.device, prepared.spec.precision).training
    now, then = (duration(training_operations(one, sizes) / rate) for one in (config, usual))
    fewer = max(1, round(rounds * before / made))
    return (
        f"{steps} synthesis steps in each of {rounds} rounds an epoch are {made:,} in all, {made / before:.3g} times the "
        f"preset's {before:,}: training takes about {now} here instead of {then} (from operations). "
        f"--set synthesis_rounds={fewer} takes about as many as the preset."
    )


def said_of_steps(prepared: Prepared) -> str:
    """A line on steps of attacks, in training or evaluation, that are wider than the ball; "" where none is.

    A step of twice ε or more ends at the edge of the ball wherever it begins: an attack of several such steps does not search.
    """
    threat, config = prepared.problem.threat, prepared.config.model_dump()
    steps = {"--step": threat.step, **{name: config.get(name) for name in STEPS_OF_ATTACKS}}
    wide = {
        name: step for name, step in steps.items() if isinstance(step, (int, float)) and step >= WHOLE_BALL * threat.eps
    }
    if not wide:
        return ""
    named = ", ".join(f"{name} = {step:.4g}" for name, step in wide.items())
    return (
        f"{named}, and ε = {threat.eps:.4g}: a step of 2 ε or more crosses the whole ball, so that an attack jumps from edge to "
        f"edge. Usual is ε / 4 = {threat.eps / 4:.4g}; steps and ε are in units of images in [0, 1] (8/255 = 0.0314)."
    )


def said_before(request: Request, prepared: Prepared, attacks: Sequence[str]) -> str:
    """A line on a run that will take over an hour; "" for any other.

    The estimate is that from operations, see `guess`, and is right to a factor of two or so.
    """
    sizes = sizes_of(prepared, prepared.dataset.count_tested())
    asked = training_operations(prepared.config, sizes) + evaluation_operations(attacks, sizes)
    if asked < SLOWEST * LONG:
        return ""
    rate = rate_of(prepared.problem.device, prepared.spec.precision)
    training, evaluation = guessed_seconds(prepared, attacks, sizes, rate)
    if training + evaluation <= LONG:
        return ""
    shorter = [*_shorter_trainings(request, prepared, sizes, training), *_shorter_evaluations(attacks, evaluation)]
    advice = f" Shorter: {', '.join(shorter)}." if shorter else ""
    return (
        f"This will take about {duration(training + evaluation)} here: training {duration(training)}, evaluation "
        f"{duration(evaluation)} (from operations, {rate.source}; --dry-run rehearses it).{advice}"
    )


def _shorter_trainings(request: Request, prepared: Prepared, sizes: Sizes, now: float) -> Iterator[str]:
    """The quickest preset, if that saves much; for a teacher, which has one recipe, fewer epochs."""
    usual = training_operations(prepared.config, sizes)
    if now <= LONG * HALF:
        return
    if prepared.spec.kind == "teacher":
        epochs = int(prepared.config.epochs * LONG / now)
        yield f"--epochs {epochs} (about an hour)" if epochs >= 1 else f"--arch {SMALL}"
        return
    method, dataset = prepared.method_class, prepared.dataset
    found = []
    for name in dataset.presets_of(method.sees):
        config, _ = resolve_config(replace(request, preset=name), method, dataset)
        found.append((training_operations(config, sizes) / usual * now, name))
    seconds, name = min(found)
    if seconds < HALF * now:
        yield f"--preset {name} (training {duration(seconds)})"
    elif sizes.student and prepared.spec.student != SMALL:
        yield f"--student {SMALL}"


def _shorter_evaluations(attacks: Sequence[str], now: float) -> Iterator[str]:
    """Without AutoAttack at first, where it is most of a long evaluation."""
    left = [name for name in attacks if name in QUICK_ATTACKS]
    if now > LONG * HALF and left and len(left) < len(attacks):
        yield f"--attacks {','.join(left)} (the others can be added later)"


SMALL = "wrn-10-1"
"""The smallest student."""

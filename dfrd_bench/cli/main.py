"""The command group: finds commands lazily, and turns errors into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any

import click

from dfrd_bench._version import __version__
from dfrd_bench.cli import threads
from dfrd_bench.cli.session import Session, debuggable
from dfrd_bench.cli.signals import CODE, listening, stopped_by
from dfrd_bench.cli.storms import calmed
from dfrd_bench.cli.streams import guarded, one_line
from dfrd_bench.errors import DfrdBenchError, Stopped, asked_to_stop, in_a_line, out_of_memory, unknown_name

COMMANDS = {
    "run": ("run", "Distill a student without data, evaluate and record it."),
    "suite": ("suite", "Make all the runs behind one of the papers' tables."),
    "export": ("export", "Pack a student for others: model card, PyTorch and ONNX programs, RobustBench."),
    "submit": ("submit", "Hand runs in to a shared results repository, with a manifest."),
    "merge": ("merge", "Bring the results of several folders, or machines, into one."),
    "table": ("table", "Print recorded runs as the papers' table."),
    "report": ("report", "Make a site of the results that opens from disk: leaderboards, charts, runs."),
    "compare": ("compare", "Compare runs or methods: which differences are more than chance."),
    "verify": ("verify", "Recompute a record's numbers from its predictions, or from its weights."),
    "audit": ("audit", "Find numbers, recorded or published, that cannot be or do not fit together."),
    "evaluate": ("evaluate", "Evaluate a run, a teacher or a weights file, adding what is missing."),
    "figure": (
        "figure",
        "Draw figures for print: methods against each other, one run's classes, weights, accuracy against ε.",
    ),
    "samples": ("samples", "Draw the images a run synthesized."),
    "inspect": ("inspect", "Say what the images that runs synthesized are to their teacher."),
    "list": ("listing", "List methods, datasets, teachers, students, attacks, launchers, observers, suites or runs."),
    "show": ("show", "Show a method with its hyper-parameters, or a run as a person reads it."),
    "teacher": ("teacher", "Train a robust teacher."),
    "bench": ("bench", "Measure how quick methods, attacks and commands are, beside a plain recipe."),
    "doctor": ("doctor", "Check what dfrd-bench needs here, and say how to mend it."),
    "check": ("check", "Check that a method keeps the contract, and say what to do where it does not."),
    "new-method": ("new_method", "Write a package with a new method in it, ready to install."),
}

EXAMPLE = """
\b
Examples:
  dfrd-bench run --method ferd --dataset digits
  dfrd-bench table results/ --teacher
"""


class LazyGroup(click.Group):
    """Imports a command's module when the command is used, so that `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"dfrd_bench.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, "list_" if cmd_name == "list" else cmd_name.replace("-", "_"))
        return debuggable(command)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As click does, but a wrong name gets the nearest right ones."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise unknown_name("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, epilog=EXAMPLE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dfrd-bench")
def cli() -> None:
    """The benchmark for data-free robust distillation.

    A robust teacher becomes a small robust student without any training data; every class is measured, not only the
    average.
    """


debuggable(cli)


def main(args: list[str] | None = None) -> None:
    """Entry point: wrong use gives one line on stderr and exit code 2, failing code 1, Ctrl-C 130, other signals 128 + number."""
    threads.advise(os.environ)
    with listening() as signals:
        try:
            with guarded(), calmed():
                _main(args, Session(signals))
        except DfrdBenchError as error:  # the last of the output could not be written
            _complain(one_line(error))
            sys.exit(2)
        except BrokenPipeError:
            sys.exit(0)
        except Stopped as stop:  # at the very end
            sys.exit(CODE + stop.number)


def _main(args: list[str] | None, session: Session) -> None:
    try:
        cli.main(args, standalone_mode=False, obj=session)
    except BaseException as error:
        if (number := _signal_behind(error, session)) is not None:
            with suppress(BrokenPipeError):
                click.echo(stopped_by(number, session.left), err=True)
            sys.exit(CODE + number)
        if isinstance(error, BrokenPipeError) or (isinstance(error, SystemExit) and _of_a_command(error)):
            raise
        if isinstance(error, click.exceptions.Exit):
            sys.exit(error.exit_code)
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            click.echo(error.format_message(), err=True)
            sys.exit(2)
        if session.debug:
            traceback.print_exc()
        text, code = _explained(error)
        _complain(text)
        sys.exit(code)


def _signal_behind(error: BaseException, session: Session) -> int | None:
    """The signal that ended the work, also where code on the way made another error of it; None if there was none."""
    if session.signals.number is not None:
        return session.signals.number
    origin = error.__cause__ if isinstance(error, click.Abort) else error  # click makes it of Ctrl-C
    if origin is None or (isinstance(origin, KeyboardInterrupt) and asked_to_stop(origin)):
        return int(signal.SIGINT)
    return None


def _of_a_command(end: SystemExit) -> bool:
    """Whether a command chose this end, and not code that it called."""
    frames = [frame for frame, _ in traceback.walk_tb(end.__traceback__)]
    return str(frames[-1].f_globals.get("__name__")).startswith(("dfrd_bench.cli.", "click."))


def _explained(error: BaseException) -> tuple[str, int]:
    """What to say about an error, and the exit code."""
    if isinstance(error, DfrdBenchError):
        return one_line(error), error.exit_code
    if isinstance(error, click.ClickException):
        hint = f" See {error.ctx.command_path} --help." if isinstance(error, click.UsageError) and error.ctx else ""
        return f"{error.format_message()}{hint}", 2
    if isinstance(error, (RuntimeError, MemoryError)) and out_of_memory(error):
        return (
            "Memory ran out. Choose a device with more, a smaller network or, in training, --set batch_size=…. "
            "Finished results and the last checkpoint are kept."
        ), 2
    origin = error.__cause__ if isinstance(error, click.Abort) and error.__cause__ else error
    return f"{one_line(in_a_line(origin))} (--debug shows where)", 1


def _complain(text: str) -> None:
    with suppress(BrokenPipeError):  # the exit code says it too
        click.echo(f"Error: {text}", err=True)

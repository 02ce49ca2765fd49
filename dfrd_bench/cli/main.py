"""The command group: finds commands lazily, and turns errors into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from dfrd_bench._version import __version__
from dfrd_bench.cli import threads
from dfrd_bench.cli.streams import guarded, one_line
from dfrd_bench.errors import DfrdBenchError, out_of_memory, unknown_name

COMMANDS = {
    "run": ("run", "Distill a student without data, evaluate and record it."),
    "suite": ("suite", "Make all the runs behind one of the papers' tables."),
    "table": ("table", "Print recorded runs as the papers' table."),
    "compare": ("compare", "Compare two runs image by image: which differences are more than chance."),
    "verify": ("verify", "Recompute a record's numbers from its predictions, or from its weights."),
    "audit": ("audit", "Find numbers, recorded or published, that cannot be or do not fit together."),
    "evaluate": ("evaluate", "Evaluate a run, a teacher or a weights file, adding what is missing."),
    "figure": ("figure", "Draw confusion matrices and attack targets of a run, or its accuracy against ε."),
    "samples": ("samples", "Draw the images a run synthesized."),
    "inspect": ("inspect", "Say what the images that runs synthesized are to their teacher."),
    "list": ("listing", "List methods, datasets, teachers, students or attacks."),
    "show": ("show", "Show a method: its paper and every hyper-parameter."),
    "teacher": ("teacher", "Train a robust teacher."),
    "bench": ("bench", "Measure how quick methods, attacks and commands are, beside a plain recipe."),
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
        return command

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


def main(args: list[str] | None = None) -> None:
    """Entry point: a user's mistake gives one line on stderr and exit code 2, Ctrl-C 130."""
    threads.advise(os.environ)
    try:
        with guarded():
            _main(args)
    except DfrdBenchError as error:  # the last of the output could not be written
        click.echo(f"Error: {one_line(error)}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)


def _main(args: list[str] | None) -> None:
    try:
        cli.main(args, standalone_mode=False)
    except DfrdBenchError as error:
        click.echo(f"Error: {one_line(error)}", err=True)
        sys.exit(2)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        hint = f" See {error.ctx.command_path} --help." if isinstance(error, click.UsageError) and error.ctx else ""
        click.echo(f"Error: {error.format_message()}{hint}", err=True)
        sys.exit(2)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except BrokenPipeError:
        sys.exit(0)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped. The same command goes on from the last checkpoint; finished results are kept.", err=True)
        sys.exit(130)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        click.echo(
            "Error: Memory ran out. Choose a device with more, a smaller network or, in training, --set batch_size=…. "
            "Finished results and the last checkpoint are kept.",
            err=True,
        )
        sys.exit(2)

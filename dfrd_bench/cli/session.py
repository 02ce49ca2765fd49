"""What belongs to one call of the command line: its signals, what it leaves when it is stopped, whether tracebacks are shown."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

import click

from dfrd_bench.cli.signals import Signals
from dfrd_bench.observer import Stops

ANEW = "It leaves nothing half-written; the same command begins anew."
CHECKPOINTS = "The same command goes on from the last checkpoint; finished results are kept."
VERDICTS = "The same command goes on from what the attacks had found; finished results are kept."
TAKEN = "The runs that are named above were taken, each whole; the same command takes the others."


@dataclass
class Session:
    """One call.

    Attributes:
        signals: those that came.
        debug: whether to show the traceback of what goes wrong.
        left: what to say of its work where a signal ends it.
    """

    signals: Signals
    debug: bool = False
    left: str = ANEW


def stops() -> Stops:
    """Whether the user of the command that is running wants it to end."""
    session = _current()
    return session.signals if session else Stops()


def leaves(left: str) -> None:
    """Say what the command that is running leaves where a signal ends it from here on."""
    if session := _current():
        session.left = left


def show_traceback() -> None:
    """Print the traceback of the error that is being handled, where the user wants to see it."""
    if (session := _current()) and session.debug:
        traceback.print_exc()


def _current() -> Session | None:
    context = click.get_current_context(silent=True)
    return context.find_object(Session) if context else None


def debuggable(command: click.Command) -> click.Command:
    """Give a command, and those below it, the option `--debug`."""
    if not any(param.name == "debug" for param in command.params):
        command.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_debug,
                help="Show the traceback of what goes wrong.",
            )
        )
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        debuggable(below)
    return command


def _debug(context: click.Context, param: click.Parameter, value: bool) -> None:
    session = context.find_object(Session)
    if value and session:
        session.debug = True

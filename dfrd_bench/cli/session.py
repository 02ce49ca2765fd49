"""What belongs to one call of the command line, for every command to find: its signals, and whether tracebacks are wanted."""

from __future__ import annotations

from dataclasses import dataclass

import click

from dfrd_bench.cli.signals import Signals
from dfrd_bench.observer import Stops


@dataclass
class Session:
    """One call.

    Attributes:
        signals: those that came.
        debug: whether to show the traceback of what goes wrong.
    """

    signals: Signals
    debug: bool = False


def stops() -> Stops:
    """Whether the user of the command that is running wants it to end."""
    context = click.get_current_context(silent=True)
    session = context.find_object(Session) if context else None
    return session.signals if session else Stops()


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

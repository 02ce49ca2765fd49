"""The options of the launcher that `--launcher` names, as options of the command: its own, or a plugin's."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import click

from dfrd_bench.errors import DfrdBenchError

if TYPE_CHECKING:
    from dfrd_bench.execution.protocol import Launcher

LAUNCHER = "--launcher"
PARAMS, VALUES = "dfrd_bench.launcher.params", "dfrd_bench.launcher.values"  # in a context's `meta`


class LaunchingCommand(click.Command):
    """A command with `--launcher NAME`: what options it has depends on that launcher."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with the launcher's options among the command's."""
        if name := _named(args):
            ctx.meta[PARAMS] = _params(name)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if owner := _owner_of(error.option_name):
                raise click.UsageError(f"{error.option_name} is an option of {LAUNCHER} {owner}.", ctx) from None
            raise

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's options and the launcher's."""
        return [*super().get_params(ctx), *ctx.meta.get(PARAMS, [])]


def chosen_launcher(context: click.Context, name: str) -> Launcher:
    """The launcher of a name, with the values of its options that the command line gave.

    Raises:
        DfrdBenchError: there is none, or it cannot be loaded.
    """
    from dfrd_bench.execution.protocol import with_options
    from dfrd_bench.registry import LAUNCHERS

    return with_options(cast("Launcher", LAUNCHERS.get(name)), context.meta.get(VALUES, {}))


def _named(args: list[str]) -> str:
    """The launcher that a command line names; empty if it names none."""
    for place, word in enumerate(args):
        if word == "--":
            break
        option, separator, value = word.partition("=")
        if option == LAUNCHER:
            return value if separator else "".join(args[place + 1 : place + 2])
    return ""


def _params(name: str) -> list[click.Parameter]:
    from dfrd_bench.execution.protocol import options_of
    from dfrd_bench.registry import LAUNCHERS

    return [_option(field, told) for field, told in options_of(LAUNCHERS.get(name)).items()]


def _option(field: str, told: Mapping[str, Any]) -> click.Option:
    flag, default = isinstance(told["default"], bool), told["default"]
    return click.Option(
        [_flag(field), field],
        is_flag=flag,
        type=None if default is not None else str,
        default=default,
        show_default=bool(default) and not flag,
        metavar=None if flag else told["metavar"],
        help=told["help"],
        expose_value=False,
        callback=_keep,
    )


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    context.meta.setdefault(VALUES, {})[option.name] = value


def _flag(field: str) -> str:
    return "--" + field.replace("_", "-")


def _owner_of(flag: str) -> str:
    """The launcher that has an option; empty if none has."""
    from dfrd_bench.execution.protocol import options_of
    from dfrd_bench.registry import LAUNCHERS

    for name in LAUNCHERS.names():
        with suppress(DfrdBenchError):
            if flag in map(_flag, options_of(LAUNCHERS.get(name))):
                return name
    return ""

"""`dfrd-bench check`: does a method keep the contract?"""

from __future__ import annotations

import sys

import click

from dfrd_bench.cli import options
from dfrd_bench.cli.session import show_traceback
from dfrd_bench.errors import DfrdBenchError, nearest

EPILOG = """
\b
Examples:
  dfrd-bench check ferd
  dfrd-bench check my-method --set inner_steps=2
  dfrd-bench check my-method --debug          with the traceback of the rule that is broken
"""


@click.command(epilog=EPILOG)
@click.argument("method")
@options.settings("A hyper-parameter beside the check's tiny budget, e.g. a loop's steps; several times.")
def check(method: str, settings: tuple[str, ...]) -> None:
    """Check that METHOD keeps the contract, on toy problems: some seconds on a CPU, no dataset and no teacher needed.

    The same as `dfrd_bench.testing.check_method` in a test. A rule that is broken is named, with what to do and a line of
    example; the exit code is 1 then.
    """
    from dfrd_bench.registry import METHODS
    from dfrd_bench.testing import check_method

    if METHODS.parse(method)[0] not in METHODS.names():
        near = " or ".join(map(repr, nearest(method, METHODS.names())))
        raise DfrdBenchError(
            f"No method of the name {method!r} is installed. If it is yours, install it first, with `pip install -e .` in its "
            f"folder{f'; or did you mean {near}?' if near else '.'}"
        )
    found = METHODS.get(method)
    try:
        check_method(found, config=options.parse_settings(settings))
    except AssertionError as error:
        show_traceback()
        click.echo(f"{method} breaks the contract: {error}", err=True)
        sys.exit(1)
    except ValueError as error:
        raise DfrdBenchError(str(error)) from error
    click.echo(f"{method} keeps the contract (docs/adding-a-method.md).")

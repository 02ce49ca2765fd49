"""`dfrd-bench new-method`: a package with a method in it that works, to start from."""

from __future__ import annotations

import keyword
import re
import shlex
import sys
from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

import click

from dfrd_bench.errors import DfrdBenchError

EPILOG = """
\b
Examples:
  dfrd-bench new-method my-method
  dfrd-bench new-method my-method --output ~/work/my-method
  dfrd-bench new-method my-method --with-data
"""
FILES = {
    "README.md": "README.md.in",
    "pyproject.toml": "pyproject.toml.in",
    "$module.py": "method.py.in",
    "tests/test_$identifier.py": "test_method.py.in",
}
WITH_DATA = {**FILES, "$module.py": "method_with_data.py.in"}
TAKEN = (
    *("F", "Tensor", "Reference", "Synthesis", "SynthesizeThenDistill"),
    *("Attacked", "Batch", "InnerAttack", "Learner", "Lesson", "PerImage"),
)
"""What the templates themselves use."""


@click.command("new-method", epilog=EPILOG)
@click.argument("name")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Folder to create; NAME by default."
)
@click.option("--with-data", is_flag=True, help="A method that sees the training images, in tables of its own.")
def new_method(name: str, output: Path | None, with_data: bool) -> None:
    """Write a package with a new method: it installs, runs and passes its test as it is.

    What is yours to write is marked in its one Python file; docs/adding-a-method.md goes through it.
    """
    check_name(name)
    folder = output or Path(name)
    written = write_package(name, folder, WITH_DATA if with_data else FILES)
    click.echo(f"Wrote {', '.join(written)} in {folder}")
    click.echo(
        f"Next: write the method in {folder / written[2]}, then\n"
        f"  pip install -e {shlex.quote(str(folder))} pytest\n"
        f"  dfrd-bench check {name}\n"
        f"  pytest {shlex.quote(str(folder))}\n"
        f"  dfrd-bench run --method {name}"
    )


def check_name(name: str) -> None:
    """Refuse a name that no method can have.

    Raises:
        DfrdBenchError: the rule that is broken, or who has the name.
    """
    from dfrd_bench.registry import METHODS

    rules = {
        "a Python identifier once '-' is replaced by '_' (letters, digits and '_', no digit first)": (
            _identifier(name).isidentifier()
        ),
        "in lower case and without accents": name.isascii() and name == name.lower(),
        "words joined by a single '-' or '_'": bool(re.fullmatch(r"[^\W_]+([-_][^\W_]+)*", name)),
    }
    taken = {_identifier(known): known for known in METHODS.names()}
    for rule, holds in rules.items():
        if not holds:
            better = _nearest(name)
            hint = f" Try {better!r}." if better and _identifier(better) not in taken else ""
            raise DfrdBenchError(f"{name!r} cannot name a method: a name must be {rule}.{hint}")
    if known := taken.get(_identifier(name)):
        raise DfrdBenchError(f"There is a method {known!r} already, of {METHODS.distribution(known)}.")
    if meaning := _meaning(_identifier(name)):
        hint = "" if _identifier(f"my-{name}") in taken else f" Try {f'my-{name}'!r}."
        raise DfrdBenchError(
            f"{name!r} cannot name a method: it is {meaning}, which a package of it would shadow.{hint}"
        )


def _meaning(identifier: str) -> str:
    """What a name means to Python already; empty where it means nothing. Nothing is imported."""
    if keyword.iskeyword(identifier):
        return "a word of Python"
    if identifier in sys.stdlib_module_names:
        return "a module of Python"
    found = find_spec(identifier)
    here = found is None or found.origin is None  # a folder of any name beside what runs is a namespace
    return "" if here else "a module that is installed here"


def write_package(name: str, folder: Path, sources: Mapping[str, str] = FILES) -> list[str]:
    """Write the package of a method; returns its files, relative to the folder.

    Raises:
        DfrdBenchError: the folder has something in it, or cannot be written.
    """
    from dfrd_bench.records.files import write_atomically

    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DfrdBenchError(f"{folder} exists and is left as it is: name another folder with --output.")
    identifier = _identifier(name)
    values = {
        "name": name,
        "slug": name.replace("_", "-"),
        "identifier": identifier,
        "module": f"dfrd_bench_{identifier}",
        "class_name": _class_name(identifier),
    }
    templates = files("dfrd_bench") / "templates" / "plugin"
    written = []
    for target, source in sources.items():
        written.append(Template(target).substitute(values))
        text = Template((templates / source).read_text(encoding="utf-8")).substitute(values)
        write_atomically(folder / written[-1], text.encode())
    return written


def _identifier(name: str) -> str:
    return name.replace("-", "_")


def _class_name(identifier: str) -> str:
    """my_method -> MyMethod; with Method at its end where Python or the template has that name."""
    camel = "".join(part.capitalize() for part in identifier.split("_"))
    return f"{camel}Method" if keyword.iskeyword(camel) or camel in TAKEN else camel


def _nearest(name: str) -> str:
    """A name that keeps the rules, as near as possible to one that does not; empty where there is none."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"my-{words}" if words[:1].isdigit() else words

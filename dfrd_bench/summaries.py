"""The one line that lists say of a registered object: asked of the object, or read in its source without importing it."""

from __future__ import annotations

import ast
from importlib.abc import InspectLoader
from importlib.util import find_spec


def summary_of(thing: object) -> str:
    """An object's `summary`, or the first line of its docstring."""
    text = getattr(thing, "summary", None)
    return text if isinstance(text, str) else first_line(thing)


def first_line(thing: object) -> str:
    """The first line of an object's own docstring, or an empty string."""
    return _first_line(getattr(thing, "__doc__", None))


def summary_in_source(module: str, name: str) -> str:
    """What `summary_of` says of a module's object, read in the module's text: neither it nor what it needs is imported.

    It is read where it stands word for word: `summary="…"` in the call that makes the object or in the body of its class, or
    the class's docstring. The packages that the module lies in are imported.

    Returns:
        The line; empty where it is written in another way, or there is no text.

    Raises:
        ImportError: there is no such package.
        SyntaxError: the text is not Python.
    """
    spec = find_spec(module)
    loader = spec.loader if spec else None
    text = loader.get_source(module) if isinstance(loader, InspectLoader) else None
    made: dict[str, ast.AST] = {}
    for statement in ast.parse(text or "").body:
        match statement:
            case ast.ClassDef():
                made[statement.name] = statement
            case ast.Assign(targets=[ast.Name(id=bound)], value=value):
                made[bound] = value
    return _written(made.get(name), made)


def _written(node: ast.AST | None, made: dict[str, ast.AST]) -> str:
    """The line in a class, or in a call that makes an object."""
    match node:
        case ast.ClassDef():
            for statement in node.body:
                match statement:
                    case ast.Assign(targets=[ast.Name(id="summary")], value=ast.Constant(value=str(line))):
                        return line
            return _first_line(ast.get_docstring(node, clean=False))
        case ast.Call():
            for keyword in node.keywords:
                match keyword:
                    case ast.keyword(arg="summary", value=ast.Constant(value=str(line))):
                        return line
            match node.func:
                case ast.Name(id=maker) if isinstance(made.get(maker), ast.ClassDef):
                    return _written(made[maker], made)
    return ""


def _first_line(text: str | None) -> str:
    lines = (text or "").strip().splitlines()
    return lines[0].strip() if lines else ""

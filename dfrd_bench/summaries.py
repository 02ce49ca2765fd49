"""What lists say of a registered object: asked of the object, or read in its source without importing it."""

from __future__ import annotations

import ast
from functools import lru_cache
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
    made: dict[str, ast.AST] = {}
    for statement in _tree(module).body:
        match statement:
            case ast.ClassDef():
                made[statement.name] = statement
            case ast.Assign(targets=[ast.Name(id=bound)], value=value):
                made[bound] = value
    return _written(made.get(name), made)


def word_in_source(module: str, name: str, attribute: str) -> str:
    """A text that is an attribute of a class, read where it stands word for word: in the class, or in the first base that has it.

    Bases are followed through `from … import …`, also into other modules.

    Returns:
        The text; empty where none of them has it, or it is written in another way.

    Raises:
        ImportError: there is no such package.
        SyntaxError: a text is not Python.
    """
    body = _tree(module).body
    for statement in body:
        match statement:
            case ast.ClassDef(name=found) if found == name:
                bases = [base.id for base in statement.bases if isinstance(base, ast.Name)]
                return _own_word(statement, attribute) or next(
                    filter(None, (word_in_source(module, base, attribute) for base in bases)), ""
                )
            case ast.ImportFrom(module=source, names=names, level=level):
                for alias in names:
                    if (alias.asname or alias.name) == name:
                        above = module.split(".")[: -level or None] if level else []
                        return word_in_source(".".join([*above, *filter(None, [source])]), alias.name, attribute)
    return ""


def _own_word(node: ast.ClassDef, attribute: str) -> str:
    for statement in node.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=found)], value=ast.Constant(value=str(word)))
                | ast.AnnAssign(target=ast.Name(id=found), value=ast.Constant(value=str(word)))
            ) if found == attribute:
                return word
    return ""


@lru_cache
def _tree(module: str) -> ast.Module:
    """A module's text, taken apart; empty where there is no text."""
    spec = find_spec(module)
    loader = spec.loader if spec else None
    text = loader.get_source(module) if isinstance(loader, InspectLoader) else None
    return ast.parse(text or "")


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

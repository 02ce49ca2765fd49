"""A digest of the code behind a name: of a module's source and of all that it imports from its own distribution.

It is that of the parsed text, so comments, docstrings and formatting change nothing, and neither does Python's version.
Nothing is imported to find it: modules are looked up where Python would find them, and read.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

Within = Callable[[str], bool]
"""Whether a module of that name belongs to what is digested."""

WORDS = ("kind", "type_comment")  # fields of a parsed source that say how it was written
SCOPES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_digest(module: str, within: Within) -> str:
    """The sha256 (hexadecimal) of a module and of every module within that it imports, transitively, also inside functions.

    A package counts where something is imported from it, not because a module lies in it. What has no Python source (an
    extension) counts with the bytes of its file. Data files that code reads do not count.

    Args:
        module: its full name.
        within: which modules count; the first always does.
    """
    parts: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in parts:
            continue
        parts[name], imported = _read(name)
        waiting += [other for other in imported if other not in parts and within(other)]
    text = "".join(f"{name} {parts[name]}\n" for name in sorted(parts) if parts[name])
    return hashlib.sha256(text.encode()).hexdigest()


def _read(name: str) -> tuple[str, tuple[str, ...]]:
    """A module's own digest ("" if there is no such module), and the names that it imports, if they are modules or not."""
    spec = _spec_of(name)
    if spec is None:
        return "", ()
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    origin = spec.origin if spec.has_location else None
    if origin is not None and origin.endswith(".py"):
        try:
            status = os.stat(origin)  # noqa: PTH116  (asked of every file, every time)
            return _of_file(origin, package, status.st_mtime_ns, status.st_size)
        except OSError:
            pass
    text = spec.loader.get_source(name) if isinstance(spec.loader, InspectLoader) else None
    if text is not None:
        return _of_text(text, package)
    if origin is not None and Path(origin).is_file():
        return hashlib.sha256(Path(origin).read_bytes()).hexdigest(), ()
    return "", ()


def _spec_of(name: str) -> ModuleSpec | None:
    """Where Python would find a module; the packages that it lies in are looked up, not imported."""
    found: ModuleSpec | None = None
    places: Sequence[str] | None = None
    whole = ""
    for part in name.split("."):
        if whole and places is None:  # a module, in which nothing lies
            return None
        whole = f"{whole}.{part}" if whole else part
        found = next(filter(None, (_asked(finder, whole, places) for finder in sys.meta_path)), None)
        if found is None:
            return None
        where = found.submodule_search_locations
        places = None if where is None else list(where)
    return found


def _asked(finder: object, name: str, places: Sequence[str] | None) -> ModuleSpec | None:
    find = getattr(finder, "find_spec", None)
    found: ModuleSpec | None = find(name, places) if find is not None else None
    return found


@lru_cache(maxsize=4096)
def _of_file(path: str, package: str, _changed: int, _size: int) -> tuple[str, tuple[str, ...]]:
    """The digest of a file's source, and what it imports; asked again where the file was changed."""
    return _of_text(Path(path).read_bytes(), package)


def _of_text(text: str | bytes, package: str) -> tuple[str, tuple[str, ...]]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # whoever imports it is told
        raw = text.encode() if isinstance(text, str) else text
        return hashlib.sha256(raw).hexdigest(), ()
    return hashlib.sha256(canonical(tree).encode()).hexdigest(), tuple(dict.fromkeys(_imports(tree, package)))


def canonical(node: object) -> str:
    """A parsed source as text: without docstrings, places and empty fields, which differ between Python's versions."""
    if isinstance(node, ast.AST):
        fields: dict[str, Any] = {name: getattr(node, name, None) for name in node._fields if name not in WORDS}
        if isinstance(node, SCOPES):
            fields["body"] = _without_docstring(fields["body"])
        said = [f"{name}={canonical(value)}" for name, value in fields.items() if value is not None and value != []]
        if isinstance(node, ast.Constant) and node.value is None:
            said = ["value=None"]
        return f"{type(node).__name__}({','.join(said)})"
    if isinstance(node, list):
        return f"[{','.join(map(canonical, node))}]"
    return ascii(node)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Every module that is imported, and `a.b` for every `from a import b`, which may be one; not those for type checkers."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), orelse=orelse):
                waiting += orelse
                continue
            case ast.Import(names=names):
                for alias in names:
                    parts = alias.name.split(".")
                    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))
            case ast.ImportFrom(module=source, names=names, level=level):
                above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
                base = ".".join([*above, *filter(None, [source])])
                inner = [f"{base}.{alias.name}" for alias in names if alias.name != "*"]
                modules = [name for name in inner if _spec_of(name) is not None]
                yield from modules
                if len(modules) < len(names):
                    yield base
        waiting += ast.iter_child_nodes(node)

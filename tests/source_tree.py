"""The project's source as a graph: which module imports which, read from the text, also inside functions."""

from __future__ import annotations

import ast
from pathlib import Path

import dfrd_bench

ROOT = Path(dfrd_bench.__file__).parent
METHODS = ROOT.parent / "methods"
BENCHMARKS = ROOT.parent / "benchmarks"
BESIDE = {"methods": METHODS, "benchmarks": BENCHMARKS}
"""Parts of the package that lie beside its folder."""


def source_of(module: str) -> Path:
    """The file of a module of this package."""
    parts = module.split(".")[1:]
    path = BESIDE[parts[0]].joinpath(*parts[1:]) if parts and parts[0] in BESIDE else ROOT.joinpath(*parts)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def package_of(path: Path) -> str:
    """The package a file of this project lies in."""
    for name, folder in BESIDE.items():
        if path.is_relative_to(folder):
            return ".".join(["dfrd_bench", name, *path.parent.relative_to(folder).parts])
    return ".".join(["dfrd_bench", *path.parent.relative_to(ROOT).parts])


def imports(path: Path, *, at_import_only: bool = False) -> set[str]:
    """Modules of this project that a file imports, outside `if TYPE_CHECKING`."""
    found: set[str] = set()

    def visit(nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level <= 1, path
                beside = f"{package_of(path)}." if node.level else ""
                module = (beside + (node.module or "")).strip(".")
                for alias in node.names:
                    inner = f"{module}.{alias.name}"
                    ours = inner.startswith("dfrd_bench.") and source_of(inner).exists()
                    found.add(inner if ours else module)
            elif at_import_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            for _, value in ast.iter_fields(node):
                if isinstance(value, list):
                    visit(
                        [child for child in value if isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case))]
                    )  # type: ignore[misc]

    visit(ast.parse(path.read_text(encoding="utf-8")).body)
    return {name for name in found if name.split(".")[0] in ("dfrd_bench", "methods")}


def name_of(path: Path) -> str:
    """The module a file of this project is; a package's `__init__.py` is the package."""
    return package_of(path) if path.stem == "__init__" else f"{package_of(path)}.{path.stem}"


def room_of(module: str) -> str:
    """The first name after `dfrd_bench`: a folder, or a file that lies flat."""
    return module.split(".")[1] if "." in module else module


def rooms(path: Path) -> set[str]:
    """Rooms a file imports from."""
    return {room_of(name) for name in imports(path)}


def files_of(room: str) -> list[Path]:
    """All files of a room, in the rooms within it too."""
    folder = BESIDE.get(room, ROOT / room)
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [ROOT / f"{room}.py"]

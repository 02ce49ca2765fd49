"""The digest of code: what changes it and what does not, on packages written here, whose modules raise when they are imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import METHODS as METHODS_FOLDER

from dfrd_bench.registry import METHODS
from dfrd_bench.sources import canonical, code_digest

PACKAGE = {
    "__init__.py": "raise RuntimeError('imported')\n",
    "method.py": "from . import losses\nfrom .shared.steps import step\n\n\nclass M:\n    rate = 0.5\n",
    "losses.py": "def loss(x):\n    return x\n",
    "shared/__init__.py": "WIDTH = 3\n",
    "shared/steps.py": "def step():\n    from stones.late import put_off\n    return put_off\n",
    "late.py": "import json\n\nput_off = json.dumps(1)\n",
    "other.py": "from .method import M\n",
}
WRITTEN = (  # what Python's versions write differently: f-strings, type parameters, empty fields
    "import os\n@os.fspath\nasync def f(a, /, b: int = 2, *, c=1.5e-9, **d):\n"
    "    x = [*a, {**d}, f'{b!r:>{c}}é', b'\\xff', 1j, ...]\n"
    "    match x:\n        case [1, *rest] if rest: return lambda: (yield)\n    return x[1:, 2], None, -1\n"
)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`stones`, on the path."""
    folder = tmp_path / "stones"
    for name, text in PACKAGE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def digest(module: str = "stones.method") -> str:
    return code_digest(module, lambda name: name.partition(".")[0] == "stones")


def edit(path: Path, text: str) -> None:
    """Write a file; its time is another one, however coarse the file system's clock."""
    import os

    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(before + 10**9, before + 10**9))


@pytest.mark.parametrize(
    "text",
    [
        PACKAGE["losses.py"] + "# and that is all\n",
        '"""Losses."""\n\n\ndef loss(x):\n    """Of x."""\n    return x\n',
        "def loss(\n    x,\n):\n\n    return (x)\n",
    ],
    ids=["comment", "docstrings", "formatting"],
)
def test_words_and_formatting_change_nothing(package: Path, text: str) -> None:
    before = digest()
    edit(package / "losses.py", text)
    assert digest() == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("method.py", PACKAGE["method.py"].replace("0.5", "0.50001")),
        ("losses.py", "def loss(x):\n    return -x\n"),
        ("losses.py", "def loss(x):\n    'of x'\n    return 'of x'\n"),
        ("shared/steps.py", PACKAGE["shared/steps.py"].replace("return put_off", "return 2")),
        ("late.py", "put_off = None\n"),
        ("__init__.py", "raise RuntimeError('also imported from')\n"),
    ],
)
def test_an_edit_of_what_is_imported_changes_it(package: Path, name: str, text: str) -> None:
    """`from . import losses` names a module and takes nothing from the package itself; a name that is none does."""
    before = digest()
    edit(package / name, text)
    assert (digest() != before) == (name != "__init__.py")
    edit(package / name, PACKAGE[name])
    assert digest() == before


@pytest.mark.parametrize("name", ["other.py", "shared/__init__.py"])
def test_what_is_not_imported_does_not_count(package: Path, name: str) -> None:
    before = digest()
    edit(package / name, "changed = 1\n")
    assert digest() == before


def test_what_is_imported_from_a_package_counts_and_for_type_checkers_alone_does_not(package: Path) -> None:
    edit(
        package / "losses.py",
        "from typing import TYPE_CHECKING\nfrom .shared import WIDTH\nif TYPE_CHECKING:\n    from . import other\n",
    )
    before = digest()
    edit(package / "other.py", "changed = 1\n")
    assert digest() == before
    edit(package / "shared" / "__init__.py", "WIDTH = 4\n")
    assert digest() != before


def test_nothing_is_imported_and_circles_end(package: Path) -> None:
    edit(package / "losses.py", "from . import method\n")
    assert digest() == digest()
    assert not [name for name in sys.modules if name.startswith("stones")]


def test_it_is_the_same_from_another_folder_and_depends_on_which_module_says_what(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest()
    package.rename(tmp_path / "elsewhere")
    (tmp_path / "moved").mkdir()
    (tmp_path / "elsewhere").rename(tmp_path / "moved" / "stones")
    monkeypatch.syspath_prepend(tmp_path / "moved")
    assert digest() == before
    one, other = tmp_path / "moved/stones/losses.py", tmp_path / "moved/stones/late.py"
    texts = one.read_text(encoding="utf-8"), other.read_text(encoding="utf-8")
    edit(one, texts[1])
    edit(other, texts[0])
    assert digest() != before


def test_a_module_that_is_not_there_or_not_python_has_a_digest_too(package: Path) -> None:
    edit(package / "losses.py", "def (:\n")
    broken = digest()
    edit(package / "losses.py", "def ):\n")
    assert digest() != broken
    assert len(digest("stones.missing")) == 64


def test_a_source_reads_the_same_in_every_version_of_python() -> None:
    """The text is written here, so that whichever version runs this test is held against it."""
    assert canonical(ast.parse("x: int = -1  # one\n")) == (
        "Module(body=[AnnAssign(target=Name(id='x',ctx=Store()),annotation=Name(id='int',ctx=Load()),"
        "value=UnaryOp(op=USub(),operand=Constant(value=1)),simple=1)])"
    )
    assert canonical(ast.parse(WRITTEN)).count("=[]") == 0
    assert canonical(ast.parse("None")) == "Module(body=[Expr(value=Constant(value=None))])"
    assert canonical(ast.parse("u'a' 'é'; 1")) == "Module(body=[Expr(value=Constant(value=1))])"  # a docstring


def test_a_type_parameter_that_a_later_python_knows_is_left_out_where_it_is_empty() -> None:
    (function,) = ast.parse("def f(): return 1").body
    before = canonical(function)
    function._fields = (*function._fields, "type_params", "more")  # type: ignore[misc]
    function.type_params = []  # type: ignore[attr-defined]
    assert canonical(function) == before


class TestBuiltInMethods:
    def test_each_file_has_its_own_and_all_are_told_without_importing_pytorch(self) -> None:
        script = (
            "import sys\nfrom dfrd_bench.registry import METHODS\n"
            "print(len({METHODS.code(name) for name in METHODS.names()}))\nassert 'torch' not in sys.modules"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        files = [path for path in METHODS_FOLDER.rglob("*.py") if path.name != "__init__.py"]
        assert int(done.stdout) == len(files) > 20

    def test_what_trains_counts_and_what_measures_does_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each file's own part is replaced in turn: the blocks and attacks that FERD is made of, and what it is not."""
        from dfrd_bench import sources

        before, read = METHODS.code("ferd"), sources._read

        def changed(module: str) -> bool:
            def other(name: str) -> tuple[str, tuple[str, ...]]:
                digest, names = read(name)
                return ("0" if name == module else digest), names

            with monkeypatch.context() as patch:
                patch.setattr(sources, "_read", other)
                return METHODS.code("ferd") != before

        trains = [
            "methods.data_free.ferd",
            "distillation.synthesis",
            "distillation.losses",
            "attacks.projected_gradient",
        ]
        others = [
            "methods.data_free.zskt",
            "distillation.learner",
            "attacks.autoattack",
            "runs.run",
            "evaluation.metrics",
        ]
        assert [changed(f"dfrd_bench.{name}") for name in trains] == [True] * len(trains)
        assert [changed(f"dfrd_bench.{name}") for name in others] == [False] * len(others)

    def test_what_was_loaded_keeps_its_digest_when_its_file_is_edited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = METHODS.code_loaded("dfhl")
        monkeypatch.setattr("dfrd_bench.registry.code_digest", lambda *_: "0" * 64)
        assert METHODS.code("dfhl") == "0" * 64
        assert METHODS.code_loaded("dfhl") == before

"""The rooms of the house import in one direction, and nothing imports itself through others."""

from __future__ import annotations

import graphlib

import pytest
from source_tree import BENCHMARKS, ROOT, files_of, imports, name_of, room_of, rooms

FLOORS = (
    {"method", "problem", "registry", "sources", "summaries", "settings", "observer", "errors", "images", "_version"},
    {"records"},
    {"attacks", "datasets", "students", "distillation", "evaluation", "teachers", "reporting", "testing", "observers"},
    {"runs"},
    {"execution", "exchange", "benchmarks"},
    {"cli"},
    {"__main__", "dfrd_bench"},  # the package's own face
)
"""From the ground up; a room imports from its own floor or from below."""
FLOOR_OF = {room: floor for floor, names in enumerate(FLOORS) for room in names}
FACES = (ROOT / "__init__.py", ROOT / "__main__.py")
LEAVES = ("_version", "errors", "images", "problem")  # rooms that import none, or errors only
FILES = sorted([*ROOT.rglob("*.py"), *BENCHMARKS.rglob("*.py")])
PRODUCT_ONLY = {
    f"dfrd_bench.distillation.{name}"
    for name in ["bottleneck", "adversaries", "batchnorm", "split", "inversion", "losses"]
}
"""What the plain recipe, against which the product is measured and checked, computes itself."""


def test_every_room_is_on_a_floor() -> None:
    assert len(FILES) > 100
    assert {room_of(name_of(path)) for path in FILES} <= FLOOR_OF.keys()


def test_no_arrow_runs_back_up() -> None:
    arrows = {(room_of(name_of(path)), target) for path in FILES if path not in FACES for target in rooms(path)}
    assert ("cli", "runs") in arrows
    assert [(source, target) for source, target in arrows if FLOOR_OF[source] < FLOOR_OF[target]] == []


def test_nothing_in_the_harness_imports_a_method() -> None:
    for path in FILES:
        assert not [n for n in imports(path) if n.startswith(("methods", "dfrd_bench.methods"))], path


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("errors", set()),
        ("problem", set()),
        ("registry", {"errors", "sources", "summaries"}),
        ("sources", set()),
        ("summaries", set()),
        ("method", {"problem"}),
        ("images", set()),
        ("attacks", {"attacks", "images", "problem", "errors"}),
        ("datasets", {"datasets", *LEAVES, "registry", "observer", "records"}),
        ("distillation", {"distillation", "method", "problem", "attacks", "errors"}),
        ("execution", {"execution", "runs", "records", "observer", "errors"}),
        (
            "exchange",
            {"exchange", "runs", "reporting", "evaluation", "records", "registry", "observer", "errors", "_version"},
        ),
        ("observers", {"observers", "observer", "registry", "records", "errors"}),
        ("records", {"records", "problem", "errors", "settings", "_version"}),
        ("methods", {"methods", "distillation", "method", "problem", "attacks", "errors"}),
    ],
)
def test_a_room_imports_only(room: str, allowed: set[str]) -> None:
    for path in files_of(room):
        assert rooms(path) <= allowed, path


def test_the_plain_recipe_computes_for_itself_what_it_is_compared_with() -> None:
    files = sorted((BENCHMARKS / "speed" / "plain").rglob("*.py"))
    assert files
    for path in files:
        assert not imports(path) & PRODUCT_ONLY, path
        assert not {name for name in imports(path) if room_of(name) == "methods"}, path


def test_only_the_command_line_imports_benchmarks() -> None:
    importing = {room_of(name_of(path)) for path in FILES if "benchmarks" in rooms(path)}
    assert importing == {"cli", "benchmarks"}


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """The first circle of a graph, or none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_file_and_no_room_imports_itself_through_others() -> None:
    """Imports inside functions count: a circle that is put off is one."""
    files = {name_of(path): imports(path) - {name_of(path)} for path in FILES if path not in FACES}
    between_rooms: dict[str, set[str]] = {}
    for path in FILES:
        if path not in FACES:
            room = room_of(name_of(path))
            between_rooms.setdefault(room, set()).update(rooms(path) - {room})
    assert any(files.values())
    assert circle_in(files) == []
    assert circle_in(between_rooms) == []
    assert circle_in({**between_rooms, "records": {"runs"}}) != []

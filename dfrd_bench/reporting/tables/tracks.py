"""Which runs stand in one table: those of a dataset, a teacher and a track, with data or without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal, get_args

from dfrd_bench.problem import Sees
from dfrd_bench.records.schema import NO_TEACHER
from dfrd_bench.reporting.evidence import Run

Track = Literal["data-free", "with data", "both"]
TRACKS: dict[Sees, Track] = {"nothing": "data-free", "training images": "with data"}
Together = Literal["apart", "both"]
ABOUT = {
    "data-free": "",
    "with data": "With data: the methods of this table see the training images; data-free ones are ranked apart from them.",
    "both": "Both tracks: methods that see the training images are ranked with those that see nothing, which is no fair contest.",
}
"""What the legend of a track's table says."""


def has_teacher(run: Run) -> bool:
    """Whether a teacher taught the run's student."""
    return run[1].spec.teacher != NO_TEACHER


def tables_of(runs: Sequence[Run], tracks: Together = "apart") -> Iterator[tuple[str, Track, list[Run]]]:
    """The teacher's name, the track and the runs of each table.

    The track without data comes before that with data; runs of one never stand in a table with those of the other unless
    `tracks` is "both". Runs without a teacher stand in the table of every teacher that has others of their track, or in one of
    their own where there is none. A teacher's own records stand in all of its tables.

    Args:
        runs: of any datasets and teachers.
        tracks: whether they are ranked together.
    """
    for _, group in groupby(sorted(runs, key=lambda run: run[1].spec.dataset), key=lambda run: run[1].spec.dataset):
        of_dataset = list(group)
        taught = sorted((run for run in of_dataset if has_teacher(run)), key=lambda run: run[1].spec.teacher.name)
        free = [run for run in of_dataset if not has_teacher(run)]
        parts: list[tuple[str, Track, list[Run]]] = []
        for name, members in groupby(taught, key=lambda run: run[1].spec.teacher.name):
            mine = list(members)
            parts += [(name, track, part) for track, part in _by_track(mine, tracks)]
        for track, untaught in _by_track(free, tracks):
            hosts = [part for _, other, part in parts if other == track or tracks == "both"]
            hosts = [part for part in hosts if any(run[1].spec.kind == "student" for run in part)]
            for part in hosts:
                part.extend(untaught)
            if not hosts:
                parts.append((NO_TEACHER.name, track, untaught))
        yield from ((name, _track_of(part), part) for name, _, part in parts)


def _by_track(runs: list[Run], tracks: Together) -> list[tuple[Track, list[Run]]]:
    """One teacher's runs, in a part per track; its own records are in each, or by themselves."""
    students = [run for run in runs if run[1].spec.kind == "student"]
    present = [sees for sees in get_args(Sees) if any(run[1].spec.sees == sees for run in students)]
    if tracks == "both" or len(present) < 2:
        return [(_track_of(runs), runs)] if runs else []
    return [
        (TRACKS[sees], [run for run in runs if run[1].spec.kind == "teacher" or run[1].spec.sees == sees])
        for sees in present
    ]


def _track_of(runs: Sequence[Run]) -> Track:
    """The track of a table's students; that without data where there are none."""
    seen = {run[1].spec.sees for run in runs if run[1].spec.kind == "student"}
    return "both" if len(seen) > 1 else TRACKS[seen.pop()] if seen else "data-free"

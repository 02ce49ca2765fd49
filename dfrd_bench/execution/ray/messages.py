"""What a driver asks of a Ray worker, and what the worker says while it makes the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Order:
    """One attempt at a run.

    Attributes:
        request: as `Request.to_dict` has it, with the driver's results folder, whole.
        shared: whether the worker sees that folder, and works in it; else what it makes is brought back.
        cwd: where the driver works; paths of the request begin there, where the worker has such a folder.
        threads: of the run.
        versions: that the worker must have (`runs.installation`).
        every: seconds between two checkpoints that are brought back.
    """

    request: Mapping[str, Any]
    shared: bool
    cwd: str
    threads: int
    versions: Mapping[str, str]
    every: float


@dataclass(frozen=True)
class Here:
    """The run's process has begun: on which machine, on which of Ray's nodes, and its number there."""

    host: str
    node: str
    process: int


@dataclass(frozen=True)
class Place:
    """The run's folder, relative to the results folder: known once the worker is alone in it."""

    name: str


@dataclass(frozen=True)
class File:
    """A file of the run's folder, by its name relative to that; it is not looked at before `Whole`."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Whole:
    """The files so far belong together. At the end: which files there are, so that others can go.

    Attributes:
        names: of all files; None before the end.
    """

    names: Sequence[str] | None = None


@dataclass(frozen=True)
class Log:
    """What the run's process wrote since the last time."""

    data: bytes


@dataclass(frozen=True)
class Ended:
    """The run's process has ended; see `Attempt.end`."""

    code: int
    said: str


@dataclass(frozen=True)
class Refused:
    """This worker may not make the run, and why."""

    why: str


Message = Here | Place | File | Whole | Log | Ended | Refused

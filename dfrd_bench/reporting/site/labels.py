"""Where the names of points go in a small chart, so that none covers another."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

WIDTH, HEIGHT = 330.0, 270.0  # pixels of the area that points lie in, at its usual size
LETTER, LINE = 6.6, 13.0  # pixels of a letter and of a line
AWAY, DOT = 8.0, 5.0  # of a name from its point, and of half a point
APART = 16.0  # of a name from what follows it, so that it is seen whose it is
SIDES = ("right-up", "right-down", "left-up", "left-down")
LONGEST = 22  # letters; longer names end in …

INITIALS = re.compile(r"([a-z0-9]+(?:_[a-z0-9]+)+)=")
NUMBERS = re.compile(r"\d\.\d{4,}")

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def placed(
    points: Sequence[tuple[float, float, str]],
    *,
    wanted: Sequence[bool],
    log_x: bool = False,
    corners: Sequence[tuple[float, float]] = (),
) -> list[tuple[str, str]]:
    """A name and a side for each point, or ("", "") where it has no room; earlier points choose first.

    Args:
        points: (x, y, name) of every point in the chart.
        wanted: of each, whether it is to have its name.
        log_x: whether x is drawn on a logarithmic scale.
        corners: what the axes span beside the points.
    """
    every = [*((x, y) for x, y, _ in points), *corners]
    spots = _pixels([(math.log(x) if log_x else x, y) for x, y in every])[: len(points)]
    taken: list[Box] = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in spots]
    found = []
    for (x, y), (_, _, name), asked in zip(spots, points, wanted, strict=True):
        text = shortened(name)
        side = next((s for s in SIDES if asked and _is_free(_box(x, y, text, s), s, taken)), "")
        if side:
            taken.append(_box(x, y, text, side))
        found.append((text, side) if side else ("", ""))
    return found


def shortened(name: str) -> str:
    """A name that is too long with its hyper-parameters by their initials, and cut if it is too long still.

    E.g. "Fast (sr=6+ss=7)" of "Fast (synthesis_rounds=6+synthesis_steps=7)", whose beginning alone names many.
    """
    if len(name) > LONGEST:
        name = NUMBERS.sub(lambda found: f"{float(found[0]):.3g}", INITIALS.sub(_initials, name))
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _initials(found: re.Match[str]) -> str:
    return "".join(part[:1] for part in found[1].split("_")) + "="


def _pixels(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where the points lie, the y axis pointing down, when the axes span just these."""
    if not points:
        return []
    spans = []
    for axis in (0, 1):
        low, high = min(p[axis] for p in points), max(p[axis] for p in points)
        spans.append((low, (high - low) or 1.0))
    (left, wide), (bottom, tall) = spans
    return [((x - left) / wide * WIDTH, HEIGHT - (y - bottom) / tall * HEIGHT) for x, y in points]


def _box(x: float, y: float, text: str, side: str) -> Box:
    across, up = side.split("-")
    wide = LETTER * len(text)
    left = x + AWAY if across == "right" else x - AWAY - wide
    top = y - AWAY - LINE / 2 if up == "up" else y + AWAY - LINE / 2
    return left, top, left + wide, top + LINE


def _is_free(box: Box, side: str, taken: Sequence[Box]) -> bool:
    """Whether it lies within the chart, or nearly, and on nothing else; nor does its far end touch another's point."""
    left, top, right, bottom = box
    inside = left > -8 and right < WIDTH + 8
    left, right = (left, right + APART) if side.startswith("right") else (left - APART, right)
    return inside and not any(left < r and right > le and top < b and bottom > t for le, t, r, b in taken)

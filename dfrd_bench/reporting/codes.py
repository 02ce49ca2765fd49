"""By which code a run was made, in words, and whether that is what its method is made of today."""

from __future__ import annotations

from dfrd_bench.records.schema import ExperimentSpec
from dfrd_bench.registry import METHODS

UNNAMED = "not named"


def short(code: str | None) -> str:
    """A digest of code as people read it."""
    return code[:8] if code else UNNAMED


def is_by_other_code(method: str, code: str | None) -> bool:
    """Whether a run of a method names code that the method is not made of any more.

    Neither one that names none is, nor one of a method that is not installed here.
    """
    return code is not None and method in METHODS.names() and METHODS.code(method) != code


def beside_todays(spec: ExperimentSpec) -> str:
    """By which code a run was made and which is today's, where these differ: "made by 0a1b…, today's is 2c3d…"; else ""."""
    if not is_by_other_code(spec.method, spec.code):
        return ""
    return f"made by {short(spec.code)}, today's is {short(METHODS.code(spec.method))}"


def said_of_code(spec: ExperimentSpec) -> str:
    """By which code a run was made, beside today's; "" for a teacher that was only evaluated."""
    if spec.method == "teacher":
        return ""
    if spec.code is None:
        return f"{UNNAMED}: this record does not say by which code it was made"
    if spec.method not in METHODS.names():
        return f"digest {short(spec.code)}, of a method that is not installed here"
    if not is_by_other_code(spec.method, spec.code):
        return f"digest {short(spec.code)}, which is today's"
    today = short(METHODS.code(spec.method))
    return (
        f"digest {short(spec.code)}, other than today's ({today}): `run` makes this run anew, under a hash of its own"
    )

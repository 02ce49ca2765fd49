"""How often an attack asks the network about an image, for estimates of what an evaluation will take."""

from __future__ import annotations

from dataclasses import dataclass

RIGHT, STANDING = 0.9, 0.5
"""Assumed of a robust network: the share of images that it classifies correctly, and that stands after AutoAttack's first stage.

In the records on digits 0.46 to 0.97 are classified correctly, and 0.04 to 0.69 stand at the end (README); an attack that lets go
of what is broken asks less about a weaker network.
"""


@dataclass(frozen=True)
class Effort:
    """Asked about one image, on average.

    Attributes:
        queries: passes forward only.
        gradients: passes forward, and back to the image.
        assumes: what the average depends on; "" where every image is asked about as often.
    """

    queries: float
    gradients: float
    assumes: str = ""


def autoattack_effort(targets: int, gradient_steps: int, queries: int, *, fast: bool) -> Effort:
    """Of AutoAttack's stages, each on the images that the one before left.

    Args:
        targets: classes that APGD-T and FAB-T aim at.
        gradient_steps: of APGD and FAB, for each target.
        queries: of Square.
        fast: of the shortened version: three targets for every image, and a tenth of the images for what seldom succeeds.
    """
    rest = 0.1 * STANDING if fast else STANDING
    apgd_t = 3 * STANDING + max(targets - 3, 0) * rest if fast else targets * STANDING
    gradients = gradient_steps * (RIGHT + apgd_t + targets * rest)  # FAB asks once with, once without a gradient
    return Effort(
        queries=gradient_steps * targets * rest + queries * rest,
        gradients=gradients,
        assumes=f"{RIGHT:.0%} of the images right and {STANDING:.0%} left by its first stage",
    )

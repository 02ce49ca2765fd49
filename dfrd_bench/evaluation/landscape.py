"""The loss of a network around one image: along the direction an attack takes first, and across it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dfrd_bench.attacks.projected_gradient import cross_entropy, margin

POINTS = 41  # along each side
BATCH = 500


@dataclass(frozen=True)
class Landscape:
    """What a network makes of the images on a square around one.

    Attributes:
        steps: [P] the places along each side, in units of ε, from −1 to 1.
        loss: [P, P] cross-entropy of the image's class; rows across, columns along the gradient's sign.
        margin: [P, P] z_y − max_{j≠y} z_j, negative where the network is wrong.
        class_name: the image's class.
    """

    steps: NDArray[np.float64]
    loss: NDArray[np.float64]
    margin: NDArray[np.float64]
    class_name: str = ""


def landscape(
    model: nn.Module, image: Tensor, label: int, *, eps: float, seed: int, class_name: str = "", points: int = POINTS
) -> Landscape:
    """Ask a network about the images x + a·ε·sign(∇ loss) + b·ε·r for a and b in [−1, 1], r random signs, clipped to [0, 1].

    Args:
        model: in eval mode, where the image is.
        image: [C, H, W] in [0, 1].
        label: its class.
        eps: ε of the threat model.
        seed: of the random signs, which are the same for every network.
        class_name: what the class is called.
        points: along each side; odd, so that the image itself is among them.
    """
    x, y = image[None], torch.tensor([label], device=image.device)
    variable = x.clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(cross_entropy(model(variable).float(), y).sum(), variable)
    stream = np.random.Generator(np.random.Philox(key=[seed, 0]))
    signs = torch.from_numpy(stream.choice(np.array([-1.0, 1.0], dtype=np.float32), size=tuple(x.shape))).to(x)
    half = points // 2
    steps = torch.arange(-half, points - half, device=image.device) / half  # with 0 among them
    across, along = torch.meshgrid(steps, steps, indexing="ij")
    moves = eps * (along.reshape(-1, 1, 1, 1) * gradient.sign() + across.reshape(-1, 1, 1, 1) * signs)
    losses, margins = [], []
    with torch.no_grad():
        for part in torch.split(moves, BATCH):
            logits = model((x + part).clamp(0, 1)).float()
            labels = y.expand(len(part))
            losses.append(cross_entropy(logits, labels))
            margins.append(margin(logits, labels))

    def square(parts: list[Tensor]) -> NDArray[np.float64]:
        return torch.cat(parts).reshape(points, points).double().cpu().numpy()

    return Landscape(steps.double().cpu().numpy(), square(losses), square(margins), class_name)

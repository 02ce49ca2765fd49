"""What most networks are after their last block: BatchNorm, ReLU, a mean over positions and a linear layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dfrd_bench.attacks.folding import scale_and_shift

AGREEMENT = 1e-4  # largest difference of two logits, as a share of the largest, by rounding


@dataclass(frozen=True)
class PooledHead:
    """Logits W·mean_p r(a·z_p + b) + c of features z, per channel; r is ReLU, or nothing.

    Attributes:
        scale: a, [C].
        shift: b, [C].
        weight: W, [K, C].
        bias: c, [K].
        rectified: whether r is ReLU.
    """

    scale: Tensor
    shift: Tensor
    weight: Tensor
    bias: Tensor
    rectified: bool

    @classmethod
    def read(cls, head: Callable[[Tensor], Tensor], features: Tensor) -> PooledHead | None:
        """What a head is in this form; None where it is something else.

        Its layers are read, and what they would compute so is compared with what the head computes.

        Args:
            head: features [N, C, H, W] -> logits [N, K].
            features: some, to compare on.
        """
        layers = list(head.modules()) if isinstance(head, nn.Module) else []
        linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
        norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d) and layer.running_var is not None]
        if len(linear) != 1 or len(norms) > 1 or linear[0].in_features != features.shape[1]:
            return None
        with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
            z = features[:4].float()
            z = torch.cat([z, z - z.mean(dim=(2, 3), keepdim=True)])  # of both signs
            expected = head(z)
            a, b = (
                scale_and_shift(norms[0])
                if norms
                else (torch.ones_like(z[0, :, 0, 0]), torch.zeros_like(z[0, :, 0, 0]))
            )
            weight, bias = linear[0].weight, linear[0].bias
            c = torch.zeros_like(weight[:, 0]) if bias is None else bias
            for rectified in (True, False):
                found = cls(a, b, weight.detach(), c.detach(), rectified)
                if bool((found(z) - expected).abs().max() <= AGREEMENT * expected.abs().max()):
                    return found
        return None

    def __call__(self, features: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, K]."""
        u = torch.addcmul(self.shift[:, None, None], features, self.scale[:, None, None])
        pooled = (u.relu() if self.rectified else u).mean(dim=(2, 3))
        return torch.addmm(self.bias, pooled, self.weight.T)


class ShiftedMeans:
    """mean_p r(u_p + t) and its slope in t, for one shift t of each image and channel after another.

    Where r is ReLU, u is sorted once, so that what lies above −t is found in log P steps, and summed already.

    Args:
        head: a, b and r.
        features: z, [N, C, H, W]; u = a·z + b.
    """

    def __init__(self, head: PooledHead, features: Tensor) -> None:
        u = torch.addcmul(head.shift[:, None, None], features, head.scale[:, None, None])
        self.positions = u[0, 0].numel()
        self.rectified = head.rectified
        if self.rectified:
            self.sorted = _sorted(u.reshape(*u.shape[:2], -1).contiguous())  # [N, C, P]
            sums = self.sorted.flip(2).cumsum(2).flip(2)
            self.sums = torch.cat(
                [sums, torch.zeros_like(sums[..., :1])], dim=2
            )  # [N, C, P + 1]: of the i-th and all above
        else:
            self.means = u.mean(dim=(2, 3))

    def at(self, shift: Tensor) -> tuple[Tensor, Tensor | float]:
        """t [N, C] -> means [N, C], slopes [N, C]."""
        if not self.rectified:
            return self.means + shift, 1.0
        below = torch.searchsorted(self.sorted, -shift[..., None], right=True)
        share = 1 - below[..., 0].to(shift.dtype) / self.positions
        return self.sums.gather(2, below)[..., 0] / self.positions + share * shift, share


def _sorted(rows: Tensor) -> Tensor:
    """Each row [N, C, P] in ascending order; on a CPU by NumPy, which has vector instructions for it."""
    if rows.device.type == "cpu":
        return torch.from_numpy(np.sort(rows.numpy(), axis=2))
    return rows.sort(dim=2).values

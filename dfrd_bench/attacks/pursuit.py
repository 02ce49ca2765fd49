"""APGD (Croce & Hein 2020, algorithm 1) on a batch, without the steps that it takes with images already broken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dfrd_bench.attacks.projected_gradient import margin
from dfrd_bench.attacks.verdict import verdict

WORTH_LEAVING = (
    1 / 8
)  # of the images asked about: fewer broken ones are asked along, as a smaller batch costs some preparation


class Pursuit:
    """APGD, target class after target class, on the images that stand: the loop of the library's `perturb`.

    The steps are the library's own. It takes all of them with every image, though; here an image is left alone once the judge
    takes it for another class. (So the class that breaks an image is the first that was found; the library's is the last.)

    Args:
        attack: the library's APGD.
        network: what it is to ask.
        judge: the network whose verdict counts.
        targets: target classes to try, as ranks among the wrong classes, 1 for the likeliest; none for an attack without targets.

    Attributes:
        denied: of the last batch, [N] bool: the network took it for broken, but never the judge.
    """

    def __init__(self, attack: Any, network: nn.Module, judge: nn.Module, targets: Sequence[int] = ()) -> None:
        self.attack, self.network, self.judge, self.targets = attack, network, judge, targets

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Adversarial images [N, C, H, W]; where none was found, the image that came nearest to being one.

        Args:
            x: images [N, C, H, W].
            y: true classes [N].
        """
        self.attack.model = self._answer
        self.attack.init_hyperparam(x)
        torch.manual_seed(self.attack.seed)
        with torch.no_grad():
            logits = self.network(x)
        ranked, standing = logits.argsort(dim=1), logits.argmax(dim=1) == y
        self.labels, self.nearest, self.margins = y, x.clone(), margin(logits, y)
        self.denied = torch.zeros_like(standing)
        for target in self.targets or [1]:
            self.at = standing.nonzero()[:, 0]
            if not len(self.at):
                break
            self.live, self.answers = standing[self.at], logits[self.at]
            self.rows = self.live.nonzero()[:, 0]
            self.attack.y_target = ranked[self.at, -1 - target]
            with torch.no_grad():  # or the library's notes of its steps keep all of them in memory
                self.attack.attack_single_run(x[self.at], y[self.at])
            standing[self.at] = self.live
        return self.nearest

    def _answer(self, x: Tensor) -> Tensor:
        """Logits for the images of this run; those that were left alone keep their last ones, and have no gradient."""
        if len(self.rows):
            logits: Tensor = self.answers.index_put((self.rows,), self.network(x[self.rows]))
        else:
            logits = self.answers + 0 * x.flatten(1).sum(dim=1, keepdim=True)
        self.answers = logits.detach()
        self._look(x.detach())
        live = self.live.nonzero()[:, 0]
        if len(live) <= (1 - WORTH_LEAVING) * len(self.rows):
            self.rows = live
        return logits

    def _look(self, x: Tensor) -> None:
        """Keep what came nearer, and let go what the judge takes for another class."""
        rows = self.live.nonzero()[:, 0]
        at, logits = self.at[rows], self.answers[rows]
        y = self.labels[at]
        found = margin(logits, y)
        nearer = found < self.margins[at]
        claimed = (verdict(logits, y)[0] != y).nonzero()[:, 0]
        if len(claimed):
            with torch.no_grad():
                judged, _ = verdict(self.judge(x[rows[claimed]]), y[claimed])
            confirmed = claimed[judged != y[claimed]]
            self.denied[at[claimed]] = True
            self.denied[at[confirmed]] = False
            self.live[rows[confirmed]] = False
            nearer[confirmed] = True
        self.nearest[at[nearer]], self.margins[at[nearer]] = x[rows[nearer]], found[nearer]

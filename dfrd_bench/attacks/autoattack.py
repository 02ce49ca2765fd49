"""AutoAttack (Croce & Hein 2020), standard version, run by the library pyautoattack."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from dfrd_bench.problem import ThreatModel

STANDARD_TARGETS = 9  # target classes of APGD-T and FAB-T; all other classes where there are fewer
DLR_CLASSES = 4  # the targeted DLR loss of APGD-T looks at the four largest logits


class AttackWarning(UserWarning):
    """Something about an attack that belongs in the record."""


class _Contiguous(nn.Module):
    """The model as the library needs it: plain NCHW in, and a gradient that comes back plain (it calls `.view` on it)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            x = x.contiguous()
            x.register_hook(torch.Tensor.contiguous)  # type: ignore[no-untyped-call]
        logits: Tensor = self.model(x)
        return logits


class _Collect(logging.Handler):
    """Keeps the warnings the library logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(" ".join(record.getMessage().split()))


class AutoAttack:
    """AutoAttack standard: APGD-CE, APGD-T, FAB-T and Square; deterministic given seed and batch."""

    summary = "AutoAttack standard: APGD-CE, APGD-T, FAB-T, Square (Croce & Hein 2020), by pyautoattack"

    def parameters(self, threat: ThreatModel) -> dict[str, Any]:
        """What a record stores about this attack."""
        from importlib.metadata import version

        library = f"pyautoattack {version('pyautoattack')}"
        return {"norm": threat.norm, "eps": threat.eps, "version": "standard", "library": library}

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, *, threat: ThreatModel, indices: Tensor, seed: int
    ) -> Tensor:
        """Adversarial images for a batch; images that survive all four attacks come back unchanged.

        What the library warns about (a randomised model, zero gradients, …) is passed on as `AttackWarning`.
        """
        from pyautoattack import AutoAttack as Library

        attack = Library(_Contiguous(model).eval(), norm=threat.norm, eps=threat.eps, device=x.device, seed=seed)
        with torch.no_grad():
            targets = model(x[:1]).shape[1] - 1
        attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = min(STANDARD_TARGETS, targets)
        if targets + 1 < DLR_CLASSES:
            attack.attacks_to_run = [name for name in attack.attacks_to_run if name != "apgd-t"]
            note = f"autoattack: APGD-T needs {DLR_CLASSES} classes or more and was left out: this is not the standard version"
            warnings.warn(note, AttackWarning, stacklevel=2)
        collect = _Collect()
        devices = [x.device] if x.is_cuda else []  # the library seeds the global generators
        attack.logger.addHandler(collect)
        try:
            with torch.random.fork_rng(devices=devices):
                x_adv: Tensor = attack.run_standard_evaluation(x.contiguous(), y, batch_size=len(x))[0]
        finally:
            attack.logger.removeHandler(collect)
        for message in dict.fromkeys(collect.messages):
            warnings.warn(f"autoattack: {message}", AttackWarning, stacklevel=2)
        return x_adv.detach()


autoattack = AutoAttack()

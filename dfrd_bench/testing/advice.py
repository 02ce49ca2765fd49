"""What to do about a broken rule of the contract, each with a line of example."""

from __future__ import annotations

import re

ADVICE: tuple[tuple[str, str], ...] = (
    (r"PyTorch's random state", "noise = torch.randn(n, generator=self.rng)"),
    (r"NumPy's random state", "rng = np.random.default_rng(self.problem.seed)"),
    (r"Python's random state", "rng = random.Random(self.problem.seed)"),
    (r"the same seed gave another student", "noise = torch.randn(n, generator=self.rng)"),
    (r"another seed gave the same", "self.rng = torch.Generator(problem.device).manual_seed(problem.seed)"),
    (r"the default dtype", "x = torch.zeros(n, dtype=torch.float64)"),
    (r"whether gradients are recorded", "with torch.no_grad(): z = self.problem.teacher(x)"),
    (r"the number of threads", "pass  # leave it to dfrd-bench run --threads N"),
    (r"(precision of float32|deterministic|cuDNN)", "pass  # leave it to dfrd-bench run --precision"),
    (
        r"weight or buffer|teacher: its mode|requires_grad|teacher: its gradient",
        "with frozen(self.problem.teacher) as teacher: z = teacher(x)  # of dfrd_bench.distillation.modes",
    ),
    (r"set of hooks", "handle = layer.register_forward_hook(keep); self.problem.teacher(x); handle.remove()"),
    (
        r"did not restore|state_dict\(\) must hold",
        "self.step = torch.zeros(())  # a tensor is kept by itself, a number is not",
    ),
    (r"saving its state with torch\.save", "return {**super().state_dict(), 'rounds': list(self.rounds)}"),
    (r"every number must be finite", "loss = torch.log(p.clamp_min(1e-8))"),
    (r"must return a dict", "return {'loss': float(loss)}"),
    (r"a name the history itself uses", "return {'my_epoch': float(epoch)}"),
    (r"pixels must be in", "return images.clamp(0, 1)"),
    (r"sample.* must return", "return self.pool.sample(n)[:n].float()  # [n, C, H, W], of problem.shape"),
    (r"the student's weights did not change", "loss.backward(); self.optimiser.step()"),
    (r"weights are no longer finite", "torch.nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)"),
    (r"must stay problem\.student", "self.student.load_state_dict(trained.state_dict())"),
    (r"with has_teacher = False asked", "has_teacher = True"),
    (r"no attribute '(images|labels)'|sees must be one of", "sees = 'training images'"),
    (r"needs_natural_teacher is for", "sees = 'training images'"),
    (r"has no docstring", "'''My method: what it does, in a line.'''"),
    (r"reference must be", "reference = Reference('Title', 'Venue 2026', 'arXiv:0000.00000')"),
    (r"no description or no source", "strength: float = param(1.0, 'weight of the term', 'paper, eq. 3', ge=0)"),
    (r"Config must stay frozen|must be a subclass of MethodConfig", "class MyConfig(MethodConfig): pass"),
    (r"is not a subclass of Method\.", "class MyMethod(Method): pass"),
    (r"building its Config|come back from JSON", "share: float = param(0.5, 'a share', 'ours', ge=0, le=1)"),
    (r"Loss terms must be a dict of tensors", "return {'loss': loss.mean()}  # a dict of scalars"),
    (
        r" fails .*(size|shape|dimension|index|channels)",
        "c, h, w = self.problem.shape; k = self.problem.num_classes  # sizes, never numbers of one dataset",
    ),
)
"""What a message says, and a line that would not have broken the rule; the first that fits counts."""


def advised(message: str) -> str:
    """The message with a line of example below."""
    example = next((line for said, line in ADVICE if re.search(said, message)), "")
    return f"{message}\nFor example: {example}" if example else message

"""PyTorch's defaults while a run is made: what the caller has set for other work must not change a number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def usual_defaults() -> Iterator[None]:
    """While it lasts, new tensors are float32 on the CPU and gradients are recorded; the caller's choices come back after it."""
    import torch

    before = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, before)
        torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        yield

"""Weights in files: reading them safely, matching them to a network, writing them atomically."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.files import write_atomically
from dfrd_bench.records.reading import chunks

if TYPE_CHECKING:
    from torch import Tensor, nn

PREFIXES = ("module.", "model.")
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "student")


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal.

    Raises:
        DfrdBenchError: it cannot be read, or is no regular file.
    """
    digest = hashlib.sha256()
    for chunk in chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a safetensors file or a PyTorch checkpoint; nothing in the file is executed.

    A state dict inside a checkpoint (under `state_dict`, `model`, …) is found; prefixes such as `module.` are removed.

    Raises:
        DfrdBenchError: no such file, truncated, corrupt, or no weights in it.
    """
    import torch

    content = _content(path)
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise DfrdBenchError(f"{path} holds no state dict: expected names mapped to tensors.")
    weights = {str(name): tensor for name, tensor in content.items()}
    for prefix in PREFIXES:
        if weights and all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return weights


def check_safe(path: Path) -> None:
    """Make sure that a file can be read without executing anything in it, before other code reads it.

    Raises:
        DfrdBenchError: no such file, truncated, corrupt, or more than tensors and plain Python values in it.
    """
    _content(path)


def _content(path: Path) -> Any:
    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise DfrdBenchError(f"There is no weights file {path}.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DfrdBenchError(f"{path} is truncated, corrupt, or no weights file ({type(error).__name__}).") from error


def fill(model: nn.Module, weights: Mapping[str, Tensor], *, source: str, architecture: str) -> None:
    """Load weights into a network, all of them and no others.

    Raises:
        DfrdBenchError: the names or shapes differ; the message names the first that do.
    """
    mine = model.state_dict()
    differ = [f"{n} is missing" for n in mine if n not in weights]
    differ += [f"{n} is not in {architecture}" for n in weights if n not in mine]
    differ += [
        f"{n} is {tuple(weights[n].shape)}, {architecture} has {tuple(mine[n].shape)}"
        for n in mine
        if n in weights and weights[n].shape != mine[n].shape
    ]
    if differ:
        more = f" (and {len(differ) - 3} more)" if len(differ) > 3 else ""
        raise DfrdBenchError(f"{source} does not fit {architecture}: {'; '.join(differ[:3])}{more}.")
    model.load_state_dict(dict(weights))


def write_weights(path: Path, model: nn.Module) -> str:
    """Write a network's state dict as safetensors and return the file's sha256."""
    from safetensors.torch import save

    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()})
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()

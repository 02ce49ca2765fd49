"""Weights in files: reading them safely, matching them to a network, writing them atomically."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrd_bench.errors import DfrdBenchError, out_of_memory
from dfrd_bench.records.arrays import quiet
from dfrd_bench.records.files import write_atomically
from dfrd_bench.records.pickled import Foreign, TorchScriptError, read_checkpoint, state_of
from dfrd_bench.records.reading import brief, chunks, opened

if TYPE_CHECKING:
    from torch import Tensor, nn

SAFETENSORS = ".safetensors"
PREFIXES = ("_orig_mod.", "module.", "model.")
WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "net", "student", "network", "weights"),
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema", "swa_state_dict", "swa_model", "averaged_model"),
)
COUNTERS = ("n_averaged",)  # of an averaged model, beside its weights
UNUSED = "num_batches_tracked"  # of BatchNorm; older PyTorch has none, and evaluation has no use for it
RESAVE = 'save the weights alone, torch.save(model.state_dict(), "weights.pt")'


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

    A state dict inside a checkpoint (under `state_dict`, `model`, `model_ema`, …) is found, and so are the weights of a module
    that was saved whole; prefixes such as `module.` and `_orig_mod.` are removed.

    Raises:
        DfrdBenchError: no such file, truncated, corrupt, or no weights in it.
    """
    import torch

    content = _content(path)
    for _ in WRAPPERS:
        if not isinstance(content, Mapping):
            break
        inside = next((content[key] for key in WRAPPERS if isinstance(content.get(key), (Mapping, Foreign))), None)
        if inside is None:
            break
        content = inside
    whole = state_of(content) if isinstance(content, Foreign) else content
    if isinstance(content, Foreign) and whole is None:
        raise DfrdBenchError(
            f"{path} holds an object of {brief(content.name)}, which cannot be read without running its code: {RESAVE}."
        )
    if not isinstance(whole, Mapping) or not all(isinstance(v, torch.Tensor) for v in whole.values()):
        raise DfrdBenchError(f"{path} holds no state dict: expected names mapped to tensors; {RESAVE}.")
    return _without_normalisation(path, _plain_names({str(name): tensor for name, tensor in whole.items()}))


def _plain_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights without prefixes that all of them have, and without what an averaged model counts."""
    stripped = True
    while stripped:
        stripped = False
        for prefix in PREFIXES:
            named = [name for name in weights if name not in COUNTERS]
            if named and all(name.startswith(prefix) for name in named):
                weights = {name.removeprefix(prefix): weights[name] for name in named}
                stripped = True
    return weights


def _without_normalisation(path: Path, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network of a `Sequential(normalize, network)`, if the normalisation changes nothing.

    Raises:
        DfrdBenchError: it does, or does not say: without it, the network is another one.
    """
    before = {name: tensor for name, tensor in weights.items() if name.startswith("0.")}
    behind = {name.removeprefix("1."): tensor for name, tensor in weights.items() if name.startswith("1.")}
    if not behind or len(before) + len(behind) != len(weights) or len(before) > 2:
        return weights
    neutral = {"0.mean": 0, "0.mu": 0, "0.std": 1, "0.sigma": 1}
    if before and all(name in neutral and bool((t == neutral[name]).all()) for name, t in before.items()):
        return behind
    what = " and ".join(before) or "its numbers are not in the file"
    raise DfrdBenchError(
        f"{path} holds a network behind a normalisation of its images ({what}), without which it is another network. "
        "Architectures here take images in [0, 1] as they are: train it so, or write a teacher of your own "
        "that normalises (docs/teachers.md)."
    )


def check_safe(path: Path) -> None:
    """Make sure that a file can be read without executing anything in it, before other code reads it.

    Raises:
        DfrdBenchError: no such file, truncated, corrupt, or more than tensors and plain Python values in it.
    """
    _content(path)  # whose sizes are held against the file
    if path.suffix.lower() != SAFETENSORS:
        _by_torch(path)


def _content(path: Path) -> Any:
    """What is in a file; objects of unknown classes as stand-ins."""
    from safetensors.torch import load_file

    try:
        with opened(path) as file:
            zipped = file.read(4) == b"PK\x03\x04"
        with quiet():
            if path.suffix.lower() == SAFETENSORS:
                return load_file(path)
            return read_checkpoint(path) if zipped else _by_torch(path)
    except DfrdBenchError:
        raise
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise DfrdBenchError(f"There is no weights file {path}.") from error
    except TorchScriptError as error:
        raise DfrdBenchError(f"{path} is a TorchScript archive, a program: {RESAVE}.") from error
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DfrdBenchError(f"{path} is truncated, corrupt, or no weights file ({type(error).__name__}).") from error


def _by_torch(path: Path) -> Any:
    """A checkpoint as PyTorch itself reads it, without executing anything; the only way for those older than 1.6."""
    import torch

    try:
        with quiet():
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises nearly anything
        if named := re.search(r"GLOBAL (\S+) was not an allowed|Unsupported global: GLOBAL (\S+)", str(error)):
            what = f"holds an object of {brief(named[1] or named[2])}, which is not read, as that would run its code"
            raise DfrdBenchError(f"{path} {what}: {RESAVE}.") from error
        raise DfrdBenchError(f"{path} is truncated, corrupt, or no weights file ({type(error).__name__}).") from error


def fill(model: nn.Module, weights: Mapping[str, Tensor], *, source: str, architecture: str) -> None:
    """Load weights into a network, all of them and no others; BatchNorm's `num_batches_tracked` may be missing.

    Raises:
        DfrdBenchError: the names, shapes or kinds of numbers differ; the message names the first that do, from both sides.
    """
    mine = model.state_dict()
    unused = {name: tensor for name, tensor in mine.items() if name.endswith(UNUSED)}
    given = {**{n: t for n, t in unused.items() if n.removesuffix(UNUSED) + "running_mean" in weights}, **weights}
    missing = [f"{n} is missing" for n in mine if n not in given]
    surplus = [f"{brief(n)} is not in {architecture}" for n in given if n not in mine]
    unlike = [
        f"{n} is {_words(given[n], mine[n])}, {architecture} has {_words(mine[n], given[n])}"
        for n in mine
        if n in given
        and (given[n].shape != mine[n].shape or given[n].is_floating_point() != mine[n].is_floating_point())
    ]
    if differ := [*missing, *surplus, *unlike]:
        more = f" (and {len(differ) - 3} more)" if len(differ) > 3 else ""
        theirs = f" The file has names such as {surplus[0].split()[0]}." if surplus and len(missing) > 2 else ""
        raise DfrdBenchError(f"{source} does not fit {architecture}: {'; '.join(differ[:3])}{more}.{theirs}")
    model.load_state_dict(dict(given))


def _words(tensor: Tensor, other: Tensor) -> str:
    """A tensor's shape, or where that is not what differs, its type."""
    return brief(tuple(tensor.shape)) if tensor.shape != other.shape else str(tensor.dtype)


def check_finite(model: nn.Module, *, source: str) -> None:
    """Refuse a network that cannot compute anything.

    Raises:
        DfrdBenchError: naming the first weight that is infinite or no number.
    """
    for name, tensor in model.state_dict().items():
        if not bool(tensor.isfinite().all()):
            raise DfrdBenchError(f"{source}: {name} holds numbers that are not finite. Take an earlier one.")


def write_weights(path: Path, model: nn.Module) -> str:
    """Write a network's state dict as safetensors and return the file's sha256.

    Raises:
        DfrdBenchError: see `saved_weights`; or the file cannot be written.
    """
    data = saved_weights(model)
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def saved_weights(model: nn.Module) -> bytes:
    """A network's state dict as the bytes of a safetensors file.

    Raises:
        DfrdBenchError: it holds something else than tensors, or tensors that share memory.
    """
    from safetensors.torch import save

    try:
        return save({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()})
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        if out_of_memory(error):
            raise
        reason = brief(error)
        raise DfrdBenchError(f"Weights of {type(model).__name__} cannot be saved as {SAFETENSORS}: {reason}") from error

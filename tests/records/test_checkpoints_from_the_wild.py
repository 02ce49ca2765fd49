"""Checkpoints as other people's code leaves them: loaded where that runs nothing of theirs, else one line with what to do."""

from __future__ import annotations

import argparse
import pickle
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import DatasetInfo
from dfrd_bench.records.weights import read_weights
from dfrd_bench.teachers.checkpoint import load_file

INFO = DatasetInfo(name="tiny", shape=(1, 8, 8), class_names=("a", "b", "c", "d"))
State = dict[str, Any]


def whole() -> nn.Module:
    return tiny.wide_resnet(1, 4)


def behind(prefix: str) -> Callable[[State], State]:
    return lambda state: {f"{prefix}{name}": tensor for name, tensor in state.items()}


def averaged(_: State) -> State:
    return {"swa_state_dict": AveragedModel(whole()).state_dict(), "epoch": 3}


LOADED: dict[str, Callable[[State], Any]] = {
    "numpy-scalar": lambda s: {"net": behind("module.")(s), "acc": np.float64(91.2), "best": np.float32(1), "epoch": 3},
    "numpy-array": lambda s: {"net": s, "curve": np.arange(5.0)},
    "arguments": lambda s: {"state_dict": s, "args": argparse.Namespace(lr=0.1, layers=[1, 2])},
    "compiled": behind("_orig_mod."),
    "compiled-parallel": behind("_orig_mod.module."),
    "parallel-compiled": behind("module._orig_mod."),
    "lightning": lambda s: {"state_dict": behind("model.")(s), "callbacks": {}, "loops": {"fit": Path("x")}},
    "old": lambda s: {name: tensor for name, tensor in s.items() if "num_batches" not in name},
    "averaged": averaged,
    "moving-average": lambda s: {"model_ema": behind("module.")(s), "ema_decay": 0.999},
    "whole": lambda _: whole(),
    "whole-inside": lambda _: {"model": whole(), "optimizer": {"state": {0: {"step": 3}}}},
    "whole-parallel": lambda _: nn.DataParallel(whole()),
    "optimizer": lambda s: {"state_dict": s, "optimizer": torch.optim.Adam(whole().parameters()).state_dict()},
    "neutral": lambda s: {"0.mean": torch.zeros(1), "0.std": torch.ones(1), **behind("1.")(s)},
    "half": lambda s: {n: t.half() if t.is_floating_point() else t for n, t in s.items()},
    "parameters": lambda s: {n: nn.Parameter(t, False) if t.is_floating_point() else t for n, t in s.items()},
}


@pytest.mark.parametrize("content", LOADED.values(), ids=LOADED)
def test_is_loaded(tmp_path: Path, content: Callable[[State], Any]) -> None:
    path, state = tmp_path / "w.PTH", whole().state_dict()
    torch.save(content(state), path)
    found = load_file(path, INFO, "wrn-10-1").model.state_dict()
    near = 1e-2 if content is LOADED["half"] else 0
    for name, tensor in state.items():
        if "num_batches" not in name:
            assert torch.allclose(found[name], tensor, atol=near), name


def test_an_upper_case_suffix_means_the_same(tmp_path: Path) -> None:
    state = {name: tensor.contiguous() for name, tensor in whole().state_dict().items()}
    save_file(state, tmp_path / "w.SafeTensors")
    assert read_weights(tmp_path / "w.SafeTensors").keys() == state.keys()


def refused(path: Path) -> str:
    with pytest.raises(DfrdBenchError) as caught:
        load_file(path, INFO, "wrn-10-1")
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("values", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, values: float) -> None:
    state = whole().state_dict()
    state["fc.bias"][2] = values
    torch.save(state, tmp_path / "w.pt")
    assert "fc.bias holds numbers that are not finite" in refused(tmp_path / "w.pt")


@pytest.mark.parametrize("before", [{"0.mean": torch.full((1,), 0.5), "0.std": torch.ones(1)}, {}])
def test_a_network_behind_a_normalisation_is_not_taken_for_one_without(tmp_path: Path, before: State) -> None:
    torch.save({**before, **behind("1.")(whole().state_dict())}, tmp_path / "w.pt")
    message = refused(tmp_path / "w.pt")
    assert "behind a normalisation of its images" in message
    assert ("0.mean and 0.std" in message) == bool(before)


def test_names_of_both_sides_are_shown(tmp_path: Path) -> None:
    torch.save(behind("backbone.")(whole().state_dict()), tmp_path / "w.pt")
    message = refused(tmp_path / "w.pt")
    assert "conv1.weight is missing" in message
    assert message.endswith("The file has names such as backbone.conv1.weight.")


def test_integers_are_no_weights(tmp_path: Path) -> None:
    state = whole().state_dict()
    torch.save({**state, "fc.bias": state["fc.bias"].long()}, tmp_path / "w.pt")
    assert "fc.bias is torch.int64, wrn-10-1 for tiny has torch.float32" in refused(tmp_path / "w.pt")


class Container:
    """Of a class that nobody else has."""

    def __init__(self) -> None:
        self.weights = whole().state_dict()


@pytest.mark.parametrize("zipped", [True, False])
def test_an_unknown_object_is_named_with_how_to_save_again(tmp_path: Path, zipped: bool) -> None:
    torch.save(Container(), tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    message = refused(tmp_path / "w.pt")
    assert "holds an object of test_checkpoints_from_the_wild.Container" in message
    assert 'torch.save(model.state_dict(), "weights.pt")' in message


def test_a_program_is_refused(tmp_path: Path) -> None:
    torch.jit.trace(whole(), torch.zeros(1, 1, 8, 8)).save(tmp_path / "w.pt")  # type: ignore[no-untyped-call]
    assert "is a TorchScript archive" in refused(tmp_path / "w.pt")


def archive(path: Path, pickled: bytes, storages: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as file:
        file.writestr("w/data.pkl", pickled)
        for key, data in storages.items():
            file.writestr(f"w/data/{key}", data)
    return path


def call(module: str, name: str, *args: Any) -> Any:
    """An object whose pickle calls this."""
    return types.SimpleNamespace(module=module, name=name, args=args)


class Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]
    """Writes calls of names that need not exist, and storages of any claim."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, types.SimpleNamespace):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
            if obj.args != ("itself",):
                self.save(tuple(obj.args))
                self.write(pickle.REDUCE)
        elif isinstance(obj, tuple) and obj[:1] == ("storage",):
            super().save(obj, save_persistent_id=False)
            self.write(pickle.BINPERSID)
        else:
            super().save(obj, save_persistent_id)


def pickled(content: Any) -> bytes:
    import io

    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(content)
    return stream.getvalue()


def tensor(count: int, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, key: str = "0") -> Any:
    storage = ("storage", call("torch", "FloatStorage", "itself"), key, "cpu", count)
    return call("torch._utils", "_rebuild_tensor_v2", storage, offset, size, stride, False, None)


NINE = np.arange(9, dtype="<f4").tobytes()


def test_the_hand_made_archive_is_one(tmp_path: Path) -> None:
    path = archive(tmp_path / "w.pt", pickled({"a": tensor(9, (2, 3), (3, 1), 3)}), {"0": NINE})
    assert read_weights(path)["a"].tolist() == [[3, 4, 5], [6, 7, 8]]


CLAIMS = {
    "more than the storage has": tensor(10**12, (10**12,), (1,)),
    "beyond its end": tensor(9, (2, 3), (3, 1), 4),
    "before its beginning": tensor(9, (2,), (1,), -1),
    "backwards": tensor(9, (3,), (-1,), 8),
    "a view of a million times as much": tensor(9, (10**6, 10**6), (0, 0)),
    "a missing storage": tensor(9, (9,), (1,), key="1"),
    "negative size": tensor(9, (-1,), (1,)),
}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_a_tensor_that_claims_what_is_not_there_is_corrupt(tmp_path: Path, claim: Any) -> None:
    path = archive(tmp_path / "w.pt", pickled({"a": claim}), {"0": NINE})
    assert "truncated, corrupt" in refused(path)


def test_compressed_storages_could_grow_without_bound_and_are_refused(tmp_path: Path) -> None:
    count = 1 << 20
    content = pickled({"a": tensor(count, (count,), (1,))})
    path = archive(tmp_path / "w.pt", content, {"0": bytes(4 * count)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10_000
    assert "truncated, corrupt" in refused(path)


@pytest.mark.parametrize(
    "content",
    [
        call("os", "system", "touch executed"),
        call("builtins", "exec", "open('executed', 'w')"),
        call("torch", "load", "other.pt"),
        {"a": tensor(9, (9,), (1,)), "b": call("torch.storage", "_load_from_bytes", b"x")},
    ],
)
def test_nothing_in_an_archive_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any) -> None:
    monkeypatch.chdir(tmp_path)
    refused(archive(tmp_path / "w.pt", pickled(content), {"0": NINE}))
    assert [path.name for path in tmp_path.iterdir()] == ["w.pt"]


def test_a_key_that_would_take_for_ever_to_hash_is_refused(tmp_path: Path) -> None:
    twice = b"".join(pickle.DUP + pickle.TUPLE2 for _ in range(60))
    data = pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.EMPTY_TUPLE + twice + pickle.NONE + pickle.SETITEM + b"."
    assert "truncated, corrupt" in refused(archive(tmp_path / "w.pt", data, {}))


def test_a_memo_of_two_thousand_million_entries_takes_no_memory(tmp_path: Path) -> None:
    data = pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.LONG_BINPUT + b"\xff\xff\xff\x7f" + b"."
    assert read_weights(archive(tmp_path / "w.pt", data, {})) == {}

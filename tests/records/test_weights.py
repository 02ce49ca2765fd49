"""Weights in files: what is read, what is refused and how, what is written."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.weights import fill, read_weights, sha256_of, write_weights
from dfrd_bench.students.base import build_network


@pytest.fixture(scope="module")
def model() -> nn.Module:
    network = tiny.wide_resnet(1, 10)
    network.fc.bias.data = torch.arange(10.0)  # no weight that a fresh network has too
    return network


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class TestRead:
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda state: state,
            lambda state: {"state_dict": state, "epoch": 3},
            lambda state: {"model": {"state_dict": state}} and {"model_state_dict": state},
            lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
            lambda state: {"net": {f"module.model.{name}": tensor for name, tensor in state.items()}},
            lambda state: {f"model.{name}": tensor for name, tensor in state.items()},
        ],
        ids=["plain", "state_dict", "model_state_dict", "module.", "module.model.", "model."],
    )
    def test_a_checkpoint_however_it_is_wrapped(self, tmp_path: Path, model: nn.Module, wrap) -> None:  # type: ignore[no-untyped-def]
        torch.save(wrap(model.state_dict()), tmp_path / "w.pt")
        assert equal(read_weights(tmp_path / "w.pt"), model.state_dict())

    def test_a_prefix_that_not_every_name_has_stays(self, tmp_path: Path) -> None:
        state = {"module.a": torch.ones(1), "b": torch.ones(1)}
        torch.save(state, tmp_path / "w.pt")
        assert equal(read_weights(tmp_path / "w.pt"), state)

    def test_safetensors_lose_their_prefix_too(self, tmp_path: Path, model: nn.Module) -> None:
        save_file({f"module.{n}": t.contiguous() for n, t in model.state_dict().items()}, tmp_path / "w.safetensors")
        assert equal(read_weights(tmp_path / "w.safetensors"), model.state_dict())

    def test_nothing_in_the_file_is_executed(self, tmp_path: Path) -> None:
        marker = tmp_path / "executed"

        class Evil:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return (exec, (f"open({str(marker)!r}, 'w').close()",))

        torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
        with pytest.raises(DfrdBenchError):
            read_weights(tmp_path / "evil.pt")
        assert not marker.exists()


class TestRefused:
    @staticmethod
    def message(path: Path) -> str:
        with pytest.raises(DfrdBenchError) as caught:
            read_weights(path)
        assert "\n" not in str(caught.value)
        assert path.name in str(caught.value)
        return str(caught.value)

    @pytest.mark.parametrize("suffix", ["pt", "safetensors"])
    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
    def test_truncated(self, tmp_path: Path, model: nn.Module, suffix: str, share: float) -> None:
        path = tmp_path / f"w.{suffix}"
        if suffix == "pt":
            torch.save(model.state_dict(), path)
        else:
            write_weights(path, model)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        assert "truncated, corrupt, or no weights file" in self.message(path)

    @pytest.mark.parametrize("suffix", ["pt", "safetensors"])
    @pytest.mark.parametrize(
        "content",
        [
            b"<!DOCTYPE html><html><head><title>Google Drive</title></head></html>",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            b"404: Not Found\n",
        ],
        ids=["html", "git-lfs", "404"],
    )
    def test_a_page_under_the_files_name(self, tmp_path: Path, content: bytes, suffix: str) -> None:
        path = tmp_path / f"w.{suffix}"
        path.write_bytes(content)
        assert "no weights file" in self.message(path)

    def test_text_that_the_unpickler_stumbles_over(self, tmp_path: Path) -> None:
        (tmp_path / "w.pt").write_bytes(b"hello, this is text")
        self.message(tmp_path / "w.pt")

    def test_an_old_checkpoint_cut_anywhere(self, tmp_path: Path) -> None:
        path = tmp_path / "w.pt"
        torch.save({"a": torch.ones(3, 3)}, path, _use_new_zipfile_serialization=False)
        whole = path.read_bytes()
        for length in range(0, len(whole), 5):
            path.write_bytes(whole[:length])
            self.message(path)

    @pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"a": torch.ones(1), "b": "text"}, torch.ones(2)])
    def test_no_state_dict(self, tmp_path: Path, content: object) -> None:
        torch.save(content, tmp_path / "w.pt")
        assert "holds no state dict" in self.message(tmp_path / "w.pt")

    @pytest.mark.parametrize("make_folder", [True, False])
    def test_missing(self, tmp_path: Path, make_folder: bool) -> None:
        path = tmp_path / "gone.pt"
        if make_folder:
            path.mkdir()
        assert "There is no weights file" in self.message(path)


class TestFill:
    def test_every_weight_is_loaded(self, model: nn.Module) -> None:
        other = build_network("wrn-10-1", channels=1, num_classes=10, seed=9)
        fill(other, model.state_dict(), source="file", architecture="wrn-10-1")
        assert equal(other.state_dict(), model.state_dict())

    def test_another_architecture_is_refused_naming_the_first_differences(self, model: nn.Module) -> None:
        other = build_network("wrn:16-2", channels=1, num_classes=10, seed=0)
        before = copy.deepcopy(other.state_dict())
        with pytest.raises(DfrdBenchError) as caught:
            fill(other, model.state_dict(), source="w.pt", architecture="wrn:16-2")
        mine, theirs = other.state_dict(), model.state_dict()
        missing = [name for name in mine if name not in theirs]
        differ = [name for name in mine if name in theirs and mine[name].shape != theirs[name].shape]
        assert str(caught.value).startswith(f"w.pt does not fit wrn:16-2: {missing[0]} is missing; {missing[1]}")
        assert str(caught.value).endswith(f"(and {len(missing) + len(differ) - 3} more).")
        assert equal(other.state_dict(), before)

    def test_shapes_are_named(self, model: nn.Module) -> None:
        other = build_network("wrn-10-1", channels=1, num_classes=7, seed=0)
        with pytest.raises(DfrdBenchError, match=r"fc\.weight is \(10, 64\), x has \(7, 64\); fc\.bias is \(10,\)"):
            fill(other, model.state_dict(), source="w.pt", architecture="x")

    def test_surplus_weights_are_named(self, model: nn.Module) -> None:
        weights = {**model.state_dict(), "extra.weight": torch.ones(1)}
        with pytest.raises(DfrdBenchError, match=r"extra\.weight is not in wrn-10-1\.$"):
            fill(copy.deepcopy(model), weights, source="w.pt", architecture="wrn-10-1")


class TestWrite:
    def test_a_file_another_program_reads_and_its_sha256(self, tmp_path: Path, model: nn.Module) -> None:
        path = tmp_path / "deep" / "w.safetensors"
        digest = write_weights(path, copy.deepcopy(model).to(memory_format=torch.channels_last))
        assert equal(load_file(path), dict(model.state_dict()))
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest() == sha256_of(path)

    def test_equal_networks_give_equal_files(self, tmp_path: Path, model: nn.Module) -> None:
        one, two = write_weights(tmp_path / "a", model), write_weights(tmp_path / "b", copy.deepcopy(model))
        assert one == two

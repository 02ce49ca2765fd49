"""What is taken where nothing is named: by the images' size and the device, and the same on every device once it is filled in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from PIL import Image

from dfrd_bench.datasets.base import open_dataset
from dfrd_bench.registry import DATASETS, STUDENTS
from dfrd_bench.runs.identity import identity_of
from dfrd_bench.runs.preparation import with_defaults
from dfrd_bench.runs.request import Request, is_cpu


def folder_of(path: Path, side: tuple[int, int]) -> str:
    for split in ("train", "test"):
        for name in ("a", "b"):
            place = path / split / name
            place.mkdir(parents=True)
            Image.new("RGB", side).save(place / "1.png")
    return f"imagefolder:{path}"


@pytest.mark.parametrize(
    ("side", "student"),
    [
        ((8, 8), "wrn-10-1"),
        ((16, 16), "wrn-16-2"),
        ((32, 16), "wrn-16-2"),
        ((32, 32), "resnet-18"),
        ((64, 64), "preactresnet-18"),
    ],
)
def test_own_images_have_a_student_of_their_size_and_on_a_cpu_the_smallest(
    tmp_path: Path, side: tuple[int, int], student: str
) -> None:
    name = folder_of(tmp_path / "mine", side)
    assert open_dataset(name).default_student == student
    assert open_dataset(name, on_cpu=True).default_student == "wrn-10-1"
    assert open_dataset(name).default_student == student  # the class is as it was


@pytest.mark.parametrize("name", [name for name in DATASETS.names() if name != "imagefolder"])
def test_defaults_for_a_cpu_are_names_that_there_are(name: str) -> None:
    there, here = open_dataset(name), open_dataset(name, on_cpu=True)
    for data in (there, here):
        assert data.default_preset in data.presets
        assert data.default_preset in data.training_presets
        STUDENTS.get(data.default_student)
        STUDENTS.get(data.teacher_architecture or data.default_student)
    assert (there.default_preset, here.default_preset == "cpu") == ("default", not name.startswith("digits"))
    if here.default_teacher and here.default_teacher.startswith("robustbench:"):
        from dfrd_bench.teachers.robustbench_zoo import zoo

        assert here.default_teacher.partition(":")[2] in zoo(name)


def test_the_device_that_is_named_decides_and_auto_is_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [is_cpu(name) for name in ("cpu", "cuda", "cuda:1")] == [True, False, False]
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert is_cpu("auto") == (not there)


def test_what_is_named_goes_before_and_what_was_filled_in_means_the_same_on_any_device() -> None:
    asked = Request("fast", dataset="cifar10", device="cpu")
    spec = identity_of(asked).spec
    assert (spec.variant, spec.student) == ("cpu", "wrn-10-1")
    assert spec.teacher.name == "robustbench:Addepalli2022Efficient_RN18"
    filled = with_defaults(asked)
    assert identity_of(replace(filled, device="cuda")).spec == spec
    assert identity_of(replace(asked, device="cuda")).spec.variant == "default"
    assert identity_of(replace(asked, preset="default", student="resnet-18")).spec.variant == "default"
    gpu = replace(asked, device="cuda")
    assert with_defaults(gpu) == gpu


def test_digits_are_the_same_on_any_device() -> None:
    specs = [identity_of(Request("ferd", device=device)).spec for device in ("cpu", "cuda")]
    assert specs[0] == specs[1]


def test_help_says_what_the_defaults_are() -> None:
    told = " ".join(tiny.command("run", "--help").out.split())
    assert "wrn-16-2" in told
    assert "Chen2024Data_WRN_34_10" in told
    assert "on a CPU `cpu`" in told
    assert "wrn-34-10" in " ".join(tiny.command("teacher", "train", "--help").out.split())

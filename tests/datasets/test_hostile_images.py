"""Image folders with something else in them: named in one line, at once, and no other program is started."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pictures
import pytest
from PIL import Image

from dfrd_bench.datasets.decoding import LARGEST_SIDE, decode, look
from dfrd_bench.datasets.imagefolder import ImageFolder
from dfrd_bench.errors import DfrdBenchError


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    pictures.folder(tmp_path / "birds")
    return tmp_path / "birds"


def refused(birds: Path) -> str:
    with pytest.raises(DfrdBenchError) as caught:
        ImageFolder(str(birds)).load("test")
    return str(caught.value)


def test_a_pipe_is_named_and_nobody_waits_for_it(birds: Path) -> None:
    os.mkfifo(birds / "test" / "auk" / "9.png")
    assert refused(birds) == f"{birds / 'test' / 'auk' / '9.png'} is a pipe: only regular files are read."


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_a_link_to_an_endless_device_is_named(birds: Path) -> None:
    (birds / "test" / "auk" / "9.png").symlink_to("/dev/zero")
    assert refused(birds).endswith("9.png is a device: only regular files are read.")


def test_a_link_to_an_image_is_an_image(birds: Path) -> None:
    (birds / "test" / "auk" / "9.png").symlink_to(birds / "test" / "heron" / "000.png")
    assert len(ImageFolder(str(birds)).load("test")) == 7


def test_a_large_file_is_named_before_it_is_read(birds: Path) -> None:
    with (birds / "test" / "auk" / "9.png").open("wb") as file:
        file.truncate(1 << 40)
    assert "9.png has 1,099,511,627,776 bytes" in refused(birds)


@pytest.mark.parametrize("form", ["EPS", "PCX", "GIF", "ICO"])
def test_only_the_formats_that_are_meant_are_asked_for(birds: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an EPS file, Pillow would have Ghostscript make an image."""
    program = birds.parent / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {birds.parent / 'started'}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    Image.new("L", (8, 8)).save(birds / "test" / "auk" / "000.png", format=form)
    assert "is not an image that can be read (PNG, JPEG, BMP, PPM, WEBP, TIFF)" in refused(birds)
    assert not (birds.parent / "started").exists()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth: int, colour: int, size: int = 8, rows: int = 8) -> bytes:
    channels = 3 if colour == 2 else 1
    raw = b"".join(b"\0" + b"\x01\xff" * channels * 8 for _ in range(rows))
    head = struct.pack(">IIBBBBB", size, size, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def deep_tiff() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(stream, "TIFF")
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [png(16, 2), png(16, 0), b"P6 8 8 65535\n" + bytes(384), b"P3 8 8 65535\n" + b"0 " * 192, deep_tiff()],
    ids=["png-colour", "png-grey", "ppm", "ppm-plain", "tiff"],
)
def test_sixteen_bits_are_not_cut_to_eight_in_silence(data: bytes) -> None:
    with pytest.raises(DfrdBenchError, match="convert it to RGB or greyscale"):
        look(data, "x.png")
    with pytest.raises(DfrdBenchError, match="convert it to RGB or greyscale"):
        decode(["x.png"], lambda name: data, (3, 8, 8))


def test_a_huge_image_is_refused_by_its_header_without_a_warning() -> None:
    data = b"P6 99999 99999 255\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DfrdBenchError, match=f"(at most {LARGEST_SIDE} a side|is not an image)"):
            look(data, "x.ppm")


def test_an_image_of_another_size_is_refused_before_it_is_decoded() -> None:
    """Its pixels are damaged too, which would be said if they had been looked at."""
    data = png(8, 2, size=4000, rows=1)
    with pytest.raises(DfrdBenchError, match="All images must have one size and mode: x is 4000×4000 RGB"):
        decode(["x"], lambda name: data, (3, 8, 8))


@pytest.mark.skipif(os.name != "posix", reason="names are bytes there")
def test_a_class_whose_name_no_record_could_hold_is_refused_when_the_folder_is_opened(birds: Path) -> None:
    (birds / "test" / "auk").rename(birds / "test" / os.fsdecode(b"caf\xe9"))
    with pytest.raises(DfrdBenchError, match=r"has a class 'caf\\udce9', whose name is not UTF-8: rename"):
        ImageFolder(str(birds))

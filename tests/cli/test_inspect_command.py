"""`dfrd-bench inspect` tells of committed runs what a library told of their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from dfrd_bench.records.store import load_record
from dfrd_bench.reporting.figures.samples import load_samples
from dfrd_bench.runs.inspection import inspect_run, its_teacher
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.request import requested

RESULTS = Path(__file__).parents[2] / "results"
RUN = sorted((RESULTS / "digits").glob("*/*/ferd/*"))[0]


@pytest.mark.skipif(not RESULTS.exists(), reason="the committed results are not installed")
def test_entropy_and_shares_are_those_of_scipy_and_numpy() -> None:
    from scipy.stats import entropy

    record = load_record(RUN)
    samples = load_samples(RUN, record.dataset.info)
    seen = inspect_run(RUN, record, its_teacher(record))
    teacher = prepare(requested({"method": "zskt"})).problem.teacher
    with torch.no_grad():
        probabilities = teacher(torch.from_numpy(samples.images).float() / 255).softmax(dim=1).double().numpy()
    assert seen.entropy == pytest.approx(entropy(probabilities, axis=1).mean(), rel=1e-4)
    counts = np.bincount(samples.classes, minlength=10)
    assert seen.largest == pytest.approx(counts.max() / counts.sum())
    assert seen.spread == pytest.approx(entropy(counts), rel=1e-4)
    assert 0 < seen.distance < 1


def test_wrong_names_and_folders_get_one_line() -> None:
    assert "no records below" in tiny.command("inspect", RESULTS.parent / "docs").err
    outcome = tiny.command("inspect", RESULTS / "digits", "--method", "ferdd")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "'ferd'" in outcome.err

"""Batches that several processes attack: the same classes, stages and warnings as of one, and nothing is lost when one dies."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import plugin_packages
import psutil
import pytest
import tiny
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dfrd_bench.attacks.autoattack import AutoAttack
from dfrd_bench.attacks.verdict import AttackWarning
from dfrd_bench.errors import DfrdBenchError, FailedError
from dfrd_bench.evaluation.evaluate import evaluate_model
from dfrd_bench.evaluation.helpers import Helpers, jobs_that_pay
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import ThreatModel
from dfrd_bench.registry import ATTACKS

THREAT = ThreatModel(eps=0.02, step=0.005)
BATCH = 12
Arrays = dict[str, NDArray[Any]]
PLUGIN = """
import os, pyautoattack, torch, warnings
from unittest import mock
from dfrd_bench.attacks.autoattack import AutoAttack
from dfrd_bench.attacks.verdict import AttackWarning

class Short(AutoAttack):
    \"\"\"All of AutoAttack, with fewer iterations of every part of the library.\"\"\"
    def stages(self, *arguments):
        version = pyautoattack.AutoAttack._set_version
        def cut(library, name="standard"):
            version(library, name)
            library.apgd.n_iter = library.apgd_targeted.n_iter = 10
            library.fab.n_iter, library.square.n_queries = 3, 40
        with mock.patch.object(pyautoattack.AutoAttack, "_set_version", cut):
            return super().stages(*arguments)

class Odd:
    \"\"\"Raises, warns or ends its process at the batch of the image that its name says.\"\"\"
    summary = "odd"
    def __init__(self, what, image): self.what, self.image = what, image
    def parameters(self, threat): return {}
    def __call__(self, model, x, y, *, threat, indices, seed):
        if self.what == "prints": print("by the way")
        if self.what == "warns": warnings.warn(f"from {int(indices[0])}", AttackWarning)
        if self.image in indices.tolist():
            if self.what == "raises": raise ValueError("no image like this")
            if self.what == "ends": os._exit(7)
        return x.flip(3)

short, short_fast = Short(summary="short"), Short(summary="short", fast=True)
raises, ends, warns, prints = Odd("raises", 350), Odd("ends", 350), Odd("warns", 0), Odd("prints", 0)
"""
NAMES = {"short": "short", "short-fast": "short_fast", **{name: name for name in ("raises", "ends", "warns", "prints")}}


@pytest.fixture(autouse=True, scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Attacks that helpers find too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(plugin_packages.plant(tmp_path_factory.mktemp("site"), "attacks", NAMES, PLUGIN))
        plugin_packages.forget()
        yield
    plugin_packages.forget()


@pytest.fixture(scope="module")
def images(batch: tuple[Tensor, Tensor]) -> LabelledImages:
    """Four batches, five images of which are wrong from the start."""
    x, y = batch
    return LabelledImages(x[: 4 * BATCH], torch.cat([(y[:5] + 1) % 10, y[5 : 4 * BATCH]]))


def two(net: nn.Module, images: LabelledImages) -> Helpers:
    return Helpers(2, net, images, threat=THREAT, device=tiny.CPU, seed=4)


@pytest.fixture(scope="module")
def helpers(planted: None, net: nn.Module, images: LabelledImages) -> Iterator[Helpers]:
    """Two for several tests: they cost some seconds to start."""
    with two(net, images) as made:
        yield made


def told(attack: AutoAttack, net: nn.Module, images: LabelledImages, **more: Any) -> tuple[bytes, list[Any], list[str]]:
    """Classes to the byte, stages and warnings."""
    stages: list[Any] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AttackWarning)
        classes = attack.predict(
            *(net, images),
            **{"threat": THREAT, "device": tiny.CPU, "seed": 4, "batch_size": BATCH, **more},
            on_stage=lambda *stage: stages.append(stage),
        )
    return classes.numpy().tobytes(), stages, [str(one.message) for one in caught]


@pytest.mark.parametrize("name", ["short", "short-fast"])
def test_autoattack_says_the_same_by_two_processes_as_by_one(
    net: nn.Module, images: LabelledImages, helpers: Helpers, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, begin = list[tuple[str, int]](), helpers.begin

    def noted(number: int, stage: str, where: Tensor) -> None:
        begun.append((stage, len(where)))
        begin(number, stage, where)

    monkeypatch.setattr(helpers, "begin", noted)
    alone = told(ATTACKS.get(name), net, images)
    together = told(ATTACKS.get(name), net, images, crew=helpers.on(name))
    assert together == alone
    shares = [share for _, share in alone[1]]
    assert 1 > shares[0] > shares[-1] > 0
    assert begun.count(("apgd-ce", BATCH)) == 3  # of 43 images that stand
    assert len(helpers.helpers) == 2
    if name == "short-fast":
        assert any("left out" in text for text in alone[2])


class StopError(Exception):
    """What a user's Ctrl-C is to the loop."""


@pytest.mark.parametrize("first", ["two", "one"])
def test_what_is_stopped_within_a_stage_goes_on_by_one_process_or_two_as_if_there_had_been_no_stop(
    net: nn.Module, images: LabelledImages, helpers: Helpers, first: str
) -> None:
    attack, states, seen, again = ATTACKS.get("short"), list[Arrays](), list[Arrays](), list[Arrays]()
    whole = told(attack, net, images, on_state=states.append)

    def stop(arrays: Arrays) -> None:
        seen.append({name: value.copy() for name, value in arrays.items()})
        if len(seen) == 6:
            raise StopError

    with ExitStack() as stack:
        stopped = stack.enter_context(two(net, images)).on("short") if first == "two" else None
        with pytest.raises(StopError):
            told(attack, net, images, crew=stopped, on_state=stop)
    goes_on = None if first == "two" else helpers.on("short")
    assert len(seen[-1]["accuracies"]) == 2
    assert len(seen[-1]["pending"]) > 0
    assert told(attack, net, images, crew=goes_on, known=seen[-1], on_state=again.append) == whole
    assert len(seen) + len(again) == len(states)  # no batch twice, none left out


def test_a_helper_that_is_killed_is_one_line_and_what_all_others_found_is_kept(
    net: nn.Module, images: LabelledImages
) -> None:
    attack, seen = ATTACKS.get("short"), list[Arrays]()
    whole = told(attack, net, images)
    with two(net, images) as helpers:

        def kill(arrays: Arrays) -> None:
            seen.append({name: value.copy() for name, value in arrays.items()})
            if len(seen) == 5:
                helpers.helpers[0].process.send_signal(signal.SIGKILL)

        with pytest.raises(FailedError, match=r"^A process that attacked a batch was killed by SIGKILL.*goes on\.$"):
            told(attack, net, images, crew=helpers.on("short"), on_state=kill)
    assert len(seen) >= 5
    assert told(attack, net, images, known=seen[-1]) == whole


@pytest.fixture
def many(batch: tuple[Tensor, Tensor]) -> LabelledImages:
    """Three batches of an attack that takes one at a time."""
    return LabelledImages(batch[0].repeat(4, 1, 1, 1)[:700], batch[1].repeat(4)[:700])


def evaluated(net: nn.Module, images: LabelledImages, *attacks: str, **more: Any) -> Any:
    return evaluate_model(net, images, num_classes=10, threat=THREAT, attacks=attacks, device=tiny.CPU, **more)


def test_every_attack_of_an_evaluation_gives_the_same_predictions_numbers_and_warnings(
    net: nn.Module, many: LabelledImages
) -> None:
    progress: list[tuple[str, int]] = []
    unknown: list[tuple[str, int]] = []
    names = ("clean", "fgsm", "pgd20", "warns", "prints")

    def told(name: str, done: int, _total: int, accuracy: float) -> None:
        (unknown if math.isnan(accuracy) else progress).append((name, done))

    alone = evaluated(net, many, *names)
    together = evaluated(net, many, *names, jobs=2, on_batch=told)
    for name in names:
        assert alone[1].attacks[name].tobytes() == together[1].attacks[name].tobytes(), name
        assert alone[0].attacks[name].confusion == together[0].attacks[name].confusion
        assert [done for one, done in progress if one == name][-1] == 700
    assert unknown == [(name, 0) for name in names]  # said before the first batch of each has come back
    assert alone[2] == together[2]
    assert [note for note in together[2] if note.startswith("warns")] == [f"warns: from {n}" for n in (0, 300, 600)]


def test_what_an_attack_raises_in_a_helper_is_raised_here_with_where_it_was(
    net: nn.Module, many: LabelledImages
) -> None:
    with pytest.raises(ValueError, match=r"^no image like this$") as raised:
        evaluated(net, many, "raises", jobs=2)
    assert "dfrd_bench_planted.py" in str(raised.value.__cause__)


def test_an_attack_that_ends_its_process_is_a_line_and_leaves_no_process(net: nn.Module, many: LabelledImages) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(FailedError, match=r"^A process that attacked a batch ended with exit code 7: it said nothing"):
        evaluated(net, many, "ends", jobs=2)
    assert {child.pid for child in psutil.Process().children()} <= before


def test_a_network_that_cannot_be_given_to_another_process_is_refused(many: LabelledImages) -> None:
    class Local(tiny.SmallConv):
        pass

    with pytest.raises(DfrdBenchError, match="cannot be given to other processes, so --jobs must be 1"):
        evaluated(Local().eval(), many, "clean", jobs=2)


def test_helpers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    """However it ends: by SIGKILL it can do nothing about them."""
    script = f"""
import sys, time
sys.path[:0] = {[str(Path(tiny.__file__).parent)]!r}
import tiny
from dfrd_bench.evaluation.helpers import Helpers, jobs_that_pay
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import ThreatModel
import torch
net, x = tiny.SmallConv().eval(), tiny.random_images(8)
helpers = Helpers(2, net, LabelledImages(x, torch.zeros(8, dtype=torch.int64)), threat=ThreatModel(), device=tiny.CPU, seed=0)
helpers.on("clean").begin(0, "", torch.arange(4))
helpers.begin(1, "", torch.arange(4, 8))
helpers.result(lambda *_: None)
print(*[helper.process.pid for helper in helpers.helpers], flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        children = [psutil.Process(int(number)) for number in process.stdout.readline().split()]
        assert len(children) == 2
        for child in children:  # what a terminal or a scheduler sends to all is for the one that started them
            child.send_signal(signal.SIGINT)
            child.send_signal(signal.SIGTERM)
        assert all(child.is_running() for child in children)
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


class TestHowManyPay:
    """Where nobody says how many processes there are to be."""

    @pytest.fixture(autouse=True)
    def three_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch, "get_num_threads", lambda: 3)

    @pytest.mark.parametrize(
        ("attacks", "count"),
        [(("clean", "autoattack"), 3), (("clean", "fgsm", "pgd20", "cw"), 1), (("warns",), 1), ((), 1)],
    )
    def test_one_for_each_thread_where_an_attack_takes_long(
        self, net: nn.Module, attacks: tuple[str, ...], count: int
    ) -> None:
        assert jobs_that_pay(attacks, net, 10, tiny.CPU) == count

    def test_one_on_a_gpu_and_for_a_network_that_stays_here(self) -> None:
        assert jobs_that_pay(["autoattack"], tiny.SmallConv(), 10, torch.device("cuda")) == 1
        odd = tiny.SmallConv()
        odd.register_forward_hook(lambda *_: None)  # which cannot be pickled
        assert jobs_that_pay(["autoattack"], odd, 10, tiny.CPU) == 1

    @pytest.mark.parametrize(("gibibytes", "count"), [(1, 1), (5, 2), (64, 3)])
    def test_no_more_than_there_is_memory_for(
        self, net: nn.Module, gibibytes: int, count: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 2**30, "SC_PHYS_PAGES": gibibytes}[name])
        assert jobs_that_pay(["autoattack"], net, 10, tiny.CPU) == count

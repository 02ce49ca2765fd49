"""The five minutes of docs/datasets.md, command by command, on fewer images and for fewer steps."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import tiny

from dfrd_bench.records.store import find_records

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"
SHORT = {
    "teacher": ("--epochs", "1", "--set", "attack_steps=1", "--set", "batch_size=20"),
    "run": ("--epochs", "1", "--set", "synthesis_steps=1", "--set", "distillation_steps=1", "--set", "batch_size=8"),
}


@pytest.mark.usefixtures("few_digits")
def test_the_five_minutes_can_be_followed_literally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8").split("### Five minutes on a CPU")[1]
    (title, code), *_ = re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    commands = re.search(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert commands is not None
    first, *others = commands[1].replace("\\\n", " ").splitlines()
    assert first == f"python {title}"
    exec(compile(code, title, "exec"), {"__name__": "__main__"})
    for line in others:
        program, command, *words = shlex.split(line)
        assert program == "dfrd-bench"
        fewer = [word.replace("200", "20") for word in words]
        outcome = tiny.command(command, *fewer, *SHORT.get(command, ()))
        assert outcome.code == 0, outcome.err
    assert "Fast" in outcome.out
    found = [record for _, record in find_records(Path("results"))]
    (student,) = [record for record in found if not isinstance(record, Exception)]
    assert student.dataset.info.shape == (1, 16, 16)
    assert student.spec.dataset == "imagefolder-numerals-first20"

"""What a user typed: nearest names, one line for a bad value, and the value that was meant."""

from __future__ import annotations

from typing import Any

import pytest

from dfrd_bench.cli.options import parse_settings
from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.method import MethodConfig, param
from dfrd_bench.registry import METHODS
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.request import Request, names
from dfrd_bench.settings import validated


class Config(MethodConfig):
    """A few hyper-parameters of every type."""

    gamma: float = param(0.5, "γ", "here", ge=0)
    lambda_bn: float = param(5.0, "λ", "here", ge=0)
    flip: bool | None = param(None, "flip", "here")


class TestValidated:
    def test_defaults_stay_where_nothing_was_said(self) -> None:
        assert validated(Config, {"gamma": 0.25}, "demo") == Config(epochs=220, gamma=0.25, lambda_bn=5.0, flip=None)

    @pytest.mark.parametrize(
        ("wrong", "near"), [("gama", "gamma"), ("Lambda_BN", "lambda_bn"), ("epoch", "epochs"), ("lambda", "lambda_bn")]
    )
    def test_a_wrong_name_gets_the_nearest(self, wrong: str, near: str) -> None:
        with pytest.raises(
            DfrdBenchError, match=rf"^Unknown hyper-parameter of demo '{wrong}'\. Did you mean '{near}'"
        ):
            validated(Config, {wrong: 1}, "demo")

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"gamma": "abc"}, r"gamma = 'abc' should be a valid number"),
            ({"gamma": -1}, r"gamma = -1 should be greater than or equal to 0"),
            ({"epochs": 0}, r"epochs = 0 should be greater than or equal to 1"),
            ({"epochs": 1.5}, r"epochs = 1\.5 should be a valid integer"),
            ({"gamma": float("nan")}, r"gamma = nan should be a finite number"),
            ({"gamma": float("inf")}, r"gamma = inf should be a finite number"),
            ({"flip": "maybe"}, r"flip = 'maybe' should be a valid boolean"),
        ],
    )
    def test_a_bad_value_is_shown_with_what_was_expected(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(DfrdBenchError, match=rf"^Bad value for demo: {message}.*\.$") as caught:
            validated(Config, values, "demo")
        assert "\n" not in str(caught.value)

    def test_every_bad_value_is_shown(self) -> None:
        with pytest.raises(DfrdBenchError, match=r"epochs = 0 .*; gamma = -1 "):
            validated(Config, {"epochs": 0, "gamma": -1}, "demo")


class TestParseSettings:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("0.5", 0.5),
            ("1e-3", 0.001),
            ("5", 5),
            ("true", True),
            ("false", False),
            ("null", None),
            ("softmax", "softmax"),
            ("block2.layer.0", "block2.layer.0"),
            ("-1", -1),
            ("a=b", "a=b"),
        ],
    )
    def test_a_value_is_what_a_user_means(self, text: str, value: Any) -> None:
        found = parse_settings([f"x={text}"])["x"]
        assert found == value
        assert type(found) is type(value)

    def test_the_last_of_two_wins(self) -> None:
        assert parse_settings(["a=1", " b = 2", "a=3"]) == {"a": 3, "b": 2}

    @pytest.mark.parametrize("wrong", ["gamma", "=5", " =5", ""])
    def test_what_is_no_pair_is_refused(self, wrong: str) -> None:
        with pytest.raises(DfrdBenchError, match="--set takes name=value"):
            parse_settings([wrong])

    @pytest.mark.parametrize("wrong", ["gamma=[1", "gamma={", "gamma='"])
    def test_a_value_that_cannot_be_read_is_refused_in_one_line(self, wrong: str) -> None:
        with pytest.raises(DfrdBenchError, match="the value cannot be read") as caught:
            parse_settings([wrong])
        assert "\n" not in str(caught.value)

    def test_names_drop_blanks_and_repetitions(self) -> None:
        assert names(" clean,,pgd20 , clean,") == ("clean", "pgd20")


class TestUnknownName:
    def test_names_up_to_three_near_ones(self) -> None:
        message = str(unknown_name("thing", "abcd", ["abce", "abcf", "abcg", "abch", "zzzz"]))
        assert message.count("'abc") == 4  # the one asked for, and three
        assert "zzzz" not in message

    def test_says_so_when_there_is_nothing_to_choose(self) -> None:
        assert str(unknown_name("thing", "x", [])) == "Unknown thing 'x'. Known: none."

    def test_a_name_that_was_not_finished_comes_before_similar_ones(self) -> None:
        known = ["Chen2021LTD", "Chen2020Efficient", "Chen2024Data_WRN_34_10"]
        message = str(unknown_name("model", "chen2024", known))
        assert message.startswith("Unknown model 'chen2024'. Did you mean 'Chen2024Data_WRN_34_10'")


@pytest.mark.parametrize("method", ["ferd", "zskt"])
def test_every_hyper_parameter_says_what_it_means_and_where_it_comes_from(method: str) -> None:
    config = METHODS.get(method).Config
    assert config() == config.model_validate(config().model_dump(mode="json"))
    for name, info in config.model_fields.items():
        assert len(info.description or "") > 5, name
        assert isinstance(info.json_schema_extra, dict), name
        assert info.json_schema_extra["source"], name
        assert not info.is_required(), name


def test_an_unknown_precision_is_refused_from_python_too() -> None:
    with pytest.raises(DfrdBenchError, match=r"Unknown precision 'fp16'\. Did you mean"):
        prepare(Request("ferd", precision="fp16"))  # type: ignore[arg-type]

"""For tests of methods: `check_method` fails with the rule of the contract that is broken, `toy_problem` is a tiny problem."""

from dfrd_bench.testing.conformance import TASKS, TINY, check_method, tiny_config, toy_problem, toy_teacher

__all__ = ["TASKS", "TINY", "check_method", "tiny_config", "toy_problem", "toy_teacher"]

"""For tests of methods: `check_method` fails with the rule of the contract that is broken, `toy_problem` is a tiny problem."""

from dfrd_bench.testing.budget import TINY, tiny_config
from dfrd_bench.testing.conformance import TASKS, check_method
from dfrd_bench.testing.toys import problem_for, toy_problem, toy_teacher, toy_training_problem

__all__ = [
    "TASKS",
    "TINY",
    "check_method",
    "problem_for",
    "tiny_config",
    "toy_problem",
    "toy_teacher",
    "toy_training_problem",
]

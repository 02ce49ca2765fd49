"""dfrd-bench: the benchmark for data-free robust distillation."""

from __future__ import annotations

from dfrd_bench._version import __version__
from dfrd_bench.errors import DfrdBenchError

__all__ = ["DfrdBenchError", "__version__"]

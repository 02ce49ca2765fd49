"""`python -m dfrd_bench.cli.worker …`: the command line as a launcher runs it, which ends when its launcher has ended.

However a launcher dies, its end of the pipe that is the worker's standard input closes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress

from dfrd_bench.cli.main import main
from dfrd_bench.cli.signals import CODE, NAMES

PATIENCE = float(os.environ.get("DFRD_BENCH_PATIENCE", 600.0))  # seconds to come to a checkpoint


def end_with_the_launcher(patience: float = PATIENCE) -> None:
    """Wait until standard input is closed; then end this process, at its next checkpoint or after so many seconds."""
    with suppress(OSError):
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience)
    os._exit(CODE + signal.SIGTERM)


def unblock_signals() -> None:
    """Hear what is to end the process, where whoever began it has blocked that, as Ray's workers do with SIGINT."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [getattr(signal, name) for name in NAMES])


if __name__ == "__main__":
    unblock_signals()
    threading.Thread(target=end_with_the_launcher, name="launcher", daemon=True).start()
    main()

"""A Ray cluster as the launcher needs it: reached within ten seconds or not at all, quiet, and asked what it has room for."""

from __future__ import annotations

import logging
import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dfrd_bench.errors import DfrdBenchError, in_a_line
from dfrd_bench.runs.installation import differing

ANSWER = 10.0  # seconds in which an address must answer
CONNECT = """
import logging, os, sys
import ray
print("imported", flush=True)
try:
    ray.init(address=sys.argv[1], logging_level=logging.CRITICAL, log_to_driver=False)
except BaseException as error:
    print(" ".join(f"{type(error).__name__}: {error}".split()), flush=True)
else:
    print("reached", flush=True)
os._exit(0)
"""
REFUSES = (
    b"InvalidAuthToken"  # what a cluster that wants a token answers; Ray goes on asking and says it on stderr alone
)
WANTS = (
    "it wants a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what `ray get-auth-token` prints there "
    "(not needed by whoever began the cluster on this machine: Ray finds it in ~/.ray/auth_token)."
)
IMPORT = 120.0  # seconds that importing Ray may take on a busy machine
HERE = "local"  # Ray's name for a cluster of this machine alone, made now
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
log = logging.getLogger(__name__)


@contextmanager
def connected(address: str | None, cores: int) -> Iterator[Any]:
    """Ray, connected to a cluster while it lasts; signals stay the caller's, and nothing of Ray's is printed.

    Args:
        address: HOST:PORT, `auto`, or ray://HOST:PORT; None: $RAY_ADDRESS, or a cluster of this machine alone, made now.
        cores: of that one.

    Raises:
        DfrdBenchError: Ray is not installed, or the address does not answer.
    """
    os.environ.update(QUIET)
    ray = _imported()
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or HERE
    own: dict[str, Any] = {"num_cpus": cores, "include_dashboard": False} if address == HERE else {}
    if address != HERE:
        _check_answers(address)
    with _same_signals():
        try:
            ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False, **own)
        except Exception as error:  # of many types
            raise DfrdBenchError(f"There is no Ray cluster at {address}: {in_a_line(error)}") from error
    _silence(ray)
    try:
        yield ray
    finally:
        ray.shutdown()


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise DfrdBenchError(f"--launcher ray needs Ray ({error}): python -m pip install 'dfrd-bench[ray]'.") from error
    return ray


def _check_answers(address: str) -> None:
    """Ray itself would wait for two minutes, and then end the process.

    Raises:
        DfrdBenchError: no cluster answers there, or it wants a token that Ray was not given.
    """
    refused = f"There is no Ray cluster at {address}"
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
        except (OSError, OverflowError) as error:
            raise DfrdBenchError(f"{refused}: {getattr(error, 'strerror', None) or error or 'no answer'}.") from error
    command = [sys.executable, "-c", CONNECT, address]
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, start_new_session=True) as probe:
            try:
                imported = _line(probe, IMPORT)
                said = _line(probe, ANSWER) if imported == "imported" else imported
            finally:
                with suppress(OSError):
                    os.killpg(probe.pid, signal.SIGKILL)
        complaints.seek(0)
        if said != "reached" and REFUSES in complaints.read():
            raise DfrdBenchError(f"The Ray cluster at {address} does not let us in: {WANTS}")
    if said != "reached":
        raise DfrdBenchError(f"{refused}: {said or f'no answer within {ANSWER:.0f} seconds.'}")


def _line(process: subprocess.Popen[bytes], patience: float) -> str:
    """The next line of a process, if it comes in time."""
    if process.stdout is None:
        return ""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline().decode("utf-8", "replace").strip() if selector.select(patience) else ""


@contextmanager
def _same_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself; here it is given back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(ValueError, TypeError):  # in another thread there is nothing to give back
                signal.signal(number, handler)


def _silence(ray: Any) -> None:
    """Have what Ray says of the cluster, which it prints to stdout, go to the log: what matters comes with its task."""
    with suppress(AttributeError):
        ray._private.worker.print_to_stdstream = lambda data, **_: log.debug("ray: %s", data)


def nodes_of(ray: Any) -> list[Mapping[str, Any]]:
    """The nodes that are alive."""
    return [node for node in ray.nodes() if node["Alive"]]


def check_workers(ray: Any, versions: Mapping[str, str], shared: Path | None) -> None:
    """Ask every node that is there now, before any run is begun.

    Args:
        ray: connected.
        versions: that they must have; see `runs.installation`.
        shared: a folder that they must see, if any.

    Raises:
        DfrdBenchError: a node that has another version, or does not see the folder; it is named.
    """
    token = shared / f".seen-{secrets.token_hex(8)}" if shared else None
    if token:
        try:
            token.parent.mkdir(parents=True, exist_ok=True)
            token.touch()
        except OSError as error:
            raise DfrdBenchError(f"Cannot write {token.parent}: {error.strerror or error}.") from error
    try:
        asked = {
            node["NodeID"]: (node["NodeManagerAddress"], _look(ray, node["NodeID"], versions, token))
            for node in nodes_of(ray)
        }
        for address, answer in asked.values():
            try:
                found, seen = ray.get(answer, timeout=IMPORT)
            except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError):
                continue  # it has gone
            except ray.exceptions.RayError as error:
                raise DfrdBenchError(f"Ray's node {address} does not answer: {in_a_line(error)}") from error
            wrong = differing(versions, found)
            if not seen and token:
                wrong = f"it does not see {token.parent}, which --shared says it does"
            if wrong:
                raise DfrdBenchError(f"Ray's node {address} cannot make these runs: {wrong}.")
    finally:
        if token:
            with suppress(OSError):
                token.unlink()


def _look(ray: Any, node: str, versions: Mapping[str, str], token: Path | None) -> Any:
    there = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(num_cpus=0, max_retries=1, scheduling_strategy=there)(_looking())
    return task.remote([*versions], str(token) if token else None)


def _looking() -> Any:
    """The question, as a function that goes to the node as it is: dfrd-bench may not be there, or be another."""

    def look(names: list[str], token: str | None) -> tuple[dict[str, str], bool]:
        from contextlib import suppress
        from importlib.metadata import PackageNotFoundError, version
        from pathlib import Path

        found = {}
        for name in names:
            with suppress(PackageNotFoundError):
                found[name] = version(name)
        return found, token is None or Path(token).exists()

    return look

"""A Slurm cluster on this machine for as long as a test lasts: a controller and two daemons, from the system's packages."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NEEDED = ("slurmctld", "slurmd", "sbatch", "scontrol", "squeue")
PATIENCE = 60.0
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=1,sched_interval=1
KillWait=10
MinJobAge=300
ReturnToService=2
SlurmctldParameters=enable_configless
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
NodeName=n1 NodeAddr=127.0.0.1 NodeHostname={host} Port={ports[1]} CPUs=1
NodeName=n2 NodeAddr=127.0.0.1 NodeHostname={host} Port={ports[2]} CPUs=1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def what_is_missing() -> str:
    """Why there can be no cluster here; empty where there can."""
    if missing := [name for name in NEEDED if shutil.which(name, path=_path()) is None]:
        return f"needs Slurm ({', '.join(missing)} not found: apt-get install slurm-wlm)"
    return "" if os.geteuid() == 0 else "slurmd must be started by root"


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[dict[str, str]]:
    """While it lasts, Slurm's commands reach nodes n1 and n2, of one CPU each, with what is yielded as environment."""
    (folder / "state").mkdir(parents=True)
    file = folder / "slurm.conf"
    ports = _free_ports(3)
    file.write_text(CONFIGURATION.format(folder=folder, host=socket.gethostname(), user="root", ports=ports))
    environment = {**os.environ, "SLURM_CONF": str(file), "PATH": _path()}
    commands = [["slurmctld", "-D"], *(["slurmd", "-D", "-N", name] for name in ("n1", "n2"))]
    daemons = [_daemon(command, environment, folder) for command in commands]
    try:
        until = time.monotonic() + PATIENCE
        while "idle" not in (said := _said("sinfo -h -o %T", environment)) or len(said.split()) > 1:
            assert time.monotonic() < until, f"no nodes: {said}\n{_logs(folder)}"
            time.sleep(0.2)
        yield environment
    finally:
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["scancel", "--user=root"], env=environment, timeout=10, capture_output=True)
        for daemon in reversed(daemons):
            with suppress(OSError):
                daemon.send_signal(signal.SIGTERM)
        for daemon in daemons:
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
            with suppress(OSError):
                os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()


def _daemon(command: list[str], environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "daemons.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def _said(command: str, environment: dict[str, str]) -> str:
    try:
        return subprocess.run(command.split(), env=environment, capture_output=True, text=True, timeout=10).stdout
    except subprocess.TimeoutExpired:
        return ""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace")[-2000:] for path in sorted(folder.glob("*.log")))


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

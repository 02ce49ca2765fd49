"""The launcher of Slurm's clusters: one array script, whose task k makes run k; nothing stays behind to manage it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.execution.attempts import THREADS
from dfrd_bench.execution.jobs import FOLDER, REQUEST_FILE
from dfrd_bench.execution.protocol import Event, Handed, Job, Means, Notice, Waiting, option
from dfrd_bench.execution.waitlist import Waitlist
from dfrd_bench.observer import Stops
from dfrd_bench.records.files import write_atomically

TASK = "dfrd_bench.cli.task"  # what a task of the array does
SCRIPT_FILE = "array.sbatch"
WARNING = 300  # seconds before the time limit, in which an epoch should end
CPUS_BESIDE_A_GPU = 4
PATIENCE = 60.0  # seconds that sbatch may take
TEMPLATE = """\
#!/bin/bash
# Task k makes run k. What is recorded is not made again, and what was stopped goes on: this may be submitted any number of times,
# from a folder that every node sees. dfrd-bench's own output is in `log` beside each request.json.
#SBATCH --job-name=dfrd-bench
#SBATCH --array=1-{count}{most}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={threads}
{gpu}#SBATCH --requeue
#SBATCH --signal=B:USR1@{warning}
#SBATCH --open-mode=append
#SBATCH --output={output}
{own}set -u
requests=(
{requests}
)
export {environment}
cd {cwd} || exit 1
exec {python} -m {task} "${{requests[SLURM_ARRAY_TASK_ID - 1]}}"
"""


@dataclass(frozen=True)
class Slurm:
    """See `dfrd_bench.execution.protocol.Launcher`."""

    summary: str
    array_script: str | None = option(
        f"Where the script is written; {FOLDER}/{SCRIPT_FILE} in the results folder by default.", metavar="FILE"
    )
    submit: bool = option("Give it to sbatch, too.", False)
    sbatch: str | None = option("More for sbatch, e.g. '--partition=gpu --time=24:00:00'.", metavar="OPTIONS")

    def launch(self, jobs: Sequence[Job], means: Means, stops: Stops) -> Generator[Event, None, None]:
        """Write the script, and submit it if that is asked for.

        Raises:
            DfrdBenchError: it cannot be written or submitted, or asks for what Slurm does not give.
        """
        waiting, wanted = Waitlist(jobs), list[Job]()
        for _ in jobs:
            stops.safe_point()
            job = waiting.next()
            if isinstance(job, Waiting):
                yield Handed(job.job, f"{job.who} is making it")
            elif job is not None:
                wanted.append(job)
        if not wanted:
            yield Notice("There is no run to be submitted.")
            return
        results = Path(wanted[0].request.results)
        path = Path(self.array_script or results / FOLDER / SCRIPT_FILE)
        text, asked = self.script(wanted, means)
        write_atomically(path, text.encode())
        if not self.submit:
            yield Notice(f"{path} is written: {asked}. Submit it with: sbatch {shlex.quote(str(path))}")
            for task, job in enumerate(wanted, start=1):
                yield Handed(job, f"task {task} of {path}, not submitted")
            return
        number = _submitted(path)
        yield Notice(
            f"{path} is written and submitted as Slurm job {number}: {asked}. The same command with --status looks."
        )
        for task, job in enumerate(wanted, start=1):
            yield Handed(job, f"Slurm job {number}_{task}")

    def script(self, jobs: Sequence[Job], means: Means) -> tuple[str, str]:
        """The array script, and in words what each task asks for.

        Args:
            jobs: at least one.
            means: see `Means`; `cores` are of this machine, and say nothing here.

        Raises:
            DfrdBenchError: it asks for what Slurm does not give.
        """
        device = jobs[0].request.device
        if means.gpus_per_job != 1:
            raise DfrdBenchError("Slurm gives whole GPUs: leave --gpus-per-job out.")
        if ":" in device:
            raise DfrdBenchError(f"Slurm says which GPU a run gets: --device cuda, not {device}.")
        if self.sbatch and ("\n" in self.sbatch or not self.sbatch.strip().startswith("-")):
            raise DfrdBenchError(f"--sbatch takes options on one line, e.g. '--time=24:00:00', not {self.sbatch!r}.")
        usual = 1 if device == "cpu" else CPUS_BESIDE_A_GPU
        threads = means.threads or min(usual, means.most_threads or usual)
        results = Path(jobs[0].request.results).absolute()
        text = TEMPLATE.format(
            count=len(jobs),
            most=f"%{means.jobs}" if means.jobs else "",
            threads=threads,
            gpu="" if device == "cpu" else "#SBATCH --gres=gpu:1\n",
            warning=WARNING,
            output=_quoted(f"{results / FOLDER}/slurm-".replace("%", "%%") + "%A_%a.out"),
            own=f"#SBATCH {self.sbatch.strip()}\n" if self.sbatch else "",
            requests="\n".join(f"  {shlex.quote(str((job.folder / REQUEST_FILE).absolute()))}" for job in jobs),
            environment=" ".join(f"{name}={threads}" for name in THREADS),
            cwd=shlex.quote(str(Path.cwd())),
            python=shlex.quote(sys.executable),
            task=TASK,
        )
        gpu = "no GPU" if device == "cpu" else "1 GPU (--device cpu: none)"
        return text, f"{len(jobs)} tasks, each with {threads} CPU{'s' * (threads > 1)} and {gpu}"


slurm = Slurm(
    summary="A Slurm cluster: one array script, a task for each run; requeued before its time limit, it goes on."
)


def _quoted(text: str) -> str:
    """As sbatch reads it in a script's comments."""
    return f'"{text}"' if " " in text else text


def _submitted(path: Path) -> str:
    """Give a script to sbatch; returns the job's number.

    Raises:
        DfrdBenchError: it is not there, or does not take it.
    """
    again = f"{path} is written, and can be submitted by hand."
    try:
        done = subprocess.run(["sbatch", "--parsable", str(path)], capture_output=True, text=True, timeout=PATIENCE)
    except FileNotFoundError as error:
        raise DfrdBenchError(f"There is no sbatch here: --submit needs Slurm's commands. {again}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise DfrdBenchError(f"sbatch did not answer ({type(error).__name__}). {again}") from error
    said = [line for line in (done.stdout if done.returncode == 0 else done.stderr).splitlines() if line.strip()]
    if done.returncode != 0 or not said:
        raise DfrdBenchError(f"sbatch: {' '.join(said) or f'exit code {done.returncode}'}. {again}")
    return said[-1].split(";")[0].strip()

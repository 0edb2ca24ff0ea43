"""A real Dask cluster for tests: a scheduler and workers in processes of their own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

MODULE = [sys.executable, "-m"]


def wait_for(ready: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "nothing came of it in time"
        time.sleep(0.02)


class Cluster:
    """A scheduler and its workers; the folder they run in is not that of the batch."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._place = folder, folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []

    def _start(self, *command: str, **environment: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [*MODULE, *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            env=os.environ | environment,
        )
        self.processes.append(process)
        return process

    def start(self, workers: int, **environment: str) -> str:
        """Start everything; return the scheduler's address."""
        self.scheduler = self._start(
            "distributed.cli.dask_scheduler",
            *("--port", "0", "--host", "127.0.0.1", "--no-dashboard"),
            *("--scheduler-file", str(self._place)),
            **environment,
        )
        wait_for(lambda: self._place.exists() and self._place.stat().st_size > 0)
        for _ in range(workers):
            self.add_worker()
        return str(json.loads(self._place.read_text())["address"])

    def add_worker(self) -> None:
        """Start a worker of one thread that nobody restarts."""
        worker = self._start(
            *("distributed.cli.dask_worker", "--scheduler-file", str(self._place)),
            *("--nworkers", "1", "--nthreads", "1", "--no-nanny", "--no-dashboard"),
            *("--local-directory", str(self._folder / f"worker{len(self.workers)}")),
        )
        self.workers.append(worker)

"""Processes that each work on one file at a time, and may die without taking others along."""

import contextlib
import multiprocessing
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, wait
from typing import Any

from rnnic.batch.plan import Task
from rnnic.batch.work import Job, Outcome, run_task

__all__ = ["Around", "get_ready", "run_processes"]

Around = Callable[[], AbstractContextManager[None]]
Work = Callable[[Task, Job, Around], Outcome]

_IMPORTED = [
    "rnnic.cli", "rnnic.api", "rnnic.files", "rnnic.pyramid.method", "rnnic.batch.pool",
    "llvmlite.binding",
]  # fmt: skip
"""What takes most of a start's time, and starts no threads."""


def _context() -> Any:
    """Return how processes are started: by a fork of one that has imported what they need, or anew.

    On other systems a fork is not safe for libraries that are in use here, or there is none.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


def get_ready() -> None:
    """Let the process that others fork from begin with its imports, to be done when they are needed."""
    if sys.platform == "linux":
        from multiprocessing.forkserver import ensure_running

        _context()
        with _interrupts_blocked():
            ensure_running()


class _Worker:
    """A process, and the file it has."""

    def __init__(self, context: Any, work: Work, job: Job, around: Around) -> None:
        self.pipe, end = context.Pipe()
        self.task: Task | None = None
        self._process = context.Process(target=_serve, args=(end, work, job, around), daemon=True)
        with _interrupts_blocked():  # or a Ctrl-C while it starts would end in its traceback
            self._process.start()
        end.close()

    def give(self, task: Task) -> None:
        """Hand out a file."""
        self.task = task
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(task)  # of a process that died, the outcome tells

    def outcome(self) -> tuple[Outcome, bool]:
        """Return what became of the file, and whether the process lives."""
        assert self.task is not None
        try:
            found: Outcome = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            return _lost(self.task, self._process.exitcode), False
        return found, True

    def stop(self) -> None:
        """End the process: at once, or if it is writing, as soon as the file is complete."""
        self.pipe.close()
        if self.task is not None:
            self._process.terminate()

    def join(self) -> None:
        """Wait for the end."""
        self._process.join()
        self._process.close()


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Put off Ctrl-C, also for processes that are started meanwhile; Windows cannot."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _termination_ignored() -> Iterator[None]:
    """Go on to the end of a file; the closed pipe says afterwards that this was the last."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _serve(pipe: "Connection[Any, Any]", work: Work, job: Job, around: Around) -> None:
    """Work on what comes until the other end is closed, which the end of that process does too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets Ctrl-C, and says what to do
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with around(), contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task: Task = pipe.recv()
            pipe.send(work(task, job, _termination_ignored))


def _lost(task: Task, code: int | None) -> Outcome:
    how = f"with exit code {code}"
    if code is not None and code < 0:
        how = f"by signal {signal.Signals(-code).name}"
    error = f"its process was ended {how}; if memory ran out, use fewer --jobs"
    return Outcome(task.source, task.target, "failed", error=error)


def run_processes(
    tasks: Sequence[Task],
    job: Job,
    jobs: int,
    around: Around = contextlib.nullcontext,
    work: Work = run_task,
) -> Generator[Outcome, None, None]:
    """Yield the outcomes as they come; closing the iterator ends the processes.

    A process that dies loses the file it has, which is reported as failed; another takes its place.

    Parameters
    ----------
    tasks : sequence of Task
    job : Job
    jobs : int
        Processes; no more files are in memory.
    around : callable
        Gives a context in which the first process works.
    work : callable
        What is done with a file.
    """
    context = _context()
    rest = iter(tasks)
    workers: dict[Any, _Worker] = {}

    def start(task: Task, within: Around = contextlib.nullcontext) -> None:
        worker = _Worker(context, work, job, within)
        workers[worker.pipe] = worker
        worker.give(task)

    try:
        for task in _first(rest, jobs):
            start(task, contextlib.nullcontext if workers else around)
        while workers:
            for pipe in wait(list(workers)):
                outcome, alive = workers[pipe].outcome()
                worker = workers[pipe]
                worker.task = None
                task_next = next(rest, None)
                if alive and task_next is not None:
                    worker.give(task_next)
                else:
                    workers.pop(pipe)
                    worker.stop()
                    worker.join()
                    if task_next is not None:
                        start(task_next)
                yield outcome
    finally:
        for worker in workers.values():
            worker.stop()
        for worker in workers.values():
            worker.join()


def _first(rest: Iterator[Task], count: int) -> Iterator[Task]:
    for _, task in zip(range(count), rest, strict=False):
        yield task

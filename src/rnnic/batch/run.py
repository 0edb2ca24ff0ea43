"""Running a batch, wherever it is to run."""

import contextlib
import itertools
from collections.abc import Generator, Sequence

from rnnic.batch import stores
from rnnic.batch.cluster import run_on_dask
from rnnic.batch.plan import Task
from rnnic.batch.pool import Around, run_processes
from rnnic.batch.work import Job, Outcome, run_task
from rnnic.errors import OptionError

__all__ = ["run"]


def run(
    tasks: Sequence[Task],
    job: Job,
    jobs: int,
    scheduler: str | None = None,
    around: Around = contextlib.nullcontext,
) -> Generator[Outcome, None, None]:
    """Yield the outcomes as they come; closing the iterator ends the work.

    Parameters
    ----------
    tasks : sequence of Task
    job : Job
    jobs : int
        Processes on this machine.
    scheduler : str, optional
        Address of a Dask scheduler, or ``"local"``.
    around : callable
        Gives a context in which the first process of this machine works.

    Raises
    ------
    OptionError
        If a cluster is to read or write what only this process has, ``memory://``.
    RnnicError
        As :func:`rnnic.batch.cluster.run_on_dask`.
    """
    if not tasks:
        return
    names = itertools.chain.from_iterable((task.source, task.target) for task in tasks)
    private = next((name for name in names if stores.is_private(name)), None)
    if private is not None and scheduler is not None:
        raise OptionError(f"{private}: workers do not see this process's memory")
    if scheduler is not None:
        yield from run_on_dask(tasks, job, scheduler, jobs)
    elif private is not None:
        for task in tasks:
            yield run_task(task, job)
    else:
        yield from run_processes(_largest_first(tasks), job, min(jobs, len(tasks)), around)


def _largest_first(tasks: Sequence[Task]) -> Sequence[Task]:
    """Return tasks so that none of the long ones is left for the end, when others have none.

    Sizes of what is in a store would take a question each: those stay as they are.
    """
    if any(stores.is_url(task.source) for task in tasks):
        return tasks

    def size(task: Task) -> int:
        with contextlib.suppress(OSError):  # that is told when it is read
            return stores.size(task.source)
        return 0

    return sorted(tasks, key=size, reverse=True)

"""Running a batch: in processes of this machine, or on a Dask cluster."""

import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from rnnic.batch.plan import Task
from rnnic.batch.work import Job, Outcome, run_task
from rnnic.extras import require

__all__ = ["run_local", "run_on_dask"]

_WAITING = 2
"""Tasks handed out for each process; more would only take memory."""
_MAX_BREAKS = 2
_RETRIES = 3


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent, so that files in the making are finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _lost(task: Task) -> Outcome:
    reason = "its process ended without a word; perhaps there was not enough memory"
    return Outcome(task.source, task.target, "failed", error=f"{task.source}: {reason}")


def run_local(tasks: Sequence[Task], job: Job, jobs: int) -> Iterator[Outcome]:
    """Yield the outcomes as they come.

    Parameters
    ----------
    tasks : sequence of Task
    job : Job
    jobs : int
        Processes; with 1, all is done in this one.
    """
    if jobs == 1:
        for task in tasks:
            yield run_task(task, job)
        return
    waiting = deque(tasks)
    breaks: dict[Task, int] = {}
    while waiting:
        # A process that dies takes the pool along: it is made anew. Tasks that were under way then are
        # tried again one at a time, so that only the one which kills its process is given up.
        careful = bool(breaks) and waiting[0] in breaks
        yield from _run_pool(waiting, breaks, job, 1 if careful else jobs, careful=careful)


def _run_pool(
    waiting: deque[Task], breaks: dict[Task, int], job: Job, jobs: int, *, careful: bool
) -> Iterator[Outcome]:
    """Work until nothing waits, a process dies, or in a careful run until unsuspected tasks are next."""
    context = multiprocessing.get_context("spawn")
    running: dict[Future[Outcome], Task] = {}
    with ProcessPoolExecutor(jobs, context, _ignore_interrupts) as pool:
        try:
            while waiting or running:
                limit = 1 if careful else _WAITING * jobs
                while waiting and len(running) < limit and (not careful or waiting[0] in breaks):
                    task = waiting.popleft()
                    running[pool.submit(run_task, task, job)] = task
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    task = running.pop(future)
                    yield future.result()
        except BrokenProcessPool:
            lost = [task, *running.values()]
            for each in reversed(lost):
                breaks[each] = breaks.get(each, 0) + 1
                if breaks[each] < _MAX_BREAKS:
                    waiting.appendleft(each)
            for each in lost:
                if breaks[each] >= _MAX_BREAKS:
                    yield _lost(each)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def run_on_dask(tasks: Sequence[Task], job: Job, scheduler: str, jobs: int) -> Iterator[Outcome]:
    """Yield the outcomes as they come from the workers of a cluster.

    A worker that dies loses nothing: its tasks go to others, and as results appear whole or not at all,
    nothing is there twice.

    Parameters
    ----------
    tasks : sequence of Task
    job : Job
    scheduler : str
        Address of a scheduler, or ``"local"``, which starts a cluster on this machine.
    jobs : int
        Worker processes of a local cluster.
    """
    distributed: Any = require("distributed", "the library distributed", "dask")
    cluster: Any = None
    if scheduler == "local":
        cluster = distributed.LocalCluster(
            n_workers=jobs, threads_per_worker=1, processes=True, dashboard_address=None
        )
    client = distributed.Client(cluster or scheduler)
    try:
        threads = sum(client.nthreads().values())
        rest = iter(tasks)
        # A task done a second time finds its own result: it may replace that.
        again = Job(job.compress, job.options, job.metadata, overwrite=True)
        window = max(4, 2 * _WAITING * threads)
        first = [_submit(client, task, again) for task in itertools.islice(rest, window)]
        for future in (completed := distributed.as_completed(first)):
            yield future.result()
            for task in itertools.islice(rest, 1):
                completed.add(_submit(client, task, again))
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _submit(client: Any, task: Task, job: Job) -> Any:
    return client.submit(run_task, task, job, pure=False, retries=_RETRIES)

"""Running a batch on a Dask cluster."""

import contextlib
import logging
import os
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from rnnic.batch import stores
from rnnic.batch.plan import Task
from rnnic.batch.work import Job, Outcome, reason, run_task
from rnnic.errors import RnnicError
from rnnic.extras import require

__all__ = ["connected", "run_on_dask", "wait_for_worker"]

_RETRIES = 3
_PATIENCE_SECONDS = 60
_COUNT_SECONDS = 5
_FEWEST = 4
"""Tasks handed out even where no worker is yet: clusters that grow on demand look at them."""


def run_on_dask(
    tasks: Sequence[Task],
    job: Job,
    scheduler: str,
    jobs: int,
    patience: float = _PATIENCE_SECONDS,
) -> Generator[Outcome, None, None]:
    """Yield the outcomes as they come from the workers of a cluster.

    A worker that dies loses nothing: its tasks go to others, and as results appear whole or not at all,
    nothing is there twice. A file that kills its worker again and again is reported as failed.

    Parameters
    ----------
    tasks : sequence of Task
    job : Job
    scheduler : str
        Address of a scheduler, or ``"local"``, which starts a cluster on this machine.
    jobs : int
        Worker processes of a local cluster.
    patience : float
        Seconds to wait for a scheduler to answer, and for its first worker.

    Raises
    ------
    MissingDependencyError
        If distributed is not installed.
    RnnicError
        If there is no scheduler or no worker, or the scheduler goes away.
    """
    # A task whose worker died after its result was there is done again: it replaces its own result.
    job = replace(job, existing="replace", options=_absolute_model(job.options))
    with connected(scheduler, jobs, patience) as (distributed, client):
        yield from _results(distributed, client, tasks, job, (scheduler, patience))


@contextlib.contextmanager
def connected(
    scheduler: str, jobs: int, patience: float = _PATIENCE_SECONDS
) -> Iterator[tuple[Any, Any]]:
    """Give the library distributed and a client; parameters and errors as `run_on_dask` has them."""
    distributed: Any = require("distributed", "the library distributed", "dask")
    with contextlib.ExitStack() as stack:
        address = scheduler
        if scheduler == "local":
            address = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=jobs, threads_per_worker=1, processes=True, dashboard_address=None
                )
            )
        stack.enter_context(_silent())
        yield distributed, stack.enter_context(_client(distributed, address, patience))


def wait_for_worker(client: Any, scheduler: str, patience: float = _PATIENCE_SECONDS) -> None:
    """Wait for the first worker.

    Raises
    ------
    RnnicError
        If none comes within `patience` seconds.
    """
    try:
        client.wait_for_workers(1, timeout=patience)
    except TimeoutError as error:
        raise RnnicError(f"{scheduler}: no worker came within {patience:.0f} s") from error


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep Dask's loggers quiet here: what they would print with tracebacks is raised, in a line."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _client(distributed: Any, address: Any, patience: float) -> Any:
    try:
        return distributed.Client(address, timeout=patience, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RnnicError(f"{address}: no Dask scheduler answers there ({reason(error)})") from error


def _results(
    distributed: Any,
    client: Any,
    tasks: Sequence[Task],
    job: Job,
    waited: tuple[str, float],
) -> Generator[Outcome, None, None]:
    """Keep the cluster supplied, and yield the outcomes."""
    scheduler, patience = waited
    rest = iter(tasks)
    running: dict[str, Task] = {}
    completed = distributed.as_completed(loop=client.loop)

    def submit(count: int) -> None:
        for task in islice(rest, max(count - len(running), 0)):
            future = client.submit(
                run_task, _absolute(task), job, key=_key(task), pure=False, retries=_RETRIES
            )
            running[future.key] = task
            completed.add(future)

    submit(_FEWEST)
    wait_for_worker(client, scheduler, patience)
    window, counted = _window(client), time.monotonic()
    submit(window)
    for future in completed:
        task = running.pop(future.key)
        outcome = _outcome(distributed, future, task)
        if client.status != "running":
            raise RnnicError(
                f"{scheduler}: the scheduler is gone; start it and run again with --skip-existing"
            )
        if time.monotonic() - counted > _COUNT_SECONDS:
            window, counted = _window(client), time.monotonic()
        submit(window)
        yield outcome


def _key(task: Task) -> str:
    """Return a name for what the scheduler shows; no other batch has the same."""
    return f"rnnic-{os.path.basename(task.source)}-{os.urandom(8).hex()}"  # noqa: PTH119 maybe a URL


def _window(client: Any) -> int:
    """Return how many tasks to have handed out: two for each thread of the cluster."""
    threads: dict[str, int] = client.nthreads()
    return max(_FEWEST, 2 * sum(threads.values()))


def _outcome(distributed: Any, future: Any, task: Task) -> Outcome:
    try:
        found: Outcome = future.result()
    except distributed.KilledWorker:
        error = "its worker was killed again and again; if memory ran out, use larger workers"
    except Exception as other:  # noqa: BLE001 what a worker cannot even begin is reported like the rest
        error = f"on a worker: {reason(other)}"
    else:
        return replace(found, source=task.source, target=task.target)
    return Outcome(task.source, task.target, "failed", error=error)


def _absolute(task: Task) -> Task:
    """Return a task with names that hold in another process's folder too."""
    return Task(stores.absolute(task.source), stores.absolute(task.target))


def _absolute_model(options: dict[str, Any]) -> dict[str, Any]:
    path = options.get("model")
    return options if path is None else options | {"model": stores.absolute(path)}

"""The same work for many photos, in threads or on a cluster; results come in the photos' order."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from rnnic.batch import stores
from rnnic.batch.cluster import connected, wait_for_worker
from rnnic.batch.work import reason
from rnnic.errors import OptionError, RnnicError

__all__ = ["DaskMapper", "Mapper", "Photos", "ThreadMapper", "mapper_for"]

Pixels = npt.NDArray[np.uint8]
Item = TypeVar("Item")
Result = TypeVar("Result")

_RETRIES = 3
_GONE = "the scheduler is gone; start it and run again, with the same --checkpoints"
_AHEAD = 3
"""Items handed out for each thread: their results wait where an earlier one takes longer."""


class Photos(Protocol):
    """Photos by number, one at a time in memory; for a cluster it can be pickled."""

    def __len__(self) -> int:
        """Return their number."""

    def load(self, index: int) -> Pixels:
        """Return a photo as uint8 (H, W, 3)."""

    def name(self, index: int) -> str:
        """Return what messages call a photo."""


class Mapper(Protocol):
    """Something that does work for many items."""

    def map(
        self, work: Callable[[Item], Result], items: Sequence[Item], name: Callable[[Item], str]
    ) -> Iterator[Result]:
        """Yield the results in the order of the items; the first error ends it.

        Parameters
        ----------
        work : callable
            Its result depends on the item alone. For a cluster it can be pickled.
        items : sequence
        name : callable
            Says what messages call an item.
        """


class ThreadMapper:
    """Works in threads of this process; kernels do not hold the GIL.

    Parameters
    ----------
    jobs : int
        Their number. With one, all is done in the caller's thread.
    """

    def __init__(self, jobs: int = 1) -> None:
        self._jobs = jobs

    def map(
        self, work: Callable[[Item], Result], items: Sequence[Item], name: Callable[[Item], str]
    ) -> Iterator[Result]:
        """Yield the results, see `Mapper.map`."""
        jobs = min(self._jobs, len(items))
        if jobs <= 1:
            yield from (_named(work, item, name) for item in items)
            return
        pool = ThreadPoolExecutor(jobs)
        try:
            begun: deque[Any] = deque()
            for item in items:
                begun.append(pool.submit(_named, work, item, name))
                if len(begun) > _AHEAD * jobs:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _named(work: Callable[[Item], Result], item: Item, name: Callable[[Item], str]) -> Result:
    try:
        return work(item)
    except MemoryError as error:
        raise RnnicError(f"{name(item)}: {reason(error)}") from error


class DaskMapper:
    """Works on a Dask cluster: what a worker had that dies is done again by others.

    Parameters
    ----------
    client : distributed.Client
    scheduler : str
        What messages call the scheduler.
    """

    def __init__(self, client: Any, scheduler: str) -> None:
        self._client = client
        self._scheduler = scheduler

    def map(
        self, work: Callable[[Item], Result], items: Sequence[Item], name: Callable[[Item], str]
    ) -> Iterator[Result]:
        """Yield the results, see `Mapper.map`."""
        # The result of a task, not scattered data: the scheduler can make it again elsewhere.
        shared = self._client.submit(_same, work, pure=False, retries=_RETRIES)
        rest = iter(items)
        begun: deque[tuple[Any, Item]] = deque()
        try:
            while True:
                count = _AHEAD * self._threads()
                while len(begun) < count and (item := next(rest, _END)) is not _END:
                    future = self._client.submit(_call, shared, item, pure=False, retries=_RETRIES)
                    begun.append((future, item))
                if not begun:
                    return
                yield self._result(begun[0][0], name(begun[0][1]))
                begun.popleft()[0].release()
        finally:
            with contextlib.suppress(Exception):  # there may be no scheduler any more to tell
                self._client.cancel([future for future, _ in begun])

    def _threads(self) -> int:
        """Return how many threads the cluster has now; one where none is, for some may come."""
        try:
            threads: dict[str, int] = self._client.nthreads()
        except OSError as error:
            raise RnnicError(f"{self._scheduler}: {_GONE}") from error
        return max(sum(threads.values()), 1)

    def _result(self, future: Any, name: str) -> Any:
        from distributed import KilledWorker

        try:
            return future.result()
        except RnnicError:
            raise
        except KilledWorker as error:
            said = "its worker was killed again and again; if memory ran out, use larger workers"
            raise RnnicError(f"{name}: {said}") from error
        except Exception as error:  # what a worker cannot even begin has any type
            if self._client.status != "running":
                raise RnnicError(f"{self._scheduler}: {_GONE}") from error
            raise RnnicError(f"{name}: on a worker: {reason(error)}") from error


_END: Any = object()


def _same(work: Item) -> Item:
    return work


def _call(work: Callable[[Item], Result], item: Item) -> Result:
    return work(item)


@contextlib.contextmanager
def mapper_for(folder: str, jobs: int, scheduler: str | None = None) -> Iterator[Mapper]:
    """Give what works on the photos of a folder.

    Parameters
    ----------
    folder : str
        Name or URL.
    jobs : int
        Threads, or processes of a local cluster.
    scheduler : str, optional
        Address of a Dask scheduler, or ``"local"``.

    Raises
    ------
    OptionError
        If a cluster is to read what only this process has, ``memory://``.
    RnnicError
        As :func:`rnnic.batch.cluster.run_on_dask`.
    """
    if scheduler is None:
        yield ThreadMapper(jobs)
        return
    if stores.is_private(folder):
        raise OptionError(f"{folder}: workers do not see this process's memory")
    with connected(scheduler, jobs) as (_distributed, client):
        wait_for_worker(client, scheduler)
        yield DaskMapper(client, scheduler)

"""Running the same work on many tiles with threads."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rnnic.errors import OptionError

__all__ = ["MAX_DEFAULT_THREADS", "map_threads", "thread_count"]

MAX_DEFAULT_THREADS = 8
_MAX_THREADS = 1024

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_count(threads: int | None) -> int:
    """Return the number of threads to use: `threads`, or by default at most 8 and one a CPU.

    Raises
    ------
    OptionError
        If `threads` is not 1 … 1024.
    """
    if threads is None:
        return min(MAX_DEFAULT_THREADS, os.cpu_count() or 1)
    if not 1 <= threads <= _MAX_THREADS:
        raise OptionError(f"threads is {threads}; it must be 1 … {_MAX_THREADS}")
    return threads


def map_threads(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> list[Result]:
    """Return the results of `work` for each item, in order.

    The first exception is raised; work that has not begun by then is not begun.
    """
    if threads == 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise

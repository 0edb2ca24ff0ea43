"""The one place where kernels are made of Python functions.

Kernels release the GIL and are compiled without fast-math, so that every machine computes the same numbers.
They do without Numba's runtime: they make no arrays, and no references to arrays are counted, which took a
tenth of the decoding time. They are kept on disk, in a folder of its own for every state of the sources that
kernels are made of, as they take functions and constants from other files than their own.
``RNNIC_JIT_CACHE=0`` keeps none, ``NUMBA_DISABLE_JIT=1`` runs kernels as plain Python.
"""

import contextlib
import functools
import hashlib
import marshal
import math
import operator
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from rnnic import _machine_code
from rnnic._collector import paused_collector

__all__ = [
    "DISABLED",
    "Kernel",
    "add",
    "cache_folder",
    "forced",
    "inlined",
    "jit",
    "mul",
    "reshaped",
    "sub",
    "tell_of_compiling",
]

DISABLED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
"""Whether kernels run as plain Python."""
_KEPT_SECONDS = 60 * 24 * 3600
_KERNEL_PARTS = ("entropy", "lossless", "pyramid", "raster", "search")
"""Packages that kernels, and what they are compiled with, come from; and none from elsewhere."""
_LOCK = threading.RLock()
_listeners: list[Callable[[], None]] = []


def cache_folder() -> Path:
    """Return the folder for what RNNIC can make or fetch again; ``RNNIC_CACHE_DIR`` overrides it."""
    if chosen := os.environ.get("RNNIC_CACHE_DIR"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "rnnic"


@functools.cache
def _kernel_folder() -> Path | None:
    """Return the folder of this state's compiled kernels, None where nothing can be kept."""
    if os.environ.get("RNNIC_JIT_CACHE", "1") == "0":
        return None
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for own in ("_jit.py", "_machine_code.py", "_compiling.py"):
        digest.update((package / own).read_bytes())
    for part in _KERNEL_PARTS:
        for path in sorted((package / part).rglob("*.py")):
            digest.update(path.read_bytes())
    digest.update(_machine_code.versions())
    kernels = cache_folder() / "kernels"
    folder = kernels / digest.hexdigest()[:16]
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            _forget_old(kernels)
        os.utime(folder)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _forget_old(kernels: Path) -> None:
    """Remove the kernels of states of the package that have not been used for long."""
    oldest = time.time() - _KEPT_SECONDS
    for folder in kernels.iterdir():
        if folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def tell_of_compiling(tell: Callable[[], None]) -> Iterator[None]:
    """Call ``tell`` whenever, in a block, a kernel is going to be compiled."""
    if not _machine_code.SUPPORTED:
        from rnnic import _compiling

        with _compiling.tell_of_compiling(tell):
            yield
        return
    _listeners.append(tell)
    try:
        yield
    finally:
        _listeners.remove(tell)


class Kernel:
    """A function that is compiled when first called with arguments of certain types.

    Python calls it with numbers, arrays and tuples of these, by position, and gets a number or nothing.
    Other kernels may give it, and get, whatever Numba knows.

    Parameters
    ----------
    function : callable
    options
        Those of `numba.njit`.
    """

    __name__: str

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        functools.update_wrapper(self, function)
        self._function: Any = function
        self._options = options
        self._entries: dict[Any, Callable[[list[int]], Any]] = {}
        self._needs_numba = not _machine_code.SUPPORTED

    def __call__(self, *arguments: Any) -> Any:
        """Compute what the function computes."""
        if self._needs_numba:
            return self._cached(*arguments)
        slots = [0] * _machine_code.FIRST
        key = _machine_code.describe(arguments, slots)
        entry = self._entries.get(key) or self._entry(key, arguments)
        return entry(slots) if entry else self._cached(*arguments)

    def _with_compiled_names(self) -> Callable[..., Any]:
        """Return the function, for which other kernels are what Numba takes for them."""
        function = self._function
        names = {
            name: value.compiled if isinstance(value, (Kernel, _Operation)) else value
            for name, value in function.__globals__.items()
            if name in function.__code__.co_names or name == "__name__"
        }
        return FunctionType(function.__code__, names)

    @functools.cached_property
    def compiled(self) -> Any:
        """What Numba takes for it in other kernels."""
        from rnnic import _compiling

        return _compiling.compiled(self._with_compiled_names(), **self._options)

    @functools.cached_property
    def _cached(self) -> Any:
        """Numba's function with Numba's own cache, for systems where code is not loaded without it."""
        from rnnic import _compiling

        with _LOCK:
            return _compiling.callable_by_python(
                self._with_compiled_names(), _kernel_folder(), **self._options
            )

    def _entry(self, key: Any, arguments: tuple[Any, ...]) -> Callable[[list[int]], Any] | None:
        """Load the machine code for arguments of the types of these, compile it before if need be."""
        with _LOCK, paused_collector():
            if key in self._entries or self._needs_numba:
                return self._entries.get(key)
            folder = _kernel_folder()
            kind = repr(key).encode() + marshal.dumps(self._function.__code__)
            name = f"{self.__module__}.{self.__name__}-{hashlib.sha256(kind).hexdigest()[:16]}"
            code = _machine_code.read(folder / name) if folder else None
            if code is None:
                from rnnic import _compiling

                for tell in _listeners:
                    tell()
                code = _compiling.compile_entry(self.compiled, arguments)
                if folder:
                    _machine_code.write(folder / name, code)
            if not code.binary:
                self._needs_numba = True
                return None
            self._entries[key] = _machine_code.load(code)
            return self._entries[key]


class _Operation:
    """An operation that kernels have and Numba has not.

    Parameters
    ----------
    make : callable
        Takes what Numba takes for it from the module `rnnic._compiling`.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    @functools.cached_property
    def compiled(self) -> Any:
        """What Numba takes for it."""
        from rnnic import _compiling

        return self._make(_compiling)


def _in_32_bits(name: str, plain: Callable[[Any, Any], Any]) -> Any:
    """Make an operation of two integers in 32 bits.

    Numba reckons in 64 bits, and its optimiser can't always tell that 32 will do; then vectors hold half
    as many numbers.
    """
    if DISABLED:
        return lambda a, b: np.int32(plain(np.int32(a), np.int32(b)))
    return _Operation(lambda compiling: compiling.in_32_bits(name))


def _reshaped(array: Any, shape: tuple[int, ...]) -> Any:
    """Return the first elements of a contiguous array in another shape."""
    return array.reshape(-1)[: math.prod(shape)].reshape(shape)


add = _in_32_bits("add", operator.add)
sub = _in_32_bits("sub", operator.sub)
mul = _in_32_bits("mul", operator.mul)
reshaped: Any = _reshaped if DISABLED else _Operation(lambda compiling: compiling.reshaped)


def _kernel(function: Callable[..., Any], **options: Any) -> Any:
    if DISABLED:
        return function
    return Kernel(function, **options)


def jit(function: Callable[..., Any]) -> Any:
    """Make a kernel, which is given all the arrays it needs."""
    return _kernel(function)


def forced(function: Callable[..., Any]) -> Any:
    """Make a small kernel that the machine code's optimiser must not call."""
    return _kernel(function, forceinline=True)


def inlined(function: Callable[..., Any]) -> Any:
    """Make a part of kernels that is compiled into each of them.

    For what an inner loop calls with arrays: a call of its own would copy their descriptions.
    """
    return _kernel(function, inline="always")

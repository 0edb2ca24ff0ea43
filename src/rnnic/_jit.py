"""The one place where Numba is configured.

Kernels release the GIL, are compiled without fast-math so that every machine computes the same numbers,
and are cached on disk. Numba's own cache looks at the age of a kernel's file alone, not at the
functions and constants that the kernel takes from other files; so the cache has a folder of its own for
every state of the sources that kernels are made of, and `_KernelCache` loads from it in half of the time.
``RNNIC_JIT_CACHE=0`` turns it off, ``NUMBA_DISABLE_JIT=1`` runs kernels as plain Python.
"""

import hashlib
import operator
import os
import pickle
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.environment import Environment, lookup_environment
from numba.core.runtime import rtsys
from numba.extending import intrinsic

from rnnic._collector import paused_collector

__all__ = ["add", "allocating", "cache_folder", "forced", "inlined", "jit", "mul", "sub"]

_KEPT_SECONDS = 60 * 24 * 3600
_KERNEL_PARTS = ("entropy", "lossless", "pyramid", "raster", "search")
"""Packages that kernels, and what they are compiled with, come from; and none from elsewhere."""
_LOADS_MACHINE_CODE_ALONE = (0, 60) <= numba.version_info.short < (0, 69)
"""Whether this is one of Numba's versions that `_KernelCache` was tried with."""


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


def _kernel_folder() -> Path | None:
    """Return the folder of this state's compiled kernels, None where nothing can be cached."""
    if os.environ.get("RNNIC_JIT_CACHE", "1") == "0" or numba.config.DISABLE_JIT:
        return None
    package = Path(__file__).parent
    digest = hashlib.sha256()
    digest.update(Path(__file__).read_bytes())
    for part in _KERNEL_PARTS:
        for path in sorted((package / part).rglob("*.py")):
            digest.update(path.read_bytes())
    kernels = cache_folder() / "kernels"
    own = kernels / digest.hexdigest()[:16]
    try:
        if not own.exists():
            own.mkdir(parents=True)
            _forget_old(kernels)
        os.utime(own)
    except OSError:
        return None
    return own if os.access(own, os.W_OK) else None


def _forget_old(kernels: Path) -> None:
    """Remove the kernels of states of the package that have not been used for long."""
    oldest = time.time() - _KEPT_SECONDS
    for folder in kernels.iterdir():
        if folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)


_FOLDER = _kernel_folder()


def _environment(module: str, constants: list[Any], name: str) -> Any:
    """Return the environment of a compiled function, without the module that the function comes from."""
    known = lookup_environment(name)
    if known is not None:
        return known
    made = Environment({"__name__": module})
    made.consts[:] = constants
    made.env_name = name
    Environment._memo[name] = made
    return made


class _KernelUnpickler(pickle.Unpickler):
    """Loads a compiled kernel."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name stands for."""
        if (module, name) == ("numba.core.environment", "_rebuild_env"):
            return _environment
        return super().find_class(module, name)


class _KernelFile(IndexDataCacheFile):  # type: ignore[misc]
    """The compiled kernels of a function."""

    def _load_data(self, name: str) -> Any:
        with Path(self._data_path(name)).open("rb") as file:
            return _KernelUnpickler(file).load()


class _KernelCache(FunctionCache):  # type: ignore[misc]
    """Compiled kernels on disk, which are machine code.

    Numba makes itself ready to compile before it looks for a compiled function: it imports what it knows of
    Python and NumPy, then the modules that parts of the function come from, and compiles its runtime. That is
    a third of the time that a process needs to its first decoded image, and no kernel of `jit` needs it.

    Parameters
    ----------
    function : callable
    runtime : bool
        Whether compiled kernels need Numba's runtime.
    """

    def __init__(self, function: Callable[..., Any], *, runtime: bool) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = _KernelFile(self._cache_path, self._impl.filename_base, stamp)
        self._runtime = runtime

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the compiled kernel for a signature, None where the cache has none."""
        if self._runtime:
            rtsys.initialize(target)
        with paused_collector(), self._guard_against_spurious_io_errors():
            if (found := self._load_overload(signature, target)) is not None:
                return found
        return None


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    kernel = numba.njit(nogil=True, **options)(function)
    if _FOLDER is None:
        return kernel
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_FOLDER)
    try:
        if _LOADS_MACHINE_CODE_ALONE:
            kernel._cache = _KernelCache(function, runtime=options.get("_nrt", True))
        else:
            kernel.enable_caching()
    finally:
        numba.config.CACHE_DIR = before
    return kernel


def jit(function: Callable[..., Any]) -> Any:
    """Compile a kernel that is given all the arrays it needs, and returns none.

    Without Numba's runtime, no references to arrays are counted: that took a tenth of the decoding time.
    """
    return _compiled(function, _nrt=False)


def allocating(function: Callable[..., Any]) -> Any:
    """Compile a kernel that makes arrays."""
    return _compiled(function)


def forced(function: Callable[..., Any]) -> Any:
    """Compile a small kernel, see `jit`, which the machine code's optimiser must not call."""
    return _compiled(function, _nrt=False, forceinline=True)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a part of kernels into each of them.

    For what an inner loop calls with arrays: a call of its own would copy their descriptions.
    """
    return numba.njit(inline="always")(function)


def _in_32_bits(name: str, plain: Callable[[Any, Any], Any]) -> Any:
    """Make an operation of two integers in 32 bits.

    Numba reckons in 64 bits, and its optimiser can't always tell that 32 will do; then vectors hold half
    as many numbers.
    """
    if numba.config.DISABLE_JIT:
        return lambda a, b: np.int32(plain(np.int32(a), np.int32(b)))
    narrow = numba.types.int32

    def operation(_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            narrowed = [
                context.cast(builder, value, kind, narrow)
                for value, kind in zip(values, signature.args, strict=True)
            ]
            return getattr(builder, name)(*narrowed)

        return narrow(a, b), generate

    operation.__name__ = name
    return intrinsic(operation)


add = _in_32_bits("add", operator.add)
sub = _in_32_bits("sub", operator.sub)
mul = _in_32_bits("mul", operator.mul)

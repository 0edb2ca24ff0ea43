"""The one place where Numba is configured.

Kernels release the GIL, are compiled without fast-math so that every machine computes the same numbers,
and are cached on disk. Numba's own cache looks at the age of a kernel's file alone, not at the
functions and constants that the kernel takes from other files; so the cache has a folder of its own for
every state of the sources that kernels are made of. ``RNNIC_JIT_CACHE=0`` turns it off,
``NUMBA_DISABLE_JIT=1`` runs kernels as plain Python.
"""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

__all__ = ["cache_folder", "forced", "inlined", "jit"]

_KEPT_SECONDS = 60 * 24 * 3600
_KERNEL_PARTS = ("entropy", "lossless", "pyramid", "raster", "search")
"""Packages that kernels, and what they are compiled with, come from; and none from elsewhere."""


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


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    if _FOLDER is None:
        return numba.njit(nogil=True, **options)(function)
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_FOLDER)
    try:
        return numba.njit(nogil=True, cache=True, **options)(function)
    finally:
        numba.config.CACHE_DIR = before


def jit(function: Callable[..., Any]) -> Any:
    """Compile a kernel."""
    return _compiled(function)


def forced(function: Callable[..., Any]) -> Any:
    """Compile a small function of numbers alone, which the machine code's optimiser must not call."""
    return _compiled(function, forceinline=True)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a part of kernels into each of them.

    For what an inner loop calls with arrays: a call of its own would copy their descriptions and
    count a reference to each.
    """
    return _compiled(function, inline="always")

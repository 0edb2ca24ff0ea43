"""Machine code of kernels: kept in files, loaded and called without Numba.

To import Numba and make it ready takes longer than most images take to decode, and only compiling needs it.
So a kernel is compiled together with an *entry* that takes its arguments out of an array of 64-bit *slots*:
a number each, or the address of a NumPy array, whose description the entry reads as NumPy's C interface
lays it out; `rnnic._compiling` makes both. llvmlite, which Numba stands on, loads such code, and ctypes
calls it.
"""

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import struct
import sys
import tempfile
from array import array
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["FIRST", "RESULT", "SUPPORTED", "Code", "describe", "load", "read", "versions", "write"]

SUPPORTED = sys.platform == "linux" and sys.maxsize > 1 << 32 and object.__basicsize__ == 16
"""Whether this is a system on which code is loaded without Numba.

The sizes are those of a Python with 64-bit addresses and one lock.
"""
RESULT, FIRST = 1, 2
"""Slots of the result and of the first argument; the first one is the entry's own."""
_OTHERS = 0x500
"""Bits of ``ndarray.flags.num``: aligned, writeable."""
_ORDER = (0, 1, 2, 1)
"""Order of elements by the two lowest of these bits: none, C, Fortran, and both, which counts as C."""
_DIGEST = 32


class Code(NamedTuple):
    """Machine code of a kernel for arguments of certain types.

    Attributes
    ----------
    symbol : str
        The entry's.
    result : str
        What the kernel returns: ``"none"``, ``"bool"``, ``"int"``, ``"unsigned"`` or ``"float"``.
    binary : bytes
        An object file; nothing if the code needs what only a process with Numba has.
    """

    symbol: str
    result: str
    binary: bytes


def _bits(value: Any) -> int:
    """Return the bits of a number as one of 64 bits."""
    bits: int = struct.unpack("q", struct.pack("d", value))[0]
    return bits


def _wrapped(value: Any) -> int:
    """Return the number of 64 bits with a sign that has an unsigned one's bits."""
    return (int(value) ^ 1 << 63) - (1 << 63)


_NUMBERS: dict[type, tuple[str, Callable[[Any], int]]] = {
    bool: ("bool", int),
    int: ("int64", int),
    float: ("float64", _bits),
    np.bool_: ("bool", int),
    **{kind: (kind.__name__, int) for kind in (np.int8, np.int16, np.int32, np.int64)},
    **{kind: (kind.__name__, int) for kind in (np.uint8, np.uint16, np.uint32)},
    np.uint64: ("uint64", _wrapped),
    **{kind: (kind.__name__, _bits) for kind in (np.float32, np.float64)},
}
"""What types of numbers are called, and how their slots are made."""


def describe(arguments: Sequence[Any], slots: list[int]) -> tuple[Hashable, ...]:
    """Append the slots of some arguments; return what tells their types apart.

    Raises
    ------
    TypeError
        If an argument is neither a number, an array, nor a tuple of such.
    """
    key: list[Hashable] = []
    for value in arguments:
        kind = type(value)
        if isinstance(value, np.ndarray):
            dtype = value.dtype
            if not dtype.isnative:
                raise TypeError("kernels take no arrays of another byte order")
            flags = value.flags.num
            key.append(dtype.num << 16 | value.ndim << 11 | flags & _OTHERS | _ORDER[flags & 3])
            slots.append(id(value))
        elif kind in _NUMBERS:
            name, slot = _NUMBERS[kind]
            key.append(name)
            slots.append(slot(value))
        elif isinstance(value, tuple):
            key.append((kind.__name__, describe(value, slots)))
        else:
            raise TypeError(f"kernels take no {kind.__name__}")
    return tuple(key)


def versions() -> bytes:
    """Return what code depends on besides its sources: the processor, the compiler and its settings."""
    import llvmlite
    import llvmlite.binding as llvm

    parts = [
        sys.implementation.cache_tag or "",
        llvmlite.__version__,
        np.__version__,
        llvm.get_default_triple(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
        *(f"{name}={value}" for name, value in sorted(os.environ.items()) if name[:6] == "NUMBA_"),
    ]
    # Numba's version without importing it.
    numba = importlib.util.find_spec("numba")
    if numba is not None and numba.origin is not None:
        with contextlib.suppress(OSError):
            parts.append(Path(numba.origin).with_name("_version.py").read_text("utf-8"))
    return "\n".join(parts).encode()


def read(path: Path) -> Code | None:
    """Return a file's code, None where there is none or it is damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
        return None
    symbol, result, binary = data[_DIGEST:].split(b"\n", 2)
    return Code(symbol.decode(), result.decode(), binary)


def write(path: Path, code: Code) -> None:
    """Put code into a file, whole or not at all; a folder that takes no files is left alone."""
    data = f"{code.symbol}\n{code.result}\n".encode() + code.binary
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(data).digest() + data)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink()
            raise


@cache
def _target() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple()


def load(code: Code) -> Callable[[list[int]], Any]:
    """Return a function that calls an entry with slots."""
    import llvmlite.binding as llvm

    # An engine of its own: names are those that Numba gave in different processes.
    engine = llvm.create_mcjit_compiler(
        llvm.parse_assembly(""), _target().create_target_machine(jit=True)
    )
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.binary))
    engine.finalize_object()
    address = engine.get_function_address(code.symbol)
    # What it returns is an error; where its result and what is known of an error would go; slots.
    entry = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 3)(address)
    result = code.result

    def call(slots: list[int], _engine: Any = engine) -> Any:
        room = array("q", slots)
        at, _ = room.buffer_info()
        if entry(at, at, at):
            raise RuntimeError(f"{code.symbol} failed")
        if result == "none":
            return None
        value = room[RESULT]
        if result == "float":
            return struct.unpack("d", struct.pack("q", value))[0]
        if result == "bool":
            return bool(value)
        return value & 0xFFFFFFFFFFFFFFFF if result == "unsigned" else value

    return call

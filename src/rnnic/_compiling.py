"""Compiles kernels with Numba, each with an entry that `rnnic._machine_code` calls.

Importing this imports Numba.
"""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, event
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from rnnic._machine_code import FIRST, RESULT, Code

__all__ = [
    "callable_by_python",
    "compile_entry",
    "compiled",
    "in_32_bits",
    "reshaped",
    "tell_of_compiling",
]

_DATA, _SHAPE, _STRIDES = 2, 4, 5
"""Where an array's object has the addresses of its data, shape and strides, in words."""
_OUTSIDE = {"cos", "log2", "memcpy", "memmove", "memset", "sin", "sqrt"}
"""Functions of the C library, which every process has, that kernels may call."""
_ELSEWHERE = re.compile(r'^(?:declare .*?|(?=@.* external ))@"?(?!llvm\.)([^"( ]+)', re.MULTILINE)
"""Functions and variables that a text of LLVM uses but does not have."""
_ALONE = {"nogil": True, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of functions that Python does not call."""
_WORD = ir.IntType(64)


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Return Numba's function for one that other kernels alone call."""
    return numba.njit(**(_ALONE | options))(function)


def callable_by_python(function: Callable[..., Any], folder: Path | None, **options: Any) -> Any:
    """Return Numba's function for one that Python calls, whose code Numba keeps in a folder."""
    made = numba.njit(nogil=True, _nrt=False, **options)(function)
    if folder is not None:
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(folder)
        try:
            made.enable_caching()
        finally:
            numba.config.CACHE_DIR = before
    return made


def compile_entry(kernel: Any, arguments: Sequence[Any]) -> Code:
    """Compile a kernel of `compiled`, and an entry, for the types of some arguments.

    Raises
    ------
    TypeError
        If the kernel returns anything but a number or nothing.
    """
    types = numba.typeof(_plain(arguments))
    take = _taker(types)

    def entry(slots: Any) -> None:
        _keep(slots, kernel(*take(slots)))

    entry.__name__ = f"entry_of_{kernel.py_func.__name__}"
    made = compiled(entry)
    made.compile((numba.types.voidptr,))
    (overload,) = made.overloads.values()
    if not _OUTSIDE.issuperset(_ELSEWHERE.findall(overload.library.get_llvm_str())):
        return Code("", "", b"")
    binary, _ = overload.library.serialize_using_object_code()[2]
    result = _result_of(kernel.overloads[types.types].signature.return_type)
    return Code(overload.fndesc.llvm_func_name, result, binary)


def _plain(value: Any) -> Any:
    """Return arguments with arrays, such as those of files, as plain ones."""
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(map(_plain, value))
    return np.asarray(value) if isinstance(value, np.ndarray) else value


def _result_of(kind: Any) -> str:
    """Return what `Code` calls a type of Numba's."""
    if isinstance(kind, numba.types.Boolean):
        return "bool"
    if isinstance(kind, numba.types.Integer):
        return "int" if kind.signed else "unsigned"
    if isinstance(kind, numba.types.Float):
        return "float"
    if kind == numba.types.none:
        return "none"
    raise TypeError(f"kernels return a number to Python, not {kind}")


def _words_at(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _WORD.as_pointer())


def _word_at(builder: Any, base: Any, number: int) -> Any:
    return builder.load(builder.gep(base, [ir.Constant(_WORD, number)]))


def _array(context: Any, builder: Any, kind: Any, address: Any) -> Any:
    """Make what Numba knows of an array from the object of NumPy at an address."""
    made = make_array(kind)(context, builder)
    fields = _words_at(builder, address)
    shape = _words_at(builder, _word_at(builder, fields, _SHAPE))
    strides = _words_at(builder, _word_at(builder, fields, _STRIDES))
    size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    populate_array(
        made,
        data=builder.inttoptr(_word_at(builder, fields, _DATA), made.data.type),
        shape=[_word_at(builder, shape, i) for i in range(kind.ndim)],
        strides=[_word_at(builder, strides, i) for i in range(kind.ndim)],
        itemsize=context.get_constant(numba.types.intp, size),
        meminfo=None,
    )
    return made._getvalue()


def _argument(context: Any, builder: Any, kind: Any, slots: Any, at: Iterator[int]) -> Any:
    """Make an argument from the next of the slots."""
    if isinstance(kind, numba.types.BaseTuple):
        parts = [_argument(context, builder, part, slots, at) for part in kind.types]
        return context.make_tuple(builder, kind, parts)
    slot = _word_at(builder, slots, next(at))
    if isinstance(kind, numba.types.Array):
        return _array(context, builder, kind, slot)
    if isinstance(kind, numba.types.Float):
        number = builder.bitcast(slot, ir.DoubleType())
        return context.cast(builder, number, numba.types.float64, kind)
    return context.cast(builder, slot, numba.types.int64, kind)


def _taker(types: Any) -> Any:
    """Return an operation that makes a tuple of arguments from slots."""

    @intrinsic  # type: ignore[untyped-decorator]
    def take(_context: Any, _slots: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            slots = builder.bitcast(values[0], _WORD.as_pointer())
            return _argument(context, builder, types, slots, itertools.count(FIRST))

        return types(numba.types.voidptr), generate

    return take


@intrinsic  # type: ignore[untyped-decorator]
def _keep(_context: Any, _slots: Any, kind: Any) -> Any:
    """Put a number, if it is one, into the slot of the result."""
    wide = numba.types.float64 if isinstance(kind, numba.types.Float) else numba.types.int64

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        if isinstance(kind, numba.types.Number | numba.types.Boolean):
            number = context.cast(builder, values[1], kind, wide)
            slots = builder.bitcast(values[0], number.type.as_pointer())
            builder.store(number, builder.gep(slots, [ir.Constant(_WORD, RESULT)]))
        return context.get_dummy_value()

    return numba.types.none(numba.types.voidptr, kind), generate


def in_32_bits(name: str) -> Any:
    """Return an operation of two integers in 32 bits; ``name`` is LLVM's."""
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


@intrinsic  # type: ignore[untyped-decorator]
def reshaped(_context: Any, array: Any, shape: Any) -> Any:
    """Return the first elements of a contiguous array in another shape."""
    if array.layout != "C":
        return None
    kind = array.copy(ndim=len(shape))

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        source = make_array(array)(context, builder, values[0])
        made = make_array(kind)(context, builder)
        sides = [
            context.cast(builder, side, own, numba.types.intp)
            for side, own in zip(cgutils.unpack_tuple(builder, values[1]), shape, strict=True)
        ]
        strides = [source.itemsize]
        for side in sides[:0:-1]:
            strides.insert(0, builder.mul(strides[0], side))
        populate_array(
            made,
            data=source.data,
            shape=sides,
            strides=strides,
            itemsize=source.itemsize,
            meminfo=source.meminfo,
            parent=source.parent,
        )
        return made._getvalue()

    return kind(array, shape), generate


class _Listener(event.Listener):  # type: ignore[misc]  # Numba has no types
    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def on_start(self, event: Any) -> None:
        """Tell of kernels, not of what others compile."""
        if event.data["dispatcher"].py_func.__module__.startswith("rnnic."):
            self._tell()

    def on_end(self, event: Any) -> None:
        """Tell nothing."""


@contextlib.contextmanager
def tell_of_compiling(tell: Callable[[], None]) -> Iterator[None]:
    """Call ``tell`` whenever, in a block, Numba compiles a kernel."""
    with event.install_listener("numba:compile", _Listener(tell)):
        yield

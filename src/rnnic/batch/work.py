"""What is done with one file of a batch; any process of any machine can do it."""

import contextlib
import functools
import io
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

from rnnic.batch import stores
from rnnic.batch.plan import Task
from rnnic.errors import RnnicError
from rnnic.output import OutputExistsError

__all__ = ["Job", "Outcome", "Writing", "reason", "run_task"]

Writing = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Job:
    """What is done with every file.

    Parameters
    ----------
    compress : bool
        Whether files are compressed or decompressed.
    options : dict
        Options of :class:`rnnic.EncodeOptions`, or of :func:`rnnic.decode`.
    metadata : str
        What goes along when compressing, see :meth:`rnnic.Metadata.chosen`.
    existing : str
        What becomes of targets that came to exist meanwhile: ``"fail"``, ``"skip"`` or ``"replace"``.
    """

    compress: bool
    options: dict[str, Any] = field(default_factory=dict)
    metadata: str = "all"
    existing: str = "fail"


@dataclass(frozen=True)
class Outcome:
    """What became of a file: ``status`` is ``"done"``, ``"skipped"`` or ``"failed"``."""

    source: str
    target: str | None
    status: str
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)


def reason(error: BaseException) -> str:
    """Return one line that says what went wrong."""
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename is not None else ""
        return f"{name}{error.strerror}"
    said = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"not enough memory; use fewer --jobs ({said})" if said else "not enough memory"
    return said if isinstance(error, RnnicError) else f"{type(error).__name__}: {said}"


def run_task(task: Task, job: Job, writing: Writing = contextlib.nullcontext) -> Outcome:
    """Do a task; whatever is wrong with its files is told in the outcome.

    Parameters
    ----------
    task : Task
    job : Job
    writing : callable
        Gives the context in which the result is written.
    """
    started = time.perf_counter()

    def outcome(
        status: str, bytes_in: int = 0, bytes_out: int = 0, error: str | None = None
    ) -> Outcome:
        seconds = time.perf_counter() - started
        return Outcome(task.source, task.target, status, bytes_in, bytes_out, seconds, error)

    try:
        if job.existing == "skip" and stores.exists(task.target):
            return outcome("skipped")  # another run has been here
        data = stores.read(task.source)
        work = _compress if job.compress else _decompress
        return outcome("done", len(data), work(task, job, data, writing))
    except OutputExistsError as error:
        return outcome("skipped") if job.existing == "skip" else outcome("failed", error=str(error))
    except Exception as error:  # noqa: BLE001 one file, whatever is in it, must not end the others
        return outcome("failed", error=reason(error))


@functools.lru_cache(maxsize=1)
def _model(path: str) -> Any:
    """Return a model file's content, read once for all files."""
    from rnnic.model import Model

    return Model.load(path)


def _options(job: Job) -> dict[str, Any]:
    """Return the job's options, with the model in the place of its file's name."""
    path = job.options.get("model")
    return job.options if path is None else job.options | {"model": _model(path)}


def _compress(task: Task, job: Job, data: bytes, writing: Writing) -> int:
    """Compress a file's content into the target; return the target's size."""
    from rnnic.encoding import encode
    from rnnic.files import load_image

    file = io.BytesIO(data)
    file.name = task.source
    loaded = load_image(file)
    made = encode(loaded.pixels, metadata=loaded.metadata.chosen(job.metadata), **_options(job))
    stores.make_folder_of(task.target)
    with writing():
        stores.write(task.target, made, overwrite=job.existing == "replace")
    return len(made)


def _decompress(task: Task, job: Job, data: bytes, writing: Writing) -> int:
    """Decompress a file's content into the target; return the target's size."""
    from rnnic.api import decode, info
    from rnnic.files import check_format, save_image

    found = info(data)
    check_format(task.target, alpha=found.alpha, bit_depth=found.bit_depth)
    pixels = decode(data, **_options(job))
    stores.make_folder_of(task.target)
    with writing():
        save_image(task.target, pixels, found.metadata, overwrite=job.existing == "replace")
    return stores.size(task.target)

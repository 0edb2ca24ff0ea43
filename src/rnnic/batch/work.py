"""What is done with one file of a batch; any process of any machine can do it."""

import io
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rnnic.batch import stores
from rnnic.batch.plan import Task
from rnnic.errors import RnnicError

__all__ = ["Job", "Outcome", "run_task"]


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
    overwrite : bool
        Whether existing targets are replaced.
    """

    compress: bool
    options: dict[str, Any] = field(default_factory=dict)
    metadata: str = "all"
    overwrite: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a file: ``status`` is ``"done"``, ``"skipped"`` or ``"failed"``."""

    source: str
    target: str
    status: str
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)


def run_task(task: Task, job: Job) -> Outcome:
    """Do a task; whatever is wrong with its files is told in the outcome."""
    started = time.perf_counter()
    try:
        data = stores.read(task.source)
        made = _compressed(task, job, data) if job.compress else _decompressed(task, job, data)
        stores.write(task.target, made, overwrite=job.overwrite)
    except (RnnicError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        seconds = time.perf_counter() - started
        return Outcome(task.source, task.target, "failed", seconds=seconds, error=reason)
    seconds = time.perf_counter() - started
    return Outcome(task.source, task.target, "done", len(data), len(made), seconds)


def _compressed(task: Task, job: Job, data: bytes) -> bytes:
    from rnnic.encoding import encode
    from rnnic.files import load_image

    file = io.BytesIO(data)
    file.name = task.source
    loaded = load_image(file)
    return encode(loaded.pixels, metadata=loaded.metadata.chosen(job.metadata), **job.options)


def _decompressed(task: Task, job: Job, data: bytes) -> bytes:
    from rnnic.api import decode, info
    from rnnic.files import save_image

    pixels, metadata = decode(data, **job.options), info(data).metadata
    with tempfile.TemporaryDirectory() as folder:
        # The target's suffix says the format.
        path = Path(folder, task.target.replace("\\", "/").rpartition("/")[2])
        save_image(path, pixels, metadata)
        return path.read_bytes()

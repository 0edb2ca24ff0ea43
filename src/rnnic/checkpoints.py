"""Stages of a long computation, kept in a folder so that an interrupted one goes on where it was."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnnic.output import atomic_output

__all__ = ["Checkpoints"]

_DIGEST_BYTES = 32


class Checkpoints:
    """Results of stages by name; without a folder, nothing is kept.

    Parameters
    ----------
    folder : Path, optional
        Made if it is not there. It may serve several computations.
    identity : JSON value
        All that the results depend on. Results of another identity are not found.
    """

    def __init__(self, folder: Path | None = None, identity: Any = None) -> None:
        self._folder = folder
        self._identity = json.dumps(identity, sort_keys=True).encode()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def stage(self, name: str, compute: Callable[[], bytes]) -> bytes:
        """Return what `compute` returned for this name before, or now."""
        if self._folder is None:
            return compute()
        key = hashlib.sha256(self._identity + b"\0" + name.encode()).hexdigest()[:_DIGEST_BYTES]
        path = self._folder / f"{key}.stage"
        if path.exists():
            kept = path.read_bytes()
            if hashlib.sha256(kept[_DIGEST_BYTES:]).digest() == kept[:_DIGEST_BYTES]:
                return kept[_DIGEST_BYTES:]
        made = compute()
        with atomic_output(path, overwrite=True) as file:
            file.write(hashlib.sha256(made).digest() + made)
        return made

"""Models: what all images share and no file carries (SPEC.md section 3)."""

import functools
import hashlib
import importlib.resources
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnic.chunks import check_signature, iterate_chunks, pack_chunk
from rnnic.errors import FormatError, LimitError, ModelMissingError, RnnicError

__all__ = [
    "MAX_MODEL_BYTES",
    "MODEL_PATH_VARIABLE",
    "Model",
    "default_model",
    "find_section",
    "resolve_model",
]

SIGNATURE = b"\x8aRNNMD\r\n"
MAX_MODEL_BYTES = 2**20
MODEL_PATH_VARIABLE = "RNNIC_MODEL_PATH"
_ID_BYTES = 8


@dataclass(frozen=True)
class Model:
    """One model file: a section for each method, and where it came from.

    Parameters
    ----------
    sections : mapping of str to bytes
        Payload of each section by its chunk type, for example ``"RAST"``.
    info : mapping
        Photo set, seed and settings it was trained with; JSON values.
    """

    sections: Mapping[str, bytes]
    info: Mapping[str, Any]

    def section_id(self, kind: str) -> bytes:
        """Return the 16 bytes by which a file names the section.

        Raises
        ------
        ModelMissingError
            If the model has no such section.
        """
        if kind not in self.sections:
            raise ModelMissingError(
                f"the model has no section {kind}; train one with `rnnic palette train`"
            )
        return _section_id(kind, self.sections[kind])

    def to_bytes(self) -> bytes:
        """Return the content of a model file."""
        meta = json.dumps(self.info, sort_keys=True, ensure_ascii=False).encode()
        parts = [SIGNATURE, pack_chunk("META", meta)]
        parts += [pack_chunk(kind, payload) for kind, payload in sorted(self.sections.items())]
        parts.append(pack_chunk("DONE", b""))
        data = b"".join(parts)
        if len(data) > MAX_MODEL_BYTES:
            raise LimitError(f"the model has {len(data)} bytes, at most {MAX_MODEL_BYTES} allowed")
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> "Model":
        """Read a model file's content; sections are checked by the methods that use them.

        Raises
        ------
        FormatError, TruncatedError, ChecksumError, LimitError
            If it is damaged or too large.
        """
        if len(data) > MAX_MODEL_BYTES:
            raise LimitError(f"a model file of more than {MAX_MODEL_BYTES} bytes")
        view = memoryview(data)
        check_signature(view, SIGNATURE, "RNNIC model file")
        sections: dict[str, bytes] = {}
        info: dict[str, Any] = {}
        for chunk in iterate_chunks(view):
            if chunk.kind == "META":
                info = _parse_info(bytes(chunk.payload))
            elif chunk.kind == "DONE":
                break
            elif chunk.critical:
                if chunk.kind in sections:
                    raise FormatError(f"more than one section {chunk.kind}")
                sections[chunk.kind] = bytes(chunk.payload)
        return cls(sections, info)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Model":
        """Read a model file.

        Raises
        ------
        RnnicError
            As `from_bytes`; the message names the file.
        OSError
            If the file cannot be read.
        """
        with Path(path).open("rb") as file:
            data = file.read(MAX_MODEL_BYTES + 1)
        try:
            return cls.from_bytes(data)
        except RnnicError as error:
            raise type(error)(f"{path}: {error}") from error


@functools.lru_cache(maxsize=16)
def _section_id(kind: str, payload: bytes) -> bytes:
    """Return a section's id; kept, since every decode asks for it."""
    return hashlib.sha256(kind.encode() + payload).digest()[:_ID_BYTES]


def _parse_info(payload: bytes) -> dict[str, Any]:
    try:
        info = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise FormatError("the model's META chunk is not JSON") from error
    if not isinstance(info, dict):
        raise FormatError("the model's META chunk is not a JSON object")
    return info


@functools.cache
def default_model() -> Model:
    """Return the model that comes with the package."""
    resource = importlib.resources.files("rnnic") / "models" / "default.rnnm"
    return Model.from_bytes(resource.read_bytes())


@functools.lru_cache(maxsize=8)
def _load_cached(path: Path, _changed: int) -> Model:
    return Model.load(path)


def find_section(kind: str, section_id: bytes, model: Model | None = None) -> Model:
    """Return a model whose section of type `kind` is the one a file names.

    Looked at in turn: `model`, the default model, and every ``*.rnnm`` file in the folders that
    the environment variable ``RNNIC_MODEL_PATH`` lists.

    Raises
    ------
    ModelMissingError
        If none has it; the message names the section's id.
    """
    candidates = [] if model is None else [model]
    candidates.append(default_model())
    for candidate in candidates:
        if kind in candidate.sections and candidate.section_id(kind) == section_id:
            return candidate
    for folder in filter(None, os.environ.get(MODEL_PATH_VARIABLE, "").split(os.pathsep)):
        for path in sorted(Path(folder).glob("*.rnnm")):
            candidate = _load_cached(path, path.stat().st_mtime_ns)
            if kind in candidate.sections and candidate.section_id(kind) == section_id:
                return candidate
    raise ModelMissingError(
        f"the model {section_id.hex()} ({kind}) that the file was compressed with is not installed;"
        f" pass its file as model= (--model) or put it into a folder named by {MODEL_PATH_VARIABLE}"
    )


def resolve_model(model: Model | str | os.PathLike[str] | None) -> Model:
    """Return a model: the one given, of the file given, or the one that comes with the package."""
    if model is None:
        return default_model()
    return model if isinstance(model, Model) else Model.load(model)

"""Write the conformance set again: ``python tests/make_conformance.py``.

Small files that together use every feature and limit of SPEC.md, with what decoding them comes to in
``manifest.json``. Expected pixels are those of the plain reference decoder; expected errors are written
down here. The fast decoder must agree with both.
"""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from checks import Pixels
from conformance_damaged import damaged
from conformance_valid import MODEL, Case, alpha, base_planes, borders, encoded, exact, pairs

import rnnic
from rnnic import reference

FOLDER = Path(__file__).parent / "conformance"


def cases() -> Iterator[Case]:
    """Yield all files."""
    for group in (encoded, exact, alpha, base_planes, borders, pairs, damaged):
        yield from group()


def crc_of(pixels: Pixels) -> str:
    """Return the CRC-32 of samples row by row, the lower byte of 16 bits first."""
    plain = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<")))
    return f"{zlib.crc32(plain.tobytes()):08x}"


def outcome(case: Case) -> dict[str, Any]:
    """Return a case as the manifest has it, after checking that both decoders in Python agree."""
    entry: dict[str, Any] = {"file": f"{case.name}.rnnic", "uses": case.uses}
    if case.error is not None:
        for decode in (rnnic.decode, lambda data: reference.decode(data, MODEL.to_bytes())):
            try:
                decode(case.data)
            except rnnic.RnnicError as error:
                if decode is rnnic.decode and type(error).__name__ != case.error:
                    raise AssertionError(f"{case.name}: {error!r}, not {case.error}") from error
            except (IndexError, ValueError, zlib.error):
                if decode is rnnic.decode:
                    raise
            else:
                if decode is rnnic.decode:
                    raise AssertionError(f"{case.name} is decoded, not refused")
        return entry | {"error": case.error}
    pixels = rnnic.decode(case.data)
    slow = np.array(reference.decode(case.data, MODEL.to_bytes()), pixels.dtype)
    np.testing.assert_array_equal(slow.reshape(pixels.shape), pixels, case.name)
    found = rnnic.info(case.data)
    entry |= {
        "width": found.width,
        "height": found.height,
        "channels": found.channels,
        "bit_depth": found.bit_depth,
        "crc32": crc_of(pixels),
    }
    if case.options:
        entry["parts"] = [
            options | {"crc32": crc_of(rnnic.decode(case.data, **options))}
            for options in case.options
        ]
    return entry


def main() -> None:
    """Write everything."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.rnnic"):
        old.unlink()
    entries = []
    for case in cases():
        entries.append(outcome(case))
        (FOLDER / entries[-1]["file"]).write_bytes(case.data)
    names = [entry["file"] for entry in entries]
    assert len(set(names)) == len(names)
    lines = ",\n".join(f"  {json.dumps(entry)}" for entry in entries)
    (FOLDER / "manifest.json").write_text(f'{{"version": 1, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()

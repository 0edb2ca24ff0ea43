"""Decode mutated fixtures: ``python tests/fuzz.py [COUNT [SEED]]``; images or typed errors come of them.

Bytes are changed, repeated, cut out and cut off; in most files the checksums are made right again, so that
decoders see the damage. The address space is limited, so that an allocation out of proportion ends the run.
With NUMBA_BOUNDSCHECK=1 kernels check their indices (set RNNIC_CACHE_DIR to a folder of its own then).
"""

import collections
import resource
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import rnnic

FOLDER = Path(__file__).parent / "fixtures" / "v1"
LIMIT = 6 << 30
MAX_PIXELS = 1 << 20
REPORT = 20_000


def repaired(data: bytearray) -> bytearray:
    """Make the checksums of a file's chunks right again, as far as their lengths lead."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        crc = zlib.crc32(data[at + 8 : end], zlib.crc32(data[at : at + 4]))
        struct.pack_into("<I", data, end, crc)
        at = end + 4
    return data


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a changed file."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(changed)))
        kind = int(rng.integers(8))
        if kind < 5:
            changed[at] = int(rng.integers(256))
        elif kind == 5:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 6:
            piece = changed[at : at + int(rng.integers(1, 9))]
            changed[at:at] = piece
        else:
            del changed[at : at + int(rng.integers(1, 9))]
        if not changed:
            return b""
    if rng.integers(20) == 0:
        del changed[int(rng.integers(len(changed))) :]
    return bytes(repaired(changed) if rng.integers(8) else changed)


def look(data: bytes, turn: int) -> str:
    """Decode a file in one of several ways; tells what came of it."""
    ways: tuple[dict[str, Any], ...] = (
        {},
        {"reduce": 1},
        {"reduce": 3},
        {"region": (0, 0, 1, 1)},
        {"on_error": "fill"},
    )
    options = dict(ways[turn % len(ways)])
    try:
        if options.pop("on_error", None):
            pixels, damage, _ = rnnic.decode_report(data, max_pixels=MAX_PIXELS, threads=1)
            assert pixels.size
            return "filled" if damage else "image"
        pixels = rnnic.decode(data, max_pixels=MAX_PIXELS, threads=1, **options)
    except rnnic.RnnicError as error:
        return type(error).__name__
    assert pixels.dtype in (np.uint8, np.uint16)
    assert pixels.size
    return "image"


def main() -> None:
    """Run."""
    count, seed = (int(value) for value in (sys.argv[1:] + ["100000", "0"][len(sys.argv) - 1 :]))
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    files = [path.read_bytes() for path in sorted(FOLDER.glob("*.rnnic"))]
    files = [data for data in files if len(data) < 8000]
    rng = np.random.default_rng(seed)
    found: collections.Counter[str] = collections.Counter()
    started = time.perf_counter()
    for turn in range(count):
        data = mutated(files[int(rng.integers(len(files)))], rng)
        try:
            found[look(data, turn)] += 1
        except BaseException:
            Path("crash.rnnic").write_bytes(data)
            print(f"turn {turn}, seed {seed}: see crash.rnnic", file=sys.stderr)
            raise
        if (turn + 1) % REPORT == 0 or turn + 1 == count:
            rate = (turn + 1) / (time.perf_counter() - started)
            told = ", ".join(f"{name} {n}" for name, n in found.most_common())
            print(f"{turn + 1} files, {rate:.0f}/s: {told}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()

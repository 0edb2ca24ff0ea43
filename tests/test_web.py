"""The decoder in JavaScript, run by Node, against Python's."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import pixels_of
from crafting import chunks_of, file_of, indexed
from make_fixtures import FOLDER, checksum

import rnnic

ROOT = FOLDER.parent.parent
WEB = ROOT / "web"
NODE = shutil.which("node")
FILES = sorted(FOLDER.glob("v*/*.rnnic"))
Case = tuple[Path, dict[str, Any]]

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not on PATH")


def run(*arguments: str | Path, given: str = "") -> str:
    """Run Node in the folder of its sources; return what it prints."""
    assert NODE is not None
    result = subprocess.run(
        [NODE, *arguments], input=given, cwd=WEB, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def in_javascript(cases: list[Case]) -> list[str]:
    """Return a checksum or an error's class of each file, decoded with options."""
    lines = "".join(json.dumps((str(path), options)) + "\n" for path, options in cases)
    return run("test/outcomes.mjs", given=lines).split()


def in_python(path: Path, options: dict[str, Any]) -> str:
    """Return the same of Python's decoder."""
    try:
        return f"{checksum(rnnic.decode(path.read_bytes(), **options)):08x}"
    except rnnic.RnnicError as error:
        return type(error).__name__


def test_node_runs_its_own_tests() -> None:
    report = run("--test", *sorted(WEB.glob("test/*.test.mjs")))
    assert re.search(r"^# pass [1-9]", report, re.MULTILINE)


def test_fixtures_decode_to_their_checksums() -> None:
    lines = (FOLDER / "v1" / "checksums.txt").read_text().splitlines()
    expected = {name: crc for crc, name in map(str.split, lines)}
    found = in_javascript([(path, {}) for path in FILES])
    assert dict(zip((path.name for path in FILES), found, strict=True)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("reduce", [1, 3, 5])
def test_reduced_sizes_are_those_of_python(reduce: int) -> None:
    cases: list[Case] = [(path, {"reduce": reduce}) for path in FILES]
    assert in_javascript(cases) == [in_python(*case) for case in cases]


@pytest.mark.slow
def test_regions_are_those_of_python(tmp_path: Path) -> None:
    cases: list[Case] = []
    for channels in (1, 4):
        path = tmp_path / f"{channels}.rnnic"
        path.write_bytes(rnnic.encode(pixels_of(75, 110, channels), quality=80, tile_size=32))
        for region in ((0, 0, 1, 1), (109, 74, 1, 1), (30, 31, 40, 3), (0, 0, 110, 75)):
            cases += [(path, {"region": region, "reduce": reduce}) for reduce in (0, 2)]
    assert in_javascript(cases) == [in_python(*case) for case in cases]


@pytest.mark.slow
def test_tiles_larger_than_any_before_are_decoded(tmp_path: Path) -> None:
    large, small = tmp_path / "large.rnnic", tmp_path / "small.rnnic"
    tiled = np.tile(pixels_of(128, 150, 3), (9, 10, 1))
    large.write_bytes(rnnic.encode(tiled, quality=50, tile_size=2048, effort=1))
    small.write_bytes(rnnic.encode(pixels_of(40, 30, 3), quality=95))
    cases: list[Case] = [(small, {}), (large, {}), (small, {}), (large, {"reduce": 1})]
    assert in_javascript(cases) == [in_python(*case) for case in cases]


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file cut off, or with bytes of one chunk changed, cut or added, and right checksums."""
    if rng.integers(12) == 0:
        return data[: int(rng.integers(len(data)))]
    chunks = [(kind, bytearray(payload)) for kind, payload in chunks_of(data)]
    kind, payload = chunks[int(rng.choice([i for i, chunk in enumerate(chunks) if chunk[1]]))]
    way = rng.integers(4)
    at = int(rng.integers(len(payload)))
    if way == 0:
        del payload[at : at + int(rng.integers(1, 4))]
    elif way == 1:
        payload[at:at] = rng.bytes(int(rng.integers(1, 4)))
    else:
        payload[at] ^= 1 << int(rng.integers(8))
    changed = [(name, bytes(body)) for name, body in chunks]
    return file_of(data, indexed(changed) if kind == "TILE" else changed)


@pytest.mark.slow
def test_damage_comes_to_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    cases: list[Case] = []
    for number, path in enumerate(FILES * 4):
        # A changed size may ask for much memory, which is not what is tested.
        cases.append((tmp_path / f"{number}-{path.name}", {"reduce": number % 2}))
        cases[-1][0].write_bytes(damaged(path.read_bytes(), rng))
    expected = [in_python(*case) for case in cases]
    found = in_javascript(cases)
    wrong = [
        (case[0].name, python, own)
        for case, python, own in zip(cases, expected, found, strict=True)
        if python != own
    ]
    assert not wrong
    assert {"FormatError", "TruncatedError", "ModelMissingError"} <= set(expected)


def test_the_command_writes_pam_or_one_line_of_error(tmp_path: Path) -> None:
    assert NODE is not None
    out = tmp_path / "out.pam"
    run("cli.mjs", FOLDER / "v1" / "pyramid-4x16-50x23-4.rnnic", out, "--reduce", "1")
    head, samples = out.read_bytes().split(b"ENDHDR\n", 1)
    assert head.startswith(b"P7\nWIDTH 25\nHEIGHT 12\nDEPTH 4\nMAXVAL 65535\n")
    pixels = rnnic.decode((FOLDER / "v1" / "pyramid-4x16-50x23-4.rnnic").read_bytes(), reduce=1)
    assert samples == pixels.astype(">u2").tobytes()
    result = subprocess.run(
        [NODE, "cli.mjs", "package.json", str(out)],
        cwd=WEB,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert re.fullmatch(r"rnnic: FormatError: .*\n", result.stderr)

"""The conformance set, and the program that runs decoders over it."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conformance_valid import base_planes, borders, exact, pairs
from make_conformance import FOLDER, cases
from PIL import Image
from test_web import in_javascript

import rnnic
from rnnic.conformance import Check, checks_of, conformance, read_samples, run_check

CHECKS = checks_of(FOLDER)
GREY = next(check for check in CHECKS if check.file.stem == "pyramid-1x8")
BAD = next(check for check in CHECKS if check.file.stem == "bad-crc")


def decoder(tmp_path: Path, body: str) -> list[str]:
    """Return a command that runs a script with `source` and `out` set."""
    script = tmp_path / "decoder.py"
    script.write_text(f"import sys\nsource, out = sys.argv[1:]\n{body}\n")
    return [sys.executable, str(script), "{in}", "{out}"]


def test_the_decoder_of_this_package() -> None:
    result = CliRunner().invoke(conformance, [])
    assert result.exit_code == 0, result.output
    assert "whole images" in result.output
    assert "FAIL" not in result.output


@pytest.mark.slow
def test_the_set_can_be_written_again() -> None:
    names = {f"{case.name}.rnnic" for case in cases()}
    assert names == {path.name for path in FOLDER.glob("*.rnnic")}


def test_the_set_is_small_and_whole() -> None:
    files = sorted(path.name for path in FOLDER.glob("*.rnnic"))
    assert files == sorted({check.file.name for check in CHECKS})
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 300_000


def test_the_script_gives_the_committed_files() -> None:
    """Those made by hand; others change with the encoder, and need not be written again then."""
    for case in (*exact(), *base_planes(), *borders(), *pairs()):
        assert (FOLDER / f"{case.name}.rnnic").read_bytes() == case.data, case.name


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH")
def test_the_decoder_in_javascript() -> None:
    options: list[tuple[Path, dict[str, Any]]] = [
        (check.file, {"reduce": check.reduce, "region": check.region}) for check in CHECKS
    ]
    expected = [check.expected.get("error") or check.expected["crc32"] for check in CHECKS]
    assert in_javascript(options) == expected


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH")
def test_a_command_with_all_options() -> None:
    command = "node web/cli.mjs {in} {out} --model {model} --reduce {reduce} --region {region}"
    words = command.replace("web/", f"{FOLDER.parent.parent / 'web'}/").split()
    parts = [check for check in CHECKS if check.file == GREY.file]
    assert len(parts) > 2
    assert [run_check(check, words).fault for check in [*parts, BAD]] == [""] * (len(parts) + 1)


@pytest.mark.parametrize(
    ("body", "check", "fault"),
    [
        ("sys.exit(3)", GREY, "exit code 3"),
        ("", GREY, "no output"),
        ("open(out, 'wb').write(b'P5 1 1 255\\n0')", GREY, "are (1, 1, 1, 8)"),
        ("open(out, 'wb').write(b'P5 1 1 255\\n')", GREY, "bytes of samples"),
        ("open(out, 'wb').write(b'?')", GREY, "no PGM"),
        ("import time; time.sleep(60)", GREY, "not done"),
        ("", BAD, "was decoded"),
        ("sys.exit('FormatError: damaged')", BAD, "ChecksumError is due"),
        ("sys.exit(1)", BAD, "nothing was said"),
        ("import os; os.abort()", BAD, "signal"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, body: str, check: Check, fault: str) -> None:
    seconds = 3 if "sleep" in body else 60
    assert fault in run_check(check, decoder(tmp_path, body), seconds=seconds).fault


def test_errors_of_any_class_may_do(tmp_path: Path) -> None:
    command = decoder(tmp_path, "sys.exit('FormatError: damaged')")
    assert run_check(BAD, command, any_error=True).fault == ""


def test_plain_samples(tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    samples.write_bytes(rnnic.read(GREY.file).tobytes())
    body = f"import shutil; shutil.copy({str(samples)!r}, out)"
    assert run_check(GREY, decoder(tmp_path, body), raw=True).fault == ""
    samples.write_bytes(b"others")
    assert "CRC-32" in run_check(GREY, decoder(tmp_path, body), raw=True).fault


def test_formats_of_outputs(tmp_path: Path) -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    Image.fromarray(grey).save(tmp_path / "a.png")
    (tmp_path / "a.pgm").write_bytes(b"P5\n3 2\n65535\n" + grey.astype(">u2").tobytes())
    assert read_samples(tmp_path / "a.png").tolist() == grey[:, :, None].tolist()
    found = read_samples(tmp_path / "a.pgm")
    assert found.dtype == np.dtype(np.uint16)
    assert found.tolist() == grey[:, :, None].tolist()


def test_failures_end_in_a_code(tmp_path: Path) -> None:
    command = " ".join(decoder(tmp_path, "sys.exit(1)"))
    result = CliRunner().invoke(conformance, ["--decoder", command, "--only", "bad-crc"])
    assert result.exit_code == 1
    assert "FAIL  bad-crc " in result.output
    empty = CliRunner().invoke(conformance, ["--files", str(tmp_path)])
    assert empty.exit_code == 2
    assert "no manifest.json" in empty.output
    assert json.loads((FOLDER / "manifest.json").read_text())["version"] == 1

"""Batches on real Dask clusters: schedulers and workers in processes of their own."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import photo_like
from clusters import MODULE, Cluster, wait_for
from PIL import Image

import rnnic
from rnnic.batch.cluster import run_on_dask
from rnnic.batch.plan import Task, plan
from rnnic.batch.work import Job

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

COUNT = 24


@pytest.fixture(name="photos")
def _photos(tmp_path: Path) -> Path:
    source = tmp_path / "photos"
    (source / "in").mkdir(parents=True)
    for number in range(COUNT):
        place = source / ("in" if number % 2 else "") / f"{number:02}.png"
        Image.fromarray(photo_like(160, 200, 3, number % 3)).save(place)
    return source


def _batch(folder: Path, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*MODULE, "rnnic", "batch", *map(str, arguments), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


def _lines(stdout: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stdout.splitlines()]


def test_a_killed_worker_loses_nothing(photos: Path, cluster: Cluster) -> None:
    """Two workers, one killed while it works; names relative to the command's folder alone."""
    address = cluster.start(workers=2)
    folder = photos.parent
    out = folder / "out"
    child = _batch(folder, "compress", "photos", "out", "--scheduler", address)
    wait_for(lambda: len(list(out.rglob("*.rnnic"))) >= 3)
    cluster.workers[0].kill()
    stdout, stderr = child.communicate(timeout=240)
    assert child.returncode == 0, stderr
    lines = _lines(stdout)
    assert {line["status"] for line in lines} == {"done"}
    sources = sorted(str(path.relative_to(folder)) for path in photos.rglob("*.png"))
    assert sorted(line["source"] for line in lines) == sources
    results = sorted(path for path in out.rglob("*") if path.is_file())
    assert len(results) == COUNT
    # The same bytes as without a cluster.
    expected = rnnic.encode(np.asarray(Image.open(photos / "00.png")), threads=1)
    assert (out / "00.rnnic").read_bytes() == expected
    for path in results:
        assert rnnic.read(path).shape == (160, 200, 3)


def test_a_file_that_kills_its_worker_is_given_up(photos: Path, cluster: Cluster) -> None:
    """The scheduler allows no death: what the worker had then is reported, the rest is done."""
    address = cluster.start(workers=1, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    out = photos.parent / "out"
    child = _batch(photos.parent, "compress", photos, out, "--scheduler", address)
    wait_for(lambda: len(list(out.rglob("*.rnnic"))) >= 3)
    cluster.workers[0].kill()
    cluster.add_worker()
    stdout, stderr = child.communicate(timeout=240)
    assert child.returncode == 1, stderr
    lines = _lines(stdout)
    failed = [line for line in lines if line["status"] == "failed"]
    assert len(lines) == COUNT
    assert 1 <= len(failed) <= 2
    assert "killed again and again" in failed[0]["error"]
    assert failed[0]["source"] in stderr
    # A run for the rest.
    child = _batch(
        photos.parent, "compress", photos, out, "--scheduler", address, "--skip-existing"
    )
    assert child.communicate(timeout=240)[1].count("Traceback") == 0
    assert child.returncode == 0
    assert len(list(out.rglob("*.rnnic"))) == COUNT


def test_a_lost_scheduler_is_told(photos: Path, cluster: Cluster) -> None:
    address = cluster.start(workers=1)
    out = photos.parent / "out"
    child = _batch(photos.parent, "compress", photos, out, "--scheduler", address)
    wait_for(lambda: len(list(out.rglob("*.rnnic"))) >= 3)
    cluster.scheduler.kill()
    _, stderr = child.communicate(timeout=120)
    assert child.returncode == 1
    assert f"{address}: the scheduler is gone" in stderr
    assert "Traceback" not in stderr, stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
def test_a_cluster_without_workers_is_told(photos: Path, cluster: Cluster) -> None:
    address = cluster.start(workers=0)
    tasks = plan([str(photos)], str(photos.parent / "out"), frozenset({".png"}), ".rnnic").tasks
    with pytest.raises(rnnic.RnnicError, match="no worker came within 1 s"):
        list(run_on_dask(tasks, Job(compress=True), address, 1, patience=1))


@pytest.mark.parametrize("address", ["jam://x", "tcp://127.0.0.1:9", "nonsense"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
def test_no_scheduler_is_told(address: str) -> None:
    with pytest.raises(rnnic.RnnicError, match=f"{address}: no Dask scheduler answers there"):
        list(run_on_dask([Task("a", "b")], Job(compress=True), address, 1, patience=1))


def test_a_local_cluster(photos: Path) -> None:
    folder = photos.parent
    options = ("--scheduler", "local", "--jobs", 1)
    child = _batch(folder, "compress", photos, "out", *options, "--error-threshold", "0")
    _, stderr = child.communicate(timeout=240)
    assert child.returncode == 0, stderr
    assert f"{COUNT} done" in stderr
    (folder / "out" / "bad.rnnic").write_bytes(b"no image")
    child = _batch(folder, "decompress", "out", "back", *options)
    stdout, stderr = child.communicate(timeout=240)
    assert child.returncode == 1, stderr
    failed = [line["source"] for line in _lines(stdout) if line["status"] == "failed"]
    assert failed == [str(Path("out", "bad.rnnic"))]
    for path in photos.rglob("*.png"):
        back = Image.open(folder / "back" / path.relative_to(photos))
        np.testing.assert_array_equal(np.asarray(back), np.asarray(Image.open(path)))

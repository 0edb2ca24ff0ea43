"""Many files at once: plans, processes, kills, stores, clusters."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from checks import photo_like
from click.testing import CliRunner, Result
from PIL import Image

import rnnic
from rnnic.batch import stores
from rnnic.batch.plan import Task, plan
from rnnic.batch.pool import Around, run_processes
from rnnic.batch.work import Job, Outcome
from rnnic.cli import command_line
from rnnic.files import load_image

PNG = frozenset({".png"})


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command_line, ["batch", *map(str, arguments)])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of five images, two of them in folders, beside what is none."""
    root = tmp_path / "photos"
    for number, name in enumerate(("a.png", "b.png", "in/c.png", "in/deep er/d.png", "e.jpg")):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo_like(24, 30, 3, number)).save(path)
    (root / "notes.txt").write_text("no image")
    (root / ".rnnic-1234.part").write_bytes(b"of a run that was killed")
    return root


# Plans


def test_folders_are_mirrored(tree: Path) -> None:
    tasks = plan([str(tree)], str(tree.parent / "out"), PNG, ".rnnic").tasks
    targets = [Path(task.target).relative_to(tree.parent / "out").as_posix() for task in tasks]
    assert targets == ["a.rnnic", "b.rnnic", "in/c.rnnic", "in/deep er/d.rnnic"]
    single = plan([str(tree / "in/c.png")], "out", PNG, ".rnnic").tasks
    assert single == [Task(str(tree / "in/c.png"), str(Path("out/c.rnnic")))]


def test_two_files_for_one_result_are_refused(tree: Path) -> None:
    Image.new("L", (4, 4)).save(tree / "a.jpg")
    both = frozenset({".png", ".jpg"})
    with pytest.raises(rnnic.OptionError, match=r"a\.jpg and .*a\.png would both become .*--keep"):
        plan([str(tree)], "out", both, ".rnnic")
    tasks = plan([str(tree)], "out", both, ".rnnic", keep_suffix=True).tasks
    assert len(tasks) == 6
    assert Path(tasks[0].target).name == "a.jpg.rnnic"
    # The same file named twice is one task.
    assert len(plan([str(tree / "a.png")] * 2, "out", PNG, ".rnnic").tasks) == 1


def test_results_inside_the_source_are_no_sources(tree: Path) -> None:
    for name in ("in", "in/out"):
        tasks = plan([str(tree)], str(tree / name), PNG, ".png").tasks
        assert all(f"/{name}/" not in Path(task.source).as_posix() for task in tasks)


def test_nothing_to_do_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(rnnic.RnnicError, match="no file to work on"):
        plan([str(tmp_path)], "out", PNG, ".rnnic")
    with pytest.raises(FileNotFoundError):
        plan([str(tmp_path / "no")], "out", PNG, ".rnnic")


# The command


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_there_and_back(tree: Path, tmp_path: Path, jobs: int) -> None:
    packed, back = tmp_path / "packed", tmp_path / "back"
    options = ("--jobs", jobs, "--error-threshold", 0)
    result = run("compress", tree, packed, *options)
    assert result.exit_code == 0, result.output
    assert "5 done" in result.stdout
    assert not list(packed.rglob(".rnnic-*"))
    result = run("decompress", packed, back, "--jobs", jobs, "--json")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert {line["status"] for line in lines} == {"done"}
    for path in tree.rglob("*.png"):
        restored = back / path.relative_to(tree)
        np.testing.assert_array_equal(load_image(restored).pixels, load_image(path).pixels)


def test_failures_are_reported_and_left_out(tree: Path, tmp_path: Path) -> None:
    (tree / "bad.png").write_bytes(b"no image at all")
    (tree / "in" / "cut.png").write_bytes((tree / "a.png").read_bytes()[:200])
    result = run("compress", tree, tmp_path / "out", "--jobs", 1, "--json", "--effort", 1)
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(line["status"] for line in lines) == ["done"] * 5 + ["failed"] * 2
    assert "bad.png" in result.stderr
    assert "cut.png" in result.stderr
    assert "5 done, 2 failed" in result.stderr
    assert len(list((tmp_path / "out").rglob("*"))) == 5 + 2


def test_existing_results(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("compress", tree, out, "--jobs", 1, "--effort", 1).exit_code == 0
    before = (out / "a.rnnic").stat().st_mtime_ns
    result = run("compress", tree, out, "--jobs", 1)
    assert result.exit_code == 1
    assert "4 more exist already; use --skip-existing or --overwrite" in result.stderr
    (out / "in" / "c.rnnic").unlink()
    result = run("compress", tree, out, "--jobs", 1, "--skip-existing", "--effort", 1)
    assert result.exit_code == 0
    assert "1 done, 4 skipped" in result.stdout
    assert (out / "a.rnnic").stat().st_mtime_ns == before
    assert run("compress", tree, out, "--jobs", 1, "--overwrite").exit_code == 0
    assert (out / "a.rnnic").stat().st_mtime_ns > before
    assert run("compress", tree, out, "--overwrite", "--skip-existing").exit_code == 2


@pytest.mark.parametrize(
    "arguments", [("--quality", 200), ("--method", "jam"), ("--metadata", "jam"), ("--jobs", 0)]
)
def test_wrong_options_are_told_before_any_work(
    tree: Path, tmp_path: Path, arguments: tuple[object, ...]
) -> None:
    result = run("compress", tree, tmp_path / "out", *arguments)
    assert result.exit_code == 2, result.output
    assert not (tmp_path / "out").exists()
    assert run("decompress", tree, tmp_path / "out", "--format", "jam").exit_code == 2


# Processes


def _die_on_b(task: Task, job: Job, writing: Around) -> Outcome:
    """Stand for `run_task`; the process dies of one of the files."""
    del job, writing
    if "b.png" in task.source:
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(task.source, task.target, "done")


@pytest.mark.slow
def test_a_process_that_dies_loses_its_file_alone(tree: Path) -> None:
    tasks = plan([str(tree)], "out", PNG, ".rnnic").tasks
    outcomes = list(run_processes(tasks, Job(compress=True), 2, work=_die_on_b))
    assert sorted(outcome.source for outcome in outcomes) == sorted(task.source for task in tasks)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    assert len(failed) == 1
    assert "b.png" in failed[0].source
    assert "SIGKILL" in str(failed[0].error)


@pytest.mark.slow
def test_a_killed_run_is_resumed(tmp_path: Path) -> None:
    source, out = tmp_path / "photos", tmp_path / "out"
    source.mkdir()
    for number in range(30):
        Image.fromarray(photo_like(200, 240, 3, number % 3)).save(source / f"{number:02}.png")
    command = [sys.executable, "-m", "rnnic", "batch", "compress", str(source), str(out)]
    child = subprocess.Popen(
        [*command, "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len(list(out.glob("*.rnnic"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    whole = sorted(out.glob("*.rnnic"))
    assert 3 <= len(whole) < 30
    for path in whole:
        assert rnnic.read(path).shape == (200, 240, 3)
    result = run("compress", source, out, "--jobs", 1, "--skip-existing")
    assert result.exit_code == 0, result.output
    assert len(list(out.glob("*.rnnic"))) == 30


# Stores


@pytest.fixture
def memory() -> Iterator[str]:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    store.makedirs("/batch", exist_ok=True)
    yield "memory://batch"
    store.rm("/batch", recursive=True)


def test_files_on_stores(tree: Path, tmp_path: Path, memory: str) -> None:
    assert run("compress", tree, f"{memory}/packed", "--jobs", 1, "--effort", 1).exit_code == 0
    names = list(stores.walk(f"{memory}/packed", print))
    assert names == ["a.rnnic", "b.rnnic", "e.rnnic", "in/c.rnnic", "in/deep er/d.rnnic"]
    again = run("compress", tree, f"{memory}/packed", "--jobs", 1, "--skip-existing")
    assert "5 skipped" in again.stdout
    result = run("decompress", f"{memory}/packed", tmp_path / "back", "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "back" / "in" / "deep er" / "d.png").is_file()


def test_unknown_stores_are_refused(tree: Path) -> None:
    pytest.importorskip("fsspec")
    result = run("compress", tree, "nowhere://out", "--jobs", 1)
    assert result.exit_code == 1
    assert "nowhere://out" in result.stderr


# Clusters


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    """A real scheduler, two real workers, one of them killed while it works."""
    pytest.importorskip("distributed")
    source, out = tmp_path / "many", tmp_path / "out"
    source.mkdir()
    for number in range(24):
        Image.fromarray(photo_like(160, 200, 3, number % 3)).save(source / f"{number:02}.png")
    place = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    module = [sys.executable, "-m"]
    scheduler = subprocess.Popen(
        [*module, "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard",
         "--host", "127.0.0.1", "--scheduler-file", str(place)],
        **quiet,  # type: ignore[call-overload]
    )  # fmt: skip
    worker = [*module, "distributed.cli.dask_worker", "--scheduler-file", str(place)]
    worker += ["--nworkers", "1", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    workers = [
        subprocess.Popen([*worker, "--local-directory", str(tmp_path / name)], **quiet)  # type: ignore[call-overload]
        for name in ("w1", "w2")
    ]
    try:
        deadline = time.monotonic() + 60
        while not place.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        address = json.loads(place.read_text())["address"]
        command = [*module, "rnnic", "batch", "compress", str(source), str(out), "--json"]
        child = subprocess.Popen(
            [*command, "--scheduler", address], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        while len(list(out.glob("*.rnnic"))) < 3 and time.monotonic() < deadline + 60:
            time.sleep(0.02)
        workers[0].kill()
        stdout, stderr = child.communicate(timeout=240)
        assert child.returncode == 0, stderr.decode()
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()
    lines = [json.loads(line) for line in stdout.decode().splitlines()]
    assert sorted(Path(line["source"]).name for line in lines) == [f"{n:02}.png" for n in range(24)]
    assert {line["status"] for line in lines} == {"done"}
    for path in source.iterdir():
        assert rnnic.read(out / f"{path.stem}.rnnic").shape == (160, 200, 3)
    assert len(list(out.iterdir())) == 24


@pytest.mark.slow
def test_a_local_cluster(tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    command = [sys.executable, "-m", "rnnic", "batch", "compress", str(tree), str(tmp_path / "out")]
    command += ["--scheduler", "local", "--jobs", "1", "--effort", "1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    assert "5 done" in result.stdout

"""Many files at once: plans, processes, kills, stores."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from checks import photo_like
from click.testing import CliRunner, Result
from PIL import Image

import rnnic
from rnnic.batch import pool, stores
from rnnic.batch.plan import Task, _renamed, plan
from rnnic.batch.pool import Around, run_processes
from rnnic.batch.run import run as run_batch
from rnnic.batch.work import Job, Outcome, run_task
from rnnic.cli import command_line
from rnnic.files import load_image

PNG = frozenset({".png"})
FAST = ("--effort", 1, "--jobs", 1)


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
    (root / ".rnnic-0123456789abcdef.part").write_bytes(b"of a run that was killed")
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


def test_results_are_told_apart_or_refused(tree: Path) -> None:
    other = tree.parent / "other"
    (other / "in").mkdir(parents=True)
    Image.new("L", (4, 4)).save(other / "a.png")
    with pytest.raises(rnnic.OptionError, match="give each its own DEST"):
        plan([str(tree), str(other)], "out", PNG, ".rnnic")
    # A result that is a folder of another.
    (tree / "a.rnnic").mkdir()
    Image.new("L", (4, 4)).save(tree / "a.rnnic" / "x.png")
    with pytest.raises(rnnic.OptionError, match=r"a\.rnnic, which is a folder for"):
        plan([str(tree)], "out", PNG, ".rnnic")


def test_a_source_is_no_target(tree: Path) -> None:
    link = tree.parent / "link"
    link.symlink_to(tree)
    with pytest.raises(rnnic.OptionError, match="would replace the source"):
        plan([str(tree / "a.png")], str(link), frozenset(), ".png")
    with pytest.raises(rnnic.OptionError, match="would replace the source"):
        plan([str(tree / "a.png")], tree.as_uri(), frozenset(), ".png")


def test_suffixes_are_not_doubled() -> None:
    file = Path(__file__)
    for name, suffix, result in (
        ("a.png.rnnic", ".png", "a.png"),
        ("a.jpg.rnnic", ".png", "a.jpg.png"),
        ("a.rnnic", ".png", "a.png"),
        ("noise", ".rnnic", "noise.rnnic"),
    ):
        assert _renamed(PurePosixPath(name), suffix) == result
    kept = plan([str(file)], "out", PNG, ".rnnic", keep_suffix=True).tasks
    assert Path(kept[0].target).name == "test_batch.py.rnnic"


def test_destinations_named_by_url_are_no_sources(tree: Path) -> None:
    tasks = plan([str(tree)], (tree / "in").as_uri(), PNG, ".rnnic").tasks
    assert [Path(task.source).name for task in tasks] == ["a.png", "b.png"]
    # The source's folder itself may be the destination.
    assert len(plan([str(tree)], str(tree), PNG, ".rnnic").tasks) == 4


def test_odd_things_in_folders(tree: Path) -> None:
    os.mkfifo(tree / "pipe.png")
    (tree / "in" / "loop").symlink_to(tree, target_is_directory=True)
    (tree / "self.png").symlink_to(tree / "self.png")
    (tree / "broken.png").symlink_to(tree / "nowhere.png")
    tasks = plan([str(tree)], "out", PNG, ".rnnic").tasks
    names = [Path(task.source).name for task in tasks]
    assert names == ["a.png", "b.png", "broken.png", "self.png", "c.png", "d.png"]
    for task in tasks[2:4]:
        assert run_task(task, Job(compress=True)).status == "failed"


def test_folders_that_cannot_be_read_are_told(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.scandir

    def refusing(path: str) -> Any:
        if str(path).endswith("deep er"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    result = run("compress", tree, tmp_path / "out", *FAST, "--json")
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines[0]["source"].endswith("deep er")
    assert lines[0]["target"] is None
    assert [line["status"] for line in lines] == ["failed"] + ["done"] * 4
    assert "Permission denied" in result.stderr
    with pytest.raises(rnnic.RnnicError, match=r"no file to work on.*Permission denied"):
        plan([str(tree / "in" / "deep er")], "out", PNG, ".rnnic")


def test_names_that_lead_out_of_the_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "is_folder", lambda _: True)
    monkeypatch.setattr(stores, "walk", lambda *_: iter(["a.png", "b/../../../c.png"]))
    planned = plan(["store"], "out", PNG, ".rnnic")
    assert [task.source for task in planned.tasks] == [str(Path("store/a.png"))]
    assert ".." in planned.unreadable[0][0]


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
    "arguments",
    [
        *(("--quality", 200), ("--method", "jam"), ("--metadata", "jam"), ("--jobs", 0)),
        *(("--neighbors", "jam"), ("--quality", 90, "--psnr", 40)),
    ],
)
def test_wrong_options_are_told_before_any_work(
    tree: Path, tmp_path: Path, arguments: tuple[object, ...]
) -> None:
    result = run("compress", tree, tmp_path / "out", *arguments)
    assert result.exit_code == 2, result.output
    assert not (tmp_path / "out").exists()
    for wrong in (("--format", "jam"), ("--reduce", 6)):
        assert run("decompress", tree, tmp_path / "out", *wrong).exit_code == 2


def test_destinations_that_cannot_be_written_are_told_before_any_work(
    tree: Path, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    result = run("compress", tree, file, *FAST)
    assert result.exit_code == 1
    assert result.stderr.strip() == f"rnnic: {file}: is a file, not a folder"


def test_alpha_that_a_format_has_no_place_for(tmp_path: Path) -> None:
    pixels = photo_like(20, 20, 4)
    rnnic.write(tmp_path / "a.rnnic", pixels, effort=1)
    result = run("decompress", tmp_path, tmp_path / "out", "--format", "jpg", "--jobs", 1)
    assert result.exit_code == 1
    assert "a.jpg: JPEG keeps no alpha" in result.stderr
    result = run("decompress", tmp_path, tmp_path / "out", "--format", "tiff", "--jobs", 1)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(
        load_image(tmp_path / "out" / "a.tiff").pixels, rnnic.read(tmp_path / "a.rnnic")
    )


def test_results_that_appear_meanwhile(tree: Path) -> None:
    task = Task(str(tree / "a.png"), str(tree / "a.rnnic"))
    options = {"effort": 1, "threads": 1}
    assert run_task(task, Job(compress=True, options=options)).status == "done"
    assert run_task(task, Job(compress=True, options=options, existing="skip")).status == "skipped"
    failed = run_task(task, Job(compress=True, options=options))
    assert failed.status == "failed"
    assert "exists already" in str(failed.error)
    assert run_task(task, Job(compress=True, options=options, existing="replace")).status == "done"


def test_what_nobody_expected_of_a_file_does_not_end_the_others(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> bytes:
        raise ZeroDivisionError("of a reader")

    monkeypatch.setattr(stores, "read", fail)
    outcome = run_task(Task(str(tree / "a.png"), "out/a.rnnic"), Job(compress=True))
    assert outcome.status == "failed"
    assert outcome.error == "ZeroDivisionError: of a reader"


def test_a_model_of_its_own(tree: Path, tmp_path: Path) -> None:
    model = Path(__file__).parent / "fixtures" / "small.rnnm"
    options = ("--jobs", 1, "--model", model)
    packed = run("compress", tree, tmp_path / "out", *options, "--method", "raster")
    assert packed.exit_code == 0, packed.output
    assert run("decompress", tmp_path / "out", tmp_path / "no", "--jobs", 1).exit_code == 1
    assert run("decompress", tmp_path / "out", tmp_path / "back", *options).exit_code == 0
    assert len(list((tmp_path / "back").rglob("*.png"))) == 5


# Processes


def _die_on_b(task: Task, job: Job, writing: Around) -> Outcome:
    """Stand for `run_task`; the process dies of one of the files."""
    del job, writing
    if "b.png" in task.source:
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(task.source, task.target, "done")


def test_large_files_come_first(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, side in (("a.png", 16), ("b.png", 90), ("c.png", 40)):
        Image.fromarray(photo_like(side, side, 3, 1)).save(folder / name)
    result = run("compress", folder, tmp_path / "out", *FAST, "--json")
    sources = [Path(json.loads(line)["source"]).name for line in result.stdout.splitlines()]
    assert sources == ["b.png", "c.png", "a.png"]


def test_sources_that_vanish_are_reported(tree: Path) -> None:
    tasks = plan([str(tree)], str(tree.parent / "out"), PNG, ".rnnic").tasks
    (tree / "b.png").unlink()
    outcomes = list(run_batch(tasks, Job(compress=True, options={"effort": 1}), 1))
    assert [outcome.status for outcome in outcomes] == ["done", "done", "done", "failed"]
    assert "b.png" in str(outcomes[-1].error)


@pytest.mark.skipif(sys.platform != "linux", reason="processes begin anew there")
def test_processes_are_forked_from_one_without_threads() -> None:
    # A fork has only one of the threads, and locks that others hold are never released in it.
    code = "import importlib, sys, threading; [importlib.import_module(n) for n in sys.argv[1:]];"
    code += "assert threading.active_count() == 1; assert 'llvmlite' in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code, *pool._IMPORTED], check=True)


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
def test_files_in_work_are_bounded_and_an_early_end_is_clean(tree: Path) -> None:
    tasks = plan([str(tree)], str(tree.parent / "out"), PNG, ".rnnic").tasks
    outcomes = run_processes(tasks, Job(compress=True, options={"effort": 1}), 1)
    assert next(outcomes).status == "done"
    outcomes.close()
    assert not multiprocessing.active_children()
    # One is done, and one more may have been by the time of the end.
    assert len(list((tree.parent / "out").rglob("*.*"))) <= 2


@pytest.fixture(name="many")
def _many(tmp_path: Path) -> Path:
    source = tmp_path / "many"
    source.mkdir()
    for number in range(30):
        Image.fromarray(photo_like(200, 240, 3, number % 3)).save(source / f"{number:02}.png")
    return source


def _start(source: Path, out: Path) -> "subprocess.Popen[bytes]":
    """Start a batch of two processes; return once it has made three files."""
    child = subprocess.Popen(
        [sys.executable, "-m", "rnnic", "batch", "compress", source, out, "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # Where the tests run in the background of a shell, interrupts are ignored from birth.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while len(list(out.glob("*.rnnic"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    return child


def _group_is_gone(group: int) -> bool:
    """Wait for the end of a group of processes."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [True, False])
def test_a_killed_run_is_resumed(many: Path, tmp_path: Path, whole_group: bool) -> None:
    out = tmp_path / "out"
    child = _start(many, out)
    (os.killpg if whole_group else os.kill)(child.pid, signal.SIGKILL)
    child.communicate()
    # Processes whose command was killed finish their file and end.
    assert _group_is_gone(child.pid)
    whole = sorted(out.glob("*.rnnic"))
    assert 3 <= len(whole) < 30
    for path in whole:
        assert rnnic.read(path).shape == (200, 240, 3)
    # What the kill left is removed once it is old enough to be nobody's; what is new may be another run's.
    for name, age in ((".rnnic-0123456789abcdef.part", 3600), (".rnnic-fedcba9876543210.part", 0)):
        (out / name).write_bytes(b"unfinished")
        os.utime(out / name, (time.time() - age,) * 2)
    result = run("compress", many, out, "--jobs", 1, "--skip-existing", "--effort", 1)
    assert result.exit_code == 0, result.output
    assert f"{len(whole)} skipped" in result.stdout
    assert len(list(out.glob("*.rnnic"))) == 30
    assert not (out / ".rnnic-0123456789abcdef.part").exists()
    assert (out / ".rnnic-fedcba9876543210.part").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_is_clean(
    many: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "out"
    child = _start(many, out)
    os.killpg(child.pid, number)  # as a terminal does
    stderr = child.communicate(timeout=60)[1].decode()
    assert child.returncode == code
    assert "Traceback" not in stderr
    assert _group_is_gone(child.pid)
    assert 3 <= len(list(out.iterdir())) < 30
    for path in out.iterdir():
        assert rnnic.read(path).shape == (200, 240, 3)


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


def test_files_by_url(tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    packed = tmp_path / "packed"
    assert run("compress", tree.as_uri(), packed.as_uri(), *FAST, "--json").exit_code == 0
    assert len(list(packed.rglob("*.rnnic"))) == 5
    result = run("compress", tree.as_uri(), packed.as_uri(), *FAST)
    assert "4 more exist already" in result.stderr
    assert "5 skipped" in run("compress", tree, packed, *FAST, "--skip-existing").stdout
    result = run("decompress", packed.as_uri(), (tmp_path / "back").as_uri(), "--jobs", 1, "--json")
    assert result.exit_code == 0, result.output
    for line in map(json.loads, result.stdout.splitlines()):
        assert line["bytes_out"] == stores.size(line["target"]) > 0
    assert not list(packed.rglob(".rnnic-*"))


def test_memory_is_not_for_clusters(tree: Path, memory: str) -> None:
    result = run("compress", tree, f"{memory}/out", "--scheduler", "local")
    assert result.exit_code == 2
    assert "do not see this process's memory" in result.stderr

"""Training gives the same bytes however it is spread, and whatever happens to workers."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checks import photo_like
from click.testing import CliRunner, Result
from clusters import Cluster
from make_fixtures import SMALL
from PIL import Image

import rnnic
from rnnic.cli import command_line
from rnnic.mapping import Mapper, ThreadMapper, mapper_for
from rnnic.photos import PhotoFolder
from rnnic.pyramid import training as pyramid
from rnnic.raster import training as raster

pytestmark = pytest.mark.slow

COUNT = 6
PYRAMID = pyramid.TrainingSettings(rounds=1, draws=2000, band_edges=(5.0,))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command_line, ["palette", "train", *map(str, arguments)])


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "in").mkdir()
    for number in range(COUNT):
        place = folder / ("in" if number % 2 else "") / f"{number}.png"
        Image.fromarray(photo_like(60, 70, seed=number)).save(place)
    return folder


def trained(
    folder: Path | str, mapper: Mapper, tell: Callable[[str], None] = lambda _: None
) -> tuple[bytes, bytes]:
    photos = PhotoFolder(folder, pytest.fail, mapper)
    first = raster.train(photos, SMALL, lambda _share, what: tell(what), mapper)
    second = pyramid.train(photos, PYRAMID, lambda what, _share: tell(what), mapper=mapper)
    return first.to_bytes(), second.to_bytes()


@pytest.fixture(scope="module", name="expected")
def _expected(folder: Path) -> tuple[bytes, bytes]:
    return trained(folder, ThreadMapper())


def test_two_jobs_give_the_same_bytes(folder: Path, expected: tuple[bytes, bytes]) -> None:
    assert trained(folder, ThreadMapper(2)) == expected


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
def test_a_cluster_gives_the_same_bytes_when_workers_die(
    folder: Path, expected: tuple[bytes, bytes], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers; one is killed in the middle of each method, once another one has come."""
    pytest.importorskip("distributed")
    address = cluster.start(workers=2)
    told: dict[str, int] = {}

    def tell(what: str) -> None:
        told[what] = told.get(what, 0) + 1
        if (what, told[what]) in (("drawing differences", 2), ("RGB filters 2", 3)):
            cluster.add_worker()
            cluster.workers[len(cluster.workers) - 3].kill()

    monkeypatch.chdir(folder.parent)  # where the workers are not
    with mapper_for(folder.name, 2, address) as mapper:
        assert trained(folder.name, mapper, tell) == expected
    assert len(cluster.workers) == 4


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
def test_a_cluster_names_the_photo_that_is_gone(cluster: Cluster, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    for number in range(3):
        Image.fromarray(photo_like(60, 70, seed=number)).save(tmp_path / f"{number}.png")
    with mapper_for(str(tmp_path), 1, cluster.start(workers=1)) as mapper:
        photos = PhotoFolder(tmp_path, pytest.fail, mapper)
        (tmp_path / "1.png").unlink()
        with pytest.raises(rnnic.RnnicError, match=r"1\.png: No such file"):
            raster.train(photos, SMALL, mapper=mapper)
        cluster.scheduler.kill()
        with pytest.raises(rnnic.RnnicError, match="the scheduler is gone"):
            list(mapper.map(str, range(20), str))


def test_a_store_gives_the_same_bytes(folder: Path, expected: tuple[bytes, bytes]) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/trained", recursive=True)
    try:
        assert trained("memory://trained", ThreadMapper(2)) == expected
        result = run("memory://trained", "-o", folder.parent / "o.rnnm", "--scheduler", "local")
        assert result.exit_code != 0
        assert "do not see this process's memory" in result.stderr
    finally:
        memory.rm("/trained", recursive=True)


@pytest.mark.parametrize("jobs", [1, 2])
def test_damaged_photos_are_left_out_before_and_named_later(
    folder: Path, tmp_path: Path, jobs: int
) -> None:
    good = (folder / "0.png").read_bytes()
    for name, content in (("a.png", good), ("b.png", good[: len(good) // 2]), ("c.png", good)):
        (tmp_path / name).write_bytes(content)
    told: list[str] = []
    mapper = ThreadMapper(jobs)
    photos = PhotoFolder(tmp_path, told.append, mapper)
    assert len(photos) == 2
    (line,) = told
    assert f"{tmp_path / 'b.png'}: left out" in line
    again = pickle.loads(pickle.dumps(photos))
    np.testing.assert_array_equal(again.load(1), photo_like(60, 70, seed=0))
    Image.fromarray(photo_like(9, 9)).save(tmp_path / "c.png")
    with pytest.raises(rnnic.RnnicError, match=r"c\.png: was changed during the training"):
        raster.train(photos, SMALL, mapper=mapper)
    (tmp_path / "c.png").write_bytes(b"")
    with pytest.raises(rnnic.RnnicError, match=r"c\.png: "):
        raster.train(photos, SMALL, mapper=mapper)


def test_the_first_error_ends_the_work_of_threads() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise MemoryError
        return item

    with pytest.raises(rnnic.RnnicError, match="item 3: not enough memory"):
        list(ThreadMapper(2).map(work, range(1000), "item {}".format))
    assert len(begun) < 20


def test_results_are_in_order_and_few_wait() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return item

    results = ThreadMapper(2).map(work, range(100), str)
    assert next(results) == 0
    assert len(begun) < 10
    assert list(results) == list(range(1, 100))

from pathlib import Path

import numpy as np
import pytest
from checks import photo_like
from make_fixtures import SMALL

import rnnic
from rnnic.checkpoints import Checkpoints
from rnnic.chunks import pack_chunk
from rnnic.mapping import ThreadMapper
from rnnic.model import MAX_MODEL_BYTES, MODEL_PATH_VARIABLE, Model
from rnnic.photos import LoadedPhotos
from rnnic.pyramid.training import Kind, TrainingSettings, _Run
from rnnic.pyramid.training import train as train_pyramid
from rnnic.raster.training import RasterSettings, merge_bins, train

PHOTOS = [photo_like(60, 70, seed=seed) for seed in range(3)]
LOADED = LoadedPhotos(PHOTOS)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_model() -> Model:
    return Model({"RAST": train(LOADED, SMALL).to_bytes()}, {"photos": 3})


def test_default_model_says_where_it_comes_from() -> None:
    model = rnnic.default_model()
    assert model.info["photos"] > 100
    assert len(model.to_bytes()) <= 400_000


def test_model_comes_back(own_model: Model, tmp_path: Path) -> None:
    again = Model.from_bytes(own_model.to_bytes())
    assert again == own_model
    path = tmp_path / "own.rnnm"
    path.write_bytes(own_model.to_bytes())
    assert Model.load(path) == own_model


def test_training_is_reproducible(own_model: Model) -> None:
    again = train(LOADED, SMALL)
    assert again.to_bytes() == own_model.sections["RAST"]


@pytest.mark.parametrize("spread", ["poisson", "random", "kmeans"])
def test_other_ways_of_spreading(spread: str) -> None:
    from dataclasses import replace

    section = train(LOADED, replace(SMALL, spread=spread))
    model = Model({"RAST": section.to_bytes()}, {})
    for image in (PHOTOS[0][:20, :20], PHOTOS[0][:20, :20, 0]):
        data = rnnic.encode(image, error_threshold=0, model=model)
        np.testing.assert_array_equal(rnnic.decode(data, model=model), image)


def test_pyramid_training_is_bounded_however_many_photos_there_are() -> None:
    settings = TrainingSettings()
    few, many = (
        _Run(LoadedPhotos(PHOTOS[:1] * n), settings, lambda *_: None, Checkpoints(), ThreadMapper())
        for n in (5, 5000)
    )
    for kind in (Kind("RGB", 3), Kind("noisy", 3, noisy=True)):
        assert len(few.jobs(kind, 0, settings.photos)) == 5
        assert len(many.jobs(kind, 0, settings.photos)) == settings.photos > 0


@pytest.mark.slow
def test_interrupted_training_goes_on_from_its_checkpoints(tmp_path: Path) -> None:
    settings = TrainingSettings(rounds=1, draws=2000, band_edges=(5.0,))

    class StoppedError(Exception):
        pass

    def trained(checkpoints: Checkpoints, stop: str = "never") -> tuple[bytes, list[str]]:
        told: list[str] = []

        def tell(what: str, _share: float) -> None:
            if what == stop:
                raise StoppedError
            told.append(what)

        model = train_pyramid(LOADED, settings, tell, checkpoints)
        return model.to_bytes(), list(dict.fromkeys(told))

    expected, stages = trained(Checkpoints())
    assert len(stages) == 11
    with pytest.raises(StoppedError):
        trained(Checkpoints(tmp_path, "a"), stop=stages[5])
    found, rest = trained(Checkpoints(tmp_path, "a"))
    assert found == expected
    assert rest == stages[5:]
    assert trained(Checkpoints(tmp_path, "a")) == (expected, [])
    # Damaged stages, and those of other photos or settings, are made again.
    some = min(tmp_path.iterdir())
    some.write_bytes(some.read_bytes()[:-1])
    found, rest = trained(Checkpoints(tmp_path, "a"))
    assert (found, len(rest)) == (expected, 1)
    assert len(trained(Checkpoints(tmp_path, "b"))[1]) == 11


def test_unknown_spread_is_refused() -> None:
    with pytest.raises(rnnic.OptionError, match="spread"):
        RasterSettings(spread="evenly")


def test_photos_too_small_are_refused() -> None:
    with pytest.raises(rnnic.OptionError, match="large enough"):
        train(LoadedPhotos([np.zeros((1, 1, 3), np.uint8)] * 2), SMALL)


def test_training_tells_progress() -> None:
    told: list[float] = []
    train(LOADED, SMALL, lambda done, _what: told.append(done))
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_own_model_is_used_and_named(
    own_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = PHOTOS[1]
    data = rnnic.encode(image, model=own_model, error_threshold=6)
    expected = rnnic.decode(data, model=own_model)
    assert rnnic.info(data).model_id == own_model.section_id("RAST").hex()
    with pytest.raises(rnnic.ModelMissingError, match=own_model.section_id("RAST").hex()):
        rnnic.decode(data)
    path = tmp_path / "own.rnnm"
    path.write_bytes(own_model.to_bytes())
    np.testing.assert_array_equal(rnnic.decode(data, model=path), expected)
    monkeypatch.setenv(MODEL_PATH_VARIABLE, str(tmp_path))
    np.testing.assert_array_equal(rnnic.decode(data), expected)


def test_other_files_decode_with_a_model_at_hand(own_model: Model) -> None:
    data = rnnic.encode(PHOTOS[0], error_threshold=0)
    np.testing.assert_array_equal(rnnic.decode(data, model=own_model), PHOTOS[0])


def test_model_without_the_section() -> None:
    with pytest.raises(rnnic.ModelMissingError, match="palette train"):
        rnnic.encode(PHOTOS[0], model=Model({}, {}))


def test_damaged_models_are_refused(own_model: Model, tmp_path: Path) -> None:
    data = own_model.to_bytes()
    path = tmp_path / "broken.rnnm"
    for size in range(0, len(data), 41):
        path.write_bytes(data[:size])
        with pytest.raises(rnnic.TruncatedError, match=r"broken\.rnnm"):
            Model.load(path)
    for place in range(0, len(data), 53):
        broken = bytearray(data)
        broken[place] ^= 0x10
        with pytest.raises(rnnic.FormatError):
            Model.from_bytes(bytes(broken))
    signature, rest = data[:8], data[8:]
    for meta in (b"[1]", b"{", b"[" * 100_000):
        with pytest.raises(rnnic.FormatError, match="META"):
            Model.from_bytes(signature + pack_chunk("META", meta) + rest)
    section = pack_chunk("RAST", b"")
    with pytest.raises(rnnic.FormatError, match="more than one"):
        Model.from_bytes(signature + section + section + pack_chunk("DONE", b""))
    with pytest.raises(rnnic.LimitError):
        Model.from_bytes(data + bytes(MAX_MODEL_BYTES))
    with pytest.raises(rnnic.LimitError):
        Model({"RAST": bytes(MAX_MODEL_BYTES)}, {}).to_bytes()


def test_bins_merge_where_it_costs_least() -> None:
    counts = np.array([[9, 1], [90, 10], [1, 9], [10, 90], [1, 8]])
    np.testing.assert_array_equal(merge_bins(counts, 2), [0, 2])
    np.testing.assert_array_equal(merge_bins(counts, 5), range(5))

"""What all tests share.

With ``NUMBA_DISABLE_JIT=1`` kernels run as plain Python: tests marked slow are left out, and a small
model takes the default one's place.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Cluster
from hypothesis import settings
from numba import config

import rnnic.model

FOLDER = Path(__file__).parent
INTERPRETED = bool(config.DISABLE_JIT)

settings.register_profile("default", deadline=None, max_examples=50)
settings.register_profile("interpreted", deadline=None, max_examples=5)
settings.load_profile("interpreted" if INTERPRETED else "default")

if INTERPRETED:
    _SMALL = rnnic.model.Model.load(FOLDER / "fixtures" / "small.rnnm")

    def _default_model() -> rnnic.model.Model:
        """Return the small model."""
        return _SMALL

    rnnic.model.default_model = _default_model  # type: ignore[assignment]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave slow tests out where kernels run as plain Python."""
    if not INTERPRETED:
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes too long without the JIT"))


@pytest.fixture(scope="session")
def photo() -> Path:
    """Return the path of the example photo."""
    return FOLDER.parent / "examples" / "kodim23.png"


@pytest.fixture(name="cluster")
def _cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Give a cluster to be started, in a folder that is not the test's."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(folder)
    yield cluster
    for process in reversed(cluster.processes):
        process.kill()
        process.wait()

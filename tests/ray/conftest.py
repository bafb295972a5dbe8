"""One local cluster for all tests of this folder; the library finds it and leaves it alone."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package")
def cluster() -> Iterator[None]:
    """Start Ray with room for four actors; its sockets need a short path."""
    ray = importlib.import_module("ray")
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    ray.init(num_cpus=4, include_dashboard=False, logging_level="WARNING", _temp_dir=folder)
    yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)

"""What `Remote` takes without a network."""

import json

import pytest

from flazy import Dataset, Remote, Threads
from flazy.errors import InvalidType


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ((), ()),
        ([], ()),
        ("pack", ("pack",)),
        (json, ("json",)),
        (["pack", json, "pack"], ("json", "pack")),
    ],
)
def test_modules_to_ship_are_kept_by_their_names(given, names):
    assert names == Remote(ship=given).shipped


@pytest.mark.parametrize("given", [None, 3, [3], [None], [["pack"]], {"pack": 3}.values()])
def test_what_is_no_module_is_refused(given):
    with pytest.raises(InvalidType, match="give modules or their names"):
        Remote(ship=given)


def test_plan_counts_the_processes_beside_those_of_other_machines():
    mixed = Dataset(range(9)).map(abs, workers=Remote(local=3)).map(abs, workers=2).map(abs, workers=Threads(4))

    assert "5 worker processes" in mixed.explain()
    assert "worker processes" not in Dataset(range(9)).map(abs, workers=Remote()).explain()

"""Two real ranks of torch.distributed: what each is given, and both together."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.feeds.ranks import samples, spelled

ROOT = Path(__file__).parent.parent.parent


def told(folder):
    """Run both ranks; give what rank 0 says that each was given."""
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    programs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.feeds.ranks", str(rank), str(folder / "store")], cwd=ROOT, text=True,
            env=environment | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        said = [program.communicate(timeout=100) for program in programs]
    finally:
        for program in programs:
            program.kill()
    assert [0, 0] == [program.returncode for program in programs], said
    return json.loads(said[0][0])


@pytest.mark.slow
@pytest.mark.time_limit(120)
def test_two_ranks_share_every_pass_with_workers_of_loaders_and_without(tmp_path):
    both = told(tmp_path)
    passes = [spelled(samples().epoch(cycle)) for cycle in range(2)]
    whole = passes[0]

    assert [whole[0::2], whole[1::2]] == [rank["none"] for rank in both]
    assert [whole[0:44:2], whole[1:44:2]] == [rank["drop"] for rank in both]
    # The second is one sample short, and gives its first again, as it was drawn.
    assert [[one[0::2] for one in passes], [[*one[1::2], one[1]] for one in passes]] == [r["passes"] for r in both]
    assert [[23, 22, 23], [22, 22, 23]] == [rank["lengths"] for rank in both]
    assert ["shard 0 of 2, says torch.distributed", "shard 1 of 2, says torch.distributed"] == [
        rank["explained"].partition("  shard()  ")[2] for rank in both
    ]

    batches = spelled(samples().batch(4, None))
    assert [batches[0:10:2], batches[1:10:2]] == [rank["workers"] for rank in both]  # the eleventh is left out
    assert [46, 46] == [rank["steps"] for rank in both]  # in lockstep: all 45, and one twice

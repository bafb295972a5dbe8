"""Nothing that travels between machines can be read on the way: all that a sniffer sees of a run is looked through."""

import pytest

from flazy import Dataset
from flazy.remote import join
from tests.remote import recorder
from tests.remote.hosts import JOINED
from tests.remote.recorder import Recorder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(recorder.reason_against()), reason=recorder.reason_against() or "none"),
]

GIVEN, MADE, CAPTURED = "sample-that-is-given", "sample-that-is-made", "constant-of-the-function"


def test_neither_samples_nor_functions_nor_names_are_readable(remote, hosts):
    constant = CAPTURED * 3

    def function_with_a_name(text):
        return f"{MADE} {text[-3:]} {len(constant)}"

    samples = [f"{GIVEN} {number:03}" for number in range(200)]
    with Dataset(samples).map(function_with_a_name, workers=remote).open() as run:
        code = join.decode(remote.join_file.read_text())
        with Recorder("lo", {code.port, code.results_port}) as tape:
            hosts.start(remote, processes=1).says(JOINED)
            found = list(run)
    markers = [GIVEN, MADE, CAPTURED, "function_with_a_name", "cloudpickle", "map("]

    assert [f"{MADE} {number:03} {3 * len(CAPTURED)}" for number in range(200)] == found
    assert tape.nbytes > sum(map(len, found))  # it has seen the run
    assert [] == [marker for marker in markers if tape.occurs(marker.encode())]
    assert not tape.occurs(code.trainer)
    assert tape.occurs(b"CURVE")  # the one word that ZMTP says in the open: its mechanism

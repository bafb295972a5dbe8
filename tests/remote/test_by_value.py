"""Modules that workers do not have are sent by value: what works there then, and what is said where it cannot."""

import json
import os
import pathlib
import subprocess
import sys
import threading

import cloudpickle
import numpy as np
import pytest

from flazy.errors import UnserializableFunction
from flazy.plan.kernel import Op
from flazy.plan.shipping import LARGE, dump_ops, load_ops
from flazy.remote.code import references

ROOT = pathlib.Path(__file__).parents[2]


def ops(fn):
    return (Op("map", "map(fn)", fn),)


# There ------------------------------------------------------------------------------------------------

FILES = {
    "helper.py": """
import dataclasses, enum, functools, logging, sys
import numpy as np

log = logging.getLogger(__name__)
SCALE = 3
TABLE = np.arange(2**18)  # 2 MiB: left out of the stream
seen = {"before": 1}

def scaled(x):
    log.debug("scaled %s", x)
    return x * SCALE

def looked_up(x):
    return int(TABLE[x])

def noted(x):
    seen[x] = x
    return len(seen)

@functools.lru_cache(maxsize=7)
def remembered(x):
    return 1 if x <= 0 else remembered(x - 1) + 1

def called(x):
    return remembered(x) + remembered.cache_parameters()["maxsize"]

@dataclasses.dataclass
class Point:
    x: int
    y: int = SCALE

class Third(Point):
    def __init__(self, x):
        super().__init__(x, x)

class Colour(enum.Enum):
    RED = 1

def point(x):
    return [field.name for field in dataclasses.fields(Point)], Third(x).y, isinstance(Third(x), Point)

def colour(x):
    return Colour(1) is Colour.RED
""",
    "pack/__init__.py": "import pack.inner, helper\ndef outer(x):\n    return helper.scaled(x) + 1\n",
    "pack/inner.py": "import pack\nfrom . import other\ndef through(x):\n    return pack.outer(x) + other.ONE\n",
    "pack/other.py": "ONE = 1\n",
    "script.py": """
import json, pickle, sys
import helper, msgpack, pack.inner
from helper import SCALE, Point, scaled
from flazy.plan.kernel import Op
from flazy.plan.shipping import dump_ops
from flazy.remote.code import references, sent_by_value

fns = {
    "function": scaled,
    "module": lambda x: helper.scaled(x),
    "constant": lambda x: x * SCALE,
    "class": lambda x: Point(x).y,
    "dataclass and super": helper.point,
    "enum": helper.colour,
    "large array": helper.looked_up,
    "cache": helper.noted,
    "cached function": helper.called,
    "cached function itself": helper.remembered,
    "modules that refer to each other": pack.inner.through,
    "package": lambda x: pack.inner.through(x),
    "installed module": lambda x: msgpack.unpackb(msgpack.packb(scaled(x))),
}
dumped = {name: dump_ops((Op("map", "map(fn)", fn),), by_value=sent_by_value()) for name, fn in fns.items()}
with open("streams", "wb") as file:
    pickle.dump({name: (stream, [bytes(part) for part in aside]) for name, (stream, aside) in dumped.items()}, file)
one, two = [dump_ops((Op("map", "map(fn)", helper.Third),), by_value=["helper"]).stream for _ in range(2)]
with open("classes", "wb") as file:
    pickle.dump([one, two], file)
print(json.dumps({name: sorted(references(stream).loaded) for name, (stream, _) in dumped.items()}))
""",
}
THERE = """
import json, pickle, sys
from flazy.plan.shipping import load_ops
with open(sys.argv[1] + "/streams", "rb") as file:
    fns = {name: load_ops(stream, map(memoryview, aside))[0].fn for name, (stream, aside) in pickle.load(file).items()}
with open(sys.argv[1] + "/classes", "rb") as file:
    one, two = [load_ops(stream)[0].fn for stream in pickle.load(file)]
results = {name: [fn(5), fn(6)] for name, fn in fns.items()}
results["same class in two streams"] = one is two
results["imported"] = sorted({"helper", "pack"} & set(sys.modules))
print(json.dumps(results))
"""


def ran(*command, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, check=False, cwd=cwd, env=environment, timeout=50
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What the script's streams refer to, and what its functions give in a process that has none of its modules."""
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    for name, text in FILES.items():
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(text)
    return ran("script.py", cwd=here), ran("-P", "-c", THERE, str(here), cwd=there)


@pytest.mark.slow
def test_functions_of_modules_that_are_not_there_work_there(both):
    _, results = both

    assert {
        "function": [15, 18],
        "module": [15, 18],
        "constant": [15, 18],
        "class": [3, 3],
        "dataclass and super": [[["x", "y"], 5, True], [["x", "y"], 6, True]],
        "enum": [True, True],
        "large array": [5, 6],
        "cache": [2, 3],  # what was in it came along; what is put into it stays
        "cached function": [13, 14],
        "cached function itself": [6, 7],
        "modules that refer to each other": [17, 20],
        "package": [17, 20],
        "installed module": [15, 18],
        "same class in two streams": True,
        "imported": [],
    } == results


@pytest.mark.slow
def test_what_they_refer_to_beyond_is_left_to_be_compared(both):
    named, _ = both

    assert {name: ["msgpack"] if name == "installed module" else [] for name in named} == named


# What does not go -------------------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Make modules of a source, which are gone after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = set(sys.modules)

    def make(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        return __import__(name)

    yield make
    for name in set(sys.modules) - loaded:
        if getattr(sys.modules[name], "__file__", "").startswith(str(tmp_path)):
            del sys.modules[name]


LOCKED = """
import threading
def harmless(x): return x
lock = threading.Lock()
class Held:
    inside = lock
def locked(x):
    with lock: return x
def outer(x): return locked(x)
"""


@pytest.mark.parametrize("used", ["locked", "outer", "Held"])
def test_variable_that_cannot_go_is_named_with_its_module(module, used):
    locked = module("locked", LOCKED)

    with pytest.raises(UnserializableFunction) as caught:
        dump_ops(ops(getattr(locked, used)), by_value=["locked"])
    text = str(caught.value)

    assert text.startswith("map(fn) cannot be sent to worker processes: it captures ")
    assert "a _thread.lock, which cannot be pickled" in text
    assert "It is a variable of the module 'locked', which is sent by value" in text
    assert "Open it inside the function or in setup=, or install the module as a package" in text


def test_variable_is_named_where_the_module_is_used_as_an_object(module):
    locked = module("locked", LOCKED)
    module("around", "import locked\ndef back(x): return locked.outer(x)\n")
    locked.around = sys.modules["around"]  # they refer to each other

    with pytest.raises(UnserializableFunction, match=r"captures 'locked\.lock', a _thread.lock.* module 'locked'"):
        dump_ops(ops(lambda x: locked.harmless(x)), by_value=["locked", "around"])


def test_by_reference_the_same_goes(module):
    locked = module("locked", LOCKED)
    (op,) = load_ops(dump_ops(ops(locked.outer)).stream)

    assert locked.outer is op.fn


# What else is pickled ---------------------------------------------------------------------------------


def test_it_holds_for_one_stream_alone(module):
    locked, plain = module("locked", LOCKED), module("plain", "def fn(x): return x\n")
    streams = [dump_ops(ops(plain.fn), by_value=names).stream for names in ([], ["plain"], [])]
    with pytest.raises(UnserializableFunction):
        dump_ops(ops(locked.locked), by_value=["plain", "locked"])
    streams.append(dump_ops(ops(plain.fn)).stream)

    assert [{"plain"}, set(), {"plain"}, {"plain"}] == [references(stream).loaded for stream in streams]
    assert not {"plain", "locked"} & cloudpickle.list_registry_pickle_by_value()


def test_what_the_user_has_registered_stays_so(module):
    plain = module("plain", "def fn(x): return x\n")
    cloudpickle.register_pickle_by_value(plain)
    try:
        dump_ops(ops(plain.fn), by_value=["plain"])

        assert "plain" in cloudpickle.list_registry_pickle_by_value()
        assert references(dump_ops(ops(plain.fn)).stream).loaded == set()
    finally:
        cloudpickle.unregister_pickle_by_value(plain)


def test_another_thread_pickles_by_reference_all_the_while(module):
    plain = module("plain", "def fn(x): return x\n")
    begun, streams = threading.Event(), []

    def other():
        begun.set()
        streams.append(dump_ops(ops(plain.fn)).stream)

    class Meanwhile:
        def __reduce__(self):
            thread.start()
            begun.wait()
            return int, (1,)

    thread = threading.Thread(target=other)
    held = Meanwhile()
    streams.append(dump_ops(ops(lambda x: (held, plain.fn(x))), by_value=["plain"]).stream)
    thread.join(timeout=50)

    assert [set(), {"plain"}] == sorted([references(stream).loaded for stream in streams], key=len)


def test_large_arrays_of_a_module_stay_out_of_the_stream(module):
    tabled = module("tabled", f"import numpy as np\ntable = np.arange({LARGE})\ndef fn(x): return table[x]\n")
    kernel, whole = (dump_ops(ops(tabled.fn), by_value=["tabled"], whole=whole) for whole in (False, True))
    (op,) = load_ops(kernel.stream, kernel.aside)

    assert ([8 * LARGE], []) == ([part.nbytes for part in kernel.aside], list(whole.aside))
    assert len(kernel.stream) < 10_000 < LARGE < len(whole.stream)
    assert np.int64(7) == op.fn(7)
    assert tabled.fn is not op.fn

"""A chain of record nodes as one generator, without any stage around it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy.plan.kernel import Cursor, Kernel, Op
from flazy.plan.loops import UPSTREAM


class Place(Exception):
    """What the cursor of these tests makes of an error: where it was, and the error itself."""


class At(Cursor):
    """A cursor over inputs that count from zero, in cycle 3."""

    def base(self):
        return (self.index,)

    def cycle(self):
        return 3

    def locate(self, op, error, said):
        return Place(op, self.address(self.depth(op)), error)


def kernel(*ops):
    return Kernel(tuple([Op(kind, kind, fn) for kind, fn in ops]))


def outputs(chain, inputs):
    return [*chain.run(inputs, At())]


def failing(x):
    raise KeyError(x)


def test_map_gives_one_for_one():
    assert [1, 2, 3] == outputs(kernel(("map", lambda x: x + 1)), range(3))


def test_filter_judges_by_truth():
    assert [1, "a", [0]] == outputs(kernel(("filter", lambda x: x)), [0, 1, "", "a", [], [0], None])


def test_foreach_gives_none_for_each():
    seen = []

    assert [None, None] == outputs(kernel(("foreach", seen.append)), "ab")
    assert ["a", "b"] == seen


def test_flatmap_gives_none_or_many():
    assert [1, 2, 2, 3, 3, 3] == outputs(kernel(("flatmap", lambda x: [x] * x)), range(4))


def test_filter_behind_a_flatmap_goes_on_with_the_same_input():
    chain = kernel(("flatmap", range), ("filter", lambda x: x % 2), ("flatmap", lambda x: (x, -x)))

    assert [1, -1, 1, -1, 3, -3] == outputs(chain, [2, 4])


def test_flatmap_streams():
    def endless(x):
        while True:
            yield x

    running = kernel(("flatmap", endless)).run(["a"], At())

    assert ["a", "a"] == [next(running), next(running)]


@pytest.mark.parametrize(
    ("ops", "place"),
    [
        ([("map", failing)], (0, (0,))),
        ([("map", abs), ("map", failing)], (1, (0,))),
        ([("filter", lambda x: x > 1), ("foreach", failing)], (1, (2,))),
        ([("flatmap", failing)], (0, (0,))),
        ([("flatmap", range), ("map", failing)], (1, (1, 0))),
        ([("flatmap", range), ("filter", bool), ("flatmap", failing)], (2, (2, 1))),
        ([("flatmap", range), ("flatmap", range), ("map", failing)], (2, (2, 1, 0))),
    ],
)
def test_error_is_located_by_op_and_address(ops, place):
    with pytest.raises(Place) as caught:
        outputs(kernel(*ops), range(5))

    assert place == caught.value.args[:2]
    assert isinstance(caught.value.__cause__, KeyError)


def test_error_while_a_flatmap_runs_belongs_to_its_input():
    def numbers(x):
        yield x
        failing(x)

    running = kernel(("flatmap", numbers), ("map", str)).run([7], At())

    assert "7" == next(running)
    with pytest.raises(Place) as caught:
        next(running)
    assert (0, (0,)) == caught.value.args[:2]


def test_error_of_the_upstream_is_told_apart():
    def upstream():
        yield 1
        raise OSError

    running = kernel(("map", str)).run(upstream(), At())

    assert "1" == next(running)
    with pytest.raises(Place) as caught:
        next(running)
    assert UPSTREAM == caught.value.args[0]


def test_what_the_consumer_throws_in_passes_untouched():
    running = kernel(("map", str)).run(range(3), At())
    next(running)

    with pytest.raises(ValueError, match="mine"):
        running.throw(ValueError("mine"))


@pytest.mark.parametrize("error", [StopIteration, GeneratorExit, SystemExit, KeyboardInterrupt, StopAsyncIteration])
def test_no_exception_of_a_function_ends_the_stream_silently(error):
    def fn(x):
        raise error

    with pytest.raises(Place) as caught:
        outputs(kernel(("map", fn)), range(3))

    assert isinstance(caught.value.__cause__, error)


def test_hundreds_of_ops_are_one_generator():
    assert [500] == outputs(kernel(*[("map", lambda x: x + 1)] * 500), [0])


OPS = st.lists(st.sampled_from(["map", "filter", "flatmap"]), min_size=1, max_size=6)
FUNCTIONS = {"map": lambda x: x + 1, "filter": lambda x: x % 3, "flatmap": lambda x: [x, x + 1]}


@given(kinds=OPS, inputs=st.lists(st.integers(0, 9), max_size=8))
def test_any_chain_gives_what_the_builtins_give(kinds, inputs):
    expected = iter(inputs)
    for kind in kinds:
        match kind:
            case "map":
                expected = map(FUNCTIONS[kind], expected)
            case "filter":
                expected = filter(FUNCTIONS[kind], expected)
            case "flatmap":
                expected = (y for x in expected for y in FUNCTIONS["flatmap"](x))

    assert [*expected] == outputs(kernel(*[(kind, FUNCTIONS[kind]) for kind in kinds]), inputs)


# Resources --------------------------------------------------------------------------------------------


class Resource:
    """Notes in a log when it is opened and closed."""

    def __init__(self, log, name, error=None):
        self.log, self.name, self.error = log, name, error
        log.append(f"open {name}")

    def close(self):
        self.log.append(f"close {self.name}")
        if self.error is not None:
            raise self.error


def with_setups(*setups):
    return Kernel(tuple([Op("map", f"map({n})", lambda x, r: x, setup) for n, setup in enumerate(setups)]))


def test_setup_runs_before_the_first_sample_and_once():
    log = []
    chain = with_setups(lambda: Resource(log, "a"), lambda: Resource(log, "b"))
    running = chain.run(range(3), At())

    assert [] == log
    assert [0, 1, 2] == [*running]
    assert ["open a", "open b"] == log


def test_resources_are_closed_last_first_and_once():
    log = []
    chain = with_setups(lambda: Resource(log, "a"), lambda: Resource(log, "b"))
    outputs(chain, [1])
    chain.close()
    chain.close()

    assert ["open a", "open b", "close b", "close a"] == log


def test_resource_that_fails_to_close_keeps_no_other_open():
    log = []
    chain = with_setups(lambda: Resource(log, "a"), lambda: Resource(log, "b", OSError("b")))
    outputs(chain, [1])

    with pytest.raises(OSError, match="b"):
        chain.close()
    assert ["open a", "open b", "close b", "close a"] == log


def test_context_manager_is_left():
    log = []

    class Context:
        def __exit__(self, *error):
            log.append(error)

    chain = with_setups(Context)
    outputs(chain, [1])
    chain.close()

    assert [(None, None, None)] == log


def test_failing_setup_closes_what_was_open_and_names_its_op():
    log = []
    chain = with_setups(lambda: Resource(log, "a"), lambda: 1 / 0)

    with pytest.raises(Place) as caught:
        outputs(chain, [1])
    assert 1 == caught.value.args[0]
    assert "setup of map(1)" == chain.name_of(1)
    assert ["open a", "close a"] == log

"""Functions as bytes: what cloudpickle would not carry, or not as it is."""

import fnmatch
import functools

from flazy.plan.kernel import Op
from flazy.plan.shipping import dump_ops, load_ops


def sent(fn):
    (op,) = load_ops(dump_ops((Op("map", "map(fn)", fn),)).stream)
    return op.fn


def test_cached_function_is_sent_with_an_empty_cache_of_the_same_kind():
    @functools.lru_cache(maxsize=3, typed=True)
    def counted(x):
        return 0 if not x else counted(x - 1) + 1

    counted(2)
    there = sent(counted)

    assert ({"maxsize": 3, "typed": True}, 0, 5) == (there.cache_parameters(), there.cache_info().currsize, there(5))
    assert 3 == there.cache_info().currsize
    assert 5 == sent(lambda x: counted(x))(5)


def test_cached_function_of_a_module_is_named():
    assert fnmatch._compile_pattern is sent(fnmatch._compile_pattern)


class Cached:
    @functools.cache  # noqa: B019 - what users do
    def method(self):
        return 1


def test_cached_method_of_a_class_is_found_there():
    assert 1 == sent(lambda cls: cls().method())(Cached)
    assert Cached.method is sent(Cached.method)


def test_cached_method_of_a_class_of_no_module_is_sent():
    class Local:
        @functools.cache  # noqa: B019 - what users do
        def method(self):
            return 2

    assert 2 == sent(lambda _: Local().method())(None)


def test_cached_property_is_sent_with_its_class():
    class Local:
        asked = 0

        @functools.cached_property
        def once(self):
            """Say how often."""
            self.asked += 1
            return self.asked

    there = sent(lambda x: [x.once, x.once, type(x).once.__doc__, "once" in vars(x)])

    assert [1, 1, "Say how often.", True] == there(Local())
    assert [1, 1, "Say how often.", True] == there(sent(Local)())

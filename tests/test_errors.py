"""Located errors: what a user sees of an exception in user code."""

import dataclasses
import gc
import pickle
import weakref

import pytest

from flazy import Dataset
from flazy.errors import BatchError, FlazyError, InvalidType, SampleError, SourceError
from flazy.located import LONGEST_TEXT

THREE = Dataset(range(3))


def raising(error):
    def fn(x, *rest):
        if x == 1:
            raise error
        return x

    return fn


def caught(dataset):
    with pytest.raises(FlazyError) as info:
        dataset.list()
    return info.value


class NeedsArguments(ValueError):
    """As many libraries make them."""

    def __init__(self, code, *, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class Slotted(Exception):
    __slots__ = ("a",)


class SlottedOnOSError(OSError):
    __slots__ = ("a",)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    number: int


class NewNeedsArguments(Exception):
    def __new__(cls, one, two):
        return super().__new__(cls)


class Meta(type):
    pass


class WithMeta(Exception, metaclass=Meta):
    pass


class WithProperty(Exception):
    @property
    def stage(self):
        return "mine"


class NoSubclass(Exception):
    def __init_subclass__(cls, **kwargs):
        raise RuntimeError("closed")


class BadStr(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class BadGetattr(Exception):
    def __getattr__(self, name):
        raise RuntimeError(name)


class Falsy(Exception):
    def __len__(self):
        return 0


EXCEPTIONS = [
    ValueError("v"),
    KeyError("k"),
    IndexError(),
    FileNotFoundError(2, "No such file", "a.txt"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ImportError("no", name="x", path="y"),
    ZeroDivisionError("z"),
    RecursionError(),
    MemoryError(),
    AssertionError(),
    NeedsArguments(5, reason="r"),
    Slotted("s"),
    SlottedOnOSError(5, "io"),
    Frozen(3),
    NewNeedsArguments(1, 2),
    WithMeta("m"),
    WithProperty("p"),
    NoSubclass("n"),
    BadStr(),
    BadGetattr("g"),
    Falsy("f"),
    ExceptionGroup("group", [ValueError(1), KeyError(2)]),
    Warning("w"),
    Exception("plain"),
]
BASE_EXCEPTIONS = [SystemExit(3), GeneratorExit("g"), StopIteration(1), StopAsyncIteration(2)]
EVERY_ERROR = pytest.mark.parametrize("error", EXCEPTIONS + BASE_EXCEPTIONS, ids=lambda error: type(error).__name__)


@EVERY_ERROR
def test_every_exception_of_a_function_is_located(error):
    found = caught(THREE.map(raising(error)))

    assert isinstance(found, SampleError)
    assert str(found).startswith(f"map(fn) failed on sample 1: {type(error).__name__}")
    assert ("map(fn)", (1,), 0, None) == (found.stage, found.address, found.cycle, found.worker)
    assert error is found.__cause__
    assert "raise error" in found.traceback
    assert "flazy/run" not in found.traceback


@EVERY_ERROR
def test_located_error_can_be_pickled(error):
    found = caught(THREE.map(raising(error)))
    copy = pickle.loads(pickle.dumps(found))

    assert str(found) == str(copy)
    assert (found.stage, found.address, found.traceback) == (copy.stage, copy.address, copy.traceback)
    assert isinstance(copy, SampleError)
    builtin = next(base for base in type(error).__mro__ if base.__module__ == "builtins")
    assert isinstance(copy, builtin) or error in BASE_EXCEPTIONS or isinstance(error, ExceptionGroup)


CANNOT_BE_MIXED = NoSubclass | NewNeedsArguments | ExceptionGroup


@pytest.mark.parametrize(
    "error",
    [error for error in EXCEPTIONS if not isinstance(error, CANNOT_BE_MIXED)],
    ids=lambda error: type(error).__name__,
)
def test_except_of_the_users_class_goes_on_working(error):
    with pytest.raises(type(error)) as info:
        THREE.map(raising(error)).list()

    assert isinstance(info.value, SampleError)


def test_attributes_of_the_users_exception_can_be_read():
    missing = caught(THREE.map(raising(FileNotFoundError(2, "No such file", "a.txt"))))
    decode = caught(THREE.map(raising(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"))))
    own = caught(THREE.map(raising(NeedsArguments(5, reason="r"))))

    assert (2, "No such file", "a.txt") == (missing.errno, missing.strerror, missing.filename)
    assert (b"\xff", 0, 1, "bad") == (decode.object, decode.start, decode.end, decode.reason)
    assert (5, "r") == (own.code, own.reason)
    assert str(decode).startswith("map(fn) failed on sample 1: UnicodeDecodeError: 'utf-8' codec")


def test_notes_of_the_users_exception_are_kept():
    error = ValueError("v")
    error.add_note("a hint")

    assert ["a hint"] == caught(THREE.map(raising(error))).__notes__


@pytest.mark.parametrize(
    "made",
    [
        lambda fn: THREE.map(fn),
        lambda fn: THREE.filter(fn),
        lambda fn: THREE.transform(lambda samples: map(fn, samples)),
        lambda fn: Dataset(lambda: map(fn, range(3))),
        lambda fn: Dataset(lambda: map(fn, range(3))).map(abs),
        lambda fn: THREE.map(fn).shuffle().batch(2),
        lambda fn: THREE.map(fn).prefetch(2),
        lambda fn: Dataset.zip(THREE, THREE.map(fn)),
    ],
)
def test_ctrl_c_passes_as_it_is(made):
    dataset = made(raising(KeyboardInterrupt()))

    with pytest.raises(KeyboardInterrupt) as info:
        dataset.list()
    assert type(info.value) is KeyboardInterrupt


def test_cycle_is_named_from_the_second_pass_on():
    dataset = THREE.repeat(2).map(lambda x, seen=[]: seen.append(x) or 1 / (len(seen) - 5))

    with pytest.raises(SampleError, match="failed on sample 1 of cycle 1: ZeroDivisionError") as info:
        dataset.list()
    assert 1 == info.value.cycle


def test_samples_before_the_error_are_delivered():
    seen = []
    with pytest.raises(SampleError):
        for x in THREE.map(raising(KeyError())):
            seen.append(x)  # noqa: PERF402 - what came before the error counts

    assert [0] == seen


# Once, at its stage -----------------------------------------------------------------------------------

AFTER = [
    lambda ds: ds.map(str),
    lambda ds: ds.filter(bool),
    lambda ds: ds.flatmap(lambda x: [x]),
    lambda ds: ds.transform(iter),
    lambda ds: ds.transform(lambda samples: (x for x in samples)),
    lambda ds: ds.batch(2),
    lambda ds: ds.shuffle(),
    lambda ds: ds.shuffle(2),
    lambda ds: ds.sample(2),
    lambda ds: ds.cache(),
    lambda ds: ds.repeat(2),
    lambda ds: ds.prefetch(2),
    lambda ds: ds[::2],
    lambda ds: ds.skip(1),
    lambda ds: ds.enumerate(),
    lambda ds: ds + ds,
    lambda ds: Dataset.roundrobin([ds, ds]),
    lambda ds: Dataset.zip(ds, ds),
    lambda ds: Dataset([]) + (lambda: ds),
    lambda ds: Dataset(ds),
    lambda ds: Dataset(lambda: ds).map(str),
    lambda ds: ds.enumerate().map(str).transform(iter).map(str).batch(1).shuffle(),
]


@pytest.mark.parametrize("after", AFTER)
def test_error_passes_through_later_stages_as_it_is(after):
    error = KeyError("once")
    found = caught(after(THREE.map(raising(error))))

    assert isinstance(found, KeyError)
    assert ("map(fn)", (1,)) == (found.stage, found.address)
    assert 1 == str(found).count("failed on")
    assert error is found.__cause__


@pytest.mark.parametrize("after", AFTER)
def test_error_of_the_source_passes_through_later_stages_as_it_is(after):
    found = caught(after(Dataset(lambda: map(raising(KeyError("once")), range(3)))))

    assert isinstance(found, SourceError)
    assert isinstance(found, KeyError)
    assert (1,) == found.address
    assert 1 == str(found).count("failed on")


def test_our_own_errors_of_later_stages_are_not_located():
    found = caught(Dataset([[1], [1, 2]]).batch(2).map(abs).transform(iter))

    assert type(found) is BatchError


def test_dataset_inside_a_function_gives_an_error_of_both():
    inner = THREE.map(raising(FileNotFoundError(2, "gone", "a.txt")))
    found = caught(Dataset("ab", range(2)).flatmap(lambda sample: inner.map(str)))

    assert isinstance(found, FileNotFoundError)
    assert ("flatmap(<lambda>)", (0,)) == (found.stage, found.address)
    assert ("map(fn)", (1,)) == (found.__cause__.stage, found.__cause__.address)
    assert "a.txt" == found.filename


@pytest.mark.parametrize(
    ("made", "stage"),
    [
        (lambda fn: THREE.map(fn), "map(fn)"),
        (lambda fn: THREE.filter(fn), "filter(fn)"),
        (lambda fn: THREE.flatmap(fn), "flatmap(fn)"),
        (lambda fn: THREE.random_map(fn), "random_map(fn)"),
        (lambda fn: THREE.map(lambda x: (x,)).starmap(fn), "starmap(fn)"),
        (lambda fn: THREE.map(abs).map(fn).map(abs), "map(fn)"),
    ],
)
def test_stage_is_named_as_the_plan_shows_it(made, stage):
    def fn(x, *rest):
        raise KeyError(x)

    assert stage == caught(made(fn)).stage


def test_error_inside_foreach_is_located():
    with pytest.raises(SampleError, match=r"foreach\(fn\) failed on sample 1"):
        THREE.foreach(raising(KeyError()))


# Transform --------------------------------------------------------------------------------------------


def test_error_of_a_transform_is_located_by_the_sample_asked_for():
    def fn(samples):
        for x in samples:
            yield 1 / (1 - x)

    found = caught(THREE.transform(fn))

    assert isinstance(found, ZeroDivisionError)
    assert ("transform(fn)", (1,)) == (found.stage, found.address)


@pytest.mark.parametrize("upstream", [THREE, THREE.repeat(2), THREE + (lambda: THREE), THREE.shuffle(), THREE.cache()])
def test_transform_that_fails_before_it_asks_for_anything(upstream):
    def fn(samples):
        raise KeyError("at once")

    found = caught(upstream.transform(fn))

    assert isinstance(found, KeyError)
    assert ((0,), 0) == (found.address, found.cycle)


def test_transform_that_gives_no_iterable():
    found = caught(THREE.transform(lambda samples: 5))

    assert isinstance(found, TypeError)
    assert "transform(<lambda>) failed on sample 0: TypeError: 'int' object is not iterable" == str(found)


def test_stop_iteration_in_a_transform_does_not_end_the_stream_silently():
    def fn(samples):
        while True:
            yield next(samples), next(samples)

    found = caught(THREE.transform(fn))

    assert isinstance(found, RuntimeError)
    assert "generator raised StopIteration" in str(found)


def test_stop_iteration_in_a_source_function_does_not_end_the_stream_silently():
    def numbers():
        yield 1
        next(iter([]))

    assert isinstance(caught(Dataset(numbers)), SourceError)


# Text -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_message_of_a_hundred_megabytes_is_cut():
    found = caught(THREE.map(raising(ValueError("x" * 100_000_000))))

    assert len(str(found)) < LONGEST_TEXT + 200
    assert "(100,000,000 characters)" in str(found)
    assert len(found.traceback) < LONGEST_TEXT + 200
    assert len(pickle.dumps(found)) < 3 * LONGEST_TEXT


def test_exception_without_a_text_is_named_all_the_same():
    assert "BadStr: <its __str__ raised RuntimeError>" in str(caught(THREE.map(raising(BadStr()))))
    assert str(caught(THREE.map(raising(IndexError())))).endswith("sample 1: IndexError: (called with 1)")


def test_error_and_frames_do_not_hold_each_other():
    class Sample:
        pass

    def run():
        samples = [Sample() for _ in range(2)]
        try:
            Dataset(lambda: iter(samples)).map(lambda x: x).map(lambda x: 1 / 0).list()
        except ZeroDivisionError:
            return [weakref.ref(sample) for sample in samples]

    gc.collect()
    gc.disable()
    try:
        assert [None, None] == [ref() for ref in run()]
    finally:
        gc.enable()


def test_user_may_raise_ours():
    found = caught(THREE.map(raising(InvalidType("mine"))))

    assert isinstance(found, SampleError)
    assert isinstance(found, InvalidType)
    assert isinstance(found, TypeError)

"""What is known of dtypes: the numbers among them, and those that go by a name."""

import sys

import numpy as np
import pytest

from flazy import Dataset
from flazy.dtypes import EXTENDED, by_name, dtype_named, family, is_extended, limits
from flazy.errors import InvalidType, MissingExtra

ml_dtypes = pytest.importorskip("ml_dtypes")


@pytest.mark.parametrize("name", EXTENDED)
def test_dtypes_of_ml_dtypes_are_numbers(name):
    dtype = dtype_named(name, "here")
    info = {"f": ml_dtypes.finfo, "i": ml_dtypes.iinfo, "u": ml_dtypes.iinfo}[family(dtype)]

    assert np.dtype(getattr(ml_dtypes, name)) == dtype
    assert is_extended(dtype)
    assert info(dtype).bits <= 16
    assert family(dtype) == "f" or (info(dtype).min, info(dtype).max) == limits(dtype)


@pytest.mark.parametrize("code", "?bBhHiIlLqQefdgFDG")
def test_numbers_of_numpy_are_of_their_kind(code):
    dtype = np.dtype(code)

    assert dtype.kind == family(dtype)
    assert not is_extended(dtype)
    assert dtype.kind not in "iu" or (np.iinfo(dtype).min, np.iinfo(dtype).max) == limits(dtype)


@pytest.mark.parametrize("spec", ["O", "U3", "S", "V2", "M8[s]", "m8[s]", [("a", "f4")]])
def test_everything_else_is_no_number(spec):
    assert family(np.dtype(spec)) == ""


@pytest.mark.parametrize("spec", ["float33", "finfo", "bfloat", object(), "bfloat16 "])
def test_what_is_no_dtype_is_refused(spec):
    with pytest.raises(InvalidType, match="here is no dtype"):
        dtype_named(spec, "here")


def test_without_ml_dtypes_the_extra_is_named(monkeypatch):
    by_name.cache_clear()
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)

    with pytest.raises(MissingExtra, match=r"default_dtype='bfloat16' needs ml_dtypes.*flazy\[dtypes\]"):
        Dataset([1]).batch(1, default_dtype="bfloat16")

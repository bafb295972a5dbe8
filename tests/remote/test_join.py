"""Join codes: read back whatever the terminal did to them, or refused with what is wrong, and never shown."""

import base64
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy.errors import InvalidArgument, SecurityError
from flazy.remote.join import JoinCode, decode, line
from flazy.transport.curve import from_raw, new_keys

TRAINER, HOST = new_keys(), new_keys()
CODE = JoinCode("192.0.2.7", 5555, 5556, TRAINER.public, HOST.secret)
WITHOUT = CODE._replace(secret=None)
TEXT = CODE.encode()

ports = st.integers(1, 65535)
keys = st.binary(min_size=32, max_size=32).map(from_raw)
hosts = st.text("aZ09.-:é", min_size=1, max_size=60)


@given(st.builds(JoinCode, hosts, ports, ports, keys, st.none() | keys))
def test_code_is_read_as_it_was_written(code):
    assert code == decode(code.encode())
    assert code == decode(line(code))


def test_line_is_what_is_pasted():
    assert f"FLAZY_JOIN={TEXT} flazy-worker" == line(CODE)
    assert TEXT.startswith("fz1.")
    assert TEXT.removeprefix("fz1.").replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "form",
    [
        "{}", " {}\n", "'{}'", '"{}"', "FLAZY_JOIN={}", "FLAZY_JOIN='{}' flazy-worker", "FLAZY_JOIN={} flazy-worker\n",
        "'FLAZY_JOIN={} flazy-worker'", "export FLAZY_JOIN={}", "export FLAZY_JOIN={}; flazy-worker",
        "FLAZY_JOIN={} flazy-worker --processes 4", "{} flazy-worker", "\tFLAZY_JOIN = {}\r\n",
    ],
)  # fmt: skip
def test_what_stands_round_a_code_is_passed_over(form):
    assert CODE == decode(form.format(TEXT))


def test_code_that_a_terminal_broke_into_lines_is_read():
    broken = "\n  ".join([TEXT[:30], TEXT[30:90], TEXT[90:]])

    assert CODE == decode(f"FLAZY_JOIN={broken}\nflazy-worker")


@pytest.mark.parametrize("text", ["", "   ", "hello", "fz", "fz1", "fzx.abc", "FLAZY_JOIN=", "flazy-worker", "fz0.a"])
def test_what_is_no_code_at_all_is_told(text):
    with pytest.raises(InvalidArgument, match=r"not a join code, which begins with 'fz1\.'"):
        decode(text)


def test_code_of_a_later_flazy_is_told():
    with pytest.raises(InvalidArgument, match=r"version 2, .*pip install --upgrade flazy"):
        decode(TEXT.replace("fz1.", "fz2."))


@pytest.mark.parametrize("code", [CODE, WITHOUT])
def test_code_that_is_cut_off_is_told(code):
    text = code.encode()

    for length in range(4, len(text)):
        with pytest.raises(InvalidArgument, match="cut off"):
            decode(text[:length])


@given(st.integers(4, len(TEXT) - 1), st.sampled_from("ABCxyz012-_"))
def test_mistyped_code_is_told(place, letter):
    text = TEXT[:place] + letter + TEXT[place + 1 :]
    if text == TEXT:
        return

    if place == len(TEXT) - 1 and TEXT[-1] != letter and len(TEXT) % 4 != 0:
        return  # it holds bits that nobody reads
    with pytest.raises(InvalidArgument, match=r"mistyped|cut off"):
        decode(text)


@pytest.mark.parametrize("text", [TEXT + "AAAA", TEXT + "!", TEXT[:40] + "ä" + TEXT[41:], TEXT + "\0", TEXT + "=="])
def test_code_with_something_added_is_told(text):
    with pytest.raises(InvalidArgument, match="mistyped"):
        decode(text)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text):
    for each in (text, f"fz1.{text}"):
        with pytest.raises(InvalidArgument):
            decode(each)


@given(st.binary(max_size=200))
def test_any_bytes_in_a_code_are_read_or_refused(whole):
    with pytest.raises(InvalidArgument):
        decode("fz1." + base64.urlsafe_b64encode(whole).decode())


def test_no_error_shows_the_code():
    another = "x" if TEXT[50] != "x" else "y"
    wrong = [TEXT[:-3], TEXT[:50] + another + TEXT[51:], TEXT.replace("fz1.", "fz7."), TEXT + "!", TEXT[4:]]
    for text in wrong:
        with pytest.raises(InvalidArgument) as caught:
            decode(text)

        shown = "".join(traceback.format_exception(caught.value))
        assert not any(text[start : start + 12] in shown for start in range(5, len(text) - 12))


def test_secret_is_in_no_repr_and_no_pickle():
    assert HOST.secret.decode() not in f"{CODE!r} {CODE} {[CODE]}"
    assert "192.0.2.7" in repr(CODE)
    assert repr(CODE) != repr(WITHOUT)
    with pytest.raises(SecurityError, match="not pickled"):
        pickle.dumps(CODE)


@pytest.mark.parametrize("change", [{"host": ""}, {"host": "x" * 256}, {"port": 0}, {"results_port": 65536}])
def test_code_that_leads_nowhere_is_not_written(change):
    with pytest.raises(InvalidArgument, match="no machine"):
        CODE._replace(**change).encode()

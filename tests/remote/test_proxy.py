"""The proxy does to a connection what it is told to, and nothing else."""

import socket
import sys
import threading
import time

import pytest

from tests.remote.proxy import DOWN, UP, Proxy

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the loopback has one address here")


class Echo:
    """A server that sends back what it gets, a connection at a time."""

    def __init__(self):
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = self._server.getsockname()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            with peer:
                try:
                    while piece := peer.recv(65536):
                        peer.sendall(piece)
                except OSError:
                    continue

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)


@pytest.fixture
def proxy():
    echo = Echo()
    with Proxy([echo.address]) as proxy:
        yield proxy
    echo.close()


def connected(proxy):
    return socket.create_connection(proxy.addresses[0], timeout=10)


def exchanged(peer, data):
    """Send, and give all that comes until there is as much, or no more."""
    sender = threading.Thread(target=peer.sendall, args=(data,))
    sender.start()
    try:
        return received(peer, len(data))
    finally:
        sender.join(10)


def received(peer, count):
    got = b""
    while len(got) < count and (piece := peer.recv(65536)):
        got += piece
    return got


def test_what_goes_through_is_whole_and_counted(proxy):
    data = bytes(range(256)) * 20_000
    with connected(proxy) as peer:
        assert data == exchanged(peer, data)
        peer.shutdown(socket.SHUT_WR)
        assert b"" == peer.recv(1)

    assert {(0, UP): len(data), (0, DOWN): len(data)} == proxy.counts
    assert proxy.addresses[0][1] == proxy.targets[0][1]


def test_delay_is_seen_each_way(proxy):
    with connected(proxy) as peer:
        exchanged(peer, b"a")
        proxy.delay(0.05)
        begun = time.monotonic()

        assert b"b" == exchanged(peer, b"b")
        assert 0.1 <= time.monotonic() - begun


def test_rate_is_kept(proxy):
    proxy.throttle(200_000)
    with connected(proxy) as peer:
        begun = time.monotonic()

        assert bytes(20_000) == exchanged(peer, bytes(20_000))
        assert 0.15 <= time.monotonic() - begun <= 5
        proxy.throttle(None)
        assert bytes(10**6) == exchanged(peer, bytes(10**6))


def test_cut_is_a_reset_on_both_sides(proxy):
    with connected(proxy) as peer:
        exchanged(peer, b"a")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            peer.recv(1)

    assert 0 == proxy.connections
    with connected(proxy) as peer:  # the echo has seen its end, too, or it would not take another
        assert b"b" == exchanged(peer, b"b")
    assert 2 == proxy.accepted


def test_cut_of_another_link_leaves_this_one(proxy):
    with connected(proxy) as peer:
        exchanged(peer, b"a")
        proxy.cut(1)

        assert b"b" == exchanged(peer, b"b")


def test_truncated_stream_ends_as_if_it_were_all(proxy):
    happened = proxy.after(5, "truncate", way=DOWN)
    with connected(proxy) as peer:
        peer.sendall(b"0123456789")

        assert b"01234" == received(peer, 10)
        assert happened.wait(10)


def test_cut_after_so_many_bytes(proxy):
    with connected(proxy) as peer:
        exchanged(peer, b"abc")
        happened = proxy.after(100_000, "cut")
        with pytest.raises(ConnectionError):
            while True:
                exchanged(peer, bytes(30_000))

    assert happened.wait(10)
    assert 100_003 == proxy.counts[0, UP]


def test_one_bit_is_flipped_and_no_other(proxy):
    with connected(proxy) as peer:
        exchanged(peer, b"abc")
        first, second = proxy.after(1, "flip", way=DOWN), proxy.after(3, "flip", way=UP)

        assert bytes([0, 1, 0, 1, 0]) == exchanged(peer, bytes(5))
        assert first.wait(10)
        assert second.wait(10)


def test_stopped_connection_says_nothing_and_goes_on(proxy):
    with connected(proxy) as peer:
        exchanged(peer, b"a")
        proxy.stop(DOWN)
        peer.sendall(b"b")
        peer.settimeout(0.05)
        with pytest.raises(TimeoutError):
            peer.recv(1)
        peer.settimeout(10)
        proxy.go_on()

        assert b"b" == peer.recv(1)


def test_half_open_connection_is_accepted_and_silent(proxy):
    proxy.stop()
    with connected(proxy) as peer:
        peer.sendall(b"a")
        peer.settimeout(0.05)
        with pytest.raises(TimeoutError):
            peer.recv(1)

    assert 0 == sum(proxy.counts.values())


def test_nobody_is_let_in_where_it_refuses(proxy):
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    proxy.accept()
    with connected(proxy) as peer:
        assert b"a" == exchanged(peer, b"a")

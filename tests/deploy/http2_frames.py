"""HTTP/2 frames by hand, so that a test can send what no library would: a gRPC call's HEADERS, DATA, RST_STREAM."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE = 0, 1, 3, 4, 8
END_STREAM, END_HEADERS = 0x1, 0x4
CANCEL = 8
EMPTY_MESSAGE = b"\0" * 5  # not compressed, 0 bytes long


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers_block(path):
    """A gRPC call's headers in HPACK: static indices and literals that are not added to the table, so that the same
    bytes serve any stream. All lengths are below 127."""

    def text(value):
        return bytes([len(value)]) + value.encode()

    return (
        b"\x83\x86"  # :method POST, :scheme http
        + b"\x04" + text(path)
        + b"\x01" + text("attnd")  # :authority
        + b"\x0f\x10" + text("application/grpc")  # content-type
        + b"\x00" + text("te") + text("trailers")
    )


def settings():
    return frame(SETTINGS, 0, 0)


def call_headers(path, stream):
    return frame(HEADERS, END_HEADERS, stream, headers_block(path))


def message(stream, flags=END_STREAM, body=EMPTY_MESSAGE):
    return frame(DATA, flags, stream, body)


def reset(stream):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def kinds(received):
    """The kinds of the frames received on streams, flow control left out."""
    found = []
    while len(received) >= 9:
        length = int.from_bytes(received[:3], "big")
        if int.from_bytes(received[5:9], "big") and received[3] != WINDOW_UPDATE:
            found.append(received[3])
        received = received[9 + length:]
    return found

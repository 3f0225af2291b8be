"""A hostile guest: attacks that anybody on the Wi-Fi can make without a key. Runs for SECONDS, or until it is killed.

    python -m tests.lab.guest KIND HOST PORT SERVER_KEY_HEX SECONDS     prints the number of attacks

connect: open and close TCP connections; garbage: send noise; oversized: announce a gigabyte; handshake: real CURVE
handshakes with unknown keys.
"""

import contextlib
import os
import socket
import struct
import sys
import time
from collections.abc import Callable

import zmq

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)


def main() -> int:
    kind, host, port, key, seconds = sys.argv[1:]
    attack: Callable[[str, int, bytes], None] = {
        "connect": connect,
        "garbage": garbage,
        "oversized": oversized,
        "handshake": handshake,
    }[kind]
    count, end = 0, time.monotonic() + float(seconds)
    while time.monotonic() < end:
        with contextlib.suppress(OSError, zmq.ZMQError):
            attack(host, int(port), bytes.fromhex(key))
        count += 1
    print(count)
    return 0


def connect(host: str, port: int, key: bytes) -> None:
    socket.create_connection((host, port), 0.5).close()


def garbage(host: str, port: int, key: bytes) -> None:
    with socket.create_connection((host, port), 0.5) as line:
        line.sendall(os.urandom(65536))


def oversized(host: str, port: int, key: bytes) -> None:
    with socket.create_connection((host, port), 0.5) as line:
        line.sendall(_GREETING)
        line.recv(64)
        line.sendall(b"\x06" + struct.pack(">Q", 1 << 30) + bytes(65536))


_CONTEXT: list[zmq.Context[zmq.Socket[bytes]]] = []


def handshake(host: str, port: int, key: bytes) -> None:
    if not _CONTEXT:
        _CONTEXT.append(zmq.Context())
    sockets = []
    for _ in range(10):
        line = _CONTEXT[0].socket(zmq.DEALER)
        line.linger = 0
        line.curve_publickey, line.curve_secretkey = zmq.curve_keypair()
        line.curve_serverkey = key
        line.setsockopt(zmq.RECONNECT_IVL, -1)
        line.connect(f"tcp://{host}:{port}")
        sockets.append(line)
    time.sleep(0.01)
    for line in sockets:
        line.close()


if __name__ == "__main__":
    sys.exit(main())

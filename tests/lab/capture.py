"""Captures every frame on the air in a file that packet viewers read (pcap), and reads the packets back.

python -m tests.lab.capture FILE        in the air's namespace, until SIGTERM; prints `ready`, then the frames missed
"""

import contextlib
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ALL = 0x0003
_OUTGOING = 4  # a frame that leaves the bridge by a port was captured when it entered
_SO_RCVBUFFORCE = 33
_PACKET, _STATISTICS = 263, 6
_MAX_FRAME = 1 << 18


@dataclass(frozen=True)
class Packet:
    """Addresses and ports are empty and 0 where there are none. `payload` is what TCP or UDP carries, or the frame."""

    protocol: str  # tcp, udp, or the EtherType or protocol in hexadecimal
    source: str
    target: str
    source_port: int
    target_port: int
    payload: bytes


def main() -> int:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL)) as line, open(sys.argv[1], "wb") as file:
        line.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 256 << 20)
        line.settimeout(0.2)
        is_over = False

        def stop(*_: object) -> None:
            nonlocal is_over
            is_over = True

        signal.signal(signal.SIGTERM, stop)
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _MAX_FRAME, 1))
        print("ready", flush=True)
        while not is_over:
            with contextlib.suppress(TimeoutError):
                frame, place = line.recvfrom(_MAX_FRAME)
                if place[2] != _OUTGOING and place[0].startswith("p"):
                    now = time.time()
                    header = struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(frame), len(frame))
                    file.write(header + frame)
        _, lost = struct.unpack("II", line.getsockopt(_PACKET, _STATISTICS, 8))
        print(lost, flush=True)
    return 0


def read_packets(path: Path) -> Iterator[Packet]:
    """The packets of a capture file."""
    with open(path, "rb") as file:
        file.read(24)
        while header := file.read(16):
            yield parse(file.read(struct.unpack("<IIII", header)[2]))


def parse(frame: bytes) -> Packet:
    """The packet in an Ethernet frame."""
    kind = struct.unpack_from(">H", frame, 12)[0]
    if kind != 0x0800:
        return Packet(f"{kind:#06x}", "", "", 0, 0, frame)
    start = 14 + (frame[14] & 15) * 4
    source, target = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
    protocol = frame[23]
    if protocol not in (6, 17):
        return Packet(f"ip {protocol}", source, target, 0, 0, frame[start:])
    ports = struct.unpack_from(">HH", frame, start)
    header = (frame[start + 12] >> 4) * 4 if protocol == 6 else 8
    return Packet("tcp" if protocol == 6 else "udp", source, target, *ports, frame[start + header :])


def streams(packets: Iterator[Packet]) -> dict[tuple[str, int, str, int], bytes]:
    """The payload of each direction of each connection, in the order in which it passed."""
    found: dict[tuple[str, int, str, int], bytearray] = {}
    for packet in packets:
        if packet.protocol == "tcp":
            key = (packet.source, packet.source_port, packet.target, packet.target_port)
            found.setdefault(key, bytearray()).extend(packet.payload)
    return {key: bytes(data) for key, data in found.items()}


if __name__ == "__main__":
    sys.exit(main())

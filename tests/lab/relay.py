"""A cable with delay and loss, in user space: carries frames between two TAP devices, late, and not all of them.

    python -m tests.lab.relay --outer NAME --inner NAME --delay SECONDS --loss SHARE [--seed N]

Makes both devices in its own network namespace, prints `ready`, and carries until it is killed. (The kernel's netem is
missing on many machines that run tests.) Address resolution (ARP) is never lost: the kernel tries only three times, and
a test that fails by that chance shows nothing about the loss.
"""

import argparse
import fcntl
import os
import random
import select
import struct
import sys
import time
from collections import deque

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_ARP = b"\x08\x06"  # EtherType, at byte 12 of the frame
_MAX_WAITING = 2000  # frames; more are dropped, as by a real queue


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outer", required=True)
    parser.add_argument("--inner", required=True)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ends = [open_tap(options.outer), open_tap(options.inner)]
    print("ready", flush=True)
    carry(ends, options.delay, options.loss, random.Random(options.seed))
    return 0


def open_tap(name: str) -> int:
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return file


def carry(ends: list[int], delay: float, loss: float, chance: random.Random) -> None:
    waiting: deque[tuple[float, int, bytes]] = deque()  # due at, to which end, frame
    while True:
        patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select(ends, [], [], patience)
        for end in readable:
            try:
                frame = os.read(end, 65536)
            except OSError:  # the other end is not up yet
                continue
            is_lost = chance.random() < loss and frame[12:14] != _ARP
            if not is_lost and len(waiting) < _MAX_WAITING:
                waiting.append((time.monotonic() + delay, ends[1 - ends.index(end)], frame))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, end, frame = waiting.popleft()
            try:
                os.write(end, frame)
            except OSError:
                continue


if __name__ == "__main__":
    sys.exit(main())

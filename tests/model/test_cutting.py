"""A trainer that waits for a lost rank is freed by its own process, since torch offers no way to abort gloo."""

import subprocess
import sys

# In a process of its own, because all of its connections are cut.
PROGRAM = """
import os, socket, threading
from model.meeting.cutting import cut_connections

server = socket.create_server(("127.0.0.1", 0))
ours = socket.create_connection(server.getsockname())
theirs, _ = server.accept()
pipe, _ = os.pipe()
threading.Timer(0.2, cut_connections).start()
assert ours.recv(1) == b""  # it would wait for the other end without limit
assert theirs.recv(1) == b""
os.fstat(pipe)  # what is no connection stays open
again = socket.create_connection(server.getsockname())  # so does a listener
again.sendall(b"x")
assert server.accept()[0].recv(1) == b"x"
"""


def test_connections_that_wait_for_another_rank_are_cut_and_nothing_else() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=20)

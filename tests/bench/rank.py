"""One rank of a timed all_reduce. `tests.bench.tunnels` starts it.

python -m tests.bench.rank plain RANK ADDRESS COUNT REPEATS FILE     plain gloo over the network
python -m tests.bench.rank gloo|portable RANK - COUNT REPEATS FILE   through an agent, as a trainer does
"""

import datetime
import json
import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

from model.agent_link import AgentLink
from model.meeting.group import join

SMALL_REPEATS = 200


def main() -> int:
    backend, rank, address, count, repeats, file = sys.argv[1:]
    link = None if backend == "plain" else AgentLink()
    torch.set_num_threads(1)
    if link is None:
        os.environ["GLOO_SOCKET_IFNAME"] = "eth0"
        limit = datetime.timedelta(seconds=120)
        dist.init_process_group("gloo", init_method=f"tcp://{address}", rank=int(rank), world_size=2, timeout=limit)
    else:
        join(backend, int(rank), 2, link, torch.device("cpu"), 120.0)
    tensor = torch.ones(int(count))
    seconds = []
    for _ in range(int(repeats) + 1):
        dist.barrier()
        started = time.perf_counter()
        dist.all_reduce(tensor)
        seconds.append(time.perf_counter() - started)
    small, one = [], torch.zeros(1)
    for _ in range(SMALL_REPEATS):
        started = time.perf_counter()
        dist.all_reduce(one)
        small.append(time.perf_counter() - started)
    assert float(tensor[0]) == float(tensor[-1]) == 2.0 ** (int(repeats) + 1)
    if rank == "0":
        Path(file).write_text(json.dumps({"large": seconds[1:], "small": small}))
    dist.barrier()
    dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A blob sent to four devices at once, compared with the same blob sent to one device over the same links.

    python -m tests.bench.swarm [--megabytes 100] [--link 100mbit] [--repeats 3] [--json FILE]      needs root

The time runs from the request to fetch until every device holds the verified blob. Prints a table, writes JSON.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.home import ControlFile, control_path
from cellmind_agent.protocol.ids import BlobId, parse_run_id
from cellmind_agent.protocol.plain import from_plain
from cellmind_agent.storage.blobs import BlobStore
from cellmind_ctl.client import Client
from tests.agents import wait_for
from tests.bench.results import Results
from tests.lab.home import Home, LabDevice, peers_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--link", default="100mbit")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/swarm.json"))
    parser.add_argument("--fetch", nargs=3, metavar=("HOME", "BLOB", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fetch:
        return fetch(Path(options.fetch[0]), BlobRef(id=BlobId(options.fetch[1]), size=int(options.fetch[2])))
    results = Results(options.json)
    found: dict[str, list[float]] = {"one device": [], "four devices": []}
    sent: dict[str, list[float]] = {"one device": [], "four devices": []}
    with tempfile.TemporaryDirectory() as folder, Home(Path(folder), link=options.link) as home:
        names = ("source", "one", "two", "three", "four")
        devices = home.paired(*names)
        for device in devices:
            wait_for(lambda device=device: online(device) == len(names), 30, "all to be online")  # type: ignore[misc]
        for _ in range(options.repeats):
            for title, fetchers in (("one device", devices[1:2]), ("four devices", devices[1:])):
                ref = new_blob(devices[0], options.megabytes << 20)
                before = home.network.bytes_sent("source")
                found[title].append(all_fetch(fetchers, ref))
                sent[title].append((home.network.bytes_sent("source") - before) / ref.size)
    report(found, sent, f"{options.megabytes} MiB, links of {options.link}", results)
    return 0


def online(device: LabDevice) -> int:
    return sum(peer["state"] == "online" for peer in peers_of(device).values())


def new_blob(device: LabDevice, size: int) -> BlobRef:
    """Put random bytes into the device's store, as if it had trained them."""
    path = device.home / "new"
    path.write_bytes(os.urandom(size))
    return BlobStore(root=device.home / "blobs").adopt(path)


def all_fetch(devices: list[LabDevice], ref: BlobRef) -> float:
    """Seconds until all of these devices hold the blob."""
    words = (sys.executable, "-m", "tests.bench.swarm", "--fetch")
    started = time.monotonic()
    fetching = [device.spawn(*words, str(device.home), ref.id, str(ref.size)) for device in devices]
    codes = [process.wait(600) for process in fetching]
    elapsed = time.monotonic() - started
    for process in fetching:
        assert process.stdout
        process.stdout.close()
    if any(codes):
        raise RuntimeError(f"fetching ended with {codes}")
    return elapsed


def fetch(home: Path, ref: BlobRef) -> int:
    """Run in the device's namespace: ask its agent to fetch the blob."""
    client = Client(from_plain(ControlFile, json.loads(control_path(home).read_text())), 600.0)
    model = m.ModelView(
        model=parse_run_id("run-0101-abcdef"), step=1, tokens=1, state_hash="00" * 32, files={"model.safetensors": ref},
        tokenizer=ref, created=time.time(),
    )  # fmt: skip
    client.request(m.KeepModel(model=model))
    client.close()
    return 0


def report(found: dict[str, list[float]], sent: dict[str, list[float]], about: str, results: Results) -> None:
    rows = {
        title: {
            "seconds": statistics.median(seconds),
            "of_one_transfer": statistics.median(seconds) / statistics.median(found["one device"]),
            "sent_by_source": statistics.median(sent[title]),
        }
        for title, seconds in found.items()
    }
    results.save(rows, found)
    print(f"a blob of {about}, {results.about()}")
    print("| to | s | of one transfer | sent by the source, in blobs |\n|---|---|---|---|")
    for title, row in rows.items():
        print("| {} | {seconds:.2f} | {of_one_transfer:.2f} | {sent_by_source:.2f} |".format(title, **row))


if __name__ == "__main__":
    sys.exit(main())

"""The demo: the steps of a newcomer with three devices, on one machine, with the real programs."""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import psutil
import yaml

from tests.agents import CTL, ENVIRONMENT, Cell, Device, states, wait_for
from tests.lab import network
from tests.lab.capture import read_packets
from tests.lab.home import AGENT_PORT, Home

PROMPT = "오늘 기분이 어때?"
NAMES = ("laptop", "desktop", "phone")
CONFIG = {
    "model": {"checkpoint": "checkpoints/latest.pt"},
    "tokenizer": {"model_path": "tokenizer/minigpt.model", "vocab_size": 800},
    "training": {"dataset": {"path": "data/for-model-training/train.jsonl", "seq_len": 64}},
}  # the rest is chosen by the text


def main() -> int:
    parser = argparse.ArgumentParser(prog="./demo", description=__doc__)
    parser.add_argument("--hosts", action="store_true", help="on three simulated hosts of one network (Linux, root)")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the agents' homes and the project in this folder"
    )
    options = parser.parse_args()
    why_not = network.why_not_here() if options.hosts else None
    if why_not:
        print(f"error: {why_not}\nhint: sudo ./demo --hosts, or ./demo", file=sys.stderr)
        return 1
    started = time.monotonic()
    before = set(psutil.pids())
    with tempfile.TemporaryDirectory(prefix="cellmind-demo-") as folder:
        place = options.keep.absolute() if options.keep else Path(folder)
        if options.hosts:
            play_on_hosts(place)
        else:
            cell = Cell(place)
            play(
                place, cell, lambda name: cell.device(name, "--interface", "lo"), "all on the loopback of this machine"
            )
    left = [p for p in psutil.process_iter(["cmdline"]) if p.pid not in before and "cellmind" in str(p.info["cmdline"])]
    say(f"{len(left)} processes are left behind; {time.monotonic() - started:.0f} s in all")
    return 1 if left else 0


def play_on_hosts(folder: Path) -> None:
    """Play on three network namespaces with a link of 100 Mbit/s each, and record every packet."""
    folder.mkdir(parents=True, exist_ok=True)
    with Home(folder, link="100mbit") as home, home.captured(folder / "air.pcap") as air:
        play(folder, home.cell, home.device, "three hosts on a network of 100 Mbit/s")
        say("7. These bytes were on the network")
        carried: Counter[str] = Counter()
        for packet in read_packets(air):
            port = min(packet.source_port, packet.target_port)
            carried[f"{packet.protocol} port {port}" if port else packet.protocol] += len(packet.payload)
        for what, count in carried.most_common():
            print(f"{what:<16} {count:>12,} bytes")
        if {what for what in carried if what.startswith("tcp")} != {f"tcp port {AGENT_PORT}"}:
            raise SystemExit("some bytes were sent over another port")


def play(folder: Path, cell: Cell, make: Callable[[str], Device], where: str) -> None:
    """The six steps. `make` starts the agent of a device, `where` names the network for the title."""
    project = folder / "project"
    try:
        say("1. Text: Korean dialogues, and a tokenizer trained on them")
        documents = write_project(project)
        print(f"{documents} dialogues in {project / 'data'}")
        text = "data/for-tokenizer-training/textonly.txt"
        run("python -m tokenizer", sys.executable, "-m", "tokenizer", "--input", text, "--model-prefix", "minigpt",
            "--character-coverage", "0.98", "--model-type", "bpe", "--vocab-size", "800", "--output-dir", "tokenizer",
            cwd=project)  # fmt: skip
        say(f"2. Three agents find each other by mDNS ({where})")
        devices = [make(name) for name in NAMES]
        wait_for(lambda: list(states(devices[0]).values()).count("unpaired") == 2, 30, "the other two to be discovered")
        show(devices[0], "peers")
        say("3. They form a cell, with a one-time code for each device")
        for joiner in devices[1:]:
            join_by_code(devices[0], joiner)
        everybody = dict.fromkeys(NAMES, "online")
        for device in devices:
            wait_for(lambda device=device: states(device) == everybody, 30, f"{device.name} to see all")
        show(devices[0], "peers")
        say("4. They train one model together, over a gloo process group")
        show(devices[0], "train", "--yes", cwd=project)
        show(devices[1], "runs")
        compare(devices)
        say("5. A device that did not lead answers")
        leader = devices[0].ctl("runs", "--json").data[0]["leader"]
        other = next(device for device in devices if device.control["device"] != leader)
        show(other, "ask", PROMPT, "--device", other.name, "--verbose", "--seed", "4", "-n", "60")
    finally:
        say("6. Every process is stopped")
        cell.close()


def write_project(project: Path) -> int:
    """Write the corpus as the guide's files, and the configuration. Returns the number of dialogues."""
    dialogues = []
    for source in sorted((files("chatterbot_corpus") / "data" / "korean").iterdir(), key=lambda path: path.name):
        if source.name.endswith(".yml"):
            plain = yaml.safe_load(source.read_text(encoding="utf-8"))
            dialogues += ["\n".join(str(line) for line in lines) for lines in plain["conversations"]]
    random.Random(0).shuffle(
        dialogues
    )  # the corpus is sorted by topic; unshuffled, the held-out part would be a topic of its own
    raw = project / "data" / "raw"
    raw.mkdir(parents=True)
    (raw / "dialogues.jsonl").write_text("".join(json.dumps({"text": d}, ensure_ascii=False) + "\n" for d in dialogues))
    words = ("data", "prepare", "data/raw/dialogues.jsonl", "--out", "prepared")
    run("cellmindctl", *CTL, *words, cwd=project, words=words)
    for name, place in (("train.jsonl", "for-model-training"), ("textonly.txt", "for-tokenizer-training")):
        (project / "data" / place).mkdir()
        (project / "prepared" / name).rename(project / "data" / place / name)
    (project / "cellmind.json").write_text(json.dumps(CONFIG, indent=1))
    return len(dialogues)


def join_by_code(inviter: Device, joiner: Device) -> None:
    inviting = inviter.start_ctl("invite")
    assert inviting.stdout
    code = inviting.stdout.readline().split()[-1]
    print(f"{inviter.name}$ cellmindctl invite\njoin code: {code}")
    show(joiner, "join", code)
    inviting.communicate(timeout=30)


def compare(devices: list[Device]) -> None:
    """Show every device's own record of its newest checkpoint. Raises SystemExit when they differ."""
    hashes = {}
    for device in devices:
        newest = max((device.home / "models").glob("*/[0-9]*.json"))
        hashes[device.name] = json.loads(newest.read_text())["state_hash"]
        print(f"{device.name:<8} state {hashes[device.name][:32]}")
    if len(set(hashes.values())) != 1:
        raise SystemExit("the devices hold different weights")
    journal = next(path for device in devices for path in (device.home / "runs").glob("*/events.jsonl"))
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    losses = [event["val_loss"] for event in events if event["event"] == "RoundCommitted" and event["val_loss"]]
    fall = 1 - losses[-1] / losses[0]
    print(f"held-out loss {losses[0]:.3f} -> {losses[-1]:.3f}: {fall:.0%} less")
    if fall < 0.37:
        raise SystemExit("the held-out loss fell by less than 37 %")


def show(device: Device, *words: str, cwd: Path | None = None) -> None:
    """Show a command as a person types it, and run it."""
    command = (*device.prefix, *CTL, "--home", str(device.home), *words)
    run(f"{device.name}$ cellmindctl", *command, cwd=cwd, words=words)


def run(title: str, *command: str, cwd: Path | None = None, words: tuple[str, ...] | None = None) -> None:
    print(" ".join((title, *(command[3:] if words is None else words))), flush=True)
    subprocess.run(command, cwd=cwd, env=ENVIRONMENT, stderr=subprocess.STDOUT, check=True)


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

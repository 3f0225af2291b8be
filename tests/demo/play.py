"""The demo: what a newcomer would do on three devices, done on one machine with the real programs."""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import psutil
import yaml

from tests.agents import CTL, ENVIRONMENT, Cell, Device, states, wait_for

PROMPT = "오늘 기분이 어때?"
NAMES = ("laptop", "desktop", "phone")
CONFIG = {
    "model": {"d_model": 96, "nhead": 4, "num_layers": 3, "dropout": 0.2, "checkpoint": "checkpoints/latest.pt"},
    "tokenizer": {"model_path": "tokenizer/minigpt.model", "vocab_size": 800},
    "training": {
        "batch_size": 9,
        "epochs": 14,
        "lr": 4e-3,
        "dataset": {"path": "data/for-model-training/train.jsonl", "seq_len": 64},
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./demo", description=__doc__)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep homes and project in this folder")
    options = parser.parse_args()
    started = time.monotonic()
    before = set(psutil.pids())
    with tempfile.TemporaryDirectory(prefix="cellmind-demo-") as folder:
        play(options.keep.absolute() if options.keep else Path(folder))
    left = [p for p in psutil.process_iter(["cmdline"]) if p.pid not in before and "cellmind" in str(p.info["cmdline"])]
    say(f"no process is left behind: {not left}; {time.monotonic() - started:.0f} s in all")
    return 1 if left else 0


def play(folder: Path) -> None:
    project = folder / "project"
    cell = Cell(folder)
    try:
        say("1. Text: Korean dialogues, and a tokenizer trained on them")
        documents = write_project(project)
        print(f"{documents} dialogues in {project / 'data'}")
        text = "data/for-tokenizer-training/textonly.txt"
        run("python -m tokenizer", sys.executable, "-m", "tokenizer", "--input", text, "--model-prefix", "minigpt",
            "--character-coverage", "0.98", "--model-type", "bpe", "--vocab-size", "800", "--output-dir", "tokenizer",
            cwd=project)  # fmt: skip
        say("2. Three agents find each other by mDNS (here on one machine, so on its loopback)")
        devices = [cell.device(name, "--interface", "lo") for name in NAMES]
        wait_for(lambda: list(states(devices[0]).values()).count("unpaired") == 2, 30, "the others to be heard")
        show(devices[0], "peers")
        say("3. They form a cell: a one-time code each")
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
        say("6. Everything is stopped")
        cell.close()


def write_project(project: Path) -> int:
    """The corpus as the guide's files, and the configuration; the number of dialogues."""
    dialogues = []
    for source in sorted((files("chatterbot_corpus") / "data" / "korean").iterdir(), key=lambda path: path.name):
        if source.name.endswith(".yml"):
            plain = yaml.safe_load(source.read_text(encoding="utf-8"))
            dialogues += ["\n".join(str(line) for line in lines) for lines in plain["conversations"]]
    random.Random(0).shuffle(dialogues)  # by topic otherwise: the held-out ones would be of a topic never seen
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
    """Every device's own record of its newest checkpoint. Raises SystemExit when they differ."""
    hashes = {}
    for device in devices:
        newest = max((device.home / "models").glob("*/*.json"))
        hashes[device.name] = json.loads(newest.read_text())["state_hash"]
        print(f"{device.name:<8} state {hashes[device.name][:32]}")
    if len(set(hashes.values())) != 1:
        raise SystemExit("the devices hold different weights")
    journal = next(path for device in devices for path in (device.home / "runs").glob("*/events.jsonl"))
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    losses = [event["val_loss"] for event in events if event["event"] == "RoundCommitted" and event["val_loss"]]
    fall = 1 - losses[-1] / losses[0]
    print(f"held-out loss {losses[0]:.3f} -> {losses[-1]:.3f}: {fall:.0%} less")
    if fall < 0.3:
        raise SystemExit("the held-out loss fell by less than 30 %")


def show(device: Device, *words: str, cwd: Path | None = None) -> None:
    """A command as a person types it, with what it prints."""
    run(f"{device.name}$ cellmindctl", *CTL, "--home", str(device.home), *words, cwd=cwd, words=words)


def run(title: str, *command: str, cwd: Path | None = None, words: tuple[str, ...] | None = None) -> None:
    print(" ".join((title, *(command[3:] if words is None else words))), flush=True)
    subprocess.run(command, cwd=cwd, env=ENVIRONMENT, stderr=subprocess.STDOUT, check=True)


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

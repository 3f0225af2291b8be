"""The main job over three real agents: train, ask, lose a member, resume; no checkpoint is lost, no process left."""

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.agents import Cell, Device, states, wait_for

CONFIG: dict[str, Any] = {
    "model": {"d_model": 32, "nhead": 4, "num_layers": 2, "dropout": 0.1, "checkpoint": "kept/latest.pt"},
    "tokenizer": {"model_path": "tokenizer/tokenizer.model", "vocab_size": 500},
    "training": {"batch_size": 6, "epochs": 2, "lr": 0.003, "dataset": {"path": "train.jsonl", "seq_len": 32}},
}
LONG = {
    **CONFIG,
    "training": {**CONFIG["training"], "epochs": 2000},
    "distributed": {"round_seconds": 1.0},
}
TEXTS = [
    f"{a} {b} {c} 했어요.{' 그래서 좋아요' * (place % 3)}"
    for a in ("나는", "너는", "우리는")
    for b in ("밥을", "물을", "책을")
    for place, c in enumerate("가나다라마")
]


def make_project(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS * 4))
    (folder / "cellmind.json").write_text(json.dumps(config))
    return folder


def of_kind(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


def trainers(devices: list[Device]) -> list[psutil.Process]:
    return [child for device in devices for child in device.children() if "model.train" in _command(child)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


@pytest.mark.timeout(240)
def test_three_agents_train_one_model_and_one_that_did_not_lead_answers(cell: Cell) -> None:
    devices = cell.of("하나", "둘", "셋")
    project = make_project(cell.folder / "project", CONFIG)
    # -- train
    answer = devices[1].ctl("train", "--json", "--yes", cwd=project, timeout=120)
    assert answer.code == 0, answer.out + answer.err
    events = answer.events
    plan = of_kind(events, "plan")[0]
    assert sorted(member["name"] for member in plan["roster"]) == ["둘", "셋", "하나"]
    assert sum(plan["shares"]) == 6
    assert of_kind(events, "pushed")[0]["bytes"] > 0
    committed = of_kind(events, "round_committed")
    assert committed[0]["step"] == 0
    assert committed[-1]["step"] == committed[-1]["total_steps"]
    assert committed[-1]["val_loss"] < committed[0]["val_loss"]
    assert all(len(event["state_hash"]) == 64 and event["run"] for event in committed)
    assert {member["name"] for member in committed[-1]["members"]} == {"하나", "둘", "셋"}
    assert of_kind(events, "checkpoint")[-1]["members"] == [member["name"] for member in plan["roster"]]
    assert of_kind(events, "finished")
    run = committed[0]["run"]
    # -- what it leaves: the same checkpoint on all, files of the project, metrics, no process
    held = {}
    for device in devices:
        model = max(json.loads(p.read_text())["step"] for p in (device.home / "models" / run).iterdir())
        held[device.name] = json.loads((device.home / "models" / run / f"{model:09d}.json").read_text())
    assert len({entry["state_hash"] for entry in held.values()}) == 1
    assert len({json.dumps(entry["files"], sort_keys=True) for entry in held.values()}) == 1
    assert (project / "kept" / "latest.safetensors").exists()
    assert json.loads((project / "kept" / "latest.json").read_text())["step"] == committed[-1]["step"]
    assert (project / "tokenizer" / "tokenizer.model").exists()
    leader = next(device for device in devices if device.name == plan["roster"][0]["name"])
    assert list((leader.home / "runs" / run / "tensorboard").glob("events.out.tfevents.*"))
    assert (leader.home / "runs" / run / "metrics.jsonl").exists()
    wait_for(lambda: not trainers(devices), 10, "the trainers to end")
    # -- every device lists the run and its speed
    for device in devices:
        assert [(r["run"], r["state"]) for r in device.ctl("runs", "--json").data] == [(run, "finished")]
    speeds = {peer["name"]: peer["tokens_per_second"] for peer in leader.ctl("peers", "--json").data}
    assert speeds[leader.name] > 0
    show_the_story(devices, leader, committed)
    # -- a device that did not lead answers
    other = next(device for device in devices if device is not leader)
    asked = leader.ctl("ask", "나는 밥을", "--json", "-n", "12", "--seed", "1", "--device", other.name)
    assert asked.code == 0, asked
    assert of_kind(asked.events, "started")[0]["name"] == other.name
    text = "".join(event["text"] for event in of_kind(asked.events, "piece"))
    assert text
    assert of_kind(asked.events, "ended")[0]["tokens"] <= 12
    again = other.ctl("ask", "나는 밥을", "-n", "12", "--seed", "1", "--verbose")
    assert again.out.strip("\n") == text.rstrip("\n")
    assert other.ctl("ask", "나는 밥을", "-n", "12", "--seed", "1", "--no-stream").out == again.out
    assert "answered by " in again.err
    (project / "prompt.txt").write_text("나는 밥을")
    assert other.ctl("ask", "--prompt-file", "prompt.txt", "-n", "12", "--seed", "1", cwd=project).out == again.out
    assert other.ctl("ask", "-", "-n", "12", "--seed", "1", stdin="나는 밥을\n").out == again.out
    # -- a second run continues the kept model; another tokenizer is refused
    taken = devices[0].ctl("train", "--json", "--yes", cwd=project, timeout=120)
    assert of_kind(taken.events, "round_committed")[0]["val_loss"] < committed[0]["val_loss"] - 0.5
    (project / "tokenizer" / "tokenizer.model").unlink()
    (project / "train.jsonl").write_text('{"text": "전혀 다른 글"}\n{"text": "또 다른 글"}\n' * 20)
    refused = devices[0].ctl("train", "--json", "--yes", cwd=project)
    assert refused.code == 1
    assert "the tokenizer does not match the checkpoint" in refused.error["message"]


def show_the_story(devices: list[Device], leader: Device, committed: list[dict[str, Any]]) -> None:
    """Each device shows who contributed what, and what the model wrote; the texts stand in one file of the leader."""
    other = next(device for device in devices if device is not leader)
    run = committed[0]["run"]
    story = other.ctl("runs", "show", "--json").data  # the newest
    assert story == leader.ctl("runs", "show", run[:-2], "--json").data
    assert (story["run"], story["state"], story["step"]) == (run, "finished", committed[-1]["step"])
    assert {one["name"] for one in story["contributions"]} == {"하나", "둘", "셋"}
    assert sum(one["percent"] for one in story["contributions"]) == pytest.approx(100)
    assert story["tokens"] * 0.9 < sum(one["tokens"] for one in story["contributions"]) <= story["tokens"]
    assert story["seconds"] > 0
    losses = [min(event["val_loss"], event["average_val_loss"]) for event in committed if event["val_loss"]]
    assert story["best_val_loss"] == min(losses)
    first, last = story["checkpoints"][0], story["checkpoints"][-1]
    assert (first["step"], last["step"]) == (2, committed[-1]["step"])
    assert last["val_loss"] == losses[-1] < first["val_loss"]
    assert last["choices"] < first["choices"]
    assert len(first["continuations"]) == 3
    for before, after in zip(first["continuations"], last["continuations"], strict=True):
        assert before["prompt"] == after["prompt"]
        assert any(text.startswith(after["prompt"]) for text in TEXTS)
        assert after["text"]
    shown = other.ctl("runs", "show", run, "--all")
    assert shown.code == 0
    assert shown.out.count(f"{last['step']} ") >= 3
    assert f"after “{last['continuations'][0]['prompt']}” it wrote:" in shown.out
    assert other.ctl("runs", "show", "run-none").code == 5
    # Private texts stand in no log and in no event.
    holders = [path for device in devices for path in (device.home / "runs").rglob("checkpoints.json")]
    assert holders == [leader.home / "runs" / run / "checkpoints.json"]
    written = [path.read_text(encoding="utf-8") for path in (leader.home / "runs" / run).glob("*.jsonl")]
    written += [path.read_text(encoding="utf-8") for device in devices for path in device.home.rglob("*.log")]
    assert written
    assert not [text for text in written if last["continuations"][0]["prompt"] in text]


def start_long_run(device: Device, project: Path) -> tuple[Any, str, list[str]]:
    """Start a long run and wait for its first checkpoint. Returns its watcher, its name and the names of its roster."""
    watcher = device.start_ctl("train", "--json", "--yes", cwd=project)
    assert watcher.stdout
    roster: list[str] = []
    for line in watcher.stdout:
        event = json.loads(line)
        if event["event"] == "plan":
            roster = [member["name"] for member in event["roster"]]
        if event["event"] == "checkpoint":
            return watcher, event["run"], roster
    raise AssertionError(watcher.communicate())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", ["kill the agent", "kill the trainer"])
def test_without_a_lost_member_the_others_do_the_round_again_and_go_on(cell: Cell, fault: str) -> None:
    devices = cell.of("one", "two", "three")
    project = make_project(cell.folder / "project", LONG)
    # 1. A run of three, watched from a device that will stay.
    leader_name, victim_name, watcher_name = (
        member["name"] for member in devices[0].ctl("plan", "--json", cwd=project).data["roster"]
    )
    by_name = {device.name: device for device in devices}
    victim, survivors = by_name[victim_name], [by_name[leader_name], by_name[watcher_name]]
    watcher, run, _ = start_long_run(by_name[watcher_name], project)
    assert watcher.stdout
    # 2. The fault.
    started = time.monotonic()
    if fault == "kill the agent":
        victim.kill()
    else:
        trainers([victim])[0].kill()
    # 3. It is noticed, and the next round that counts is one of the two others.
    noticed = again = None
    committed: list[dict[str, Any]] = []
    for line in watcher.stdout:
        event = json.loads(line)
        if event["event"] == "round_committed":
            committed.append(event)
            if len(event["members"]) == 2:
                break
        if event["event"] == "member_lost":
            assert event["name"] == victim_name
            noticed = time.monotonic()
            assert noticed - started < 10
        if event["event"] == "round_started" and noticed and not again:
            again = time.monotonic()
            assert again - noticed < 10
    assert again, "the round was begun again"
    assert {member["name"] for member in committed[-1]["members"]} == {leader_name, watcher_name}
    rounds = [event["round"] for event in committed]
    assert rounds == list(range(rounds[0], rounds[0] + len(rounds))), "no round is left out, and none counts twice"
    # 4. A device whose trainer ended starts another one, and takes part again.
    if fault != "kill the agent":
        for line in watcher.stdout:
            event = json.loads(line)
            if event["event"] == "round_committed" and len(event["members"]) == 3:
                break
        survivors.append(victim)
    # 5. The run ends in good order, with the same state on all.
    assert survivors[0].ctl("stop", run).code == 0
    out, _ = watcher.communicate(timeout=60)
    assert watcher.returncode == 0, out
    finished = json.loads(out.splitlines()[-1])
    assert (finished["event"], finished["stopped"]) == ("finished", True)
    models = [device.home / "models" / run / f"{finished['step']:09d}.json" for device in survivors]
    assert len({json.loads(path.read_text())["state_hash"] for path in models}) == 1
    wait_for(lambda: not trainers(survivors), 15, "the trainers to end")


@pytest.mark.timeout(240)
def test_without_its_leader_the_run_goes_on_and_who_comes_back_takes_part_again(cell: Cell) -> None:
    devices = cell.of("one", "two", "three")
    by_name = {device.name: device for device in devices}
    project = make_project(cell.folder / "project", LONG)
    # 1. A run with a checkpoint, watched from a device that will stay.
    plan = devices[0].ctl("plan", "--json", cwd=project).data
    victim_name, next_name, watcher_name = (member["name"] for member in plan["roster"])
    watcher, run, roster = start_long_run(by_name[watcher_name], project)
    assert roster[0] == victim_name
    victim = by_name[victim_name]
    survivors = [device for device in devices if device is not victim]
    # 2. The leader is lost: the next in the roster leads within ten seconds, and the watcher follows it.
    started = time.monotonic()
    victim.kill()
    assert watcher.stdout
    seen: list[dict[str, Any]] = []

    def watch_until(num_members: int) -> None:
        for line in watcher.stdout or ():
            seen.append(json.loads(line))
            if seen[-1]["event"] == "round_committed" and len(seen[-1]["members"]) == num_members:
                return
        raise AssertionError(seen[-3:])

    watch_until(2)
    assert time.monotonic() - started < 10
    changed = of_kind(seen, "leader_changed")
    assert [event["name"] for event in changed] == [next_name]
    assert all(device.children() for device in survivors)
    # 3. The lost device is started again, and takes part by itself.
    victim.start()
    watch_until(3)
    assert seen[-1]["members"][-1]["name"] == victim_name
    # 4. Every step counts once, and every member has the history on its disk.
    committed = of_kind(seen, "round_committed")
    steps = [(event["first_step"], event["step"]) for event in committed]
    assert all(before[1] == after[0] for before, after in itertools.pairwise(steps)), steps
    assert victim.ctl("stop", run).code == 0
    rest, err = watcher.communicate(timeout=60)
    finished = json.loads(rest.splitlines()[-1])
    assert (finished["event"], finished["stopped"]) == ("finished", True), err
    for device in devices:
        recorded = json.loads((device.home / "runs" / run / "run.json").read_text())
        assert (recorded["last"]["step"], recorded["view"]["state"]) == (finished["step"], "stopped")
    assert (
        len({json.loads((d.home / "runs" / run / "run.json").read_text())["last"]["state_hash"] for d in devices}) == 1
    )
    # 5. The story names who left and came back, and proves that every sample was used as often as it should be.
    story = watcher_story(by_name[watcher_name], run)
    assert story["samples"]["is_proved"], story["samples"]
    assert story["returned"] == [victim_name]
    # 6. `resume` goes on from the last checkpoint.
    wait_for(lambda: not trainers(devices), 20, "the trainers to end")
    resumed = survivors[0].start_ctl("resume", run, "--json", cwd=project)
    assert resumed.stdout
    again = [json.loads(resumed.stdout.readline()) for _ in range(1)]
    while not of_kind(again, "round_committed"):
        again.append(json.loads(resumed.stdout.readline()))
    assert again[-1]["step"] == finished["step"] == of_kind(again, "plan")[0]["step"]
    assert again[-1]["term"] > committed[-1]["term"]
    assert survivors[0].ctl("stop", run).code == 0
    resumed.communicate(timeout=60)


def watcher_story(device: Device, run: str) -> dict[str, Any]:
    found: dict[str, Any] = device.ctl("runs", "show", run, "--json").data
    return found


@pytest.mark.timeout(180)
def test_ctrl_c_detaches_watch_comes_back_and_stop_keeps_a_checkpoint(cell: Cell) -> None:
    import signal

    devices = cell.of("one", "two")
    project = make_project(cell.folder / "project", LONG)
    watcher, run, _ = start_long_run(devices[0], project)
    watcher.send_signal(signal.SIGINT)
    watcher.communicate(timeout=20)
    assert devices[1].ctl("runs", "--json").data[0]["state"] == "training"
    second = devices[1].ctl("train", "--json", "--yes", cwd=project)
    assert second.code in (1, 5)
    watching = devices[1].start_ctl("watch", "--json")
    assert devices[0].ctl("stop").code == 0
    out, _ = watching.communicate(timeout=60)
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "finished"
    assert events[-1]["stopped"]
    kept = max(int(path.stem) for path in (devices[1].home / "models" / run).glob("[0-9]*.json"))
    assert kept == of_kind(events, "round_committed")[-1]["step"]


@pytest.mark.timeout(240)
def test_models_are_copied_another_device_continues_an_answer_and_removal_frees_the_disk(cell: Cell) -> None:
    one, two, three = cell.of("one", "two", "three")
    project = make_project(cell.folder / "project", {**CONFIG, "model": {"d_model": 32, "nhead": 4, "num_layers": 2}})
    trained = one.ctl("train", "--json", "--yes", "--devices", "one,two", cwd=project, timeout=120)
    assert trained.code == 0, trained
    run = of_kind(trained.events, "finished")[0]["run"]
    # -- a device that did not train asks those that did
    question = ("ask", "나는", "--seed", "3", "-n", "20")
    whole = {three.ctl(*question, "--device", name).out for name in ("one", "two")}
    assert len(whole) == 1
    # -- the answering device dies: the other one gives the same answer
    holders = {"one": one, "two": two}
    serving = [child for device in holders.values() for child in device.children()]
    for child in serving:
        child.suspend()  # so that no answer is over before its device dies
    asking = three.start_ctl(*question, "--json")
    assert asking.stdout
    first = json.loads(asking.stdout.readline())["name"]
    survivor = holders["two" if first == "one" else "one"]
    holders[first].kill()
    for child in serving:
        child.resume()
    out, err = asking.communicate(timeout=60)
    assert asking.returncode == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["name"] for event in of_kind(events, "started")] == [survivor.name]
    assert "".join(event["text"] for event in of_kind(events, "piece")) == whole.pop().rstrip("\n")
    # -- `sync` copies the checkpoint to the devices that lack it, and names those that it did not reach
    synced = three.ctl("sync", "--json")
    assert synced.code == 6
    devices = json.loads(synced.out.splitlines()[0])["data"]["devices"]
    assert devices == {
        survivor.name: "had it",
        "three": "fetched it",
        first: devices[first],
    }
    assert devices[first] in ("asleep", "went away")
    assert first in json.loads(synced.out.splitlines()[1])["error"]["message"]
    holders[first].start()
    wait_for(lambda: states(three)[first] == "online", 15, "the killed one to be back")
    assert three.ctl("sync", "--json").code == 0
    assert sorted(one.ctl("models", "--json").data[0]["devices"]) == ["one", "three", "two"]
    # -- removal
    used = sum(path.stat().st_size for path in (survivor.home / "blobs").rglob("*") if path.is_file())
    removed = survivor.ctl("models", "rm", run, "--json")
    assert sorted(removed.data["devices"]) == ["one", "three", "two"]
    assert survivor.ctl("ask", "나는", "--json").code == 5
    left = sum(path.stat().st_size for path in (survivor.home / "blobs").rglob("*") if path.is_file())
    assert left < used / 2


@pytest.mark.timeout(120)
def test_a_device_without_torch_or_asleep_is_left_out_by_name(cell: Cell) -> None:
    one, two = cell.of("one", "two")
    project = make_project(cell.folder / "project", CONFIG)
    two.kill()
    wait_for(lambda: states(one)["two"] != "online", 15, "one to miss two")
    plan = one.ctl("plan", "--json", cwd=project)
    assert plan.code == 0
    assert [member["name"] for member in plan.data["roster"]] == ["one"]
    assert [(out["name"], out["why"]) for out in plan.data["left_out"]] == [("two", "asleep")]
    assert plan.data["data"]["padding_tokens"] < plan.data["data"]["padding_tokens_if_padded"]
    assert os.listdir(one.home / "runs") == []
    assert one.ctl("train", "--json", "--yes", "--devices", "nobody", cwd=project).code == 5
    assert one.ctl("sync", "--json").code == 5
    assert one.ctl("resume", "run-none", "--json").code == 5

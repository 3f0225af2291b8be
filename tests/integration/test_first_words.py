"""What people see on the first day: the overview, codes as they are typed, questions before something is removed."""

import hashlib
import json
import os
import pty
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from cellmind_agent.protocol.ids import BlobId, RunId
from cellmind_agent.protocol.messages import ModelView
from cellmind_agent.protocol.plain import to_plain
from tests.agents import CTL, ENVIRONMENT, Answer, Cell, Device, states, wait_for
from tests.protocol.examples import MODEL, SPEC, VIEW

KOREAN = {**ENVIRONMENT, "CELLMIND_LANG": "ko"}
ON_HANGUL = dict(zip("qwertyuiopasdfghjklzxcvbnm", "ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔㅁㄴㅇㄹㅎㅗㅓㅏㅣㅋㅌㅊㅍㅠㅜㅡ", strict=True))


def at_a_terminal(device: Device, *words: str, answer: str, language: str = "en") -> Answer:
    """Run the command with a person at its standard input, who types `answer`."""
    controller, terminal = pty.openpty()
    try:
        os.write(controller, f"{answer}\n".encode())
        done = subprocess.run(
            [*CTL, "--home", str(device.home), *words],
            stdin=terminal,
            capture_output=True,
            text=True,
            timeout=30,
            env={**ENVIRONMENT, "CELLMIND_LANG": language},
        )
    finally:
        os.close(controller)
        os.close(terminal)
    return Answer(done.returncode, done.stdout, done.stderr)


def korean(device: Device, *words: str) -> Answer:
    command = [*CTL, "--home", str(device.home), *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, env=KOREAN)
    return Answer(done.returncode, done.stdout, done.stderr)


def give_model(device: Device, run: str, state: str = "finished") -> ModelView:
    """A checkpoint of one small file, and its run, as the journal of `device` has them."""
    content = run.encode()
    ref = replace(MODEL.tokenizer, id=BlobId(hashlib.sha256(content).hexdigest()), size=len(content))
    path = device.home / "blobs" / ref.id[:2] / ref.id
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    model = replace(MODEL, model=RunId(run), files={"model.safetensors": ref}, tokenizer=ref)
    folder = device.home / "models" / run
    folder.mkdir(parents=True)
    (folder / f"{model.step:09d}.json").write_text(json.dumps(to_plain(model)))
    history = device.home / "runs" / run
    history.mkdir(parents=True)
    view = replace(VIEW, run=model.model, state=state)
    spec = replace(SPEC, run=model.model)
    (history / "run.json").write_text(json.dumps({"spec": to_plain(spec), "view": to_plain(view)}))
    return model


def invitation(device: Device, *options: str) -> tuple[subprocess.Popen[str], str, str]:
    """The running command, the code and the address of an open invitation."""
    inviting = device.start_ctl("invite", "--json", *options)
    assert inviting.stdout
    opened = json.loads(inviting.stdout.readline())["data"]
    return inviting, opened["code"], opened["addresses"][0]


def test_the_overview_follows_a_device_from_alone_to_a_model(cell: Cell) -> None:
    one = cell.device("거실")
    alone = one.ctl()
    assert alone.code == 0
    assert "this device alone" in alone.out
    assert "cellmindctl invite" in alone.out
    two = cell.device("two")
    cell.paired([one, two])
    together = one.ctl("--json").data
    assert together["agent"]["is_running"] is True
    assert together["device"]["name"] == "거실"
    assert {member["name"]: member["state"] for member in together["members"]} == {"거실": "online", "two": "online"}
    assert (together["run"], together["model"], together["next"]) == (None, None, "cellmindctl train --data FILE")
    give_model(two, "run-0101-aaaaaa")
    with_model = one.ctl("--json").data
    assert with_model["model"] == {"model": "run-0101-aaaaaa", "step": 120, "val_loss": 3.25}
    assert with_model["next"] == 'cellmindctl ask "안녕"'
    two.kill()
    wait_for(lambda: states(one)["two"] != "online", 15, "one to miss two")
    shown = korean(one)
    assert shown.code == 0
    assert "온라인이 아님: two" in shown.out
    assert "다음 단계" in shown.out


def test_a_code_is_understood_as_it_is_typed_and_a_misspelt_one_costs_no_try(cell: Cell) -> None:
    one, two = cell.device("one"), cell.device("two")
    inviting, code, address = invitation(one)
    number, *words = code.split("-")
    for _ in range(4):
        misspelt = two.ctl("join", f"{number}-{words[0]}-{words[1]}-{words[2]}x", "--at", address)
        assert misspelt.code == 4
        assert "is not a word of join codes" in misspelt.err
    on_hangul = "".join(ON_HANGUL.get(letter, letter) for letter in f"{number}{words[0]}{words[1]}{words[2]}")
    joined = two.ctl("join", on_hangul, "--at", address)
    assert joined.code == 0, joined
    inviting.communicate(timeout=15)


def test_a_code_may_be_several_words(cell: Cell) -> None:
    one, two = cell.device("one"), cell.device("two")
    inviting, code, address = invitation(one)
    assert two.ctl("join", *code.upper().split("-"), "--at", address).code == 0
    inviting.communicate(timeout=15)


def test_an_invitation_says_how_long_it_is_valid_and_ends_with_exit_code_7(cell: Cell) -> None:
    one, two = cell.device("one"), cell.device("two")
    ended = one.ctl("invite", "--expires", "2s")
    assert ended.code == 7
    assert "valid for 2 seconds and three tries" in ended.err
    assert "error: nobody joined in time" in ended.err
    assert "2초 동안, 세 번까지 유효합니다" in korean(one, "invite", "--expires", "2s").err
    address = f"127.0.0.1:{one.port}"
    code = ended.out.split()[-1]
    late = two.ctl("join", code, "--at", address, timeout=30)
    assert late.code in (3, 4)
    assert "code" in late.err


def test_a_longer_time_than_codes_are_valid_is_said(cell: Cell) -> None:
    one = cell.device("one")
    inviting = one.start_ctl("invite", "--expires", "2h")
    assert inviting.stderr
    lines = [inviting.stderr.readline() for _ in range(4)]
    inviting.terminate()
    inviting.communicate(timeout=15)
    assert any("no code is valid for longer than 10 minutes" in line for line in lines), lines


def test_removing_a_model_asks_a_person_and_a_script_must_agree_first(cell: Cell) -> None:
    one, two = cell.of("one", "two")
    for device in (one, two):
        give_model(device, "run-0101-aaaaaa")
    script = one.ctl("models", "rm", "run-0101")
    assert script.code == 2
    assert "cellmindctl models rm run-0101-aaaaaa --yes" in script.err
    for nothing in ("n", "", "x"):
        refused = at_a_terminal(one, "models", "rm", "run-0101", answer=nothing)
        assert (refused.code, refused.out) == (0, "")
        assert "remove run-0101-aaaaaa (15 B, 1 checkpoints) from one, two? [y/N]" in refused.err
        assert "nothing was removed" in refused.err
    assert len(one.ctl("models", "--json").data) == 1
    agreed = at_a_terminal(one, "models", "rm", "run-0101", answer="ㅛ", language="ko")
    assert agreed.code == 0
    assert "run-0101-aaaaaa 모델을 제거한 기기: one, two" in agreed.out
    assert one.ctl("models", "--json").data == []
    give_model(two, "run-0202-bbbbbb")
    assert one.ctl("models", "rm", "run-0202", "--yes").out == "run-0202-bbbbbb is removed from: two\n"


def test_forgetting_asks_a_person_and_says_what_stays(cell: Cell) -> None:
    one, _ = cell.of("one", "two")
    refused = at_a_terminal(one, "forget", "two", answer="n")
    assert refused.code == 0
    assert "models and text that two has already copied stay there" in refused.err
    assert "two" in states(one)
    agreed = at_a_terminal(one, "forget", "two", answer="네", language="ko")
    assert agreed.code == 0
    assert "two" not in states(one)


@pytest.mark.parametrize("is_json", [False, True])
def test_every_command_ends_with_the_exit_code_of_the_contract(cell: Cell, is_json: bool, tmp_path: Path) -> None:
    one = cell.device("one")
    table: dict[tuple[str, ...], int] = {
        (): 0,
        ("peers",): 0,
        ("runs",): 0,
        ("models",): 0,
        ("logs", "--tail", "1"): 0,
        ("paths",): 0,
        ("version",): 0,
        ("config", "show"): 0,
        ("completion", "bash"): 0,
        ("forget",): 2,
        ("invite", "--expires", "x"): 2,
        ("train",): 2,
        ("connect", "127.0.0.1:1"): 3,
        ("--agent", "127.0.0.1:1", "peers"): 3,
        ("--home", str(tmp_path / "nowhere"), "peers"): 3,
        ("--home", str(tmp_path / "nowhere"), "doctor"): 1,
        ("join", "41-amber-falcon-rivr"): 4,
        ("forget", "one"): 4,
        ("forget", "nobody"): 5,
        ("ask", "안녕"): 5,
        ("ask", "안녕", "--device", "nobody"): 5,
        ("sync",): 5,
        ("sync", "run-none"): 5,
        ("models", "show", "run-none"): 5,
        ("models", "rm", "run-none", "--yes"): 5,
        ("watch",): 5,
        ("stop", "run-none"): 5,
        ("resume", "run-none"): 5,
        ("logs", "nobody"): 5,
        ("invite", "--expires", "1s"): 7,
    }
    found = {}
    for words in table:
        answer = one.ctl(*words, *(["--json"] if is_json else []), cwd=tmp_path)
        found[words] = answer.code
        if answer.code and words[-1] != "doctor":
            lines = answer.err.splitlines()
            assert is_json or [line.partition(":")[0] for line in lines[-2:]] == ["error", "hint"], answer
            assert not is_json or set(answer.error) == {"code", "message", "hint"}
    assert found == table


def test_an_agent_that_has_died_is_a_state_and_shown_at_once(cell: Cell) -> None:
    one = cell.device("one")
    one.kill()
    answer = one.ctl(timeout=5)
    assert answer.code == 0
    assert "does not answer" in answer.out
    assert "cellmind-agent" in answer.out

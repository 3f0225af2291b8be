"""README.md and README.ko.md are true: their commands are typed, in order, on real agents.

The install commands are typed by tests/services. The reference network of the example configuration is replaced by a
small one, so that a test can train it.
"""

import csv
import json
import random
import re
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from tests.agents import Cell
from tests.house.product import ROOT
from tests.newcomer.readme import Step, expected, steps
from tests.newcomer.walk import Newcomer
from tests.tokenizer.chats import chat, kakao_android

LANGUAGES = {"README.md": "en", "README.ko.md": "ko"}
INSTALLING = ("./", "git ", "cd ", "export ", "uv ", "pipx ", "cellmind-agent", "cellmindctl update", "wsl")
SMALL = {"d_model": 32, "nhead": 4, "num_layers": 2}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", LANGUAGES)
def test_the_transcript_happens_as_it_is_shown(document: str, tmp_path: Path) -> None:
    transcript = [step for step in steps(ROOT / document) if step.device]
    write_dialogues(tmp_path / "chat.csv")
    newcomer = Newcomer(Cell(tmp_path), tmp_path, LANGUAGES[document], ("laptop", "desktop", "phone"))
    try:
        for step in transcript:
            newcomer.follow(step)
            if step.command.startswith("cellmindctl join"):
                newcomer.pair_the_others()
    finally:
        newcomer.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", ["README.md", pytest.param("README.ko.md", marks=pytest.mark.full)])
def test_the_commands_work_in_the_order_of_the_readme(document: str, tmp_path: Path) -> None:
    typed = [s for s in steps(ROOT / document) if not s.device and not s.command.startswith(INSTALLING)]
    assert {"invite", "join", "data", "train", "watch", "resume", "ask"} <= {s.command.split()[1] for s in typed}
    write_project(tmp_path, ROOT / document)
    newcomer = Newcomer(Cell(tmp_path), tmp_path, LANGUAGES[document], ("laptop", "phone"))
    try:
        for step in typed:
            newcomer.follow(step)
    finally:
        newcomer.close()


def test_both_readmes_have_the_same_commands() -> None:
    english, korean = (
        [(step.section, step.device, step.command) for step in steps(ROOT / document)] for document in LANGUAGES
    )
    assert korean == english


def test_a_step_has_its_command_without_its_remark() -> None:
    step = steps(ROOT / "README.md")[0]
    assert step == Step(step.section, "laptop", "cellmindctl invite", step.output)
    assert expected(step.output[0]).fullmatch("join code: 5-acorn-ladder-zebra") is None
    assert expected("round 5  step 4/9  loss 2.5  state 7f185131c09a").fullmatch(
        "round 7  step 12/99 loss 1.25 state 0a1b2c3d4e5f"
    )
    assert not expected("round 5  loss 2.5").fullmatch("round 5  loss -")


def write_dialogues(path: Path) -> None:
    """The Korean dialogues of the demo, as a table with one message a line."""
    said = []
    for source in sorted((files("chatterbot_corpus") / "data" / "korean").iterdir(), key=lambda path: path.name):
        if source.name.endswith(".yml"):
            conversations = yaml.safe_load(source.read_text(encoding="utf-8"))["conversations"]
            said += ["\n".join(map(str, lines)) for lines in conversations]
    random.Random(0).shuffle(said)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text"], *([text] for text in said)])


def write_project(folder: Path, readme: Path) -> None:
    """The files that the README's commands name: two exports, and its configuration with a small network."""
    messages = [said for said in chat(seed=3, count=900) if said.text]
    for name, part in (("KakaoTalkChats.txt", messages[:600]), ("NewExport.txt", messages)):
        (folder / name).write_text(kakao_android(part), encoding="utf-8")
    (example,) = re.findall(r"```jsonc\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    configuration = json.loads(example)
    configuration["model"].update(SMALL)
    (folder / "cellmind.json").write_text(json.dumps(configuration), encoding="utf-8")

"""Prompts from standard input, closed input, homes that belong to others, and the overview without an agent."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellmind_agent.protocol.errors import UsageError
from cellmind_ctl.commands.ask import _read_prompt
from cellmind_ctl.errors import run_and_exit
from tests.agents import CTL, ENVIRONMENT, Answer


def run(*arguments: str, home: Path, stdin: bytes | None = b"", close_stdin: bool = False) -> Answer:
    done = subprocess.run(
        [*CTL, "--home", str(home), *arguments],
        input=stdin,
        capture_output=True,
        env=ENVIRONMENT,
        timeout=30,
        preexec_fn=(lambda: os.close(0)) if close_stdin else None,
        cwd=Path(__file__).parents[2],
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("words", [[], ["-"]])
def test_a_prompt_on_standard_input_needs_no_dash(tmp_path: Path, words: list[str]) -> None:
    """Exit code 3 means that the prompt was read, and that no agent was there to ask."""
    assert run("ask", *words, home=tmp_path, stdin="안녕\n".encode()).code == 3
    for nothing in (b"", b" \n"):
        answer = run("ask", *words, home=tmp_path, stdin=nothing)
        assert (answer.code, answer.err.splitlines()[0]) == (2, "error: the prompt is empty")
    answer = run("ask", *words, home=tmp_path, stdin=b"caf\xe9")
    assert (answer.code, answer.err.splitlines()[0]) == (2, "error: the prompt is not UTF-8 text")


def test_a_given_prompt_wins_and_standard_input_is_not_read(tmp_path: Path) -> None:
    reading, writing = os.pipe()  # nobody ever writes, so a read would wait without end
    try:
        done = subprocess.run(
            [*CTL, "--home", str(tmp_path), "ask", "안녕"],
            stdin=reading,
            capture_output=True,
            env=ENVIRONMENT,
            timeout=30,
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 3


@pytest.mark.parametrize("words", [["ask"], ["join"], ["models", "rm", "run-1"], ["forget", "one"], []])
def test_nothing_waits_where_standard_input_is_closed(tmp_path: Path, words: list[str]) -> None:
    answer = run(*words, home=tmp_path, stdin=None, close_stdin=True)
    assert answer.code == {"ask": 2, "join": 2, "models": 3, "forget": 3, "": 0}[words[0] if words else ""]
    assert "Traceback" not in answer.err


def test_at_a_terminal_a_prompt_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with pytest.raises(UsageError, match="no prompt was given"):
        _read_prompt(None, None)


def test_a_prompt_argument_that_is_not_utf_8_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the prompt is not UTF-8 text"):
        _read_prompt("caf\udce9", None)


# Root may read everything, so this runs as nobody, who may not read Python's files: all are imported before.
AS_NOBODY = """
import os, sys
from cellmind_ctl import discover, overview
from cellmind_ctl.commands import peers
from cellmind_ctl.main import main
if os.geteuid() == 0:
    os.setuid(65534)
main(sys.argv[1:])
"""


@pytest.mark.parametrize("words", [["peers"], []])
def test_the_home_of_another_user_is_refused_in_plain_words(tmp_path: Path, words: list[str]) -> None:
    home = tmp_path / "theirs"
    home.mkdir()
    (home / "agent.json").write_text("{}")
    home.chmod(0)
    command = [sys.executable, "-c", AS_NOBODY, "--home", str(home), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=30)
        assert done.returncode == 4, done.stderr
        assert done.stderr.splitlines() == [
            f"error: {home} belongs to another user",
            "hint: choose your own: cellmindctl --home DIR",
        ]
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, env=ENVIRONMENT, timeout=30)
        assert json.loads(done.stdout)["error"]["code"] == "not_allowed"
    finally:
        home.chmod(0o700)


def test_a_home_that_is_a_file_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for words in (["peers"], ["doctor"], []):
        answer = run(*words, home=file)
        assert (answer.code, answer.err.splitlines()[0]) == (2, f"error: {file} is not a folder")


def test_without_an_agent_the_overview_says_how_to_start_one(tmp_path: Path) -> None:
    answer = run(home=tmp_path)
    assert (answer.code, answer.err) == (0, "")
    assert f"no agent runs on {tmp_path}" in " ".join(answer.out.split())
    assert "service install" in answer.out
    data = run("--json", home=tmp_path).data
    assert (data["agent"]["is_running"], data["device"], data["members"]) == (False, None, [])
    assert data["next"].startswith("cellmind-agent ")


@pytest.mark.parametrize("error", ["EACCES", "EROFS", "ENOSPC", "EINVAL"])
def test_a_file_that_cannot_be_used_is_no_bug(capsys: pytest.CaptureFixture[str], error: str) -> None:
    number = getattr(errno, error)

    def work() -> None:
        raise OSError(number, os.strerror(number), "/disk/file")

    code = run_and_exit(work, is_json=False, is_debug=False)
    printed = capsys.readouterr().err
    assert code == {"EACCES": 4}.get(error, 1)
    assert "/disk/file" in printed
    assert "bug" not in printed


def test_a_package_that_only_computers_have_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise ModuleNotFoundError("No module named 'sentencepiece'", name="sentencepiece")

    assert run_and_exit(work, is_json=False, is_debug=False) == 1
    printed = capsys.readouterr().err
    assert "this command needs sentencepiece, which is not installed here" in printed
    assert "./install" in printed
    assert "bug" not in printed

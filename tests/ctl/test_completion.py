"""Completion in the real shells: commands, options and the names of devices; silence where no agent runs."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cellmind_agent.storage.journal import Journal
from tests.agents import ENVIRONMENT, Cell
from tests.protocol.examples import SPEC, VIEW


def bash(words: list[str]) -> list[str]:
    line = " ".join(map(shlex.quote, words))
    script = (
        f'eval "$(cellmindctl completion bash)"; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1};'
        '_cellmindctl_completion cellmindctl; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return ["bash", "-c", script]


def zsh(words: list[str]) -> list[str]:
    # zsh shows completions in its line editor only, so what adds them to the menu prints them here.
    line = " ".join(shlex.quote(word) for word in words)
    script = (
        "compdef() { : }; compadd() { print -l -- $completions };"
        "_describe() { print -l -- ${completions_with_descriptions%%:*} };"
        f'eval "$(cellmindctl completion zsh)"; words=({line}); CURRENT={len(words)}; _cellmindctl_completion'
    )
    return ["zsh", "-f", "-c", script]


def fish(words: list[str]) -> list[str]:
    line = " ".join(words)
    return ["fish", "--no-config", "-c", f"cellmindctl completion fish | source; complete -C {shlex.quote(line)}"]


@pytest.fixture(params=[bash, zsh, fish], ids=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest) -> Callable[[list[str]], list[str]]:
    """How one of the shells is asked; the test is skipped where the shell is absent."""
    asked: Callable[[list[str]], list[str]] = request.param
    if shutil.which(asked.__name__) is None:
        pytest.skip(f"{asked.__name__} is not installed")
    return asked


def completed(shell: Callable[[list[str]], list[str]], folder: Path, home: Path, *words: str) -> list[str]:
    program = folder / "bin" / "cellmindctl"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cellmind_ctl.main "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**ENVIRONMENT, "PATH": path, "CELLMIND_HOME": str(home), "HOME": str(folder)}
    command = shell(["cellmindctl", *words])
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.stderr == ""
    return [line.split("\t")[0] for line in done.stdout.splitlines() if line]


def test_commands_and_options_are_completed_and_no_agent_means_silence(
    shell: Callable[[list[str]], list[str]], tmp_path: Path
) -> None:
    home = tmp_path / "no-agent"
    assert "peers" in completed(shell, tmp_path, home, "pe")
    assert "--wide" in completed(shell, tmp_path, home, "peers", "--w")
    assert completed(shell, tmp_path, home, "logs", "o") == []


def test_names_of_devices_are_completed(shell: Callable[[list[str]], list[str]], tmp_path: Path, cell: Cell) -> None:
    one, _ = cell.of("one", "other")
    assert completed(shell, tmp_path, one.home, "logs", "o") == ["one", "other"]
    assert completed(shell, tmp_path, one.home, "forget", "ot") == ["other"]
    if shell is not fish:  # click's script for fish splits its answers at commas
        assert completed(shell, tmp_path, one.home, "plan", "--devices", "one,ot") == ["one,other"]


def test_names_of_runs_are_completed(shell: Callable[[list[str]], list[str]], tmp_path: Path, cell: Cell) -> None:
    (one,) = cell.of("one")
    Journal(one.home).save_run(SPEC, VIEW)
    assert completed(shell, tmp_path, one.home, "runs", "s") == ["show"]
    assert completed(shell, tmp_path, one.home, "runs", "show", "run-") == [SPEC.run]
    assert completed(shell, tmp_path, one.home, "runs", "show", "--a") == ["--all"]


def test_an_agent_that_does_not_answer_costs_little(tmp_path: Path, cell: Cell) -> None:
    from cellmind_ctl.completing import names

    (one,) = cell.of("one")
    assert names(one.home, "device") == ["one"]
    one.freeze()
    start = time.monotonic()
    assert names(one.home, "device") == []
    assert time.monotonic() - start < 1

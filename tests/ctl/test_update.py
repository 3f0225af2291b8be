"""`cellmindctl update`: shows what is new in the clone, and installs it as before."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cellmind_agent.protocol.errors import CellmindError, UsageError
from cellmind_ctl.main import cli
from cellmind_ctl.session import new_session


def git(folder: Path, *words: str) -> None:
    names = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True, timeout=30)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone whose install script notes its options, and an environment that was installed from it."""
    upstream, clone, prefix = tmp_path / "upstream", tmp_path / "clone", tmp_path / "prefix"
    upstream.mkdir()
    prefix.mkdir()
    (upstream / "install").write_text('#!/bin/sh\necho "$*" >installed\n')
    (upstream / "install").chmod(0o755)
    (upstream / ".gitignore").write_text("installed\n")
    for words in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-q", "-m", "first")):
        git(upstream, *words)
    git(tmp_path, "clone", "-q", str(upstream), str(clone))
    (prefix / "source").write_text(f"{clone}\n")
    (prefix / "extra").write_text("--no-train\n")
    monkeypatch.setattr(sys, "prefix", str(prefix))
    return clone


def update(*words: str) -> object:
    return cli.main(["update", *words], prog_name="cellmindctl", standalone_mode=False, obj=new_session())


def test_nothing_new_changes_nothing(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    update("--yes")
    assert "up to date" in capsys.readouterr().out
    assert not (clone / "installed").exists()


def test_what_is_new_is_shown_and_installed_as_before(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(clone.parent / "upstream", "commit", "-q", "--allow-empty", "-m", "a faster kernel")
    with pytest.raises(UsageError, match="nobody can agree"):
        update()
    assert "a faster kernel" in capsys.readouterr().out
    update("--yes", "--json")
    data = json.loads(capsys.readouterr().out)["data"]
    assert [commit.partition(" ")[2] for commit in data["commits"]] == ["a faster kernel"]
    assert data["is_updated"]
    assert (clone / "installed").read_text() == "--no-train\n"


def test_a_clone_with_changes_is_left_alone(clone: Path) -> None:
    (clone / "install").write_text("#!/bin/sh\n")
    with pytest.raises(CellmindError, match="changes of its own"):
        update("--yes")


def test_another_kind_of_installation_is_explained(clone: Path) -> None:
    (Path(sys.prefix) / "source").unlink()
    with pytest.raises(CellmindError) as raised:
        update("--yes")
    assert "uv tool upgrade" in raised.value.hint

"""`cellmindctl update`: bring this device's installation to the newest version of its clone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from cellmind_agent.protocol.errors import CellmindError, UsageError
from cellmind_agent.words import t
from cellmind_ctl.session import Session, command, is_confirmed, is_interactive

_MAX_SHOWN_COMMITS = 10


@command("update")
@click.option("--yes", is_flag=True, help="Update without a question.")
def command_(session: Session, yes: bool) -> int:
    """Show what a newer version would change, then install it.

    It updates the clone from which ./install was run, and runs ./install there again.
    """
    # 1. The clone, and what is new in it.
    clone = _clone()
    commits = _new_commits(clone)
    if not commits:
        if session.is_json:
            session.emit("update", {"clone": str(clone), "commits": [], "is_updated": False})
        else:
            print(t("CellMind is up to date ({path})", path=clone))
        return 0
    # 2. Show it, and ask.
    if not session.is_json:
        print(t("{count} changes are new in {path}:", count=len(commits), path=clone))
        for commit in commits[:_MAX_SHOWN_COMMITS]:
            print(f"  {commit}")
    if not yes:
        if not is_interactive():
            raise UsageError("without a terminal nobody can agree", "cellmindctl update --yes")
        if not is_confirmed(t("install them, and start the agent again?")):
            return 0
    # 3. Update the clone, and install from it as before.
    _git(clone, "merge", "--ff-only", "@{upstream}")
    shown = subprocess.DEVNULL if session.is_json else None
    done = subprocess.run([clone / "install", *_options()], cwd=clone, stdout=shown)
    if done.returncode:
        raise CellmindError("./install failed in {path}", "run it there, and read what it says", path=clone)
    if session.is_json:
        session.emit("update", {"clone": str(clone), "commits": commits, "is_updated": True})
    return 0


def _clone() -> Path:
    """The folder that ./install noted in its environment. Raises CellmindError."""
    try:
        clone = Path((Path(sys.prefix) / "source").read_text(encoding="utf-8").strip())
    except OSError as error:
        hint = "update it in the way in which it was installed, such as: uv tool upgrade, pipx upgrade, git pull"
        raise CellmindError("this installation was not made by ./install", hint) from error
    if not (clone / "install").exists():
        raise CellmindError("the clone {path} is gone", "clone CellMind again, and run ./install there", path=clone)
    return clone


def _options() -> list[str]:
    """The options of ./install that this environment was made with."""
    try:
        extra = (Path(sys.prefix) / "extra").read_text(encoding="utf-8").strip()
    except OSError:
        return []
    return [extra] if extra.startswith("--") else []


def _new_commits(clone: Path) -> list[str]:
    """One line for each commit that the clone does not have yet, newest first. Raises CellmindError."""
    if _git(clone, "status", "--porcelain", "--untracked-files=no"):
        raise CellmindError(
            "{path} has changes of its own", "commit or undo them, then: cellmindctl update", path=clone
        )
    _git(clone, "fetch", "--quiet")
    return _git(clone, "log", "--format=%h %s", "HEAD..@{upstream}").splitlines()


def _git(clone: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", clone, *words],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise CellmindError("git is not installed", "install git, or download CellMind again") from error
    if done.returncode:
        said = " ".join(done.stderr.split())
        hint = "look there: git -C {path} status"
        raise CellmindError("git {verb} failed in {path}: {said}", hint, verb=words[0], path=clone, said=said)
    return done.stdout.strip()

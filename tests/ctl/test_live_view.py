"""The live view: what a person sees at three widths in two languages, and in a real terminal that changes its size.

`CELLMIND_WRITE_SCREENS=1 pytest tests/ctl/test_live_view.py` writes the screens again after a change.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from cellmind_ctl.help import paired
from cellmind_ctl.render import draw, table
from tests.ctl.screens import SCREENS

FOLDER = Path(__file__).parent / "screens"
ROOT = Path(__file__).parents[2]
WIDTHS = (60, 80, 120)
FIRST_LINE = "the first line of this run stays above the live part\n"
HASH = re.compile(r"[0-9a-f]{64}")


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("name", sorted(SCREENS))
def test_a_screen_is_as_stored(name: str, columns: int, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_LANG", language)
    view = SCREENS[name]()
    console = Console(file=io.StringIO(), width=columns, height=50)
    lines = paired(view.pairs, columns)
    if view.headers:
        made = table(view.headers, view.rows, view.right, columns, view.less)
        lines = draw(console, view.title, made, below=view.below) + lines
    text = "".join(f"{line.rstrip()}\n" for line in lines)
    stored = FOLDER / f"{name}-{columns}-{language}.txt"
    if os.environ.get("CELLMIND_WRITE_SCREENS"):
        stored.write_text(text, encoding="utf-8")
    assert all(cell_len(line) <= columns for line in text.splitlines() if not HASH.search(line))  # those stay whole
    assert text == stored.read_text(encoding="utf-8")


def view_at(columns: int) -> str:
    """The live view in English at this width."""
    view = SCREENS["live"]()
    made = table(view.headers, view.rows, view.right, columns, view.less)
    lines = draw(Console(file=io.StringIO(), width=columns), view.title, made)
    return "\n".join(line.rstrip() for line in lines)


PLAY = """
import sys, time
from cellmind_ctl.render import LiveView
from tests.ctl.screens import SCREENS
seconds = float(sys.argv[1])
view = SCREENS["live"]()
with LiveView("auto") as live:
    live.line("the first line of this run stays above the live part")
    while True:
        live.show(view.title, view.headers, view.rows, view.right, view.less)
        time.sleep(seconds)
"""


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
@pytest.mark.parametrize("seconds", ["0.2", "600"])
def test_a_terminal_that_changes_its_size_shows_the_view_once(
    tmp_path: Path, seconds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the next figures are minutes away: the program sleeps, and the signal of the terminal draws it."""
    monkeypatch.setenv("CELLMIND_LANG", "en")
    tmux = ["tmux", "-S", str(tmp_path / "socket"), "-f", "/dev/null"]

    def screen() -> str:
        return subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True).stdout

    def wait_until(holds: Callable[[str], bool]) -> None:
        deadline = time.monotonic() + 6
        while not holds(screen()):
            assert time.monotonic() < deadline, screen()
            time.sleep(0.1)

    program = f"CELLMIND_LANG=en {shlex.quote(sys.executable)} -c {shlex.quote(PLAY)} {seconds}"
    subprocess.run([*tmux, "new-session", "-d", "-x", "120", "-y", "20", "-c", str(ROOT), program], check=True)
    try:
        wait_until(lambda text: "NAME" in text)
        was_narrow = False  # such a terminal may lose lines above the view
        for columns in (60, 120, 80, 60, 40, 80):
            subprocess.run([*tmux, "resize-window", "-x", str(columns), "-y", "20"], check=True)
            time.sleep(0.7)
            view = view_at(columns)
            wait_until(lambda text, view=view: text.split("\n\n")[0].endswith(view))
            above = screen().partition("step 40/124")[0]
            was_narrow = was_narrow or columns < min(WIDTHS)
            assert above == FIRST_LINE or (was_narrow and above in FIRST_LINE)
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


def test_nothing_is_drawn_where_there_is_no_terminal() -> None:
    code = PLAY.replace("while True:", "for _ in range(2):")
    environment = {**os.environ, "CELLMIND_LANG": "en"}
    done = subprocess.run(
        [sys.executable, "-c", code, "0.2"], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert done.stderr == FIRST_LINE
    assert done.stdout == ""

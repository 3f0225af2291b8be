"""Tables and live views on a terminal. The only rich import. Everything shown was cleaned by `printable` before."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cellmind_agent.protocol.ids import printable
from cellmind_ctl.figures import UNKNOWN

_NARROW = 80
_SHRINKING = ("name", "address", "accel", "os", "torch", "why", "files")  # what is cut first when it is tight


def console(color: str = "auto", to_stderr: bool = False) -> Console:
    """A console that honours --color and NO_COLOR, and is 80 columns wide where there is no terminal."""
    stream = sys.stderr if to_stderr else sys.stdout
    return Console(
        file=stream,
        force_terminal=True if color == "always" else None,
        no_color=color == "never" or bool(os.environ.get("NO_COLOR")),
        highlight=False,
        width=None if stream.isatty() else _NARROW,
        soft_wrap=False,
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> Table:
    """Upper-case headers, `-` for unknown, no lines; cells are cut, not wrapped, and Hangul is two columns wide."""
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for place, header in enumerate(headers):
        made.add_column(
            header.upper(),
            justify="right" if header in right else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=4 if header in _SHRINKING else max((cell_len(row[place]) for row in rows), default=0),
        )
    for row in rows:
        made.add_row(*(Text(printable(cell) or UNKNOWN) for cell in row))
    return made


def print_table(color: str, headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    console(color).print(table(headers, rows, right))


class LiveView:
    """A part of the terminal that is drawn again and again, on stderr; where that is no terminal, nothing moves."""

    def __init__(self, color: str) -> None:
        self._console = console(color, to_stderr=True)
        self.is_live = self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if self.is_live else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, trace)

    def show(
        self, title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()
    ) -> None:
        """Draw this now, in place of what was there."""
        if self._live:
            made = table(headers, rows, right)
            made.title, made.title_justify, made.title_style = printable(title), "left", ""
            self._live.update(made, refresh=True)

    def line(self, text: str) -> None:
        """A line that stays, above the live part."""
        self._console.print(Text(printable(text, 400)), soft_wrap=True)

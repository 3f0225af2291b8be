"""Draws tables and live views on a terminal. The only file that imports rich. Cleans all text with `printable`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cellmind_agent.protocol.ids import printable
from cellmind_ctl.figures import UNKNOWN

_DEFAULT_COLUMNS = 80
_CUTTABLE = (
    "name",
    "address",
    "accel",
    "os",
    "torch",
    "devices",
    "run",
    "limit",
)  # half a number would be a wrong number
_NARROWEST = 4  # columns: less shows nothing of a name


def console(color: str = "auto", to_stderr: bool = False) -> Console:
    """A console that obeys --color and NO_COLOR. Where there is no terminal, it is 80 columns wide."""
    stream = sys.stderr if to_stderr else sys.stdout
    return Console(
        file=stream,
        force_terminal=True if color == "always" else None,
        no_color=color == "never" or bool(os.environ.get("NO_COLOR")),
        highlight=False,
        width=None if stream.isatty() else _DEFAULT_COLUMNS,
        soft_wrap=False,
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str], columns: int) -> Table:
    """A table without lines, at most `columns` wide; empty cells become `-`, and a Hangul syllable takes two columns.

    `right` names the headers whose columns are aligned to the right.
    """
    cells = [[printable(cell) or UNKNOWN for cell in row] for row in rows]
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for header, width in zip(headers, _widths(headers, cells, columns), strict=True):
        justify: Literal["left", "right"] = "right" if header in right else "left"
        made.add_column(header.upper(), justify=justify, no_wrap=True, overflow="ellipsis", width=width)
    for row in cells:
        made.add_row(*(Text(cell) for cell in row))
    return made


def _widths(headers: Sequence[str], rows: Sequence[Sequence[str]], columns: int) -> list[int]:
    """Each column as wide as its widest cell. Where that is too wide, the widest column that may be cut shrinks."""
    widths = [max(cell_len(text) for text in (header, *column)) for header, *column in zip(headers, *rows, strict=True)]
    cuttable = [place for place, header in enumerate(headers) if header in _CUTTABLE]
    while sum(widths) + len(widths) > columns:
        widest = max(cuttable, key=lambda place: widths[place], default=None)
        if widest is None or widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths


def print_table(color: str, headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print a table on stdout, as wide as the terminal allows."""
    screen = console(color)
    screen.print(table(headers, rows, right, screen.width))


class LiveView:
    """A part of the terminal that is redrawn, on stderr. Where stderr is not a terminal, it stays empty."""

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
        """Replace the live part with this table. Where there is no terminal, do nothing."""
        if self._live:
            made = table(headers, rows, right, self._console.width)
            made.title, made.title_justify, made.title_style = printable(title), "left", ""
            self._live.update(made, refresh=True)

    def line(self, text: str) -> None:
        """Print a line that stays, above the live part."""
        self._console.print(Text(printable(text, 400)), soft_wrap=True)

"""Draws tables and live views on a terminal. The only file that imports rich. Cleans all text with `printable`."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import Literal, Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleDimensions
from rich.table import Table
from rich.text import Text

from cellmind_agent.protocol.ids import printable
from cellmind_agent.words import t
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
    "model",
    "limit",
    "text",
)  # half a number would be a wrong number
_WRAPPED = ("text",)  # shown whole, on several lines: a person reads it
_NARROWEST = 4  # columns: less shows nothing of a name
_MARK = re.compile(r" \([^()]*\)$")  # `(this)` after a name: it stays when the name is shortened
_RESIZED = getattr(signal, "SIGWINCH", None)  # Windows has none: there the next figures are drawn in the new size
_Handler = Callable[[int, FrameType | None], object] | int | None
_UP_AND_CLEAR = "\x1b[{rows}A\r\x1b[J"  # to the first of the last rows, and erase from there


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


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[str],
    columns: int | None,
    less: Sequence[str] = (),
    cut: bool = True,
) -> Table:
    """A table without lines; empty cells become `-`, and a Hangul syllable takes two columns.

    `headers` are the English names, and `right` those whose columns are aligned to the right. The table is at most
    `columns` wide (None: as wide as it needs): first go columns that are empty in every row, then those of `less`, the
    least important first, and then, with `cut`, names are shortened, and text is wrapped.
    """
    cells = [[printable(cell) or UNKNOWN for cell in row] for row in rows]
    titles = [t(header).upper() for header in headers]
    widths = [max(map(cell_len, column)) for column in zip(titles, *cells, strict=True)]
    shown = _shown(headers, widths, cells, columns, less)
    widths = [widths[place] for place in shown]
    if columns is not None and cut:
        widths = _shortened_widths([headers[place] for place in shown], widths, columns)
    wraps = [headers[place] in _WRAPPED for place in shown]
    fits = list(zip(shown, widths, wraps, strict=True))
    cells = [[row[place] if wrap else shortened(row[place], width) for place, width, wrap in fits] for row in cells]
    titles = [titles[place] for place in shown]
    needed = [max(map(cell_len, column)) for column in zip(titles, *cells, strict=True)]  # words that went left a gap
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for (place, width, wrap), title, need in zip(fits, titles, needed, strict=True):
        justify: Literal["left", "right"] = "right" if headers[place] in right else "left"
        if wrap:
            made.add_column(title, overflow="fold", width=min(width, need))
        else:
            made.add_column(title, justify=justify, no_wrap=True, overflow="ellipsis", width=need)
    for row in cells:
        made.add_row(*map(Text, row))
    return made


def _shown(
    headers: Sequence[str],
    widths: Sequence[int],
    rows: Sequence[Sequence[str]],
    columns: int | None,
    less: Sequence[str],
) -> list[int]:
    """The places of the columns that stay. The first column always does."""
    shown = list(range(len(headers)))
    empty = [place for place in shown[1:] if rows and all(row[place] == UNKNOWN for row in rows)]
    for place in [*reversed(empty), *(headers.index(header) for header in less)]:
        if columns is None or _total([widths[place] for place in shown]) <= columns:
            break
        if place in shown:
            shown.remove(place)
    return shown


def _shortened_widths(headers: Sequence[str], widths: Sequence[int], columns: int) -> list[int]:
    """Where the table is too wide, the widest column that may be cut shrinks."""
    found = list(widths)
    cuttable = [place for place, header in enumerate(headers) if header in _CUTTABLE]
    while _total(found) > columns:
        widest = max(cuttable, key=lambda place: found[place], default=None)
        if widest is None or found[widest] <= _NARROWEST:
            break
        found[widest] -= 1
    return found


def _total(widths: Sequence[int]) -> int:
    """The width of a row: between two columns stands a space."""
    return sum(widths) + len(widths) - 1


def shortened(text: str, width: int) -> str:
    """`text` in at most `width` columns. A mark such as `(this)` at its end stays; of several words whole ones stay."""
    if cell_len(text) <= width:
        return text
    mark = _MARK.search(text)
    if mark and cell_len(mark[0]) + 2 <= width:
        return shortened(text[: mark.start()], width - cell_len(mark[0])) + mark[0]
    start = set_cell_size(text, width - 1).rstrip()
    words = start.rpartition(" ")[0].rstrip(" ,")
    if text[len(start) : len(start) + 1] != " " and words:
        start = words
    return start.rstrip(" ,") + "…"


def print_table(
    color: str,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[str] = (),
    less: Sequence[str] = (),
    wide: bool = False,
    to_stderr: bool = False,
) -> None:
    """Print a table on stdout, as wide as the terminal; as wide as it needs with `wide`. Names that go to a pipe or a
    file stay whole."""
    screen = console(color, to_stderr)
    print_table_on(screen, headers, rows, right, less, None if wide else screen.width, screen.file.isatty())


def print_table_on(
    screen: Console,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[str],
    less: Sequence[str],
    columns: int | None,
    cut: bool,
) -> None:
    """Print a table on this console; see `table`."""
    made = table(headers, rows, right, columns, less, cut)
    before = screen.width
    screen.width = max(before, _table_width(made))  # what is still too wide, the terminal wraps
    screen.print(made)
    screen.width = before


def _table_width(made: Table) -> int:
    return sum((column.width or 0) + 1 for column in made.columns)


def draw(screen: Console, title: str, made: Table, most_rows: int | None = None, below: str = "") -> list[str]:
    """The lines of a live view on this console: the title by whole words, as many rows as fit, and a line below."""
    with screen.capture() as captured:
        screen.print(made, crop=True)
    lines = captured.get().rstrip("\n").split("\n")
    lines = ([shortened(printable(title, 400), screen.width)] if title else []) + lines
    last = [shortened(printable(below, 400), screen.width)] if below else []
    return lines[: None if most_rows is None else max(1, most_rows - len(last))] + last


class LiveView:
    """A part of the terminal that is redrawn, on stderr. Where stderr is not a terminal, it stays empty.

    It is drawn again when the terminal changes its size (SIGWINCH): a terminal that becomes narrower wraps the old
    lines, so the rows to erase are counted in the new width.
    """

    def __init__(self, color: str) -> None:
        self._console = console(color, to_stderr=True)
        self.is_live = self._console.is_terminal
        self._lines: list[int] = []  # the width of each line on the screen
        self._drawn: Callable[[], list[str]] | None = None
        self._is_writing = False
        self._is_resized = False
        self._earlier: _Handler = None

    def __enter__(self) -> Self:
        if self.is_live and _RESIZED is not None:
            self._earlier = signal.signal(_RESIZED, self._resize)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_live and _RESIZED is not None:
            signal.signal(_RESIZED, self._earlier or signal.SIG_DFL)
        self._erase()

    def show(
        self,
        title: str,
        headers: Sequence[str],
        rows: Sequence[Sequence[str]],
        right: Sequence[str] = (),
        less: Sequence[str] = (),
        below: str = "",
    ) -> None:
        """Replace the live part with this table, and a line `below` it. Where there is no terminal, do nothing."""
        if not self.is_live:
            return
        screen = self._console

        def drawn() -> list[str]:
            return draw(screen, title, table(headers, rows, right, screen.width, less), screen.height - 1, below)

        with self._writing():
            self._drawn = drawn

    def line(self, text: str) -> None:
        """Print a line that stays, above the live part. On a terminal it is wrapped between words."""
        with self._writing():
            self._console.print(Text(printable(text, 400)), soft_wrap=not self.is_live)

    def _resize(self, number: int, frame: FrameType | None) -> None:
        """A signal may come in the middle of a write: then that write ends first."""
        self._is_resized = True
        if not self._is_writing:
            self._redraw()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Erase the live part, let the block write or change it, and draw it again."""
        self._is_writing = True
        try:
            self._erase()
            yield
            self._draw()
        finally:
            self._is_writing = False
        self._redraw()

    def _redraw(self) -> None:
        if self._is_resized:
            self._is_resized = False
            with self._writing():
                pass

    def _draw(self) -> None:
        if self._drawn:
            self._measure()
            lines = self._drawn()
            self._lines = [cell_len(Text.from_ansi(line).plain.rstrip()) for line in lines]
            self._write("".join(f"{line}\n" for line in lines))

    def _erase(self) -> None:
        self._measure()
        if self._lines:
            width = max(1, self._console.width)
            rows = sum(max(1, -(-length // width)) for length in self._lines)
            self._lines = []
            self._write(_UP_AND_CLEAR.format(rows=rows))

    def _measure(self) -> None:
        """Take the size that the terminal has now; COLUMNS of the environment is that of an earlier moment."""
        if self.is_live and self._console.file.isatty():
            self._console.size = ConsoleDimensions(*os.get_terminal_size(self._console.file.fileno()))

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()

"""Help and click's own messages in the person's language. Texts of commands and options stay English where they are
declared, and are worded here when they are shown, so that declaring a command costs nothing.

Hangul is two columns wide, which click's own formatter does not know.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Final, TextIO

import click
import click.core
import click.decorators
import click.exceptions
import click.formatting
import click.parser
import click.types

from cellmind_agent.words import language, t

_MODULES_WITH_WORDS: Final = (
    click.core,
    click.decorators,
    click.exceptions,
    click.formatting,
    click.parser,
    click.types,
)
_NARROWEST: Final = 10  # columns of a description: below that, lines are longer than the terminal
_EXTRA = re.compile(r"  \[[^\]]*\]+$")  # what click adds to the help of an option: [default: 10m]


class HelpFormatter(click.HelpFormatter):
    """Words every text that it is given, and wraps and aligns by columns of the terminal."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the usage line. `prefix` is not used: it is the word for usage."""
        for piece in ("[OPTIONS]", "COMMAND", "[ARGS]..."):
            args = args.replace(piece, t(piece))
        start = f"{t('Usage:')} {prog} "
        indent = " " * columns(start)
        self.write(start + f"\n{indent}".join(wrapped(args, self.width - len(indent))) + "\n")

    def write_heading(self, heading: str) -> None:
        """Write the heading of a section."""
        super().write_heading(t(heading))

    def write_text(self, text: str) -> None:
        """Write paragraphs, which empty lines separate."""
        indent = " " * self.current_indent
        for number, paragraph in enumerate(text.split("\n\n")):
            lines = wrapped(t(" ".join(paragraph.split())), self.width - len(indent))
            self.write(("\n" if number else "") + "".join(f"{indent}{line}\n" for line in lines))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write terms and their descriptions in two columns; a term wider than `col_max` has a line of its own."""
        rows = [(_worded_term(term), _worded_description(description)) for term, description in rows]
        indent = " " * self.current_indent
        left = min(max((columns(term) for term, _ in rows), default=0), col_max) + col_spacing
        for term, description in rows:
            lines = wrapped(description, self.width - left - len(indent))
            space = left - columns(term)
            start = term + " " * space if space >= col_spacing else f"{term}\n{indent}{' ' * left}"
            between = f"\n{indent}{' ' * left}"
            self.write(f"{indent}{start}{between.join(lines)}".rstrip() + "\n")


class Context(click.Context):
    """The context of every command of `cellmindctl`."""

    formatter_class = HelpFormatter


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    widths = (0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
    return sum(widths)


def wrapped(text: str, width: int) -> list[str]:
    """The lines of `text`, of at most `width` columns; a word that is longer has a line of its own."""
    lines, width = [""], max(width, _NARROWEST)
    for word in text.split():
        if lines[-1] and columns(lines[-1]) + 1 + columns(word) > width:
            lines.append(word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return lines


def print_pairs(text_by_label: Mapping[str, str]) -> None:
    """Print a line for each pair: the label, and the text in a second column. Paths stay whole."""
    for line in paired(text_by_label.items(), None):
        print(line)


def paired(pairs: Iterable[tuple[str, str]], width: int | None) -> list[str]:
    """The lines of labels and texts in two columns. The texts are wrapped between words to `width`; None wraps none."""
    pairs = list(pairs)
    left = max((columns(label) for label, _ in pairs), default=0) + 2
    return [
        (start + " " * (left - columns(start)) + line).rstrip()
        for label, text in pairs
        for start, line in zip_longest([label], [text] if width is None else wrapped(text, width - left), fillvalue="")
    ]


def width_of(stream: TextIO) -> int | None:
    """The columns of the terminal behind `stream`; None where there is no terminal, so that nothing is wrapped."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def first_paragraph(help_text: str | None) -> str:
    """What a list of commands shows of the help of one."""
    return " ".join((help_text or "").split("\n\n")[0].split())


def word_click() -> None:
    """Let click speak the person's language in the errors and help that it words itself.

    click takes each message from gettext, by names that its modules import. Those names become ours, because gettext
    reads only compiled files, and one catalogue is enough.
    """
    if language() == "en":
        return
    for module in _MODULES_WITH_WORDS:
        for name, function in (("_", _Template), ("ngettext", _template_plural)):
            if name in vars(module):
                setattr(module, name, function)


class _Template(str):
    """A template of click in the person's language. click fills it itself, with `format`."""

    __slots__ = ()

    def __new__(cls, text: str) -> _Template:
        return super().__new__(cls, t(text))

    def format(self, *values: object, **fields: object) -> str:
        """The template with these values, and particles that fit them."""
        from cellmind_agent.words.particles import filled_with_particles  # only a mistake in a line needs it

        return filled_with_particles(self, lambda field: field.format(*values, **fields))


def _template_plural(singular: str, plural: str, count: int) -> _Template:
    return _Template(singular if count == 1 else plural)


def _worded_term(term: str) -> str:
    """The names of an option and the word for its value: `--timeout SECONDS`. Names are never translated."""
    return " ".join(t(word) if word.isupper() else word for word in term.split(" "))


def _worded_description(description: str) -> str:
    extra = _EXTRA.search(description)
    text, rest = (description[: extra.start()], extra[0]) if extra else (description, "")
    return f"{t(' '.join(text.split()))} {rest.strip()}"

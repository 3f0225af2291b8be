"""Help in both languages: whole, aligned by columns of the terminal, and as wide as the terminal."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from rich.cells import cell_len

from cellmind_agent.words.korean import click_words
from cellmind_agent.words.korean import help as help_words
from cellmind_ctl.help import columns, wrapped
from cellmind_ctl.main import COMMANDS, EXAMPLES, cli
from tests.agents import ENVIRONMENT

# Words of click that nobody sees: for programmers, or of parts that CellMind does not use.
UNSEEN = (
    "Error: {message}",
    "Try '{command} {option}' for help.",
    "Aborted!",
    "deprecated",
    "DeprecationWarning: The command {name!r} is deprecated.{extra_message}",
    "DeprecationWarning: The {param_type} {name!r} is deprecated.{extra_message}",
    "Could not determine name for option with declarations {decls!r}",
    "No options defined but a name was passed ({name}). Did you mean to declare an argument instead?"
    " Did you mean to pass '--{name}'?",
    "Arguments take exactly one parameter declaration, got {length}: {decls}.",
    "Name '{name}' defined twice",
    "Boolean option {decl!r} cannot use the same flag for true/false.",
    "Do you want to continue?",
    "Confirm the action without prompting.",
    "%(prog)s, version %(version)s",
    "Show the version and exit.",
    "Choice({choices})",
)
ALL_HELP = """
import json, sys
import click
from cellmind_ctl.help import Context, word_click
from cellmind_ctl.main import cli
word_click()
found = {}
def read(command, context):
    for width in (60, 80, 120):
        context.terminal_width = min(width, 80) - 2
        found[f"{context.command_path} {width}"] = command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            read(child, Context(child, info_name=name, parent=context))
read(cli, Context(cli, info_name="cellmindctl"))
print(json.dumps(found))
"""


def all_commands(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child
            yield from all_commands(child, f"{path} {name}".strip())


def paragraphs(text: str | None) -> set[str]:
    return {" ".join(part.split()) for part in (text or "").split("\n\n")} - {""}


def help_sentences() -> set[str]:
    found = set(COMMANDS.values()) | set(EXAMPLES.values())
    for _, command in all_commands(cli):
        found |= paragraphs(command.help)
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{command.name} {parameter.name} has no help"
                found.add(" ".join(parameter.help.split()))
    return found


def test_every_help_text_has_its_korean_and_no_korean_is_left_over() -> None:
    sentences = help_sentences()
    assert sorted(sentences - help_words.SENTENCES.keys()) == []
    assert sorted(help_words.SENTENCES.keys() - sentences) == []


def test_every_word_of_click_has_its_korean() -> None:
    """A new version of click with other words fails here."""
    found = set()
    for module in ("core", "decorators", "exceptions", "formatting", "parser", "types"):
        source = (Path(click.__file__).parent / f"{module}.py").read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "ngettext"):
                found |= {part.value for part in node.args if isinstance(part, ast.Constant)}
    assert sorted(found - click_words.SENTENCES.keys() - set(UNSEEN)) == []
    assert sorted(set(UNSEEN) - found) == []


def test_korean_help_names_only_fields_that_the_english_has() -> None:
    for text, korean in click_words.SENTENCES.items():
        names = {part.split("}")[0] for part in korean.split("{")[1:]}
        assert names <= {part.split("}")[0] for part in text.split("{")[1:]}, text


def help_pages(language: str) -> dict[str, str]:
    environment = {**ENVIRONMENT, "CELLMIND_LANG": language}
    done = subprocess.run(
        [sys.executable, "-c", ALL_HELP], capture_output=True, text=True, env=environment, timeout=60, check=True
    )
    pages: dict[str, str] = json.loads(done.stdout)
    return pages


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_help_page_fits_its_terminal_and_is_aligned(language: str) -> None:
    pages = help_pages(language)
    assert len(pages) > 60
    for name, page in pages.items():
        width = min(int(name.split()[-1]), 80)
        assert all(cell_len(line) <= width for line in page.splitlines()), page
        descriptions = set()
        for line in page.splitlines():
            if line.startswith("  -") and "  " in line.strip():
                _, _, description = line.strip().partition("  ")
                descriptions.add(cell_len(line) - cell_len(description.lstrip()))
        assert len(descriptions) <= 1, page


def test_a_korean_page_holds_no_english_sentence() -> None:
    for name, page in help_pages("ko").items():
        for sentence in help_words.SENTENCES.keys() | {"Usage:", "Options:", "Commands:", "default:", "Show this"}:
            assert sentence not in page, name


def test_columns_count_what_a_terminal_shows() -> None:
    for text in ("abc", "안녕", "a안b", "ＡＢ", "e\u0301", ""):
        assert columns(text) == cell_len(text)


def test_text_is_wrapped_by_columns_and_never_inside_a_word() -> None:
    assert wrapped("가나 다라 마바", 10) == ["가나 다라", "마바"]
    assert wrapped("ab " + "가" * 20, 12) == ["ab", "가" * 20]
    assert wrapped("", 12) == [""]

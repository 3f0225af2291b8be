"""Every sentence for people exists in English and in Korean, with the same fields, and is worded where it is shown."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import pytest

import cellmind_agent.runs.process  # noqa: F401 - it declares an error of the tree
from cellmind_agent.planning.backends import BACKEND_HELP
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.words import korean, t
from model.errors import ModelError
from model.line.plain import from_plain, to_plain
from model.line.sentence import Sentence
from tests.house.product import source_files
from tokenizer.errors import TextError

# What a person types is the same in every language.
COMMAND = re.compile(
    r"(cellmindctl|cellmind-agent|python -m|pip install|\./install|sudo|chmod|--[a-z-]+)( [^;:]*)?|[^A-Za-z]*( --help)?"
)
FIELD = re.compile(r"\{(\w+)")
CATALOGUES = {
    module.name: import_module(f"{korean.__name__}.{module.name}").SENTENCES for module in iter_modules(korean.__path__)
}


def errors(root: type[Exception]) -> Iterator[str]:
    """The names of an error and of all that derive from it."""
    yield root.__name__
    for child in root.__subclasses__():
        yield from errors(child)


MAKERS = {"Sentence", "t", *(name for root in (CellmindError, ModelError, TextError) for name in errors(root))}


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Each call that makes a sentence: its place, the call, the name of what it calls."""
    for file in source_files():
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in MAKERS:
                    yield f"{file.path}:{node.lineno}", node, name


def literals(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=otherwise):
            yield from literals(body)
            yield from literals(otherwise)


def test_every_literal_sentence_has_korean() -> None:
    missing = [
        f"{place} says {text!r}: add its Korean to cellmind_agent/words/korean/"
        for place, call, name in calls()
        for argument in call.args[: 1 if name in ("t", "Sentence") else 2]
        for text in literals(argument)
        if text not in korean.KOREAN and not COMMAND.fullmatch(FIELD.sub("", text))
    ]
    assert not missing, "\n" + "\n".join(missing)


def test_no_sentence_is_put_together_from_pieces() -> None:
    built = [
        f"{place} puts a sentence together: write a template with fields, so that it can be worded in Korean"
        for place, call, name in calls()
        for argument in call.args[: 1 if name in ("t", "Sentence") else 2]
        if isinstance(argument, ast.BinOp) or (isinstance(argument, ast.JoinedStr) and _is_worded(argument))
    ]
    assert not built, "\n" + "\n".join(built)


def _is_worded(text: ast.JoinedStr) -> bool:
    """Whether an f-string holds words, and is no command."""
    return not COMMAND.fullmatch("".join(str(p.value) if isinstance(p, ast.Constant) else "0" for p in text.values))


@pytest.mark.parametrize("name", sorted(CATALOGUES))
def test_translations_have_the_fields_of_their_sentence(name: str) -> None:
    different = [
        (english, translated)
        for english, translated in CATALOGUES[name].items()
        if set(FIELD.findall(english)) != set(FIELD.findall(translated)) and name not in ("click_words", "log_lines")
    ]
    assert not different


def test_every_line_of_the_agents_log_has_korean_with_its_fields() -> None:
    wrong = [
        f"{file.path}:{call.lineno} logs {call.args[0].value!r}: add its Korean to words/korean/log_lines.py"
        for file in source_files()
        if file.path.startswith("cellmind_agent/")
        for call in ast.walk(file.tree)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in ("_log.info", "_log.warning", "_log.error", "_log.exception")
        and isinstance(call.args[0], ast.Constant)
        and not _has_fields(str(call.args[0].value))
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def _has_fields(line: str) -> bool:
    if not re.search("[a-z]{2}", line):  # such as `[%s %d] %s`, what a child process has written
        return True
    numbers = [str(number) for number in range(1, line.count("%") + 1)]
    return sorted(FIELD.findall(CATALOGUES["log_lines"].get(line, "{none"))) == numbers


def test_a_sentence_has_one_translation() -> None:
    count = Counter(english for catalogue in CATALOGUES.values() for english in catalogue)
    assert [english for english, times in count.items() if times > 1] == []


def test_every_translation_is_used() -> None:
    said = {BACKEND_HELP}
    for file in source_files():
        if "/korean/" not in file.path:
            for node in ast.walk(file.tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    said |= {node.value, *re.split(r"\n\s*\n?", node.value)}
    text = "\n".join(" ".join(one.split()) for one in said)
    unused = [
        (name, english)
        for name, catalogue in CATALOGUES.items()
        if name != "click_words"
        for english in catalogue
        if " ".join(english.split()) not in text
    ]
    assert not unused


# -- sentences of other devices ----------------------------------------------------------------------------------------


def test_a_sentence_of_another_device_is_worded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_LANG", "ko")
    error = CellmindError("{name} left the run: {why}", name="서재", why=Sentence("it fell silent"))
    received = from_plain(Sentence, to_plain(error.message))
    assert t(received) == "서재 기기가 학습에서 빠졌습니다: 조용해졌습니다"
    assert t(Sentence("a sentence of a newer version, {x}", x="1")) == "a sentence of a newer version, 1"


def test_text_that_was_stored_in_english_is_worded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_LANG", "ko")
    assert t("no text by its name (.png)") == "이름으로 보아 텍스트가 아님 (.png)"
    assert t("my own words") == "my own words"

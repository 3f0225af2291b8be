"""Sentences of other programs and devices: whatever they hold, they cost little, show nothing hidden, and look up only
the names of their fields."""

import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.words import t
from model.line.plain import PlainError, from_plain, to_plain
from model.line.sentence import UNPRINTABLE, Sentence, sentence_from_plain


def nested(depth: int, text: str = "{a}") -> object:
    return "x" if depth == 0 else {"text": text, "fields": {"a": nested(depth - 1, text)}}


def wrapped(depth: int) -> Sentence:
    return Sentence("the cause") if depth == 0 else Sentence("{depth}: {why}", depth=depth, why=wrapped(depth - 1))


NAMES = st.sampled_from(["a", "b", "c"])
PLAIN = st.recursive(
    st.none() | st.integers() | st.binary(max_size=3) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.fixed_dictionaries(
            {"text": st.sampled_from(["{a}", "{a}{b}", "\x1b[2J{a}", "{0.__class__} {a!r}"]) | inner},
            optional={"fields": st.dictionaries(NAMES, inner, max_size=3) | inner},
        )
    ),
    max_leaves=8,
)


def sentences(text: st.SearchStrategy[str]) -> st.SearchStrategy[Sentence]:
    return st.recursive(
        st.builds(Sentence, text),
        lambda inner: st.builds(
            lambda template, values: Sentence(template, **values),
            st.sampled_from(["{a} {b}", "{a}{a}", "none"]) | text,
            st.dictionaries(NAMES, inner | text, max_size=3),
        ),
        max_leaves=12,
    )


VISIBLE = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=9)


@pytest.mark.parametrize(
    "plain",
    [
        None, 5, [], {"fields": {}}, {"text": 1}, {"text": "x", "fields": []}, {"text": "x", "fields": {"a": 1}},
        {"text": "x", "fields": dict.fromkeys(map(str, range(5000)), "")},
        nested(5), nested(60),
        "x" * 20_000,
        {"text": "{a}", "fields": {"a": "x" * 20_000}},
    ],
)  # fmt: skip
def test_what_is_no_sentence_is_refused(plain: object) -> None:
    with pytest.raises(PlainError):
        from_plain(Sentence, plain)


def test_a_sentence_that_repeats_its_fields_does_not_fill_the_memory() -> None:
    """2,000 times in each of 4 sentences would be 16,000,000,000,000 characters, out of 24 kB."""
    started = time.monotonic()
    with pytest.raises(PlainError):
        from_plain(Sentence, nested(4, "{a}" * 2_000))
    assert time.monotonic() - started < 1


@given(PLAIN)
def test_any_plain_value_is_refused_or_becomes_a_printable_sentence(plain: object) -> None:
    try:
        sentence = from_plain(Sentence, plain)
    except PlainError:
        return
    assert not UNPRINTABLE.search(sentence)
    assert len(sentence) <= 16_384


def test_a_terminal_gets_no_commands_of_another_device() -> None:
    hostile = {"text": "{name}\x1b[2J\r\nhint: safe", "fields": {"name": "phone\x1b]0;title\x07\u202e"}}
    assert t(from_plain(Sentence, hostile)) == "phone]0;title[2J hint: safe"


def test_a_template_looks_up_names_and_nothing_else() -> None:
    hostile = sentence_from_plain({"text": "{0.__class__} {x!r} {x.real} {y}", "fields": {"x": "{y}", "y": "2"}})
    assert hostile == "{0.__class__} {x!r} {x.real} 2"


def test_long_text_of_another_device_is_not_searched_for_a_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_LANG", "ko")
    started = time.monotonic()
    assert t("by its name " * 1_000).startswith("by its name")
    assert time.monotonic() - started < 1


@given(sentences(st.text(max_size=9)))
def test_every_sentence_that_leaves_is_accepted(sentence: Sentence) -> None:
    from_plain(Sentence, to_plain(sentence))


@given(sentences(VISIBLE))
def test_a_sentence_survives_the_wire(sentence: Sentence) -> None:
    assert from_plain(Sentence, to_plain(sentence)) == sentence


def test_causes_of_causes_keep_their_text() -> None:
    back = from_plain(Sentence, to_plain(wrapped(6)))
    assert back == "6: 5: 4: 3: 2: 1: the cause"
    assert back.template == "{depth}: {why}"


def test_a_long_sentence_leaves_cut() -> None:
    back = from_plain(Sentence, to_plain(Sentence("{text}", text="x" * 20_000)))
    assert len(back) == 16_384
    assert back.endswith("x…")


@dataclass(frozen=True)
class _WithName:
    name: str
    nickname: str | None = None
    why: Sentence | None = None


def test_a_sentence_in_a_field_of_text_is_sent_as_text() -> None:
    """So that no receiver refuses it: there a string is expected."""
    sentence = Sentence("{device} is off", device="phone")
    plain = to_plain(_WithName(name=sentence, nickname=sentence, why=sentence))
    assert (plain["name"], plain["nickname"]) == ("phone is off", "phone is off")
    assert from_plain(_WithName, plain).why == sentence
    assert plain["why"]["fields"] == {"device": "phone"}

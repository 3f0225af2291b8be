"""Korean particles: the form that fits the field before them."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.words import korean, t
from cellmind_agent.words.particles import ending, filled_with_particles
from cellmind_ctl.help import _Template
from model.line.sentence import Sentence

ALL = "{x}은(는) {x}이(가) {x}을(를) {x}과(와) {x}와(과) {x}(으)로 {x}(이)라는"
CONSONANT, VOWEL = "x은 x이 x을 x과 x과 x으로 x이라는", "x는 x가 x를 x와 x와 x로 x라는"
RIEUL = CONSONANT.replace("으로", "로")


@pytest.mark.parametrize(
    ("forms", "values"),
    [
        (CONSONANT, "집 노트북 0 13 600 phone home laptop MacBook web training run-3 JSON main 'desktop' [::3]"),
        (VOWEL, "서재 고양이 2 99 server GPU PC tv txt task host nas README data 50% pc2"),
        (RIEUL, "거실 침실 1 7 2018 model apple URL AR 「말」"),
    ],
)
def test_a_particle_fits_the_word_before_it(forms: str, values: str) -> None:
    for value in values.split():
        assert filled_with_particles(ALL, lambda field, value=value: value) == forms.replace("x", value)


def test_a_remark_in_brackets_does_not_count() -> None:
    assert ending("나뭇가지(만렙)") == "vowel"
    assert ending("서재 노트북 (this)") == "consonant"
    assert ending("(집)") == "consonant"


def test_a_name_whose_syllables_are_taken_apart_is_read_too() -> None:
    assert ending("\u110c\u1175\u11b8") == "consonant"  # as macOS gives file names


@pytest.mark.parametrize("value", ["", "黃金", "さくら", "é", "wait…", "folder/", "()", "ㅋ", "🙂"])
def test_an_unknown_ending_keeps_both_forms(value: str) -> None:
    assert filled_with_particles("{x}은(는)", lambda field: value) == f"{value}은(는)"


def test_particles_in_a_value_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_LANG", "ko")
    name = "{path}을(를)"
    assert t(Sentence("{path} is on a read-only disk", path=name)) == "{path}을(를)은 읽기 전용 디스크에 있습니다"


def test_a_field_without_a_value_stays_with_both_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_LANG", "ko")
    assert t("{path} is on a read-only disk") == "{path}은(는) 읽기 전용 디스크에 있습니다"


def test_messages_of_click_have_particles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_LANG", "ko")
    template = _Template("{name} {filename!r} does not exist.")
    assert template.format(name="파일", filename="서재.txt") == "파일 '서재.txt'가 없습니다."


@given(st.text(), st.text())
def test_any_value_stands_in_the_sentence_unchanged(one: str, other: str) -> None:
    values = {"{one}": one, "{other}": other}
    found = filled_with_particles("{one}은(는) | {other}(으)로", values.__getitem__)
    forms = itertools.product(("은", "는", "은(는)"), ("으로", "로", "(으)로"))
    assert found in {f"{one}{first} | {other}{second}" for first, second in forms}


def test_the_catalogue_writes_both_forms_behind_a_field() -> None:
    one_form = re.compile(r"\w\}(은|는|이|가|을|를|과|와|로|으로|라는|이라는)(?![가-힣(])")
    assert [sentence for sentence in korean.KOREAN.values() if one_form.search(sentence)] == []

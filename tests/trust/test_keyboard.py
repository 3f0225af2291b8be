"""A join code that was typed on a keyboard set to Hangul comes back as the letters of its keys."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.trust.invitation import clean_code
from cellmind_agent.trust.keyboard import latin_keys
from cellmind_agent.trust.words import WORDS

# The two-set layout as an input method has it: the key of each letter, and which two letters join to one.
INITIALS = dict(zip("rRseEfaqQtTdwWczxvg", "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ", strict=True))
VOWELS = dict(zip("koiOjpuPhynbml", "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅛㅜㅠㅡㅣ", strict=True))
JOINED_VOWELS = {"ㅗㅏ": "ㅘ", "ㅗㅐ": "ㅙ", "ㅗㅣ": "ㅚ", "ㅜㅓ": "ㅝ", "ㅜㅔ": "ㅞ", "ㅜㅣ": "ㅟ", "ㅡㅣ": "ㅢ"}
JOINED_FINALS = {
    "ㄱㅅ": "ㄳ", "ㄴㅈ": "ㄵ", "ㄴㅎ": "ㄶ", "ㄹㄱ": "ㄺ", "ㄹㅁ": "ㄻ", "ㄹㅂ": "ㄼ", "ㄹㅅ": "ㄽ", "ㄹㅌ": "ㄾ",
    "ㄹㅍ": "ㄿ", "ㄹㅎ": "ㅀ", "ㅂㅅ": "ㅄ",
}  # fmt: skip
ALL_INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
ALL_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
ALL_FINALS = " ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"


class InputMethod:
    """Composes syllables key by key: an initial, a vowel (perhaps of two letters), a final (perhaps of two)."""

    def __init__(self) -> None:
        self.text = ""
        self.initial = self.vowel = ""
        self.final = ""  # one or two letters that may still become the next syllable's initial

    def typed(self, keys: str) -> str:
        for key in keys:
            letter = INITIALS.get(key) or VOWELS.get(key) or INITIALS.get(key.lower()) or VOWELS.get(key.lower())
            if letter is None:
                self.end()
                self.text += key
            elif letter in ALL_VOWELS:
                self.type_vowel(letter)
            else:
                self.type_consonant(letter)
        self.end()
        return self.text

    def type_vowel(self, letter: str) -> None:
        if self.final:  # its last letter begins the next syllable
            next_initial, self.final = self.final[-1], self.final[:-1]
            self.end()
            self.initial = next_initial
        if self.vowel:
            joined = JOINED_VOWELS.get(self.vowel + letter)
            if joined:
                self.vowel = joined
                return
            self.end()
        self.vowel = letter

    def type_consonant(self, letter: str) -> None:
        if self.initial and self.vowel and not self.final and letter in ALL_FINALS:
            self.final = letter
        elif self.final and self.final + letter in JOINED_FINALS:
            self.final += letter
        else:
            self.end()
            self.initial = letter

    def end(self) -> None:
        if self.initial and self.vowel:
            final = ALL_FINALS.index(JOINED_FINALS.get(self.final, self.final) or " ")
            place = (ALL_INITIALS.index(self.initial) * 21 + ALL_VOWELS.index(self.vowel)) * 28 + final
            self.text += chr(0xAC00 + place)
        else:
            self.text += self.initial + self.vowel
        self.initial = self.vowel = self.final = ""


def test_the_input_method_of_this_test_composes_as_people_know_it() -> None:
    assert InputMethod().typed("dkssudgktpdy") == "안녕하세요"
    assert InputMethod().typed("rkqtdl") == "값이"
    assert InputMethod().typed("rkqtl") == "갑시"
    assert InputMethod().typed("eagle") == "ㄷㅁ힏"


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789- ", max_size=40))
def test_any_typed_letters_come_back(keys: str) -> None:
    assert latin_keys(InputMethod().typed(keys)) == keys


@given(st.integers(1, 99), st.lists(st.sampled_from(WORDS), min_size=3, max_size=3), st.sampled_from(["-", " ", ""]))
def test_any_code_typed_on_a_hangul_keyboard_comes_back(number: int, words: list[str], between: str) -> None:
    code = "-".join([str(number), *words])
    typed = InputMethod().typed(code.replace("-", between))
    assert clean_code(typed) == code
    assert clean_code(unicodedata.normalize("NFD", typed)) == code  # as macOS stores Hangul


@pytest.mark.parametrize("text", ["41 AMBER ㄹㅁㅣ채ㅜ river", "４１－ａｍｂｅｒ－falcon－river"])
def test_mixed_keyboards_and_full_width_letters_are_read_too(text: str) -> None:
    assert clean_code(text) == "41-amber-falcon-river"

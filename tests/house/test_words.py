"""Plain English: private idioms that a newcomer must decode do not stand in the product or its documents."""

import re
from pathlib import Path

import pytest

from tests.house.product import DOCUMENTS, PACKAGES, ROOT

# Each pattern with the words to use instead.
IDIOMS = {
    r"\b([Tt]he )?wish(es)?\b|Wish(es)?\b": "the target, the option, the choice",
    r"\b[Mm]end(s|ed|ing)?\b": "repair",
    r"obituar": "exit summary",
    r"(?<![\w.\"'`])told\b(?!\s*[\"'`:=])": "reported, informed, passed (or, for addresses, gossip)",
    r"\btells\b(?! .{0,40}\bapart\b)": "reports, informs, passes",
    r"\b[Ww]hoever\b": "the device that, the person who, each one that",
    r"\bof one fate\b": "name what they share",
    r"\bby the word of\b": "reported by, decided by",
    r"\blast words?\b": "exit summary, last event",
    r"\b[Aa]cquaintance": "peer session",
    r"\b[Tt]id(y|ies|ied)\b": "normalize",
    r"\bfor ever\b": "permanently, without end",
    r"\banew\b": "again, from the beginning",
    r"\bwhere that can be had\b": "where it is available",
    r"\blets? be\b": "leaves unchanged",
    r"\bfellows?\b": "the other members",
    r"\b[Dd]esks?\b|Desk\b": "say what it does",
    r"\b[Ss]tretch(es)?\b": "byte range, split",
    r"\bSides\b|_sides\b": "split",
    r"\bRecognised\b": "detected format",
    r"\borders\b(?=[\[\]:),.=]| =)|\btakes? orders\b": "parameters, requests",
    r"\b(a|one|the|first|second) looks?\b": "scan, pass",
    r"climb": "widen discovery",
    r"\bthe asked\b|\bthe wanted(?=[^\w ]|$)": "name the device or the thing",
}


def texts() -> list[Path]:
    """The product's files and documents that people read."""
    found = [ROOT / name for name in (*DOCUMENTS, "CHANGELOG.md", "check", "demo", "setup.sh")]
    for folder in PACKAGES:
        found += sorted((ROOT / folder).rglob("*.py"))
    for folder in ("systemd", "termux"):
        found += sorted((ROOT / folder).iterdir())
    return found


def idioms_in(text: str) -> dict[tuple[str, str], list[int]]:
    """The lines of each idiom that the text uses, by the idiom and what to write instead."""
    found: dict[tuple[str, str], list[int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, plain in IDIOMS.items():
            for match in re.finditer(pattern, line):
                lines = found.setdefault((match[0].lower(), plain), [])
                lines += [] if number in lines else [number]
    return found


def test_texts_are_in_plain_english() -> None:
    found = [
        f"{path.relative_to(ROOT)} says {words!r} in line {', '.join(map(str, lines))}: write it plainly ({plain})"
        for path in texts()
        for (words, plain), lines in idioms_in(path.read_text(encoding="utf-8")).items()
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("# The wish was 20 MB/s.", ["the wish"]),
        ("the run is told", ["told"]),
        ('told: tuple[str, ...]  # and {"told": forgotten.told}', []),
        ("whoever asks", ["whoever"]),
        ("def load(orders: dict): orders of magnitude", ["orders"]),
        ("the desktop restored the network stretch", ["stretch"]),
        ("file.tell() tells the two apart", []),
    ],
)
def test_idioms_are_found_and_plain_words_are_not(line: str, words: list[str]) -> None:
    assert [found for found, _ in idioms_in(line)] == words

"""Replaces private data by placeholders: phone, identity, card and account numbers, e-mail and postal addresses. Pure.

The text is many messages, joined by U+0000 (`rules.SEPARATOR`), in lower case. One pattern finds long numbers, then
checks decide their kind: a date of birth, Luhn's formula (ISO/IEC 7812-1), the weights of the resident registration
number. A number that fails its checksum, but is as long as an account number, is hidden as one, because a model must
not learn it.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from tokenizer.corpus.cleaning.patterns import any_of, replace_counted
from tokenizer.corpus.cleaning.places import DISTRICTS, PROVINCES
from tokenizer.placeholders import ACCOUNT, ADDRESS, CARD, EMAIL, PHONE, RRN

_AT: Final = re.compile(r"@|＠|\(at[)\]] ?|\[at[)\]] ?|골뱅이 ?")  # `re` is fast if all branches begin alike
_PLAIN_AT: Final = re.compile("@")
_OTHER_AT: Final = ("＠", "골뱅이", "at)", "at]")
_LOCAL_REVERSED: Final = re.compile(r"[a-z0-9._%+\-]+")
_AFTER_AT: Final = re.compile(r"[a-z0-9\-]{1,63}(?:\.[a-z0-9\-]{1,63})+")
_MAX_LOCAL_CHARACTERS: Final = 64  # RFC 5321

_FULL_WIDTH: Final = str.maketrans("０１２３４５６７８９－．（）＋‐‑–", "0123456789-.()+---")
_MIN_DIGITS: Final = 9  # of a phone number; shorter ones are private only after a + or the name of a bank
_LONG_NUMBER: Final = re.compile(r"[+(0-9０-９][0-9０-９ ().\-‐‑–－．（）]{5,40}[0-9０-９]")
_NUMBER: Final = re.compile(
    "|".join(
        (
            r"(?P<rrn>(?<![0-9\-])[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
            r"(?: ?- ?| )?[1-8][0-9]{6}(?![0-9\-]))",
            r"(?P<phone>(?<![0-9.])(?:\+?82[ .\-]?\(?0?\)?[ .\-]?|0)(?:1[016-9]|2|[3-6][1-5]|70|50[2-8]?)\)?"
            r"[ .\-]*[0-9]{3,4}[ .\-]*[0-9]{4}(?![0-9])"
            r"|(?<![0-9])\([0-9]{2,3}\) ?[0-9]{3,4}[ .\-][0-9]{4}(?![0-9])"
            r"|\+[0-9]{1,3}(?:[ .\-]?\(?[0-9]{2,4}\)?){2,4}(?![0-9]))",
            r"(?P<card>(?<![0-9])(?:[0-9]{4}[ \-]?){3}[0-9]{4}(?![0-9])"
            r"|(?<![0-9])3[47][0-9]{2}[ \-]?[0-9]{6}[ \-]?[0-9]{5}(?![0-9]))",
            r"(?P<account>(?<![0-9.\-])[0-9]{2,6}(?:-[0-9]{1,8}){1,3}(?![0-9\-])|(?<![0-9.])[0-9]{10,}(?![0-9]))",
            r"(?P<short>(?<![0-9.\-])[0-9]{6,9}(?![0-9\-]))",
        )
    )
)
_BANK_WORD: Final = re.compile(
    "은행|뱅크|계좌|입금|송금|국민|신한|우리|하나|농협|기업|카뱅|토스|우체국|새마을|수협|신협|케뱅|씨티|제일"
)
_BANK: Final = re.compile(rf"(?:{_BANK_WORD.pattern})[^\0\n]{{0,6}}$")
_BANK_DISTANCE: Final = 14  # characters before a number in which the name of its bank may stand
_SPOKEN_PHONE: Final = re.compile("공일[공영](?:[ -]*[공영일이삼사오육륙칠팔구]){7,8}")

# No house number is followed by a unit: 3시 ("3 o'clock"), 2명 ("two people"), 10km.
_COUNTER: Final = (
    r"(?![0-9]|\s?(?:시|분|명|개|월|일|년|층|원|살|호선|차|인|박|주|점|등|배|대|잔|병|번(?!지|길)|km|m|%|:))"
)
# Building, floor, flat, and a remark in parentheses.
_DETAIL: Final = r"(?:,?\s?[0-9]{1,4}동)?(?:,?\s?[0-9]{1,3}층)?(?:,?\s?[0-9]{1,5}호)?(?:\s?\([^)\0\n]{1,30}\))?"
# Korea has two kinds of addresses: street and house number (세종대로 110), and quarter and lot (역삼동 123-4).
_STREET: Final = (
    r"[가-힣0-9·.]{1,12}?(?:대로|로|길)\s?(?:[0-9]{1,4}(?:번|가|나|다)?길\s?)?"
    rf"[0-9]{{1,4}}(?:-[0-9]{{1,4}})?{_COUNTER}"
)
_LOT: Final = (
    rf"(?:[가-힣0-9]{{1,8}}(?:읍|면|동|리|가)\s?){{1,3}}(?:산\s?)?[0-9]{{1,4}}(?:-[0-9]{{1,4}}|\s?번지|{_COUNTER})"
)
_ADDRESS: Final = re.compile(
    rf"{any_of([*PROVINCES, *DISTRICTS])}\s?(?:{any_of(DISTRICTS)}\s?){{0,2}}"
    rf"(?:[가-힣]{{1,6}}(?:읍|면|동)\s)?(?:{_STREET}|{_LOT}){_DETAIL}"
)
_SIDE_STREET: Final = re.compile(
    rf"[가-힣]{{2,8}}?(?:대로|로)\s?[0-9]{{1,4}}번?길\s?[0-9]{{1,4}}(?:-[0-9]{{1,4}})?{_DETAIL}"
)
_FLAT: Final = re.compile(r"[0-9]{1,4}동\s?(?:[0-9]{1,2}층\s?)?[0-9]{1,5}호(?!선)")
_PLOT: Final = re.compile(rf"[가-힣]{{1,5}}[동리]\s[0-9]{{1,4}}-[0-9]{{1,4}}(?![0-9\-])(?:\s?번지)?{_DETAIL}")
_ADDRESSES: Final = (_ADDRESS, _SIDE_STREET, _PLOT, _FLAT)
_ADDRESS_SIGN: Final = re.compile(r"[로길읍면동리가산]\s?[0-9]")  # every match of _ADDRESSES has it
_POSTCODE: Final = re.compile(r"우(?:편번호\s?:?|\))\s?[0-9]{5}(?![0-9])")


def hide_private(text: str, counts: Counter[str]) -> str:
    """The text without private data. Adds the number of replacements to `counts`, by placeholder."""
    text = _without_email(text, counts)
    text = _LONG_NUMBER.sub(lambda found: _without_numbers(found, counts), text)
    if "공일" in text:
        text = replace_counted(_SPOKEN_PHONE, PHONE, text, counts)
    text = _without_addresses(text, counts)
    return replace_counted(_POSTCODE, ADDRESS, text, counts)


def is_private(text: str) -> bool:
    """Whether the text has a private number, an e-mail address or a postal address."""
    return hide_private(text, Counter()) != text


def is_rrn(digits: str) -> bool:
    """Whether the last of thirteen digits is the check digit of a resident registration number.

    Numbers issued until 2020 have one; those of foreigners differ by two.
    """
    total = sum(
        int(digit) * weight for digit, weight in zip(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), strict=False)
    )
    return int(digits[12]) in ((11 - total % 11) % 10, (13 - total % 11) % 10)


def is_card(digits: str) -> bool:
    """Whether the digits satisfy Luhn's formula (ISO/IEC 7812-1)."""
    doubled = (int(digit) * (2 if i % 2 else 1) for i, digit in enumerate(reversed(digits)))
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


def _without_email(text: str, counts: Counter[str]) -> str:
    """Search from each @ in both directions: an @ is rare, but any word may begin an address."""
    kept, start = [], 0
    signs = _AT if any(other in text for other in _OTHER_AT) else _PLAIN_AT
    for sign in signs.finditer(text):
        place = sign.start() - (len(sign[0]) > 1 and text[sign.start() - 1] == " ")  # `me 골뱅이 example.com`
        if place < start:
            continue
        # The local part ends at the @, so it is matched backwards, on the reversed text.
        local = _LOCAL_REVERSED.match(text[max(start, place - _MAX_LOCAL_CHARACTERS) : place][::-1])
        domain = _AFTER_AT.match(text, sign.end()) if local else None
        if local and domain:
            kept += [text[start : place - local.end()], EMAIL]
            start = domain.end()
            counts[EMAIL] += 1
    return "".join([*kept, text[start:]]) if kept else text


def _without_addresses(text: str, counts: Counter[str]) -> str:
    """Apply the slow patterns only to messages that match the cheap sign."""
    kept, start = [], 0
    for sign in _ADDRESS_SIGN.finditer(text):
        if sign.start() < start:
            continue
        # The whole message of the sign, because an address may begin before the sign and end after it.
        begin = max(text.rfind("\0", start, sign.start()), start)
        end = text.find("\0", sign.end())
        end = len(text) if end < 0 else end
        message = text[begin:end]
        for pattern in _ADDRESSES:
            message = replace_counted(pattern, ADDRESS, message, counts)
        kept += [text[start:begin], message]
        start = end
    return "".join([*kept, text[start:]]) if kept else text


def _without_numbers(found: re.Match[str], counts: Counter[str]) -> str:
    """A run of digits and signs with its private numbers replaced."""
    raw = found[0]
    start = max(0, found.start() - _BANK_DISTANCE)
    # A short number may be anything. Only the name of a bank before it makes it an account.
    is_short = sum(map(str.isdigit, raw)) < _MIN_DIGITS and "+" not in raw
    if is_short and not _BANK_WORD.search(found.string, start, found.start()):
        return raw
    plain = raw if raw.isascii() else raw.translate(_FULL_WIDTH)
    kept, done = [], 0
    for number in _NUMBER.finditer(plain):
        before = found.string[start : found.start()] + raw[: number.start()]
        kind = _kind(number, before)
        if kind:
            kept += [raw[done : number.start()], kind]
            done = number.end()
            counts[kind] += 1
    return "".join([*kept, raw[done:]]) if kept else raw


def _kind(number: re.Match[str], before: str) -> str | None:
    digits = "".join(character for character in number[0] if character.isdigit())
    match number.lastgroup:
        case "rrn":
            return RRN if len(digits) < len(number[0]) or is_rrn(digits) else ACCOUNT
        case "phone":
            return PHONE if 8 <= len(digits) <= 15 else None
        case "card":
            return CARD if is_card(digits) else ACCOUNT
        case "account":
            return ACCOUNT if len(digits) >= 10 or (len(digits) > 6 and _BANK.search(before)) else None
    return ACCOUNT if _BANK.search(before) else None

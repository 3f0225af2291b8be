"""Dates and clock times as messengers print them. Pure; caches remember what was read before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

import numpy as np

from tokenizer.corpus.messages import NO_TIME

_NUMBERS: Final = re.compile(r"\d+")
_MONTH_NAME: Final = re.compile(r"([A-Za-z]{3})[a-z]*\.? (\d{1,2}), (\d{4})")
_MONTHS: Final = {
    name: i
    for i, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
_AFTERNOON: Final = re.compile(r"오후|午後|下午|p\.?m", re.IGNORECASE)
_MORNING: Final = re.compile(r"오전|午前|上午|a\.?m", re.IGNORECASE)
# The places of digits and of signs in `2025-08-14 13:05:09` and the line feed after it.
_DIGITS: Final = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_SIGNS: Final = (4, 7, 10, 13, 16, 19)
_SIGN_CODES: Final = np.frombuffer(b"-- ::\n", dtype=np.uint8)
_DAY_WEIGHTS: Final = 10 ** np.arange(7, -1, -1)  # eight digits to the number 20250814
_EPOCH: Final = date(1970, 1, 1).toordinal()


@lru_cache(maxsize=1 << 15)
def read_day(text: str, is_day_first: bool = False) -> int:
    """The first second of a day since 1970, or NO_TIME if the text is no day.

    Reads `2025년 8월 14일`, `2025. 8. 14.`, `December 9, 2024` and `14/8/25`.
    """
    named = _MONTH_NAME.search(text)
    if named:
        year, month, day = int(named[3]), _MONTHS.get(named[1].lower(), 0), int(named[2])
    else:
        numbers = [int(number) for number in _NUMBERS.findall(text)[:3]]
        if len(numbers) < 3:
            return NO_TIME
        if numbers[0] > 99:
            year, month, day = numbers
        elif is_day_first:
            day, month, year = numbers
        else:
            month, day, year = numbers
        if year < 100:
            year += 2000
    try:
        return (date(year, month, day).toordinal() - _EPOCH) * 86400
    except ValueError:
        return NO_TIME


@lru_cache(maxsize=1 << 17)  # a day has 86,400 seconds
def read_clock(text: str) -> int:
    """Seconds since midnight of `오후 1:05`, `1:05 PM` or `13:05:09`, or NO_TIME if the text is no clock time.

    오전 12 is 0 h, 오후 12 is 12 h.
    """
    numbers = [int(number) for number in _NUMBERS.findall(text)[:3]]
    if len(numbers) < 2:
        return NO_TIME
    hour, minute, second = [*numbers, 0][:3]
    if _AFTERNOON.search(text):
        hour = hour % 12 + 12
    elif _MORNING.search(text):
        hour %= 12
    if hour > 23 or minute > 59 or second > 60:  # 60 is a leap second
        return NO_TIME
    return hour * 3600 + minute * 60 + second


_STAMP: Final = re.compile(
    r"\s*(\d{4}[-./년]\s?\d{1,2}[-./월]\s?\d{1,2}[.일]?|\d{1,2}/\d{1,2}/\d{2,4})"
    r"(?:[T ,]\s*((?:오전|오후)?\s?\d{1,2}:\d{2}(?::\d{2})?(?:\s?[AaPp]\.?[Mm]\.?)?)(?:\.\d+)?)?\s*"
)


def read_stamp(text: str) -> int:
    """Date and time of one cell, in seconds since 1970, or NO_TIME if the cell has neither.

    Reads ISO 8601 (of a time with a zone, the clock that is shown), the usual forms in tables, and seconds or
    milliseconds since 1970 as a number.
    """
    if len(text) == 19 and text[4] == text[7] == "-" and text[10] in " T":  # the usual form, which must be fast
        day, clock = read_day(text[:10]), read_clock(text[11:])
        return day + clock if day >= 0 and clock >= 0 else NO_TIME
    found = _STAMP.fullmatch(text)
    if found:
        day = read_day(found[1])
        clock = read_clock(found[2]) if found[2] else 0
        return NO_TIME if NO_TIME in (day, clock) else day + clock
    text = text.strip()
    if text.isdecimal() and len(text) in (10, 13):  # seconds or milliseconds, from the year 2001 to 2286
        return int(text) // (1000 if len(text) == 13 else 1)
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        return NO_TIME


def read_stamps(texts: Sequence[str]) -> list[int]:
    """`read_stamp` for a whole column."""
    times = read_usual_stamps(texts)
    return times or [read_stamp(text) if text else NO_TIME for text in texts]


def read_usual_stamps(texts: Sequence[str]) -> list[int] | None:
    """The times of a column, computed as one array; None if any of them is not like `2025-08-14 13:05:09`."""
    joined = "\n".join([*texts, ""]).encode()
    if not texts or set(map(len, texts)) != {19} or len(joined) != 20 * len(texts):
        return None
    # One row per time, with its line feed.
    grid = np.frombuffer(joined, dtype=np.uint8).reshape(-1, 20)
    digits = (grid[:, _DIGITS] - np.uint8(ord("0"))).astype(np.int64)
    if (grid[:, _SIGNS] != _SIGN_CODES).any() or (digits > 9).any():
        return None
    # There are far fewer days than times, and only a day needs the calendar.
    days, place = np.unique(digits[:, :8] @ _DAY_WEIGHTS, return_inverse=True)
    midnights = np.array([read_day(f"{day // 10000:04}-{day // 100 % 100}-{day % 100}") for day in days.tolist()])
    hours, minutes, seconds = (digits[:, i] * 10 + digits[:, i + 1] for i in (8, 10, 12))
    if midnights.min() < 0 or hours.max() > 23 or minutes.max() > 59 or seconds.max() > 60:
        return None
    times: list[int] = (midnights[place] + hours * 3600 + minutes * 60 + seconds).tolist()
    return times


def is_day_first(days: Iterable[str], clocks: Iterable[str] = ()) -> bool:
    """Whether dates such as 3/4/25 are day/month: the order that fits all `days`.

    If both fit, the month comes first only in files whose `clocks` have AM and PM.
    """
    pairs = [[int(number) for number in _NUMBERS.findall(day)[:2]] for day in days]
    if any(pair[0] > 12 for pair in pairs if len(pair) == 2):
        return True
    if any(pair[1] > 12 for pair in pairs if len(pair) == 2):
        return False
    return not any(_AFTERNOON.search(clock) or _MORNING.search(clock) for clock in clocks)

"""The encoding of a text file, detected from its first bytes. Pure."""

from __future__ import annotations

import codecs
import re
from typing import Final

SAMPLE_BYTES: Final = 1 << 16
_MAX_ERROR_SHARE: Final = 0.01
_CONTROLS: Final = re.compile("[\x00-\x08\x0e-\x1a\x7f]")


def detect_encoding(sample: bytes) -> str | None:
    """The encoding by its byte order mark or by trial: UTF-8, UTF-16 or CP949. None if the sample is no text."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if sample.startswith(mark):
            return encoding
    if b"\0" in sample:
        return _utf16_without_mark(sample)
    # UTF-8 first: Korean in UTF-8 may also be valid CP949, but hardly ever the other way round.
    for encoding in ("utf-8", "cp949"):
        if _num_errors(sample, encoding) == 0:
            return encoding
    errors = {encoding: _num_errors(sample, encoding) for encoding in ("utf-8", "cp949")}
    best = min(errors, key=errors.__getitem__)
    return best if errors[best] <= len(sample) * _MAX_ERROR_SHARE else None


def _num_errors(sample: bytes, encoding: str) -> int:
    """How often the encoding fails. A character that the end of the sample cuts off does not count."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    return decoder.decode(sample, final=len(sample) < SAMPLE_BYTES).count("\ufffd") - sample.count("\ufffd".encode())


def _utf16_without_mark(sample: bytes) -> str | None:
    """UTF-16 text has spaces and line ends, whose zero bytes are all at even or all at odd offsets."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    for encoding, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        whole = sample[: len(sample) // 2 * 2]
        if others == 0 and zeros * 50 > len(sample) and _num_errors(whole, encoding) == 0:
            text = whole.decode(encoding, "ignore")
            if any(sign in text for sign in " \n") and not _CONTROLS.search(text):
                return encoding
    return None

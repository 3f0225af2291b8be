"""`data prepare`: what people bring, to cleaned documents. Nothing leaves the machine, and nothing of it is printed.

Writes into a folder, each file whole or not at all:
    train.jsonl     a line {"text": ...} a document
    textonly.txt    the same texts, for the tokenizer
    stats.json      what came in, what went out, what was replaced how often (never the originals)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tokenizer.clean.names import name_hider, names_from_users
from tokenizer.clean.readers import Message, read_messages
from tokenizer.clean.rules import clean
from tokenizer.errors import TextError
from tokenizer.files import whole_file, write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    messages: int
    documents: int
    empty: int
    characters: int
    users: int
    names: int
    replaced: dict[str, int]
    first_time: str | None
    last_time: str | None


def prepare(inputs: Sequence[Path], out: Path, given_names: Iterable[str] = ()) -> Stats:
    """Read all inputs twice (names first, then texts) and write the three files. Raises TextError."""
    if not inputs:
        raise TextError("nothing to prepare", "cellmindctl data prepare chat.csv --out data")
    # 1. Who speaks? Their names must be known before the first message is cleaned.
    users = {message.user for message in _all(inputs) if message.user}
    names = names_from_users(users, given_names)
    hide = name_hider(names)
    # 2. Clean message after message, with nothing but counts held in memory.
    out.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    messages = documents = characters = 0
    times: list[str] = []
    with ExitStack() as stack:
        jsonl = stack.enter_context(whole_file(out / "train.jsonl"))
        lines = stack.enter_context(whole_file(out / "textonly.txt"))
        for message in _all(inputs):
            messages += 1
            if message.time:
                times = [min([*times, message.time]), max([*times, message.time])]
            text = clean(message.text, hide, counts)
            if not text:
                continue
            documents += 1
            characters += len(text)
            jsonl.write(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n")
            lines.write(text.encode() + b"\n")
        if not documents:
            raise TextError("no text is left after cleaning", "are these the right files?")
    # 3. Say what was done.
    stats = Stats(
        messages=messages,
        documents=documents,
        empty=messages - documents,
        characters=characters,
        users=len(users),
        names=len(names),
        replaced=dict(sorted(counts.items())),
        first_time=times[0] if times else None,
        last_time=times[-1] if times else None,
    )
    write_whole(out / "stats.json", json.dumps(asdict(stats), ensure_ascii=False, indent=1).encode())
    return stats


def documents(paths: Iterable[Path]) -> Iterator[str]:
    """The texts of prepared files. Raises TextError."""
    for message in _all(list(paths)):
        if message.text:
            yield message.text


def _all(inputs: Sequence[Path]) -> Iterator[Message]:
    for path in inputs:
        yield from read_messages(path)

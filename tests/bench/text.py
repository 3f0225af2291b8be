"""Measures how fast a chat export becomes clean documents and then token shards, and how much memory that takes, beside
the guide's own loop with pandas. Then it checks the ids: round trips, and pure Python against sentencepiece.

    python -m tests.bench.text [--megabytes 1000] [--guide-megabytes 100] [--json FILE]

The chat is made from a seed, as KakaoTalk for macOS exports it (the guide's CSV). Half of it is generated sentences,
half is sentences of LibreOffice's help in Korean, from its Debian package, so that it has as many words as people use.
The disk needs five times its size. pandas comes with `pip install -c constraints.txt ".[bench]"`. The guide's loop is
measured on a part of the chat, because it holds everything in memory.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tests.bench.korean import help_texts
from tests.bench.results import Results
from tests.tokenizer.chats import EXTRAS, PARTICLES, people, sentence
from tests.tokenizer.test_pure import HARD
from tokenizer.byte_ranges import ByteRange
from tokenizer.corpus.prepared.jsonl import read_ranges
from tokenizer.corpus.prepared.split import prepared_split
from tokenizer.vocabulary.encoding import Encoder
from tokenizer.vocabulary.metrics import measure as measure_tokenizer
from tokenizer.vocabulary.pure import PureProcessor
from tokenizer.vocabulary.training import TokenizerSettings, train_tokenizer

BEGIN = (
    "import sys; from pathlib import Path\nif __name__ == '__main__':\n    source, out = map(Path, sys.argv[1:])\n    "
)
PREPARE = BEGIN + "from tokenizer.corpus.prepare import prepare\n    prepare([source], out)\n"
TRAIN = BEGIN + (
    "from tokenizer.text_size import suggest_vocab_size\n"
    "    from tokenizer.corpus.texts import read_texts, size_of\n"
    "    from tokenizer.vocabulary.training import TokenizerSettings, sample, train_tokenizer\n"
    "    size = size_of([source])\n"
    "    settings = TokenizerSettings(vocab_size=suggest_vocab_size(size))\n"
    "    out.write_bytes(train_tokenizer(sample(read_texts([source]), size), settings))\n"
)
ENCODE = BEGIN + (
    "from tokenizer.sharding.writing import write_shards\n"
    "    from tokenizer.corpus.prepared.split import prepared_split\n"
    "    write_shards(prepared_split([source]), (out.parent / 'chat.model').read_bytes(), 256, out)\n"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--guide-megabytes", type=int, default=100)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/text.json"))
    options = parser.parse_args()
    results = Results(options.json)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        help_ = help_texts(folder)
        size = write_chat(folder / "chat.csv", options.megabytes, help_)
        part = write_chat(folder / "part.csv", options.guide_megabytes, help_)

        def run(code: str, source: str, out: str, megabytes: int) -> dict[str, float]:
            (folder / "program.py").write_text(code)
            return measure(megabytes, str(folder / "program.py"), str(folder / source), str(folder / out))

        rows = {
            "`data prepare`": run(PREPARE, "chat.csv", "out", size),
            "`data prepare`, a part": run(PREPARE, "part.csv", "out2", part),
            "the guide's loop with pandas, that part": measure(
                part, "-m", "tests.bench.text_guide", str(folder / "part.csv")
            ),
        }
        (folder / "chat.csv").unlink()
        text = sum(part.size for part in ranges_of(folder / "out"))
        rows["training the tokenizer (on a sample of 40 MB)"] = run(TRAIN, "out", "chat.model", text)
        rows["encoding and packing"] = run(ENCODE, "out", "shards", text)
        rows["encoding again: nothing is new"] = run(ENCODE, "out", "shards", text)
        qualities = {"the chat": quality((folder / "chat.model").read_bytes(), list(some_texts(folder / "out")))}
        qualities["LibreOffice's help"] = quality(train_tokenizer(help_, TokenizerSettings()), help_)
    print(f"{results.about()}\n\n| way | MB | s | MB/s | most memory (MB) |\n|---|---|---|---|---|")
    for way, row in rows.items():
        print(f"| {way} | {row['megabytes']:.0f} | {row['seconds']:.1f} | {row['rate']:.1f} | {row['peak']:.0f} |")
    print(
        "\n| text | characters | pieces | characters a token | round trip | same ids in pure Python "
        "| sentencepiece MB/s | pure MB/s |\n|---|---|---|---|---|---|---|---|"
    )
    for what, q in qualities.items():
        print(
            f"| {what} | {q['characters']:,} | {q['vocab_size']:,} | {q['characters_per_token']:.2f} "
            f"| {q['round_trip_share']:.2%} | {q['same_share']:.2%} | {q['library_rate']:.1f} | {q['pure_rate']:.2f} |"
        )
    results.save({"speed": rows, "ids": qualities}, {})
    return 0


def ranges_of(folder: Path) -> list[ByteRange]:
    """All ranges of prepared documents: those to train on, then those held out."""
    split = prepared_split([folder])
    return [*split.train.values(), *split.held_out.values()]


def some_texts(folder: Path, characters: int = 1_200_000) -> Any:
    """Held-out documents, on which no tokenizer was trained."""
    for text in read_ranges(prepared_split([folder]).held_out.values()):
        yield text
        characters -= len(text)
        if characters < 0:
            return


def quality(model: bytes, texts: list[str]) -> dict[str, Any]:
    """Figures of the encoder on the texts, and how often the pure one gives the same ids there and on hard strings."""
    encoder, pure = Encoder(model), PureProcessor(model)
    metrics = measure_tokenizer(encoder, texts)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    started = time.monotonic()
    ids = [encoder.encode(text) for text in texts]
    between = time.monotonic()
    pure_ids = [pure.encode(text) for text in texts]
    ended = time.monotonic()
    same = sum(one == other for one, other in zip(ids, pure_ids, strict=True))
    same += sum(encoder.encode(text) == pure.encode(text) for text in HARD)
    return {
        "characters": sum(map(len, texts)),
        "vocab_size": metrics.vocab_size,
        "characters_per_token": metrics.characters_per_token,
        "byte_share": metrics.byte_share,
        "round_trip_share": metrics.round_trip_share,
        "same_share": same / (len(texts) + len(HARD)),
        "library_rate": megabytes / (between - started),
        "pure_rate": megabytes / (ended - between),
    }


def measure(size: int, *words: str) -> dict[str, float]:
    """Run a program: its time, and the peak memory (PSS) of it and its children."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    peak = 0
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        peak = max(peak, memory(watched))
        try:
            process.wait(1)  # a shorter interval would slow down the measured program
        except subprocess.TimeoutExpired:
            continue
    seconds = time.monotonic() - started
    assert process.returncode == 0
    return {"megabytes": size / 1e6, "seconds": seconds, "rate": size / 1e6 / seconds, "peak": peak / 1e6}


def memory(process: psutil.Process) -> int:
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return total


def write_chat(path: Path, megabytes: int, texts: list[str], seed: int = 1) -> int:
    """Write the chat of a group of twelve over years, from generated sentences and lines of the texts; its bytes."""
    generator = random.Random(seed)
    users = people(generator, 12)
    lines = sorted({line for text in texts for line in text.split("\n") if 4 <= len(line) <= 90 and '"' not in line})
    pool = [sentence(generator) for _ in range(len(lines))] + lines
    rare = [f"{user[1:]}{particle} {generator.choice(pool)}" for user in users for particle in PARTICLES]
    rare += [*EXTRAS, "사진", "동영상", "이모티콘", "010-1234-5678 로 전화해", "abc.def@naver.com 으로 보내"]
    now, size = datetime(2015, 1, 1, tzinfo=UTC).timestamp(), 0
    with open(path, "w", encoding="utf-8") as file:
        size += file.write("Date,User,Message\n")
        while size < megabytes * 1e6:
            rows = []
            for _ in range(10_000):
                now += generator.randrange(7200, 30_000) if generator.random() < 0.02 else generator.randrange(20)
                draw = generator.random()
                text = generator.choice(rare if draw > 0.85 else pool)
                if draw < 0.5:
                    text += f" {generator.choice(pool)}"
                rows.append(
                    f'{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S},"{generator.choice(users)}","{text}"\n'
                )
            block = "".join(rows)
            file.write(block)
            size += len(block.encode())
    return size


if __name__ == "__main__":
    sys.exit(main())

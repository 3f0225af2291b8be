"""How fast a chat export becomes clean documents, in how much memory; the guide's own loop with pandas beside it.

    python -m tests.bench.text [--megabytes 1000] [--guide-megabytes 100] [--json FILE]

The chat is made from a seed (KakaoTalk for macOS: the CSV that the guide has); needs 3 times its size of disk. pandas
comes with `pip install -c constraints.txt ".[bench]"`. The guide's loop is measured on a part, since it holds
everything in memory.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tests.bench.results import Results
from tests.tokenizer.chats import EXTRAS, PARTICLES, people, sentence

PREPARE = "import sys; from pathlib import Path; from tokenizer.prepare import prepare\n" + (
    "if __name__ == '__main__':\n"
    "    stats = prepare([Path(sys.argv[1])], Path(sys.argv[2]))\n"
    "    print(stats.messages, stats.documents + stats.held_out)\n"
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
        size = write_chat(folder / "chat.csv", options.megabytes)
        part = write_chat(folder / "part.csv", options.guide_megabytes)
        (folder / "prepare.py").write_text(PREPARE)
        rows = {
            "data prepare": measure(size, str(folder / "prepare.py"), str(folder / "chat.csv"), str(folder / "out")),
            "data prepare, the guide's part": measure(
                part, str(folder / "prepare.py"), str(folder / "part.csv"), str(folder / "out2")
            ),
            "the guide's loop with pandas": measure(part, "-m", "tests.bench.text_guide", str(folder / "part.csv")),
        }
    print(f"{results.about()}\n\n| way | MB | s | MB/s | most memory (MB) |\n|---|---|---|---|---|")
    for way, row in rows.items():
        print(f"| {way} | {row['megabytes']:.0f} | {row['seconds']:.1f} | {row['rate']:.1f} | {row['peak']:.0f} |")
    results.save(rows, {})
    return 0


def measure(size: int, *words: str) -> dict[str, float]:
    """A program of its own: its time, and the most memory (PSS) that it and its children had at once."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    peak = 0
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        peak = max(peak, memory(watched))
        time.sleep(0.2)
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


def write_chat(path: Path, megabytes: int, seed: int = 1) -> int:
    """A group of twelve over years; the bytes written."""
    generator = random.Random(seed)
    users = people(generator, 12)
    pool = [sentence(generator) for _ in range(50_000)]
    rare = [f"{user[1:]}{particle} {generator.choice(pool)}" for user in users for particle in PARTICLES]
    rare += [*EXTRAS, "사진", "동영상", "이모티콘", "010-1234-5678 로 전화해", "abc.def@naver.com 으로 보내"]
    now, size = datetime(2015, 1, 1, tzinfo=UTC).timestamp(), 0
    with open(path, "w", encoding="utf-8") as file:
        size += file.write("Date,User,Message\n")
        while size < megabytes * 1e6:
            lines = []
            for _ in range(10_000):
                now += generator.randrange(7200, 30_000) if generator.random() < 0.02 else generator.randrange(20)
                draw = generator.random()
                text = generator.choice(rare if draw > 0.85 else pool)
                if draw < 0.5:
                    text += f" {generator.choice(pool)}"
                lines.append(
                    f'{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S},"{generator.choice(users)}","{text}"\n'
                )
            block = "".join(lines)
            file.write(block)
            size += len(block.encode())
    return size


if __name__ == "__main__":
    sys.exit(main())

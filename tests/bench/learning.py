"""Measures how long one device trains until it has learnt a text so well, by the held-out loss: CellMind's automatic
recipe, version 0.1's recipe, and Hugging Face's `Trainer` with the best of several settings.

    python -m tests.bench.learning [--quick] [--minutes 45] [--limit-seconds 400] [--json FILE]

The text is a million characters of Korean from LibreOffice's help, and a tenth of it. The tokenizer, the packed rows
and the held-out rows are the same for all. Each run is a process of its own; its clock starts with the process, so it
counts imports, compiling and tuning, and stands while weights are judged. All are judged alike, in float32 on all
held-out rows. A run that takes longer than `--limit-seconds` is cut there, and the table says so; when `--minutes` are
over, runs that have not begun are left out, and the output says that, too.

`Trainer` (`pip install -c constraints.txt ".[bench]"`) trains three epochs in bf16 with fused AdamW and a cosine. It
gets the network that CellMind chooses and the reference network, its own batch of 8 rows and one of 32, three learning
rates, and torch.compile. Its best run counts at its best moment, as if it had kept that checkpoint.
"""

import argparse
import dataclasses
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.korean import help_texts
from tests.bench.learners import Setting
from tests.bench.results import Results
from tests.bench.shards import Shape
from tests.bench.watched import reports_of
from tokenizer.byte_ranges import ByteRange, file_size
from tokenizer.corpus.prepared.split import Split
from tokenizer.sharding.manifest import Manifest
from tokenizer.sharding.writing import write_shards
from tokenizer.text_size import suggest_vocab_size
from tokenizer.vocabulary.training import TokenizerSettings, train_tokenizer

SEQ_LEN = 256
HELD_OUT_SHARE = 0.05
RATES = (3e-4, 1e-3, 3e-3)
SEEDS = (1, 2, 3)
REFERENCE = Shape()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that has ended: (training seconds, held-out bits a byte) at each judgement."""

    setting: Setting
    points: tuple[tuple[float, float], ...]
    seconds: float
    epochs: float
    is_cut: bool
    network: str

    @property
    def best(self) -> float:
        return min(bits for _, bits in self.points)

    @property
    def last(self) -> float:
        return self.points[-1][1]

    def seconds_to(self, target: float) -> float | None:
        """When the loss first was at the target, between two judgements by a straight line; None if it never was."""
        earlier = self.points[0]
        if earlier[1] <= target:
            return earlier[0]
        for later in self.points[1:]:
            if later[1] <= target:
                share = (earlier[1] - target) / (earlier[1] - later[1])
                return earlier[0] + share * (later[0] - earlier[0])
            earlier = later
        return None

    def best_until(self, seconds: float) -> float | None:
        """The best loss in the first `seconds`; None if there was no judgement."""
        return min((bits for at, bits in self.points if at <= seconds), default=None)

    def describe(self) -> str:
        setting = self.setting
        if setting.way == "cellmind":
            return f"CellMind, {self.network}"
        if setting.way == "old":
            return f"version 0.1, {self.network}"
        return f"Trainer{', compiled' if setting.is_compiled else ''}, {self.network}, {setting.lr:g}"


class Bench:
    """Runs settings one after the other until the time is over. Remembers the runs, and what was left out."""

    def __init__(self, minutes: float, limit_seconds: float) -> None:
        self._until, self._limit_seconds = time.monotonic() + 60 * minutes, limit_seconds
        self.left_out: list[str] = []

    def run(self, folder: Path, setting: Setting) -> Run | None:
        left = self._until - time.monotonic()
        if left < 20:
            self.left_out.append(f"{folder.name}: {setting.to_json()}")
            return None
        setting = dataclasses.replace(setting, limit_seconds=min(self._limit_seconds, left))
        words = ["-m", "tests.bench.learners", setting.to_json(), str(folder), str(time.monotonic())]
        reports, _ = reports_of(words, {})
        (end,) = (one for one in reports if "end" in one)
        run = Run(
            setting=setting,
            points=tuple((one["seconds"], one["bits"]) for one in reports if "bits" in one),
            seconds=end["seconds"],
            epochs=end["epochs"],
            is_cut=end["is_cut"],
            network=f"{end['weights'] / 1e6:.1f} M weights, batch {end['batch_size']}",
        )
        print(f"{folder.name:<6}{run.describe():<60} {run.best:.3f} after {run.seconds:.0f} s", file=sys.stderr)
        return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="about three minutes: little text, small networks, one seed"
    )
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--limit-seconds", type=float, default=400.0)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/learning.json"))
    options = parser.parse_args()
    results = Results(options.json)
    results.warn_if_busy()
    characters, minutes, limit = (
        (60_000, 3.0, 25.0) if options.quick else (1_000_000, options.minutes, options.limit_seconds)
    )
    bench = Bench(minutes, limit)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = {
            label: make_text(folder / label, train, held_out)
            for label, (train, held_out) in texts_of(help_texts(folder), characters).items()
        }
        small = learn_small_text(bench, folder / "tenth")
        runs = learn_text(bench, folder / "whole", is_quick=options.quick)
    show(results, texts, runs, small, bench)
    as_plain = {"whole": list(map(dataclasses.asdict, runs)), "tenth": list(map(dataclasses.asdict, small))}
    results.save({"left_out": bench.left_out, "texts": texts}, as_plain)
    return 0


def texts_of(
    pages: Sequence[str], characters: int, held_out_share: float = HELD_OUT_SHARE
) -> dict[str, tuple[list[str], list[str]]]:
    """Pages to train on and pages held out, of about so many characters; the tenth has the same ones held out."""
    shuffled = sorted(pages)
    random.Random(1).shuffle(shuffled)
    held_out = _up_to(shuffled, characters * held_out_share)
    rest = shuffled[len(held_out) :]
    return {part: (_up_to(rest, size), held_out) for part, size in (("whole", characters), ("tenth", characters / 10))}


def make_text(
    folder: Path, train: Sequence[str], held_out: Sequence[str], seq_len: int = SEQ_LEN, vocab_size: int = 0
) -> dict[str, int]:
    """Write documents, a tokenizer, and packed shards. Returns the sizes. `vocab_size` 0: the product's own for this
    text."""
    folder.mkdir()
    files = {}
    for name, pages in (("train", train), ("held-out", held_out)):
        files[name] = folder / f"{name}.jsonl"
        files[name].write_text("".join(json.dumps({"text": page}, ensure_ascii=False) + "\n" for page in pages))
    sizes = {name: file_size(path) for name, path in files.items()}
    tokenizer = train_tokenizer(train, TokenizerSettings(vocab_size=vocab_size or suggest_vocab_size(sizes["train"])))
    (folder / "tokenizer.model").write_bytes(tokenizer)
    ranges = {name: {"0-0": ByteRange(path, 0, sizes[name])} for name, path in files.items()}
    manifest: Manifest = write_shards(Split(ranges["train"], ranges["held-out"]), tokenizer, seq_len, folder)
    return {
        "characters": sum(map(len, train)),
        "tokens": manifest.train.tokens,
        "rows": manifest.train.rows,
        "held_out_rows": manifest.held_out.rows,
        "vocab_size": manifest.vocab_size,
    }


def learn_text(bench: Bench, folder: Path, is_quick: bool) -> list[Run]:
    """The important runs first: those at the end are the first to be left out."""
    # 1. CellMind, and Trainer with the same network: the best learning rate, then other settings with it.
    ours = bench.run(folder, Setting(way="cellmind", limit_seconds=0))
    base = Setting(way="trainer", limit_seconds=0, batch_size=8)
    trainers = [bench.run(folder, dataclasses.replace(base, lr=lr)) for lr in (RATES[1:2] if is_quick else RATES)]
    lr = _best(trainers).setting.lr
    if not is_quick:
        trainers.append(bench.run(folder, dataclasses.replace(base, lr=lr, is_compiled=True)))
        trainers.append(bench.run(folder, dataclasses.replace(base, lr=lr, batch_size=32)))
    # 2. The other seeds of the best setting of both.
    again = [dataclasses.replace(_best(trainers).setting, seed=seed) for seed in SEEDS[1:]]
    more = [Setting(way="cellmind", seed=seed, limit_seconds=0) for seed in SEEDS[1:]]
    found = [ours, *trainers]
    for one, other in () if is_quick else zip(more, again, strict=True):
        found += [bench.run(folder, one), bench.run(folder, other)]
    # 3. The reference network in Trainer, and version 0.1, which trains that network in float32.
    if not is_quick:
        reference = {"d_model": REFERENCE.d_model, "nhead": REFERENCE.nhead, "num_layers": REFERENCE.num_layers}
        found.append(bench.run(folder, dataclasses.replace(base, lr=lr, is_compiled=True, **reference)))
    found.append(bench.run(folder, Setting(way="old", limit_seconds=0)))
    return [run for run in found if run is not None]


def learn_small_text(bench: Bench, folder: Path) -> list[Run]:
    """CellMind and version 0.1 on little text."""
    found = [bench.run(folder, Setting(way=way, limit_seconds=0)) for way in ("cellmind", "old")]
    return [run for run in found if run is not None]


def show(
    results: Results, texts: Mapping[str, Mapping[str, int]], runs: Sequence[Run], small: Sequence[Run], bench: Bench
) -> None:
    sizes = "{characters:,} characters, {tokens:,} tokens, vocabulary {vocab_size:,}, {held_out_rows} rows held out"
    print(f"{results.about()}\n\n{sizes.format(**texts['whole'])}\n")
    ours = [run for run in runs if run.setting.way == "cellmind"]
    trainers = [run for run in runs if run.setting.way == "trainer"]
    olds = [run for run in runs if run.setting.way == "old"]
    targets = {}
    if trainers:
        targets["the best of Trainer"] = statistics.median(run.best for run in _same_setting(trainers))
    if olds:
        targets["the best of version 0.1"] = olds[0].best
    columns = ["way", "seed", "epochs", "s", "best bits a byte", *(f"s to {value:.3f}" for value in targets.values())]
    print(f"| {' | '.join(columns)} |")
    print(f"|---|---|---|---|---|{'---|' * len(targets)}")
    for run in runs:
        times = [_seconds(run.seconds_to(target)) for target in targets.values()]
        took = f"{run.seconds:.0f}{' (cut)' if run.is_cut else ''}"
        cells = [run.describe(), str(run.setting.seed), f"{run.epochs:.1f}", took, f"{run.best:.3f}", *times]
        print(f"| {' | '.join(cells)} |")
    print()
    for what, target in targets.items():
        peers = olds if "0.1" in what else _same_setting(trainers)
        print(f"to {target:.3f} bits a byte, {what}: {compare(ours, peers, target)}")
    if small:
        print(f"\na tenth: {sizes.format(**texts['tenth'])}\n")
        print("| way | s | best | at the end | version 0.1 at the same time |\n|---|---|---|---|---|")
        old = next((run for run in small if run.setting.way == "old"), None)
        for run in small:
            same = old.best_until(run.seconds) if old else None
            print(f"| {run.describe()} | {run.seconds:.0f} | {run.best:.3f} | {run.last:.3f} | {_bits(same)} |")
    for setting in bench.left_out:
        print(f"left out, the time was over: {setting}")


def compare(ours: Sequence[Run], peers: Sequence[Run], target: float) -> str:
    """Medians over the seeds of the seconds to the target, and their ratio."""
    times = [[run.seconds_to(target) for run in some] for some in (ours, peers)]
    if not all(times) or any(None in some for some in times):
        return "not every run reached it"
    our_time, peer_time = (statistics.median(float(one or 0) for one in some) for some in times)
    seeds = f"{len(ours)} and {len(peers)} runs"
    return f"CellMind {our_time:.0f} s, the peer {peer_time:.0f} s ({seeds}): {peer_time / our_time:.1f} times as fast"


def _up_to(pages: Sequence[str], characters: float) -> list[str]:
    """The first pages, until there are so many characters."""
    found: list[str] = []
    for page in pages:
        if characters <= 0:
            break
        found.append(page)
        characters -= len(page)
    return found


def _best(runs: Sequence[Run | None]) -> Run:
    return min((run for run in runs if run is not None), key=lambda run: run.best)


def _same_setting(runs: Sequence[Run]) -> list[Run]:
    """All seeds of the setting of the best run."""
    best = dataclasses.replace(_best(runs).setting, seed=0, limit_seconds=0)
    return [run for run in runs if dataclasses.replace(run.setting, seed=0, limit_seconds=0) == best]


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"


def _bits(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(main())

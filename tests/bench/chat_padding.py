"""Measures what packing saves on chat: useful tokens a second of training on short messages, packed and padded.

    python -m tests.bench.chat_padding [--quick] [--rounds 5] [--json FILE]

Each generated message is a document. Packed rows come from the shards, as runs take them. Padded batches come from
`TextDataset` and `collate_fn` of `model/data.py` through PyTorch's `DataLoader`. Network, arithmetic, optimiser and the
number of messages are the same. A useful token is one that the loss counts. Packed and padded steps take turns.

A step has 32 rows in both. Since 32 messages are far fewer tokens than 32 packed rows, a third way pads as many
messages as give a batch about as many positions as the packed one has: it shows what padding alone costs.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from model.arithmetic.gpt import GPT, IGNORED
from model.arithmetic.optim import Optimizer
from model.config import Config, ModelConfig, TrainingConfig
from model.data import PackedData, TextDataset, collate_fn
from model.line.training import Span
from model.tuning.choice import Tuning
from model.tuning.race import race
from model.tuning.work import Work
from tests.bench.results import Results
from tests.tokenizer.chats import chat
from tokenizer.corpus.prepared.split import prepared_split
from tokenizer.sharding.writing import write_shards
from tokenizer.vocabulary.encoding import Encoder
from tokenizer.vocabulary.training import TokenizerSettings, train_tokenizer

GOAL = 4.0
SEQ_LEN, BATCH_ROWS, VOCAB_SIZE = 256, 32, 8000
Batches = Iterator[tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Some steps of one way."""

    seconds: float
    useful: int  # tokens that the loss counts
    positions: int  # tokens that the network computes

    @property
    def rate(self) -> float:
        return self.useful / self.seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tiny network and few messages")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/chat_padding.json"))
    options = parser.parse_args()
    results = Results(options.json)
    results.warn_if_busy()
    shape = ModelConfig(d_model=64, nhead=2, num_layers=2) if options.quick else ModelConfig()
    num_messages, seconds = (4_000, 1.0) if options.quick else (40_000, 6.0)
    config = Config(model=shape, training=TrainingConfig(batch_size=BATCH_ROWS))
    with tempfile.TemporaryDirectory() as name:
        ways, mean_tokens = make_batches(Path(name), num_messages)
        tuning = race(GPT(shape, VOCAB_SIZE), Work(seq_len=SEQ_LEN, own_rows=BATCH_ROWS), torch.get_num_threads())
        torch.set_num_threads(tuning.threads)
        takers = {way: taker(config, tuning, batches) for way, batches in ways.items()}
        rounds: list[dict[str, Stretch]] = []
        for number in range(options.rounds + 1):  # the first one allocates memory, and does not count
            found = {way: stretch(take, seconds if number else 0.5) for way, take in takers.items()}
            rounds += [found] if number else []
    figures = {way: figures_of([one[way] for one in rounds], [one["packed"] for one in rounds]) for way in ways}
    print(f"{results.about()}; messages of {mean_tokens:.1f} tokens; {tuning.describe()}\n")
    print("| way | useful tokens/s | of the computed tokens | packed to this |\n|---|---|---|---|")
    for way, row in figures.items():
        print("| {} | {rate:,.0f} | {share:.0%} | {ratio:.1f} |".format(way, **row))
    print(f"\ngoal: packed {GOAL:.1f} times as fast as padded")
    values = {way: [one[way].rate for one in rounds] for way in ways}
    results.save(figures, values, mean_tokens=mean_tokens)
    return 0


def make_batches(folder: Path, num_messages: int) -> tuple[dict[str, Batches], float]:
    """Endless batches of each way on the same messages, and the tokens of a message."""
    texts = [said.text for said in chat(seed=1, count=num_messages) if said.text]
    path = folder / "chat.jsonl"
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")
    tokenizer = train_tokenizer(texts, TokenizerSettings(vocab_size=VOCAB_SIZE))
    encoder = Encoder(tokenizer)
    manifest = write_shards(prepared_split([path]), tokenizer, SEQ_LEN, folder / "shards")
    files = [folder / "shards" / file.name for file in (*manifest.train.files, *manifest.held_out.files)]
    data = PackedData(manifest, files, seed=1)
    dataset = TextDataset(path, encoder, SEQ_LEN)
    lengths = [len(encoder.encode_document(text)) for text in texts[:2000]]
    # Messages that fill a packed batch when each is padded to the longest of so many.
    many = BATCH_ROWS * SEQ_LEN // (max(lengths) - 1)
    ways = {
        "packed": packed(data, manifest.train.rows),
        f"padded, {BATCH_ROWS} messages": padded(dataset, BATCH_ROWS, encoder.pad_id),
        f"padded, {many} messages": padded(dataset, many, encoder.pad_id),
    }
    return ways, statistics.mean(lengths)


def packed(data: PackedData, num_rows: int) -> Batches:
    """Epoch after epoch of packed rows."""
    for epoch in itertools.count():
        for start in range(0, num_rows - BATCH_ROWS + 1, BATCH_ROWS):
            batch = data.batch(Span(epoch=epoch, start=start, stop=start + BATCH_ROWS))
            yield batch.inputs, batch.targets


def padded(dataset: TextDataset, num_messages: int, pad_id: int) -> Batches:
    """Epoch after epoch of padded messages."""
    loader: Iterable[tuple[Tensor, Tensor]] = DataLoader(
        dataset,
        batch_size=num_messages,
        shuffle=True,
        drop_last=True,
        collate_fn=lambda documents: collate_fn(documents, pad_id),
        generator=torch.Generator().manual_seed(1),
    )
    while True:
        yield from loader


def taker(config: Config, tuning: Tuning, batches: Batches) -> Callable[[], tuple[int, int]]:
    """Takes one training step at each call, and returns its useful and its computed tokens.

    As many positions at once as the tuning found best, whatever the length of the rows.
    """
    torch.manual_seed(1)
    model = GPT(config.model, VOCAB_SIZE)
    model.compute_dtype = tuning.torch_dtype
    optimizer = Optimizer(model, config.training, tuning.torch_dtype)

    def take_step() -> tuple[int, int]:
        inputs, targets = next(batches)
        num_targets = int((targets != IGNORED).sum())
        rows = max(1, tuning.micro_batch * SEQ_LEN // inputs.shape[1])
        for part in zip(inputs.split(rows), targets.split(rows), strict=True):
            (model(*part) / num_targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(config.training.lr)
        return num_targets, targets.numel()

    return take_step


def stretch(take_step: Callable[[], tuple[int, int]], seconds: float) -> Stretch:
    """Steps until `seconds` have passed, at least two."""
    started = time.perf_counter()
    useful, positions, steps = 0, 0, 0
    while steps < 2 or time.perf_counter() - started < seconds:
        counted, computed = take_step()
        useful, positions, steps = useful + counted, positions + computed, steps + 1
    return Stretch(seconds=time.perf_counter() - started, useful=useful, positions=positions)


def figures_of(stretches: list[Stretch], packed_ones: list[Stretch]) -> dict[str, float]:
    """Medians over the rounds; `ratio` is packed to this way, each in its own round."""
    return {
        "rate": statistics.median(one.rate for one in stretches),
        "share": statistics.median(one.useful / one.positions for one in stretches),
        "ratio": statistics.median(ours.rate / one.rate for ours, one in zip(packed_ones, stretches, strict=True)),
    }


if __name__ == "__main__":
    sys.exit(main())

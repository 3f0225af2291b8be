"""The text that all ways of `tests.bench.wifi` train, as a project and as shards."""

from dataclasses import replace
from pathlib import Path

from model.line.held_out import MAX_HELD_OUT_ROWS
from tests.bench.churned_loss import first_characters
from tests.bench.judge import Judge
from tests.bench.korean import help_texts
from tests.bench.small_run import write_text
from tests.bench.wifi.run import Plan
from tests.bench.wifi.ways import SHAPE
from tests.bench.wifi.with_cellmind import TOKENIZER
from tokenizer.corpus.prepared.split import prepared_split
from tokenizer.sharding.manifest import MANIFEST
from tokenizer.sharding.writing import write_shards
from tokenizer.vocabulary.training import TokenizerSettings, train_tokenizer

_CHARACTERS = 3_000_000


def prepare(
    folder: Path, seconds: float, seed: int = 1, target: float | None = None, python: str = ""
) -> tuple[Path, Plan]:
    """The project with its text and tokenizer, and the same text as shards for the peers and the judge."""
    texts = first_characters(help_texts(folder), _CHARACTERS)
    project, data = write_text(folder / "project", texts, {}), folder / "data"
    split = prepared_split([project / "train.jsonl"])
    tokenizer = train_tokenizer(texts, TokenizerSettings(vocab_size=SHAPE.vocab_size))
    (project / TOKENIZER).write_bytes(tokenizer)
    data.mkdir()
    manifest = write_shards(split, tokenizer, SHAPE.seq_len, data)
    shape = replace(SHAPE, vocab_size=manifest.vocab_size)
    return project, Plan(
        data=data,
        judge=Judge(data / MANIFEST, shape),
        quick=Judge(data / MANIFEST, shape, MAX_HELD_OUT_ROWS),
        seconds=seconds,
        target=target,
        seed=seed,
        python=python,
    )

"""`python -m tokenizer`: train the tokenizer alone, with the guide's options."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tokenizer.encoding import Encoder
from tokenizer.errors import TextError
from tokenizer.texts import read_texts
from tokenizer.training import DEFAULT_VOCAB_SIZE, TokenizerSettings, train_tokenizer, vocab_size, write_tokenizer

_SAMPLE = 2000


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    settings = TokenizerSettings(
        vocab_size=options.vocab_size or DEFAULT_VOCAB_SIZE,
        model_type=options.model_type,
        character_coverage=options.character_coverage,
        is_strict=options.vocab_size is not None,
    )
    try:
        model = train_tokenizer(read_texts(options.input), settings)
        path = write_tokenizer(model, options.output_dir, options.model_prefix)
        print(f"{path}: {vocab_size(model)} pieces, {_measure(Encoder(model), options.input)}")
    except TextError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 1
    return 0


def _measure(encoder: Encoder, paths: list[Path]) -> str:
    """Characters a token and the share of texts that come back exactly, over the first texts."""
    characters = tokens = exact = texts = 0
    for text in read_texts(paths):
        ids = encoder.encode(text)
        characters, tokens, texts = characters + len(text), tokens + len(ids), texts + 1
        exact += encoder.decode(ids) == text
        if texts == _SAMPLE:
            break
    return f"{characters / max(1, tokens):.2f} characters a token, {exact}/{texts} texts round-trip"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tokenizer", description="Train a SentencePiece tokenizer on text.")
    parser.add_argument("--input", type=Path, nargs="+", required=True, metavar="FILE", help="text, CSV or JSONL")
    parser.add_argument("--model-prefix", default="tokenizer", metavar="NAME", help="writes NAME.model and NAME.vocab")
    parser.add_argument("--character-coverage", type=float, default=0.9995, metavar="X")
    parser.add_argument("--model-type", choices=["bpe", "unigram"], default="bpe")
    parser.add_argument(
        "--vocab-size", type=int, metavar="N", help="default: 8000, or fewer if the text has not so many"
    )
    parser.add_argument("--output-dir", type=Path, default=Path("tokenizer"), metavar="DIR")
    return parser


if __name__ == "__main__":
    sys.exit(main())

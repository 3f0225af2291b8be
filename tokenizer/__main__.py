"""`python -m tokenizer`: trains a tokenizer alone, with the options of the project's guide."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cellmind_agent.words import t
from tokenizer.corpus.texts import read_texts, size_of
from tokenizer.errors import TextError, UnreadableFileError
from tokenizer.text_size import suggest_vocab_size
from tokenizer.vocabulary.encoding import Encoder
from tokenizer.vocabulary.leaks import describe_leaks, find_leaks
from tokenizer.vocabulary.metrics import describe_metrics, measure
from tokenizer.vocabulary.training import TokenizerSettings, sample, train_tokenizer, write_tokenizer


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        size = size_of(options.input)
        settings = TokenizerSettings(
            vocab_size=options.vocab_size or suggest_vocab_size(size),
            model_type=options.model_type,
            character_coverage=options.character_coverage,
            is_strict=options.vocab_size is not None,
        )
        model = train_tokenizer(sample(read_texts(options.input), size), settings)
        path = write_tokenizer(model, options.output_dir, options.model_prefix)
        encoder = Encoder(model)
        metrics = measure(encoder, read_texts(options.input))
        pieces = t("{path}: {count} pieces", path=path, count=f"{encoder.vocab_size:,}")
        print(f"{pieces}\n{describe_metrics(metrics, t)}")
        folders = {path if path.is_dir() else path.parent for path in options.input}
        warning = describe_leaks(find_leaks(encoder, sorted(folders)), t)
        if warning:
            print(t("warning: {what}", what=warning), file=sys.stderr)
    except TextError as error:
        print(t("error: {message}", message=t(error.message, **error.fields)), file=sys.stderr)
        print(t("hint: {hint}", hint=t(error.hint, **error.fields)), file=sys.stderr)
        return 2 if isinstance(error, UnreadableFileError) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tokenizer", description=t("Train a SentencePiece tokenizer on text.")
    )
    parser.add_argument("--input", type=Path, nargs="+", required=True, metavar="FILE", help=t("text, CSV or JSONL"))
    parser.add_argument(
        "--model-prefix", default="tokenizer", metavar="NAME", help=t("writes NAME.model and NAME.vocab")
    )
    parser.add_argument("--character-coverage", type=float, default=0.9995, metavar="X")
    parser.add_argument("--model-type", choices=["bpe", "unigram"], default="bpe")
    parser.add_argument("--vocab-size", type=int, metavar="N", help=t("default: depends on the size of the text"))
    parser.add_argument("--output-dir", type=Path, default=Path("tokenizer"), metavar="DIR")
    return parser


if __name__ == "__main__":
    sys.exit(main())

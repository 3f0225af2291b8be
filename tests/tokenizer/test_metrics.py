"""Measuring a tokenizer, and finding hidden names and private data in its vocabulary."""

from pathlib import Path

import pytest

from tests.tokenizer.test_shards import write_lines
from tokenizer.corpus.cleaning.names import possible_names
from tokenizer.corpus.prepare import PrepareOptions, prepare
from tokenizer.corpus.prepared.jsonl import read_documents
from tokenizer.text_size import suggest_vocab_size
from tokenizer.vocabulary.encoding import Encoder
from tokenizer.vocabulary.leaks import describe_leaks, find_leaks
from tokenizer.vocabulary.metrics import measure
from tokenizer.vocabulary.training import TokenizerSettings, sample, train_tokenizer

CHAT = [
    f"{verb} {noun} 먹자 ㅋㅋㅋ" for verb in ("오늘", "내일", "어제") for noun in ("점심", "저녁", "간식", "라면")
] * 30


def test_metrics_agree_with_the_ids() -> None:
    encoder = Encoder(train_tokenizer(CHAT, TokenizerSettings(vocab_size=400)))
    texts = ["오늘 점심 먹자 ㅋㅋㅋ", "뷁 먹자\n오늘"]
    ids = [encoder.encode(text) for text in texts]
    metrics = measure(encoder, texts)
    assert metrics.texts == 2
    assert metrics.characters == sum(map(len, texts))
    assert metrics.tokens == sum(map(len, ids))
    assert metrics.characters_per_token == metrics.characters / metrics.tokens
    assert metrics.byte_share == 3 / metrics.tokens  # 뷁 in UTF-8; a line feed does not count
    assert metrics.round_trip_share == 1
    assert metrics.used_share == len({number for row in ids for number in row}) / encoder.vocab_size


def test_hidden_names_are_no_pieces_and_leaked_names_are_reported(tmp_path: Path) -> None:
    """A tokenizer trained on the raw text learns the name; one trained on the cleaned text does not."""
    rows = [f'2025-01-01 10:{i % 60:02}:00,"홍길동","길동이가 {text}"' for i, text in enumerate(CHAT)]
    raw = tmp_path / "chat.csv"
    raw.write_text("Date,User,Message\n" + "\n".join(rows) + "\n")
    prepare([raw], tmp_path / "out")
    clean = Encoder(
        train_tokenizer(read_documents(tmp_path / "out" / "train.jsonl"), TokenizerSettings(vocab_size=400))
    )
    leaky = Encoder(train_tokenizer([f"길동이가 {text}" for text in CHAT], TokenizerSettings(vocab_size=400)))
    assert find_leaks(clean, [tmp_path / "out"]).names == ()
    found = find_leaks(leaky, [tmp_path / "out"])
    assert {leaky.piece(number).strip("\u2581") for number in found.names} & {"길동", "길동이", "길동이가"}
    said = describe_leaks(found)
    assert "hidden name" in said
    assert "길동" not in said
    assert find_leaks(leaky, [tmp_path]).names == ()
    assert describe_leaks(find_leaks(clean, [tmp_path / "out"])) == ""


def test_names_that_the_user_keeps_are_no_leaks(tmp_path: Path) -> None:
    rows = [f'2025-01-01 10:{i % 60:02}:00,"홍길동","길동이가 {text}"' for i, text in enumerate(CHAT)]
    (tmp_path / "chat.csv").write_text("Date,User,Message\n" + "\n".join(rows) + "\n")
    prepare([tmp_path / "chat.csv"], tmp_path / "out", PrepareOptions(keeps_names=True))
    cleaned = read_documents(tmp_path / "out" / "train.jsonl")
    encoder = Encoder(train_tokenizer(cleaned, TokenizerSettings(vocab_size=400)))
    assert any("길동" in encoder.piece(number) for number in range(encoder.vocab_size))
    assert find_leaks(encoder, [tmp_path / "out"]).names == ()


def test_a_name_is_recognised_with_particles_after_it() -> None:
    assert "길동" in possible_names("길동이가")
    assert "길동" in possible_names("길동씨한테")
    assert "길동" not in possible_names("길동무")


def test_a_piece_that_is_a_phone_number_is_reported(tmp_path: Path) -> None:
    class Foreign(Encoder):
        """A tokenizer that another program trained, without split digits."""

        def piece(self, number: int) -> str:
            return "\u2581010-1234-5678" if number == 300 else super().piece(number)

    encoder = Foreign(train_tokenizer(CHAT, TokenizerSettings(vocab_size=400)))
    assert find_leaks(encoder, [tmp_path]).private == (300,)


@pytest.mark.parametrize(
    ("size", "least", "most"), [(0, 2000, 2000), (1_400_000, 5000, 5000), (10**12, 16_000, 16_000)]
)
def test_more_text_suggests_more_pieces(size: int, least: int, most: int) -> None:
    assert least <= suggest_vocab_size(size) <= most
    assert suggest_vocab_size(size) <= suggest_vocab_size(size * 3 + 1)


def test_a_sample_is_spread_over_the_text_and_the_same_each_time() -> None:
    assert list(sample(map(str, range(10)), 120_000_000)) == ["0", "3", "6", "9"]
    assert list(sample(map(str, range(10)), 1000)) == [str(i) for i in range(10)]


def test_the_texts_of_a_prepared_folder_are_its_documents_to_train_on(tmp_path: Path) -> None:
    from tokenizer.corpus.texts import read_texts

    prepare([write_lines(tmp_path / "a.jsonl", CHAT)], tmp_path / "out")
    assert list(read_texts([tmp_path / "out"])) == list(read_documents(tmp_path / "out" / "train.jsonl"))

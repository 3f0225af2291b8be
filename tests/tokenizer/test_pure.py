"""The pure-Python encoder and sentencepiece agree on every text; damaged files are refused."""

import subprocess
import sys
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from tests.tokenizer.chats import chat
from tokenizer.errors import TextError
from tokenizer.vocabulary.encoding import Encoder
from tokenizer.vocabulary.pure import PureProcessor
from tokenizer.vocabulary.training import TokenizerSettings, train_tokenizer, write_tokenizer

TEXTS = [one.text for one in chat(seed=11, count=4_000) if one.kind == "text"]
MODEL = train_tokenizer(TEXTS, TokenizerSettings(vocab_size=1500))
LIBRARY = sentencepiece.SentencePieceProcessor(model_proto=MODEL)
PURE = PureProcessor(MODEL)
HARD = [
    *("", " ", "   ", "a  b", "  앞", "뒤  ", "\n\n x\n", "\t\t", "\0"),
    *("<NAME>아 <PHOTO>", "<NAME><NAME>", "<PHO", "<|start|>", "<unk>", "<0x41>", "a<URL>b  <EMAIL>c"),
    *("\u2581", "\u2581\u2581a \u2581", "뷁힣갉", "👨‍👩‍👧‍👦", "ㅋㅋㅋㅋㅋㅋㅋ", "0123456789", "가" * 500, "a" * 3000),
    *("e\u0301", "\u202e\u2066", "１２３①", "한\u1112\u1161\u11ab", "\U0010ffff"),
]


def same(text: str) -> None:
    ids = LIBRARY.encode(text)
    assert PURE.encode(text) == ids
    assert PURE.decode(ids) == LIBRARY.decode(ids)


@pytest.mark.parametrize("text", HARD, ids=ascii)
def test_hard_texts_have_the_same_ids(text: str) -> None:
    same(text)


def test_a_chat_has_the_same_ids_and_round_trips() -> None:
    for text in TEXTS:
        same(text)
        assert PURE.decode(PURE.encode(text)) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_has_the_same_ids(text: str) -> None:
    same(text)


@given(st.text(alphabet="가나다 ㅋ<NAME>\n12 오늘점심", max_size=80))
def test_any_text_of_pieces_has_the_same_ids(text: str) -> None:
    same(text)


@given(st.integers(0, len(MODEL) - 1))
def test_a_truncated_model_is_refused_or_has_fewer_pieces(length: int) -> None:
    try:
        pure = PureProcessor(MODEL[:length])
    except ValueError:
        return
    assert pure.vocab_size() <= PURE.vocab_size()


def test_another_kind_of_tokenizer_is_refused() -> None:
    with pytest.raises(ValueError, match="another kind"):
        PureProcessor(train_tokenizer(TEXTS, TokenizerSettings(vocab_size=600, model_type="unigram")))
    with pytest.raises(TextError):
        Encoder(b"nonsense")


def test_the_encoder_works_without_the_library(tmp_path: Path) -> None:
    path = write_tokenizer(MODEL, tmp_path, "chat")
    code = (
        "import sys; sys.modules['sentencepiece'] = None\n"
        "from pathlib import Path; from tokenizer.vocabulary.encoding import load_encoder\n"
        "encoder = load_encoder(Path(sys.argv[1])); decoder = encoder.stream_decoder()\n"
        "ids = encoder.encode_document(sys.argv[2]); print(ids)\n"
        "print(''.join(map(decoder.push, ids)) + decoder.finish())"
    )
    text = "오늘 점심 뷁 ㅋㅋㅋ <NAME>"
    done = subprocess.run([sys.executable, "-c", code, str(path), text], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [str(Encoder(MODEL).encode_document(text)), text], done.stderr

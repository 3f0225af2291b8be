"""Files in, documents out; what is wrong with a file is said, and nothing half-written is left."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tokenizer.clean.readers import read_messages
from tokenizer.errors import TextError
from tokenizer.prepare import documents, prepare

CSV = """Date,User,Message
2022-10-30 10:35:01,"강길동","이태원 가서 다친 분들 없겠지 여긴????"
2022-10-30 10:35:32,"김YY","없을걸? 길동이가 그랬어"
2022-10-30 10:37:48,"강길동","여러 줄
메시지, 쉼표도"
2022-10-30 10:37:53,"강길동","   "
"""


def test_a_group_chat_becomes_three_files(tmp_path: Path) -> None:
    source, out = tmp_path / "chat.csv", tmp_path / "out"
    source.write_text("\ufeff" + CSV)
    stats = prepare([source], out, ["철수"])
    texts = [json.loads(line)["text"] for line in (out / "train.jsonl").read_text().splitlines()]
    assert texts == ["이태원 가서 다친 분들 없겠지 여긴????", "없을걸? <NAME>이가 그랬어", "여러 줄\n메시지, 쉼표도"]
    assert (out / "textonly.txt").read_text() == "\n".join(texts) + "\n"
    written = json.loads((out / "stats.json").read_text())
    assert (written["messages"], written["documents"], written["empty"], written["users"]) == (4, 3, 1, 2)
    assert written["first_time"] == "2022-10-30T10:35:01"
    assert written["replaced"] == stats.replaced == {"<NAME>": 1}
    assert "길동" not in (out / "stats.json").read_text()


def test_text_and_jsonl_are_read_too(tmp_path: Path) -> None:
    text, jsonl = tmp_path / "a.txt", tmp_path / "b.jsonl"
    text.write_text("하나\n\n둘\n")
    jsonl.write_text('{"text": "셋"}\n\n{"text": "넷", "extra": 1}\n')
    prepare([text, jsonl], tmp_path / "out")
    assert list(documents([tmp_path / "out" / "train.jsonl"])) == ["하나", "둘", "셋", "넷"]


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("none.csv", None, "does not exist"),
        ("empty.csv", b"", "is empty"),
        ("blank.txt", b" \n\n", "is empty"),
        ("binary.txt", b"ab\0cd", "not text but binary"),
        ("cp949.txt", "안녕".encode("cp949"), "not UTF-8"),
        ("columns.csv", b"a,b,c\n1,2,3\n", "no column date, user, message"),
        ("short.csv", b"Date,User,Message\n2022-01-01,x\n", "2 columns instead of 3"),
        ("bad.jsonl", b'{"text": "a"}\n{"txt": "b"}\n', "line 2"),
        ("type.jsonl", b'{"text": 5}\n', "no string"),
        ("deep.jsonl", b"[" * 100_000 + b"\n", "line 1"),
        ("media.txt", b"( )\n", "no text is left"),
    ],
)
def test_bad_files_are_named_and_leave_nothing(tmp_path: Path, name: str, contents: bytes | None, message: str) -> None:
    source = tmp_path / name
    if contents is not None:
        source.write_bytes(contents)
    out = tmp_path / "out"
    with pytest.raises(TextError, match=message) as caught:
        prepare([source], out)
    assert caught.value.hint
    assert not out.exists() or list(out.iterdir()) == []


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="is a folder"):
        list(read_messages(tmp_path))


def test_an_earlier_result_survives_a_bad_second_run(tmp_path: Path) -> None:
    good, bad, out = tmp_path / "good.txt", tmp_path / "bad.jsonl", tmp_path / "out"
    good.write_text("좋은 글\n")
    bad.write_text('{"text": "a"}\nnonsense\n')
    prepare([good], out)
    with pytest.raises(TextError):
        prepare([bad], out)
    assert list(documents([out / "train.jsonl"])) == ["좋은 글"]
    assert sorted(path.name for path in out.iterdir()) == ["stats.json", "textonly.txt", "train.jsonl"]


def test_the_guides_command_trains_a_tokenizer(tmp_path: Path) -> None:
    text = tmp_path / "textonly.txt"
    text.write_text("안녕하세요 반갑습니다\n오늘 날씨가 좋네요 ㅋㅋㅋㅋ\n" * 50)
    command = [sys.executable, "-m", "tokenizer", "--input", str(text), "--model-prefix", "minigpt"]
    options = ["--character-coverage", "0.98", "--model-type", "bpe", "--output-dir", str(tmp_path / "tokenizer")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "tokenizer").iterdir()) == ["minigpt.model", "minigpt.vocab"]
    assert "100/100 texts round-trip" in done.stdout


def test_a_vocabulary_larger_than_the_text_allows_is_an_error_where_it_was_asked_for(tmp_path: Path) -> None:
    text = tmp_path / "textonly.txt"
    text.write_text("안녕하세요\n")
    command = [sys.executable, "-m", "tokenizer", "--input", str(text), "--output-dir", str(tmp_path / "out")]
    done = subprocess.run([*command, "--vocab-size", "8000"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "error: the text allows" in done.stderr
    assert "hint: --vocab-size" in done.stderr
    assert not (tmp_path / "out").exists()

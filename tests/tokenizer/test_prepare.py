"""`prepare` turns files into documents, names what is wrong with a file, and leaves nothing half-written."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import psutil
import pytest

from tests.tokenizer.chats import EXPORTS, chat, kakao_android, kakao_windows
from tokenizer.corpus.prepare import PrepareOptions, prepare
from tokenizer.corpus.prepared.jsonl import read_documents
from tokenizer.errors import TextError

CSV = """Date,User,Message
2022-10-30 10:35:01,"강길동","이태원 가서 다친 분들 없겠지 여긴????"
2022-10-30 10:35:32,"김YY","없을걸? 길동이가 그랬어"
2022-10-30 10:37:48,"강길동","여러 줄
메시지, 쉼표도"
2022-10-30 10:37:53,"강길동","   "
2022-10-30 18:00:00,"김YY","저녁 먹자"
"""
FILES = [
    "held-out.jsonl",
    "index.bin",
    "lengths-and-days.png",
    "names.json",
    "stats.json",
    "summary.md",
    "textonly.txt",
    "train.jsonl",
]


def texts_of(out: Path, name: str = "train.jsonl") -> list[str]:
    return list(read_documents(out / name))


def test_a_group_chat_becomes_documents(tmp_path: Path) -> None:
    source, out = tmp_path / "chat.csv", tmp_path / "out"
    source.write_text("\ufeff" + CSV)
    stats = prepare([source], out, PrepareOptions(given_names=("철수",)))
    first = "이태원 가서 다친 분들 없겠지 여긴????\n없을걸? <NAME>이가 그랬어\n여러 줄\n메시지, 쉼표도"
    assert texts_of(out) == [first]
    assert texts_of(out, "held-out.jsonl") == ["저녁 먹자"]
    assert json.loads((out / "train.jsonl").read_text())["time"] == "2022-10-30T10:35:01"
    assert (out / "textonly.txt").read_text() == first + "\n"
    written = json.loads((out / "stats.json").read_text())
    assert [written[key] for key in ("messages", "documents", "held_out", "empty", "users")] == [5, 1, 1, 1, 2]
    assert (written["first_time"], written["last_time"]) == ("2022-10-30T10:35:01", "2022-10-30T18:00:00")
    assert written["replaced"] == stats.replaced == {"<NAME>": 1}
    for name in FILES:
        assert "길동" not in (out / name).read_text(errors="replace")


def test_options_for_turns_names_and_gaps_apply(tmp_path: Path) -> None:
    source, out = tmp_path / "chat.csv", tmp_path / "out"
    source.write_text(CSV)
    prepare([source], out, PrepareOptions(keeps_names=True, has_turns=True, gap_seconds=86400))
    everything = "\n".join(texts_of(out) + texts_of(out, "held-out.jsonl"))
    assert everything.split("\n") == [
        "A: 이태원 가서 다친 분들 없겠지 여긴????",
        "B: 없을걸? 길동이가 그랬어",
        "A: 여러 줄",
        "메시지, 쉼표도",
        "B: 저녁 먹자",
    ]


def test_text_and_jsonl_are_read_too(tmp_path: Path) -> None:
    text, jsonl = tmp_path / "a.txt", tmp_path / "b.jsonl"
    text.write_text("하나\n\n둘\n")
    jsonl.write_text('{"text": "셋"}\n\n{"text": "넷", "extra": 1}\n')
    prepare([text, jsonl], tmp_path / "out")
    assert texts_of(tmp_path / "out") == ["하나", "셋"]
    assert texts_of(tmp_path / "out", "held-out.jsonl") == ["둘", "넷"]


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("none.csv", None, "does not exist"),
        ("empty.csv", b"", "is empty"),
        ("blank.txt", b" \n\n", "is empty"),
        ("binary.txt", b"ab\0cd\xff\xfe", "not text but binary"),
        ("koi8.txt", "приветприветпривет".encode("koi8-r") + b"\xff\xff", "no encoding known here"),
        ("columns.csv", b"a,b,c\n1,2,3\n", "no column date, user, message"),
        ("short.csv", b"Date,User,Message\n2022-01-01,x\n", "2 columns instead of 3"),
        ("head.csv", b"Date,User,Message\n", "no message was found"),
        ("type.jsonl", b'{"text": 5}\n', "whose text is no string"),
        ("deep.jsonl", b"[" * 100_000 + b"\n", "lines without"),
        ("other.json", b'{"a": {"b": 1}}', "JSON of no kind"),
        ("media.txt", b"( )\n", "no text is left"),
        ("bad.zip", b"PK\x03\x04nonsense", "no readable zip"),
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
    assert [path for path in tmp_path.iterdir() if path != source] == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_are_detected(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "chat.txt").write_bytes("안녕하세요 반갑습니다\r\n\r\n잘 지내시죠? 네, 그럼요\r\n".encode(encoding))
    stats = prepare([tmp_path / "chat.txt"], tmp_path / "out")
    assert texts_of(tmp_path / "out") == ["안녕하세요 반갑습니다"]
    assert stats.skipped == {}


def test_damaged_records_are_counted_and_the_others_are_kept(tmp_path: Path) -> None:
    """A bad line of JSONL, a row with too few cells, and half a character are counted; nothing else is lost."""
    (tmp_path / "a.jsonl").write_text('{"text": "하나"}\n{"txt": "둘"}\nnonsense\n{"text": "셋"}\n')
    (tmp_path / "b.csv").write_text("time,text\n2024-01-01,넷\n다섯\n2024-01-02,여섯\n")
    (tmp_path / "c.txt").write_bytes(("일곱 " * 100).encode() + "끝".encode()[:2])
    stats = prepare([tmp_path], tmp_path / "out")
    assert stats.skipped == {
        'lines without {"text": ...}': 2,
        "rows of 1 columns instead of 2": 1,
        "damaged characters": 1,
    }
    everything = texts_of(tmp_path / "out") + texts_of(tmp_path / "out", "held-out.jsonl")
    assert sorted(everything) == sorted(["하나", "셋", "넷", "여섯", ("일곱 " * 100).strip()])


def test_folders_and_zips_are_read_and_zip_bombs_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "a.txt").write_text("첫째 글\n")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "link.txt").symlink_to("/etc/passwd")
    with zipfile.ZipFile(folder / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../chat.txt", "둘째 글\n")
        archive.writestr("bomb.txt", b"a" * (32 << 20))
        archive.writestr("nested.zip", b"PK")
        archive.writestr("empty.txt", "")
    stats = prepare([folder], tmp_path / "out")
    everything = texts_of(tmp_path / "out") + texts_of(tmp_path / "out", "held-out.jsonl")
    assert sorted(everything) == ["둘째 글", "첫째 글"]
    why = {Path(skip["name"]).name.rpartition(":")[2]: skip["why"] for skip in stats.batches[0].left_alone}
    assert sorted(why) == ["bomb.txt", "empty.txt", "link.txt", "nested.zip", "photo.jpg"]
    assert "no chat does" in why["bomb.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exports", "out"]


@pytest.mark.parametrize(
    "hostile",
    [
        "(.*)+$",
        "../../etc/passwd",
        "a" * 200_000,
        "\u202e뒤집힌\u2066글",
        "<NAME><|endoftext|>",
        "name\x00\x1b[31m",
        '","',
        "] [오전 1:00] ",
    ],
)
def test_hostile_names_and_texts_are_treated_as_text(tmp_path: Path, hostile: str) -> None:
    rows = [{"date": f"2024-01-0{i}", "user": hostile, "text": f"{hostile} 말 {i}"} for i in range(1, 4)]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepare([tmp_path / "chat.jsonl"], tmp_path / "out")
    texts = texts_of(tmp_path / "out") + texts_of(tmp_path / "out", "held-out.jsonl")
    assert len(texts) == 3
    assert not any(character in text for text in texts for character in "\x00\x1b\u202e\u2066")


def test_a_folder_that_holds_its_own_result_can_be_prepared_again(tmp_path: Path) -> None:
    (tmp_path / "chat.txt").write_text(kakao_windows(chat(seed=1, count=300)))
    once = prepare([tmp_path], tmp_path / "out")
    again = prepare([tmp_path], tmp_path / "out")
    assert (again.messages, again.documents) == (once.messages, once.documents)
    assert [left["why"] for left in again.batches[0].left_alone] == ["it holds text that was prepared already"]


def test_one_line_of_ten_megabytes_is_split(tmp_path: Path) -> None:
    (tmp_path / "line.txt").write_text("".join(f"{i * 7919 % 899_981:06d} " for i in range(1_500_000)))
    prepare([tmp_path / "line.txt"], tmp_path / "out")
    texts = texts_of(tmp_path / "out")
    assert len(texts) > 2000
    assert max(map(len, texts)) <= 4000


def test_an_export_that_breaks_off_is_read_to_its_end(tmp_path: Path) -> None:
    whole = EXPORTS["telegram"][2](chat(seed=1, count=200))
    (tmp_path / "result.json").write_text(whole[: len(whole) // 2])
    stats = prepare([tmp_path / "result.json"], tmp_path / "out")
    assert 50 < stats.messages < 150
    assert stats.skipped["files that break off, or go on as no JSON"] == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp949"])
def test_a_json_export_is_read_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    whole = EXPORTS["telegram"][2](chat(seed=1, count=200))
    totals = []
    for name, written in (("plain", whole.encode()), ("other", whole.encode(encoding, "replace"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_bytes(written)
        stats = prepare([tmp_path / name / "result.json"], tmp_path / f"{name}-out")
        totals.append((stats.messages, stats.users, stats.skipped))
    assert totals[0] == totals[1]


def test_an_export_in_a_damaged_zip_is_read_to_the_damage(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("result.json", EXPORTS["telegram"][2](chat(seed=1, count=2000)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = b"\xff" * 64
    path.write_bytes(data)
    stats = prepare([path], tmp_path / "out")
    assert 100 < stats.messages < 1900
    assert sum(count for reason, count in stats.skipped.items() if "break off" in reason) == 1


def test_an_earlier_result_stays_if_a_later_run_fails(tmp_path: Path) -> None:
    good, bad, out = tmp_path / "good.txt", tmp_path / "bad.jsonl", tmp_path / "out"
    good.write_text("좋은 글\n")
    bad.write_text('{"text": 5}\nnonsense\n')
    prepare([good], out)
    with pytest.raises(TextError):
        prepare([bad], out)
    assert texts_of(out) == ["좋은 글"]
    assert sorted(path.name for path in out.iterdir()) == FILES


def test_a_later_export_adds_only_what_is_new(tmp_path: Path) -> None:
    """The same room is exported again a month later, and its last conversation continues."""
    said = chat(seed=5, count=3_000)
    (tmp_path / "one.txt").write_text(kakao_android(said[:2_000]))
    (tmp_path / "two.txt").write_text(kakao_android(said))
    first = prepare([tmp_path / "one.txt"], tmp_path / "out")
    before = (tmp_path / "out" / "train.jsonl").read_bytes()
    with pytest.raises(TextError, match="there already"):
        prepare([tmp_path / "one.txt"], tmp_path / "out", PrepareOptions(is_append=True))
    second = prepare([tmp_path / "two.txt"], tmp_path / "out", PrepareOptions(is_append=True))
    assert (tmp_path / "out" / "train.jsonl").read_bytes().startswith(before)
    assert len(second.batches) == 2
    assert second.batches[0] == first.batches[0]
    whole = prepare([tmp_path / "two.txt"], tmp_path / "whole")
    assert second.batches[1].duplicates["continued"] == 1
    assert abs(second.characters - whole.characters) <= 2
    in_all = texts_of(tmp_path / "out") + texts_of(tmp_path / "out", "held-out.jsonl")
    at_once = texts_of(tmp_path / "whole") + texts_of(tmp_path / "whole", "held-out.jsonl")
    assert sorted("\n".join(in_all).split("\n")) == sorted("\n".join(at_once).split("\n"))


def test_exact_and_near_duplicates_are_left_out(tmp_path: Path) -> None:
    said = [one for one in chat(seed=9, count=400) if one.kind == "text"]
    text = "\n".join(one.text for one in said[:60])
    other = "\n".join(one.text for one in said[60:120])
    near = text.replace(said[5].text, "한 줄만 다르다", 1)
    rows = [text, other, text, near]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    stats = prepare([tmp_path / "a.jsonl"], tmp_path / "out")
    assert stats.duplicates == {"continued": 0, "exact": 1, "near": 1}


def test_many_blocks_give_the_same_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversations and days stay whole, even if a file is cut in the middle of them."""
    (tmp_path / "chat.txt").write_text(kakao_windows(chat(seed=2, count=3_000)))
    once = prepare([tmp_path / "chat.txt"], tmp_path / "once", PrepareOptions(has_turns=True))
    monkeypatch.setattr("tokenizer.corpus.input.cutting.RANGE_BYTES", 5_000)
    monkeypatch.setattr("tokenizer.corpus.input.cutting._READ_AHEAD_BYTES", 500)
    often = prepare([tmp_path / "chat.txt"], tmp_path / "often", PrepareOptions(has_turns=True))
    assert (tmp_path / "once" / "train.jsonl").read_bytes() == (tmp_path / "often" / "train.jsonl").read_bytes()
    assert once.replaced == often.replaced


def test_the_guides_command_trains_a_tokenizer(tmp_path: Path) -> None:
    text = tmp_path / "textonly.txt"
    text.write_text("안녕하세요 반갑습니다\n오늘 날씨가 좋네요 ㅋㅋㅋㅋ\n" * 50)
    command = [sys.executable, "-m", "tokenizer", "--input", str(text), "--model-prefix", "minigpt"]
    options = ["--character-coverage", "0.98", "--model-type", "bpe", "--output-dir", str(tmp_path / "tokenizer")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "tokenizer").iterdir()) == ["minigpt.model", "minigpt.vocab"]
    assert "100.00% of 100 texts round-trip" in done.stdout


def test_a_requested_vocabulary_that_is_too_large_for_the_text_is_an_error(tmp_path: Path) -> None:
    text = tmp_path / "textonly.txt"
    text.write_text("안녕하세요\n")
    command = [sys.executable, "-m", "tokenizer", "--input", str(text), "--output-dir", str(tmp_path / "out")]
    done = subprocess.run([*command, "--vocab-size", "8000"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "error: the text allows" in done.stderr
    assert "hint: --vocab-size" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_after_any_end_no_worker_and_no_private_text_stays(tmp_path: Path, number: int) -> None:
    """SIGKILL leaves the spool behind, and the next run deletes it."""
    block = kakao_windows(chat(seed=1, count=5_000))
    (tmp_path / "chat.txt").write_text(block * (20_000_000 // len(block.encode())))
    code = (
        "import signal, sys; from pathlib import Path; from tokenizer.corpus.prepare import prepare\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    prepare([Path('chat.txt')], Path('out'))\n"
    )
    (tmp_path / "program.py").write_text(code)
    process = subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.DEVNULL,
    )
    workers: list[psutil.Process] = []
    deadline = time.monotonic() + 30
    while not workers and time.monotonic() < deadline:
        children = psutil.Process(process.pid).children(recursive=True)
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        time.sleep(0.05)
    if not workers:
        process.kill()
        process.wait(30)
        pytest.skip("one core: no workers")
    process.send_signal(number)
    process.wait(30)
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert gone
    assert not alive
    assert not (tmp_path / "out").exists()
    (tmp_path / "small.txt").write_text("하나\n\n둘\n")
    prepare([tmp_path / "small.txt"], tmp_path / "out")
    assert not list(tmp_path.glob(".out.*"))

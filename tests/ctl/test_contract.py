"""The contract of the command line: exit codes, two-line errors, JSON, languages, table widths, and help at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from cellmind_agent.protocol.errors import ERROR_BY_CODE, UsageError
from cellmind_ctl import figures
from cellmind_ctl.main import COMMANDS
from tests.agents import CTL, ENVIRONMENT, Answer, Device
from tests.tokenizer.chats import chat, kakao_android


def ctl(tmp_path: Path, *arguments: str, **environment: str) -> Answer:
    done = subprocess.run(
        [*CTL, "--home", str(tmp_path / "home"), *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**ENVIRONMENT, **environment},
        cwd=tmp_path,
        timeout=60,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['cellmindctl', '--help']\n"
        "from cellmind_ctl.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'rich', 'zmq', 'numpy', 'msgpack', 'sentencepiece', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, timeout=30)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Train together." in done.stdout


def test_the_agent_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, cellmind_agent.main\n"
        "print(sorted({'torch', 'numpy', 'sentencepiece', 'rich', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_and_takes_json(tmp_path: Path, name: str) -> None:
    answer = ctl(tmp_path, name, "-h")
    assert answer.code == 0
    assert "--json" in answer.out


def test_every_error_has_its_exit_code() -> None:
    codes = {error.exit_code for error in ERROR_BY_CODE.values()}
    assert codes == {1, 2, 3, 4, 5, 6, 7}
    assert ERROR_BY_CODE["unreachable"].exit_code == ERROR_BY_CODE["no_agent"].exit_code == 3
    assert ERROR_BY_CODE["not_paired"].exit_code == ERROR_BY_CODE["join_refused"].exit_code == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["trian"], 2, "did you mean train?"),
        (["peers", "--wied"], 2, "No such option"),
        (["train"], 2, "nothing to train on"),
        (["train", "none.json"], 2, "none.json does not exist"),
        (["train", "--data", "none.csv"], 2, "none.csv does not exist"),
        (["plan", "--data", "empty.csv"], 1, "empty.csv is empty"),
        (["data", "prepare", "binary.txt", "--out", "out"], 1, "not text but binary"),
        (["plan", "typo.json"], 2, "unknown key model.n_head"),
        (["plan", "type.json"], 2, "a whole number was expected"),
        (["plan", "heads.json"], 2, "not divisible"),
        (["plan", "pickle.json"], 1, "pickles can run any code"),
        (["ask"], 2, "the prompt is empty"),
        (["ask", "a", "--prompt-file", "typo.json"], 2, "give one prompt"),
        (["ask", "--prompt-file", "latin.txt"], 2, "is not UTF-8 text"),
        (["ask", "--prompt-file", "."], 2, "is a directory"),
        (["ask", "-"], 2, "the prompt is empty"),
        (["ask", "--prompt-file", "none.txt"], 2, "none.txt does not exist"),
        (["ask", "a", "-t", "-1"], 2, "temperature"),
        (["invite", "--expires", "soon"], 2, "not a length of time"),
        (["peers"], 3, "no agent runs"),
        (["join"], 2, "no join code was given"),
        (["forget"], 2, "Missing argument 'DEVICE'"),
        (["models", "rm"], 2, "Missing argument 'MODEL'"),
        (["data"], 2, "Missing command"),
        (["logs", "--since", "soon"], 2, "not a length of time"),
        (["--timeout", "0", "peers"], 2, "not in the range"),
        (["version", "now"], 2, "unexpected extra argument"),
        (["completion", "tcsh"], 2, "tcsh"),
    ],
)
def test_mistakes_get_an_error_a_hint_and_their_exit_code(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "binary.txt").write_bytes(b"\x7fELF\0\0")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "typo.json").write_text('{"model": {"n_head": 8}}')
    (tmp_path / "type.json").write_text('{"model": {"d_model": "512"}}')
    (tmp_path / "heads.json").write_text('{"model": {"d_model": 100, "nhead": 8}}')
    (tmp_path / "train.jsonl").write_text('{"text": "안녕하세요 여러분"}\n' * 30)
    (tmp_path / "old.pt").write_bytes(b"\x80\x04pickle")
    pickle = {"model": {"checkpoint": "old.pt"}, "training": {"dataset": {"path": "train.jsonl"}}}
    (tmp_path / "pickle.json").write_text(json.dumps(pickle))
    plain = ctl(tmp_path, *arguments)
    assert plain.code == code, plain
    lines = plain.err.strip().splitlines()
    error = next(line for line in lines if line.startswith("error: "))
    assert message in error
    assert lines[lines.index(error) + 1].startswith("hint: ")
    assert plain.out == ""
    as_json = ctl(tmp_path, *arguments, "--json")
    assert as_json.code == code
    assert set(as_json.error) == {"code", "message", "hint"}
    assert message in as_json.error["message"]
    assert "Traceback" not in plain.err + as_json.err
    assert not (tmp_path / "out" / "train.jsonl").exists()


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    assert "Traceback" in ctl(tmp_path, "--debug", "peers").err


def test_the_guides_configuration_loads_and_names_the_keys_that_are_ignored(tmp_path: Path) -> None:
    from tests.model.test_config import GUIDE

    (tmp_path / "config.json").write_text(GUIDE)
    answer = ctl(tmp_path, "config", "show", "config.json")
    assert answer.code == 0
    assert "model.d_model = 512" in answer.out
    assert "ignored, because they are no longer needed: distributed.init_method" in answer.err
    origin = ctl(tmp_path, "config", "show", "config.json", "--origin", "--json").data["origin"]
    assert (origin["model.d_model"], origin["training.seed"]) == ("config.json", "default")


def test_data_prepare_answers_in_text_and_in_json(tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_text('Date,User,Message\n2022-10-30 10:35:01,홍길동,"길동이 왔어 ㅋㅋㅋㅋㅋㅋㅋ"\n')
    assert ctl(tmp_path, "data", "prepare", "chat.csv", "--out", "data").code == 0
    assert json.loads((tmp_path / "data" / "train.jsonl").read_text())["text"] == "<NAME>이 왔어 ㅋㅋㅋㅋㅋ"
    again = ctl(tmp_path, "data", "prepare", "chat.csv", "--out", "data", "--json").data
    assert again["replaced"] == {"<NAME>": 1}


def test_data_prepare_shows_the_detected_format_and_appends_later_text(tmp_path: Path) -> None:
    said = chat(seed=4, count=600)
    (tmp_path / "KakaoTalkChats.txt").write_text(kakao_android(said[:400]))
    (tmp_path / "later.txt").write_text(kakao_android(said))
    first = ctl(tmp_path, "data", "prepare", "KakaoTalkChats.txt", "--out", "data", "--turns")
    assert first.code == 0
    assert "KakaoTalkChats.txt: KakaoTalk (Android) (" in first.err
    assert "% sure), utf-8, " in first.err
    assert "system lines" in first.err
    assert "documents and" in first.out
    assert not any(one.user in first.out + first.err for one in said)
    later = ctl(tmp_path, "data", "prepare", "later.txt", "--out", "data", "--turns", "--append")
    assert later.code == 0
    assert "in all 2 batches" in later.out
    again = ctl(tmp_path, "data", "prepare", "later.txt", "--out", "data", "--turns", "--append", "--json")
    assert again.code == 1
    assert "there already" in again.out


def test_data_stats_shows_what_a_folder_holds_and_how_well_a_tokenizer_fits(tmp_path: Path) -> None:
    (tmp_path / "chat.txt").write_text(kakao_android(chat(seed=4, count=2000)))
    made = ctl(tmp_path, "data", "prepare", "chat.txt", "--out", "data", "--json").data
    plain = ctl(tmp_path, "data", "stats", "data")
    assert plain.code == 0
    assert f"{made['documents']:,} documents, {made['held_out']:,} held out" in plain.out
    assert "suggested vocabulary: 2,000 pieces" in plain.out
    command = [sys.executable, "-m", "tokenizer", "--input", "data", "--model-prefix", "chat", "--output-dir", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "characters a token" in done.stdout, done.stderr
    fits = ctl(tmp_path, "data", "stats", "data", "--tokenizer", "chat.model", "--json").data
    assert fits["tokenizer"]["round_trip_share"] == 1
    assert fits["tokenizer"]["characters"] == made["characters"]
    assert fits["surviving_pieces"]["private"] == 0
    assert "chat.model: " in ctl(tmp_path, "data", "stats", "data", "--tokenizer", "chat.model").out
    missing = ctl(tmp_path, "data", "stats", "none")
    assert missing.code == 1
    assert "hint: cellmindctl data prepare" in missing.err


@pytest.mark.parametrize(
    ("columns", "code", "words"),
    [
        ("text=Body,user=Who", 0, ""),
        ("Body", 2, "hint: --columns text=Body"),
        ("user=Who", 2, "names no text"),
        ("text=Nothing", 1, "there are: When, Who, Body"),
    ],
)
def test_the_columns_of_a_table_can_be_named(tmp_path: Path, columns: str, code: int, words: str) -> None:
    (tmp_path / "t.csv").write_text("When,Who,Body\n2024-01-01,철수,안녕 영희\n2024-01-02,영희,그래 철수야\n")
    answer = ctl(tmp_path, "data", "prepare", "t.csv", "--out", "data", "--columns", columns)
    assert answer.code == code, answer
    assert words in answer.err


def test_people_read_messages_in_their_language(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"distributed": {"world_size": 3}}')
    korean = ctl(tmp_path, "config", "show", "c.json", CELLMIND_LANG="", LC_ALL="", LANG="ko_KR.UTF-8")
    assert "더 이상 필요 없어" in korean.err


def test_mistakes_are_explained_in_korean(tmp_path: Path) -> None:
    for arguments, error, hint in (
        (["peers", "--wied"], "'--wied' 옵션이 없습니다. 혹시 '--wide'입니까?", "cellmindctl peers --help"),
        (["trian"], "trian이라는 명령이 없습니다 (혹시 train입니까?)", "cellmindctl --help"),
        (["forget"], "인자가 없습니다: 'DEVICE'.", "cellmindctl forget --help"),
        (["version", "now"], "필요 없는 인자가 더 있습니다 (now)", "cellmindctl version --help"),
        (["ask", "a", "-n"], "'-n' 옵션에는 값이 필요합니다.", "cellmindctl --help"),
        (["ask", "a", "-n", "many"], "'-n' / '--max-tokens'의 값이 잘못되었습니다: 'many'는 수가 아닙니다.", None),
        (["invite", "--role", "king"], "'--role'의 값이 잘못되었습니다: 'king'은 고를 수 있는 값", None),
        (["join"], "참가 코드가 없습니다", "표준 입력이나 CELLMIND_JOIN_CODE에서 읽습니다"),
    ):
        answer = ctl(tmp_path, *arguments, CELLMIND_LANG="ko")
        first, second = answer.err.splitlines()
        assert (answer.code, answer.out) == (2, "")
        assert first.startswith(f"오류: {error}"), answer.err
        assert second.startswith(f"도움말: {hint or 'cellmindctl '}"), answer.err


def test_json_stays_english_where_people_read_korean(tmp_path: Path) -> None:
    for arguments in (["peers", "--wied"], ["trian"], ["ask", "a", "-n", "many"], ["peers"], []):
        english = ctl(tmp_path, *arguments, "--json")
        assert ctl(tmp_path, *arguments, "--json", CELLMIND_LANG="ko") == english


def test_completion_and_version_and_paths(tmp_path: Path) -> None:
    assert "cellmindctl" in ctl(tmp_path, "completion", "bash").out
    assert ctl(tmp_path, "version", "--json").data["protocol"] == 1
    assert ctl(tmp_path, "paths", "--json").data["home"] == str(tmp_path / "home")


def test_tables_fit_eighty_columns_and_hangul_counts_twice(tmp_path: Path) -> None:
    code = (
        "from cellmind_ctl.render import print_table\n"
        "from cellmind_ctl.commands.peers import HEADERS, LESS, RIGHT\n"
        "row = ['거실에 있는 아주 오래된 노트북 (this)', 'training', '100%', '24.8 GB', 'GeForce RTX',"
        " '12,345', '100%+', '[fe80::1234:5678:9abc:def0]:7420', '12m ago']\n"
        "print_table('never', HEADERS, [row, ['짧은', *['-'] * 8]], RIGHT, LESS)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, timeout=30)
    lines = done.stdout.splitlines()
    assert lines[0].split()[0] == "NAME"
    assert lines[0].split()[-1] == "SEEN"
    assert all(cell_len(line) <= 80 for line in lines)
    assert "12m ago" in lines[1]
    assert "training" in lines[1]
    assert "거실에 있는 아주 오래된 노트북 (this)" in lines[1]  # whole: stdout is a pipe
    assert "\x1b" not in done.stdout


def test_numbers_are_formatted_for_people() -> None:
    seconds = (None, 1, 12, 300, 7200, 200_000)
    assert [figures.ago(s) for s in seconds] == ["-", "now", "12s ago", "5m ago", "2h ago", "2d ago"]
    assert [figures.size(n) for n in (None, 12, 1_200, 1_234_567, 1.2e9)] == ["-", "12 B", "1.2 kB", "1.2 MB", "1.2 GB"]
    assert figures.rfc3339(0) == "1970-01-01T00:00:00Z"
    assert [figures.parse_duration(text) for text in ("90", "90s", "10m", "1.5h")] == [90, 90, 600, 5400]
    with pytest.raises(UsageError):
        figures.parse_duration("-1m")


def test_a_damaged_control_file_means_that_no_agent_runs(tmp_path: Path) -> None:
    (tmp_path / "agent.json").write_text("{")
    answer = Device("x", tmp_path).ctl("peers", "--json")
    assert (answer.code, answer.error["code"]) == (3, "no_agent")


def test_an_agent_that_has_died_means_that_no_agent_runs(tmp_path: Path) -> None:
    control = {
        "address": "127.0.0.1:9", "server_key": "0" * 40, "client_public_key": "0" * 40,
        "client_secret_key": "0" * 40, "device": "a" * 32, "name": "x", "pid": 1,
    }  # fmt: skip
    (tmp_path / "agent.json").write_text(json.dumps(control))
    answer = Device("x", tmp_path).ctl("peers", "--json")
    assert (answer.code, answer.error["code"]) == (3, "no_agent")

"""Hangul names and files where the locale is C: nothing fails, and what is printed can be read."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellmind_agent.trust.entries import clean_name
from tests.agents import CTL, ENVIRONMENT, Answer, Device

NAME = "거실 노트북"
LOCALES = {
    "C": {},
    "C without UTF-8": {"PYTHONUTF8": "0"},
    "C without a change of locale": {"PYTHONCOERCECLOCALE": "0"},
    "C without both": {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


def in_locale(name: str) -> dict[str, str]:
    kept = {key: value for key, value in ENVIRONMENT.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    return {**kept, "LC_ALL": "C", "LANG": "C", "PYTHONDONTWRITEBYTECODE": "1", **LOCALES[name]}


def ctl(home: Path, locale: str, *words: str) -> Answer:
    done = subprocess.run(
        [*CTL, "--home", str(home), *words],
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        env=in_locale(locale),
        cwd=home.parent,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(params=["C", "C without both"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The home of an agent with a Hangul name, which runs in one of the locales."""
    device = Device(NAME, tmp_path / "집", environment=in_locale(request.param)).start()
    yield device.home
    assert device.stop() == 0
    assert "Traceback" not in device.log()


def test_commands_work_in_the_locale_c(home: Path) -> None:
    (home.parent / "설정.json").write_text('{"training": {"dataset": {"path": "대화"}}}', encoding="utf-8")
    text = "".join(f"안녕하세요, {number}번째 이야기입니다.\n\n" for number in range(60))
    (home.parent / "대화.txt").write_text(text, encoding="utf-8")
    for locale in LOCALES:
        assert f"{NAME} (this)" in ctl(home, locale, "peers").out
        assert ctl(home, locale, "peers", "--json").data[0]["name"] == NAME
        assert 'training.dataset.path = "대화"' in ctl(home, locale, "config", "show", "설정.json").out
        assert ctl(home, locale, "config", "show", "없음.json").err.startswith(
            "error: 없음.json does not exist\nhint: "
        )
        done = ctl(home, locale, "data", "prepare", "대화.txt", "--out", f"결과 {locale}")
        assert done.code == 0, done.err
        assert "대화.txt" in done.err + done.out
        assert "안녕하세요" in (home.parent / f"결과 {locale}" / "train.jsonl").read_text(encoding="utf-8")
        assert NAME in ctl(home, locale, "logs").out


def test_a_name_that_is_no_utf8_is_printed_escaped(tmp_path: Path) -> None:
    for locale in ("C", "C without both"):
        done = subprocess.run(
            [*CTL, "config", "show", b"\xff.json"], capture_output=True, env=in_locale(locale), cwd=tmp_path, timeout=60
        )
        assert done.returncode == 2
        assert done.stderr.splitlines()[0] in (
            b"error: \\udcff.json does not exist",
            b"error: \xff.json does not exist",
        )


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems keep no such name")
def test_text_in_a_file_whose_name_is_no_utf8_is_prepared(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.txt")).write_text("안녕하세요.\n\n" * 9, encoding="utf-8")
    command = [*CTL, "--home", "home", "data", "prepare", b"\xff.txt", "--out", "out"]
    done = subprocess.run(command, capture_output=True, env=ENVIRONMENT, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "\\udcff.txt" in (tmp_path / "out" / "stats.json").read_text(encoding="utf-8")
    assert clean_name("\udcff노트북") == "노트북"


def test_a_locale_with_another_encoding_shows_what_it_can(tmp_path: Path) -> None:
    environment = {**in_locale("C"), "PYTHONIOENCODING": "euc-kr", "CELLMIND_LANG": "ko"}
    command = [*CTL, "config", "show", "거실🙂.json"]
    done = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path, timeout=60)
    assert done.stderr.decode("euc-kr").splitlines()[0] == "오류: 거실\\U0001f642.json 파일이 없습니다"

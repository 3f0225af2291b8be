"""The bundle of a run: its tokenizer and shards stay when text is added, and `--only-new` trains on the new text."""

from pathlib import Path

import pytest

from cellmind_agent.protocol.errors import UsageError
from cellmind_ctl.project import Project, make_bundle
from cellmind_ctl.session import Session
from model.config import Config
from tests.tokenizer.chats import chat, kakao_android
from tokenizer.corpus.prepare import PrepareOptions, prepare
from tokenizer.errors import TextError


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(home=tmp_path / "home")


def project(tmp_path: Path, *data: Path) -> Project:
    return Project(config=Config(), folder=tmp_path, data=data)


def export(path: Path, seed: int) -> Path:
    path.write_text(kakao_android(chat(seed=seed, count=1500)))
    return path


def test_added_text_keeps_tokenizer_and_shards_and_can_be_trained_on_alone(tmp_path: Path, session: Session) -> None:
    data = tmp_path / "data"
    prepare([export(tmp_path / "one.txt", seed=1)], data)
    first = make_bundle(project(tmp_path, data), session)
    prepare([export(tmp_path / "two.txt", seed=2)], data, PrepareOptions(is_append=True))
    both = make_bundle(project(tmp_path, data), session)
    new = make_bundle(project(tmp_path, data), session, only_new=True)
    assert first.tokenizer == both.tokenizer == new.tokenizer
    assert set(first.shards) < set(both.shards)
    assert new.manifest.train.tokens == both.manifest.train.tokens - first.manifest.train.tokens > 0
    assert new.manifest.held_out == both.manifest.held_out
    assert all(path.exists() for path in new.shards)


def test_text_prepared_again_without_append_is_a_different_text(tmp_path: Path, session: Session) -> None:
    data = tmp_path / "data"
    prepare([export(tmp_path / "one.txt", seed=1)], data)
    first = make_bundle(project(tmp_path, data), session)
    prepare([export(tmp_path / "two.txt", seed=2)], data)
    other = make_bundle(project(tmp_path, data), session)
    assert first.tokenizer != other.tokenizer
    assert not set(first.shards) & set(other.shards)


def test_a_line_that_a_person_deletes_is_missing_in_the_shards(tmp_path: Path, session: Session) -> None:
    data = tmp_path / "data"
    prepare([export(tmp_path / "one.txt", seed=1)], data)
    prepare([export(tmp_path / "two.txt", seed=2)], data, PrepareOptions(is_append=True))
    first = make_bundle(project(tmp_path, data), session)
    lines = (data / "train.jsonl").read_text().splitlines(keepends=True)
    (data / "train.jsonl").write_text("".join(lines[1:]))
    second = make_bundle(project(tmp_path, data), session)
    assert second.manifest.train.documents == first.manifest.train.documents - 1
    with pytest.raises(TextError, match="was changed"):
        make_bundle(project(tmp_path, data), session, only_new=True)


def test_only_new_needs_prepared_text_alone(tmp_path: Path, session: Session) -> None:
    raw, data = export(tmp_path / "one.txt", seed=1), tmp_path / "data"
    prepare([raw], data)
    with pytest.raises(UsageError, match="--only-new needs prepared text"):
        make_bundle(project(tmp_path, raw), session, only_new=True)
    with pytest.raises(UsageError, match="the rest is not"):
        make_bundle(project(tmp_path, data, raw), session)

"""The configuration: the guide's example loads unchanged; every mistake is an error that says what to write instead."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.planning.backends import BACKEND_CHOICES
from model.config import Config
from model.config_file import parse_config, strip_comments, to_json
from model.errors import ConfigError

GUIDE = """
{
  "distributed": {
    "backend": "gloo",                   // CPU-only → gloo, GPU → nccl
    "init_method": "tcp://192.168.0.100:23456",
    "world_size": 3,                     // 1(메인) + 2(워커)
    "worker_ips": ["192.168.0.101", "192.168.0.102"],
    "usernames": {"192.168.0.101": "laptop_user", "192.168.0.102": "termux_user"}
  },
  "model": {
    "d_model": 512, "nhead": 8, "num_layers": 6, "dropout": 0.1,
    "checkpoint": "checkpoints/latest.pt"   // 최초 학습 시 비워둬도 됨
  },
  "tokenizer": {"model_path": "tokenizer/tokenizer.model", "vocab_size": 8000},
  "training": {
    "batch_size": 32, "epochs": 3, "lr": 3e-4,
    "dataset": {"path": "data/for-model-training/train.jsonl", "seq_len": 256}
  }
}
"""


def test_the_guides_example_loads_unchanged() -> None:
    config = parse_config(GUIDE)
    assert config.model.d_model == 512
    assert config.model.dropout == 0.1
    assert config.model.checkpoint == "checkpoints/latest.pt"
    assert config.training.dataset.seq_len == 256
    assert config.distributed.backend == "gloo"
    assert parse_config(GUIDE, backends=BACKEND_CHOICES) == config
    assert config.ignored == tuple(
        f"distributed.{key}" for key in ("init_method", "world_size", "worker_ips", "usernames")
    )


def test_a_configuration_reads_back_equal() -> None:
    config = parse_config(GUIDE)
    assert parse_config(to_json(config)) == replace(config, ignored=())


def test_an_empty_configuration_has_the_defaults() -> None:
    assert parse_config("{}") == parse_config("{}", backends=BACKEND_CHOICES) == Config()


def test_the_model_accepts_any_backend_because_the_command_line_has_checked_it() -> None:
    assert parse_config('{"distributed": {"backend": "newer"}}').distributed.backend == "newer"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('{"modle": {}}', "unknown key modle", "did you mean model?"),
        ('{"model": {"n_head": 8}}', "unknown key model.n_head", "did you mean nhead?"),
        ('{"training": {"dataset": {"seqlen": 8}}}', "unknown key training.dataset.seqlen", "did you mean seq_len?"),
        ('{"model": {"zzz": 8}}', "unknown key model.zzz", "one of: d_model"),
        ('{"model": {"d_model": "512"}}', "model.d_model is a string, a whole number was expected", "without quotes"),
        ('{"model": {"d_model": 512.5}}', "model.d_model is a number, a whole number was expected", "config show"),
        ('{"model": {"dropout": true}}', "model.dropout is true or false, a number was expected", "config show"),
        ('{"model": []}', "model is a list, an object was expected", "{"),
        ('{"model": {"d_model": 100, "nhead": 8}}', "100 is not divisible by model.nhead 8", "d_model 96"),
        ('{"model": {"d_model": 24, "nhead": 8}}', "an odd number", "even"),
        ('{"model": {"num_layers": 0}}', "model.num_layers is 0", "leave it out for 6"),
        ('{"model": {"dropout": 1.0}}', "dropout 1.0", "0.1"),
        ('{"training": {"lr": -1}}', "training.lr is -1", "leave it out"),
        ('{"training": {"batch_size": 0}}', "training.batch_size is 0", "32"),
        ('{"distributed": {"backend": "glo"}}', "distributed.backend is 'glo'", "did you mean gloo?"),
        ('{"distributed": {"backend": "mpi"}}', "distributed.backend is 'mpi'", "one of: auto, nccl, gloo, portable"),
        ('{"distributed": {"backend": 1}}', "distributed.backend is a whole number, a string was expected", "config"),
        ('{"distributed": {"round_seconds": 0.4}}', "distributed.round_seconds is 0.4", "from 0.5 to 60"),
        ('{"distributed": {"round_seconds": 61}}', "distributed.round_seconds is 61", "from 0.5 to 60"),
        ('{"distributed": {"round_seconds": NaN}}', "distributed.round_seconds is nan", "leave it out for 10"),
        ('{"training": {"dataset": {"seq_len": 4}}}', "seq_len 4 is too short", "256"),
        ("{", "is not JSON", "commas"),
        ("[]", "no JSON object", "model"),
        ('{"ignored": []}', "unknown key ignored", "remove"),
    ],
)
def test_an_error_names_the_mistake_and_what_to_write_instead(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, backends=BACKEND_CHOICES)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_comments_are_removed_and_strings_stay() -> None:
    text = '{"a": "// no /* comment */", /* yes */ "b": 1, // end\n}'
    stripped = strip_comments(text)
    assert '"// no /* comment */"' in stripped
    assert "yes" not in stripped
    assert "end" not in stripped
    assert len(stripped) == len(text)


@given(st.text())
def test_any_text_is_a_configuration_or_an_error_with_a_hint(text: str) -> None:
    hint = "none was needed"
    try:
        parse_config(text)
    except ConfigError as error:
        hint = error.hint
    assert hint

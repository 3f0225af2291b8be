"""What the benchmarks of training rely on: the plain network is the product's, and figures are read off correctly."""

import pytest
import torch

from model.arithmetic.gpt import GPT
from model.config import ModelConfig
from tests.bench.learners import Setting
from tests.bench.learning import Run, compare
from tests.bench.plain_gpt import PlainGPT
from tests.bench.shards import IGNORED, Shape
from tests.bench.watched import Watched

SHAPE = Shape(d_model=32, nhead=2, num_layers=2, vocab_size=50, seq_len=12, batch_size=3)


def test_the_plain_network_computes_the_same_loss_from_the_products_weights() -> None:
    torch.manual_seed(1)
    product = GPT(ModelConfig(d_model=32, nhead=2, num_layers=2), 50)
    with torch.no_grad():
        for parameter in product.parameters():  # new projections are 0, and would hide what is before them
            parameter.add_(0.1 * torch.randn_like(parameter))
    plain = PlainGPT(SHAPE)
    plain.load_state_dict(product.state_dict())
    tokens = torch.randint(0, 50, (3, 13))
    inputs, targets = tokens[:, :-1], tokens[:, 1:].clone()
    targets[0, :5] = IGNORED
    with torch.no_grad():
        mean = float(product(inputs, targets)) / int((targets != IGNORED).sum())
        assert float(plain(inputs, targets)["loss"]) == pytest.approx(mean, rel=1e-5)


def test_matrix_weights_count_the_tied_table_once_and_no_norms() -> None:
    counted = sum(parameter.numel() for parameter in PlainGPT(SHAPE).parameters() if parameter.dim() == 2)
    assert SHAPE.matrix_weights == counted


def test_the_speed_leaves_out_the_first_step() -> None:
    watched = Watched(steps=((1, 30.0), (2, 31.0), (4, 33.0), (5, 37.0)), peak_bytes=0, facts={})
    assert watched.tokens_per_second(100) == 100.0
    assert watched.first_step_seconds == 30.0


def test_the_time_to_a_loss_is_between_two_judgements() -> None:
    run = a_run((10.0, 3.0), (20.0, 2.0), (30.0, 2.5), (40.0, 1.0))
    assert run.seconds_to(2.5) == 15.0
    assert run.seconds_to(3.5) == 10.0
    assert run.seconds_to(0.5) is None
    assert run.best_until(35.0) == 2.0


def test_a_run_that_never_reaches_the_target_has_no_ratio() -> None:
    fast, slow, never = a_run((10.0, 3.0), (20.0, 1.0)), a_run((20.0, 3.0), (40.0, 1.0)), a_run((10.0, 3.0))
    assert compare([fast], [slow], 2.0).endswith("2.0 times as fast")
    assert compare([fast], [slow, never], 2.0) == "not every run reached it"


def a_run(*points: tuple[float, float]) -> Run:
    setting = Setting(way="old", limit_seconds=0)
    return Run(setting=setting, points=points, seconds=points[-1][0], epochs=1.0, is_cut=False, network="")

"""The optimiser, its schedule and the average of the weights."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.arithmetic.average import WeightAverage
from model.arithmetic.gpt import GPT
from model.arithmetic.muon import orthogonalise
from model.arithmetic.schedule import rate_factor
from model.arithmetic.state import TrainingState, new_state
from model.config import ModelConfig, TrainingConfig

CONFIG = ModelConfig(d_model=32, nhead=4, num_layers=2)
VOCAB = 50


def new(optimizer: str = "muon", weight_decay: float = 0.0) -> TrainingState:
    torch.manual_seed(0)
    training = TrainingConfig(optimizer=optimizer, weight_decay=weight_decay)
    return new_state(GPT(CONFIG, VOCAB), training, torch.float32)


def take_step(state: TrainingState, lr: float, seed: int) -> None:
    torch.manual_seed(seed)
    tokens = torch.randint(0, VOCAB, (4, 9))
    (state.model(tokens[:, :-1], tokens[:, 1:]) / 32).backward()
    state.optimizer.step(lr)
    state.average.update(seed)


@given(total=st.integers(1, 2000), warmup=st.integers(0, 100))
def test_the_rate_rises_stays_and_falls_to_almost_zero(total: int, warmup: int) -> None:
    factors = [rate_factor(step, total, warmup) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert max(factors) == 1 or total < 10
    assert factors[-1] <= max(0.5, 1 / total) or total < 5


def test_until_the_cool_down_the_rate_does_not_depend_on_the_end() -> None:
    assert [rate_factor(step, 200, 10) for step in range(100)] == [rate_factor(step, 900, 10) for step in range(100)]


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 16, 40), (2, 40, 16)])
def test_orthogonalised_matrices_keep_their_directions_and_have_singular_values_near_one(
    shape: tuple[int, int, int],
) -> None:
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    matrices = u * torch.logspace(-1, 1, min(shape[1:])) @ v  # singular values from 0.1 to 10
    found = u.mT @ orthogonalise(matrices) @ v.mT
    values = torch.diagonal(found, dim1=-2, dim2=-1)
    assert float(values.min()) > 0.15  # three iterations leave a spread of about ten, of the hundred before
    assert float(values.max()) < 2
    assert torch.allclose(found, torch.diag_embed(values), atol=1e-4)


def test_matrices_orthogonalised_together_are_those_orthogonalised_alone() -> None:
    torch.manual_seed(0)
    matrices = torch.randn(3, 12, 20)
    together = orthogonalise(matrices)
    for alone, part in zip(matrices, together, strict=True):
        assert torch.allclose(orthogonalise(alone.unsqueeze(0))[0], part, atol=1e-5)


def test_a_step_of_muon_has_the_size_of_one_of_adamw() -> None:
    """About 0.2 of the learning rate in the root mean square, for any shape."""
    state = new()
    take_step(state, 0.0, 0)  # at first the zero projections pass no gradient to the layers
    for seed in range(1, 4):
        take_step(state, 1e-3, seed)
    before = {name: parameter.detach().clone() for name, parameter in state.model.named_parameters()}
    take_step(state, 1e-3, 9)
    for name, parameter in state.model.named_parameters():
        if name.startswith("layers.") and parameter.dim() == 2:
            rms = (parameter.detach() - before[name]).square().mean().sqrt()
            assert 1e-4 < float(rms) < 4e-4, name


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_loss_falls(optimizer: str) -> None:
    state = new(optimizer)
    torch.manual_seed(5)
    tokens = torch.randint(0, VOCAB, (4, 9))
    losses = []
    for step in range(30):
        loss = state.model(tokens[:, :-1], tokens[:, 1:]) / 32
        losses.append(float(loss.detach()))
        loss.backward()
        state.optimizer.step(1e-2)
        state.average.update(step)
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_loaded_state_continues_to_the_bit(optimizer: str) -> None:
    straight, other = new(optimizer, 0.1), new(optimizer, 0.1)
    for seed in range(3):
        take_step(straight, 1e-2, seed)
    other.model.load_state_dict(straight.model.state_dict())
    saved = {name: tensor.clone() for name, tensor in straight.tensors_beside_weights().items()}
    other.load_beside_weights(saved)
    for state in (straight, other):
        take_step(state, 1e-2, 7)
    for mine, its in zip(straight.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(mine, its)
    for name, tensor in straight.tensors_beside_weights().items():
        assert torch.equal(tensor, other.tensors_beside_weights()[name]), name


def test_the_state_of_another_optimiser_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"q_proj|k_proj|down_proj"):
        new("muon").load_beside_weights(new("adamw").tensors_beside_weights())


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_matrices_decay_and_norms_do_not(optimizer: str) -> None:
    with_decay, without = new(optimizer, weight_decay=0.5), new(optimizer)
    for state in (with_decay, without):
        take_step(state, 0.01, 0)
    for decayed, parameter in zip(with_decay.model.parameters(), without.model.parameters(), strict=True):
        assert decayed.dim() == 2 or torch.equal(decayed, parameter)
    for state in (with_decay, without):  # in the first step the zero projections passed no gradient to the layers
        take_step(state, 0.01, 1)
    gate = "layers.0.mlp.gate_proj.weight"
    norms = [dict(state.model.named_parameters())[gate].detach().norm() for state in (with_decay, without)]
    assert float(norms[0]) < float(norms[1])


def test_the_average_follows_the_weights_and_leaves_them_alone() -> None:
    state = new()
    with torch.no_grad():
        state.model.norm.weight.fill_(2.0)
        for step in range(200):
            state.average.update(step)
        state.model.norm.weight.fill_(5.0)
    with state.average.in_place_of_live():
        assert torch.allclose(state.model.norm.weight, torch.tensor(2.0), atol=1e-3)
    assert torch.equal(state.model.norm.weight, torch.full_like(state.model.norm.weight, 5.0))


def test_an_average_restarts_at_the_present_weights() -> None:
    model = GPT(CONFIG, VOCAB)
    average = WeightAverage(model)
    with torch.no_grad():
        model.norm.weight.fill_(3.0)
    average.restart()
    assert torch.equal(average.state_tensors()["norm.weight.average"], model.norm.weight)

"""The kernels of the training step compute what the usual modules compute, and so do their gradients."""

import pytest
import torch
import torch.nn.functional as F

from model.arithmetic import kernels
from model.arithmetic.gpt import GPT, IGNORED
from model.config import ModelConfig

CONFIG = ModelConfig(d_model=32, nhead=4, num_layers=2)
VOCAB = 50


def random_model(config: ModelConfig = CONFIG) -> GPT:
    """In float64, with weights of which none is zero or one."""
    torch.manual_seed(0)
    model = GPT(config, VOCAB).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def rows(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    tokens, targets = torch.randint(0, VOCAB, (size, 17)), torch.randint(0, VOCAB, (size, 17))
    targets[:, :3] = IGNORED
    return tokens, targets


def usual_loss(model: GPT, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")


@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_loss_and_gradients_are_those_of_the_usual_modules(tie_embeddings: bool) -> None:
    model = random_model(ModelConfig(d_model=32, nhead=4, num_layers=2, tie_embeddings=tie_embeddings))
    tokens, targets = rows(5)
    expected = usual_loss(model, tokens, targets)
    names = dict(model.named_parameters())
    wanted = dict(zip(names, torch.autograd.grad(expected, list(names.values())), strict=True))
    loss = model(tokens, targets)
    found = dict(zip(names, torch.autograd.grad(loss, list(names.values())), strict=True))
    assert torch.allclose(loss, expected, rtol=1e-12)
    for name in names:
        assert torch.allclose(found[name], wanted[name], rtol=1e-9, atol=1e-9), name


def test_many_rows_of_logits_are_computed_in_parts() -> None:
    """More positions than one part of the loss has."""
    torch.manual_seed(2)
    x = torch.randn(2500, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(30, 8, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 30, (2500,))
    targets[1000:1100] = IGNORED
    loss = kernels.summed_loss(x, weight, targets, IGNORED)
    expected = F.cross_entropy(x @ weight.T, targets, ignore_index=IGNORED, reduction="sum")
    assert torch.allclose(loss, expected)
    for found, wanted in zip(
        torch.autograd.grad(2 * loss, [x, weight]), torch.autograd.grad(2 * expected, [x, weight]), strict=True
    ):
        assert torch.allclose(found, wanted)


def test_the_loss_without_gradients_is_the_same() -> None:
    model, (tokens, targets) = random_model(), rows(3)
    with torch.no_grad():
        alone = model(tokens, targets)
    assert torch.equal(alone, model(tokens, targets))


def test_bfloat16_stays_close_and_keeps_gradients_in_float32() -> None:
    model, (tokens, targets) = random_model().float(), rows(4)
    expected = usual_loss(model, tokens, targets)
    model.compute_dtype = torch.bfloat16
    loss = model(tokens, targets)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.allclose(loss, expected, rtol=1e-2)
    assert {parameter.grad.dtype for parameter in model.parameters() if parameter.grad is not None} == {torch.float32}


def test_an_empty_batch_has_no_loss_and_zero_gradients() -> None:
    """A member without samples still takes part in the exchange of gradients."""
    model = random_model()
    tokens, targets = rows(0)
    loss = model(tokens, targets)
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in model.parameters())


def test_an_impossible_token_costs_much_and_not_infinitely() -> None:
    x = torch.tensor([[300.0, 0.0]], dtype=torch.bfloat16)
    loss = kernels.summed_loss(x, torch.eye(2), torch.tensor([1]), IGNORED)
    assert 80 < float(loss) < 100


def test_rows_longer_than_the_attention_kernel_use_the_usual_modules() -> None:
    model = random_model()
    torch.manual_seed(3)
    tokens = torch.randint(0, VOCAB, (1, kernels.MAX_ATTENTION_POSITIONS + 1))
    targets = tokens.roll(-1, 1)
    assert torch.allclose(model(tokens, targets), usual_loss(model, tokens, targets), rtol=1e-12)

"""The network and the sampler: shapes, causality, the cache, the loss, the draws."""

import math

import pytest
import torch

from model.arithmetic.gpt import GPT, IGNORED
from model.arithmetic.sampler import choose, generate
from model.config import ModelConfig
from model.line.sampling import Sampling

CONFIG = ModelConfig(d_model=32, nhead=4, num_layers=2)
VOCAB = 50


def make(**changes: object) -> GPT:
    torch.manual_seed(0)
    model = GPT(ModelConfig(**{"d_model": 32, "nhead": 4, "num_layers": 2, **changes}), VOCAB)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():  # so that weights that start at zero matter too
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


@pytest.mark.parametrize("width", [32, 512])
def test_a_fresh_model_predicts_all_tokens_alike(width: int) -> None:
    torch.manual_seed(0)
    tokens = torch.randint(0, VOCAB, (4, 16))
    model = GPT(ModelConfig(d_model=width, nhead=4, num_layers=2), VOCAB)
    loss = model(tokens, tokens.roll(-1, 1)).detach() / tokens.numel()
    assert abs(float(loss) - math.log(VOCAB)) < 0.1


def test_names_and_shapes_are_those_of_qwen3() -> None:
    names = {name: tuple(tensor.shape) for name, tensor in GPT(CONFIG, VOCAB).state_dict().items()}
    assert names["embed_tokens.weight"] == (VOCAB, 32)
    assert names["layers.1.self_attn.q_norm.weight"] == (8,)
    assert names["layers.0.mlp.gate_proj.weight"] == (96, 32)
    assert not any("bias" in name for name in names)
    assert "lm_head.weight" not in names
    assert "lm_head.weight" in GPT(ModelConfig(d_model=32, nhead=4, tie_embeddings=False), VOCAB).state_dict()


def test_the_future_is_not_seen() -> None:
    model = make()
    tokens = torch.randint(0, VOCAB, (1, 12))
    changed = tokens.clone()
    changed[0, 8:] = (changed[0, 8:] + 1) % VOCAB
    a, b = model(tokens), model(changed)
    assert torch.equal(a[:, :8], b[:, :8])
    assert not torch.allclose(a[:, 8:], b[:, 8:])


def test_compiled_layers_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a compiler that changes nothing: torch's own needs a C++ compiler or Triton."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: compiled.append(function) or function)
    model, tokens = make(), torch.randint(0, VOCAB, (1, 12))
    before = model(tokens)
    model.compile_layers()
    model.compile_layers()
    assert model.is_compiled
    assert len(compiled) == 2  # one for each layer
    assert torch.equal(model(tokens), before)


@pytest.mark.parametrize("first", [1, 5, 11])
def test_cached_logits_equal_uncached_ones(first: int) -> None:
    model = make()
    tokens = torch.randint(0, VOCAB, (2, 12))
    whole = model(tokens)
    cache = model.new_cache()
    pieces = [model(tokens[:, :first], cache=cache)]
    pieces.append(model(tokens[:, first : first + 1], cache=cache))
    if first < 11:
        pieces.append(model(tokens[:, first + 1 :], cache=cache))
    assert torch.allclose(torch.cat(pieces, dim=1), whole, atol=1e-4, rtol=0)
    assert cache.length == 12


def test_ignored_targets_do_not_count() -> None:
    model = make()
    tokens = torch.randint(0, VOCAB, (1, 8))
    targets = tokens.roll(-1, 1)
    partly = targets.clone()
    partly[0, 4:] = IGNORED
    assert torch.allclose(model(tokens, partly), model(tokens[:, :4], targets[:, :4]), atol=1e-4)


def test_dropout_works_in_training_only() -> None:
    model = make(dropout=0.5)
    tokens = torch.randint(0, VOCAB, (1, 8))
    assert torch.equal(model(tokens), model(tokens))
    model.train()
    assert not torch.equal(model(tokens), model(tokens))


def take(count: int, **sampling: float) -> list[int]:
    words = generate(make(), [1, 7, 9], 64, 2, [0], Sampling(**sampling))  # type: ignore[arg-type]
    return [token for token, _ in zip(words, range(count), strict=False)]


def test_the_same_seed_gives_the_same_answer() -> None:
    assert take(20, seed=5) == take(20, seed=5)
    assert take(20, seed=5, temperature=1.5) != take(20, seed=6, temperature=1.5)


def test_another_device_can_continue_an_answer() -> None:
    whole = take(12, seed=5, temperature=1.2)
    rest = generate(make(), [1, 7, 9, *whole[:6]], 64, 2, [0], Sampling(seed=5, temperature=1.2))
    assert [token for token, _ in zip(rest, range(6), strict=False)] == whole[6:]


def test_a_full_window_forgets_the_older_half() -> None:
    tokens = list(zip(generate(make(), [1], 16, 2, [0, 2], Sampling(seed=1)), range(60), strict=False))
    assert len(tokens) == 60


def test_forbidden_ids_are_never_chosen_and_an_answer_is_never_empty() -> None:
    model = make()
    for seed in range(20):
        first = next(generate(model, [1], 16, 2, [0, 3, 4], Sampling(seed=seed, temperature=3.0)))
        assert first not in (0, 2, 3, 4)


def test_a_continued_answer_may_end_at_once() -> None:
    model, likeliest = make(), Sampling(temperature=0)
    end = next(generate(model, [1, 7, 9], 16, 2, [0], likeliest))
    assert next(generate(model, [1, 7, 9], 16, end, [0], likeliest)) != end
    assert list(generate(model, [1, 7, 9], 16, end, [0], likeliest, is_continued=True)) == [end]


def test_temperature_zero_takes_the_likeliest() -> None:
    assert choose(torch.tensor([0.0, 3.0, 1.0]), Sampling(temperature=0), 0) == 1


def test_top_k_and_top_p_exclude_the_unlikely() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    by_k = {choose(logits, Sampling(top_k=2, top_p=1.0, temperature=1.0, seed=s), 0) for s in range(200)}
    by_p = {choose(logits, Sampling(top_p=0.81, temperature=1.0, seed=s), 0) for s in range(200)}
    everything = {choose(logits, Sampling(top_p=1.0, temperature=1.0, seed=s), 0) for s in range(400)}
    assert (by_k, by_p, everything) == ({0, 1}, {0, 1, 2}, {0, 1, 2, 3})


def test_draws_follow_the_probabilities() -> None:
    logits = torch.log(torch.tensor([0.7, 0.3]))
    draws = [choose(logits, Sampling(top_p=1.0, temperature=1.0, seed=9), place) for place in range(2000)]
    assert abs(draws.count(0) / 2000 - 0.7) < 0.04


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}, {"top_k": -1}])
def test_impossible_sampling_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="temperature"):
        Sampling(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(32, 4, 2), (96, 3, 1), (512, 8, 6)])
def test_the_number_of_weights_is_known_without_making_them(shape: tuple[int, int, int]) -> None:
    d_model, nhead, num_layers = shape
    config = ModelConfig(d_model=d_model, nhead=nhead, num_layers=num_layers)
    with torch.device("meta"):
        model = GPT(config, 1000)
    assert config.num_weights(1000) == sum(weight.numel() for weight in model.parameters())

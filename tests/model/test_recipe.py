"""The recipe: what is given is obeyed, what is chosen suits the text and fits together, from 100 KB to 1 GB of text."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import Config, ModelConfig
from model.config_file import parse_config
from model.recipe import CHOSEN_KEYS, TextSize, choose_recipe


def size(tokens: int) -> TextSize:
    return TextSize(tokens=tokens, rows=max(1, tokens // 250), seq_len=256)


TEXTS = st.integers(100, 400_000_000).map(size)


def parameters(model: ModelConfig) -> int:
    """Inside the layers."""
    return model.num_layers * (4 * model.d_model**2 + 3 * model.d_model * model.feed_forward_width)


@given(text=TEXTS)
def test_any_text_has_a_recipe(text: TextSize) -> None:
    recipe = choose_recipe(Config(), text)
    model, training = recipe.config.model, recipe.config.training
    assert {choice.key for choice in recipe.choices} == CHOSEN_KEYS
    assert 1e5 < parameters(model) < 2e8
    assert 16 <= model.d_model // model.nhead <= 128
    assert training.batch_size >= 1
    assert 1e-4 < training.lr < 2e-2
    assert training.epochs >= 1


@given(small=st.integers(50_000, 400_000_000), factor=st.floats(1, 100))
def test_more_text_never_has_a_smaller_model_or_more_epochs(small: int, factor: float) -> None:
    one, more = (choose_recipe(Config(), size(tokens)).config for tokens in (small, int(small * factor)))
    assert parameters(one.model) <= parameters(more.model)
    assert one.training.epochs >= more.training.epochs


@settings(max_examples=300)
@given(
    width=st.none() | st.integers(8, 512).map(lambda half: 2 * half),
    heads=st.none() | st.integers(1, 16),
    text=TEXTS,
)
def test_what_is_given_is_obeyed_and_the_rest_fits(width: int | None, heads: int | None, text: TextSize) -> None:
    if width and heads and (width % heads or width // heads % 2):
        return  # the configuration itself is an error
    given = {key: value for key, value in {"d_model": width, "nhead": heads}.items() if value}
    defaults = {"d_model": width or 512 * (heads or 1) * 2, "nhead": heads or 1}
    config = Config(model=ModelConfig(**defaults), given=frozenset(f"model.{key}" for key in given))
    model = choose_recipe(config, text).config.model
    assert {key: getattr(model, key) for key in given} == given


def test_the_guides_configuration_means_what_it_says() -> None:
    guide = (
        '{"model": {"d_model": 512, "nhead": 8, "num_layers": 6, "dropout": 0.1}, "training": {"batch_size": 32,'
        ' "epochs": 3, "lr": 3e-4, "dataset": {"seq_len": 256}}}'
    )
    config = parse_config(guide)
    recipe = choose_recipe(config, size(50_000))
    assert recipe.config == config
    assert recipe.choices == ()


def test_a_tiny_text_is_read_until_the_rate_has_risen_and_fallen() -> None:
    training = choose_recipe(Config(), TextSize(tokens=2000, rows=8, seq_len=256)).config.training
    assert training.epochs * 8 / training.batch_size >= 100


def test_auto_is_the_same_as_nothing() -> None:
    auto = parse_config('{"model": {"d_model": "auto", "num_layers": 3}, "training": {"lr": "auto"}}')
    assert auto.given == {"model.num_layers"}
    recipe = choose_recipe(auto, size(50_000))
    assert recipe.config.model.num_layers == 3
    assert recipe == choose_recipe(parse_config('{"model": {"num_layers": 3}}'), size(50_000))


def test_a_model_that_is_continued_keeps_its_shape() -> None:
    start = ModelConfig(d_model=96, nhead=4, num_layers=3)
    recipe = choose_recipe(Config(), size(5_000_000), start)
    assert (recipe.config.model.d_model, recipe.config.model.nhead, recipe.config.model.num_layers) == (96, 4, 3)


def test_a_larger_step_and_a_narrower_model_have_a_higher_rate() -> None:
    def rate(text: str) -> float:
        return choose_recipe(parse_config(text), size(1_000_000)).config.training.lr

    assert rate('{"training": {"batch_size": 64}}') > 1.3 * rate('{"training": {"batch_size": 16}}')
    assert rate('{"model": {"d_model": 128}}') > 1.2 * rate('{"model": {"d_model": 512}}')
    assert math.isclose(rate('{"training": {"lr": 0.001}}'), 0.001)


def test_rows_are_as_long_as_the_text_was_packed_unless_they_are_given() -> None:
    short = TextSize(tokens=11_000, rows=91, seq_len=128)
    assert choose_recipe(Config(), short).config.training.dataset.seq_len == 128
    given = parse_config('{"training": {"dataset": {"seq_len": 64}}}')
    assert choose_recipe(given, short).config.training.dataset.seq_len == 64

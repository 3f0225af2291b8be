"""What a model writes after the beginning of a held-out text, at each checkpoint: people see in it that it learns."""

from __future__ import annotations

from model.line.declare import line_value

NUM_PROMPTS = 3  # enough to see more than chance, and few enough to read


@line_value
class Continuation:
    """`text` is what the model wrote after `prompt`."""

    prompt: str
    text: str

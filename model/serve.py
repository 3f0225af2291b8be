"""The answering program: `python -P -m model.serve`, kept warm by an agent.

Calls: `load`, then `answer` again and again. Events: `piece`.
"""

from __future__ import annotations

import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

from model.link import AgentLink

_ZERO_WIDTH = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))


def main() -> int:
    link = AgentLink()
    program = _Program(link)
    for number, method, params in link.calls():
        try:
            link.answer(number, program.serve(method, params))
        except Exception as error:
            hint = getattr(error, "hint", None)
            words = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
            print(words, file=sys.stderr, flush=True)
            link.refuse(number, f"{words} ({hint})" if hint else words)
    return 0


class _Program:
    def __init__(self, link: AgentLink) -> None:
        self._link = link
        self._model: Any = None
        self._encoder: Any = None
        self._context = 0

    def serve(self, method: str, params: dict[str, Any]) -> Any:
        match method:
            case "load":
                return self._load(params)
            case "answer":
                return self._answer(params)
        raise ValueError(f"unknown call {method}")

    def _load(self, orders: dict[str, Any]) -> None:
        import json

        from model.checkpoint import CheckpointError, load_weights, read_state
        from model.config import parse_config
        from model.gpt import GPT
        from model.trainer import choose_device
        from tokenizer.encoding import load_encoder

        state = read_state(Path(orders["state.json"]))
        encoder = load_encoder(Path(orders["tokenizer"]))
        if encoder.digest != state.tokenizer or encoder.vocab_size != state.vocab_size:
            raise CheckpointError("the tokenizer is not the one of this checkpoint", "cellmindctl sync")
        config = parse_config(json.dumps(state.config))
        model = GPT(config.model, state.vocab_size)
        load_weights(Path(orders["model.safetensors"]), model)
        self._model = model.to(choose_device(None, 0)).eval()
        self._encoder, self._context = encoder, config.training.dataset.seq_len

    def _answer(self, orders: dict[str, Any]) -> dict[str, Any]:
        from model.sampler import Sampling, generate

        started = time.perf_counter()
        sampling = Sampling(
            temperature=orders["temperature"], top_k=orders["top_k"], top_p=orders["top_p"], seed=orders["seed"]
        )
        encoder = self._encoder
        prompt = [encoder.start_id, *encoder.encode(_as_trained(orders["prompt"]) + orders["so_far"])]
        decoder = encoder.stream_decoder()
        num_tokens, reason, is_begun = 0, "length", bool(orders["so_far"])
        forbidden = [0, encoder.start_id, encoder.pad_id]
        for token in generate(self._model, prompt, self._context, encoder.end_id, forbidden, sampling):
            if token == encoder.end_id:
                reason = "end"
                break
            num_tokens += 1
            is_begun = self._tell(decoder.push(token), num_tokens, is_begun)
            if num_tokens >= orders["max_tokens"]:
                break
        self._tell(decoder.finish(), num_tokens, is_begun)
        return {"num_tokens": num_tokens, "seconds": time.perf_counter() - started, "reason": reason}

    def _tell(self, text: str, num_tokens: int, is_begun: bool) -> bool:
        """An answer does not begin with white space."""
        text = text if is_begun else text.lstrip()
        if text:
            self._link.tell("piece", text=text, num_tokens=num_tokens)
        return is_begun or bool(text)


def _as_trained(prompt: str) -> str:
    """The prompt as the training text was cleaned: composed, lower-case, without zero-width characters."""
    return unicodedata.normalize("NFC", prompt).lower().translate(_ZERO_WIDTH).strip()


if __name__ == "__main__":
    sys.exit(main())

"""Korean of tokenizers, `python -m tokenizer` included."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "{path}: {count} pieces": "{path}: 조각 {count}개",
    "Train a SentencePiece tokenizer on text.": "텍스트로 SentencePiece 토크나이저를 학습합니다.",
    "text, CSV or JSONL": "텍스트, CSV 또는 JSONL",
    "writes NAME.model and NAME.vocab": "NAME.model과 NAME.vocab을 씁니다",
    "default: depends on the size of the text": "기본값: 텍스트의 크기에 따라 정합니다",
    "training a tokenizer on the text": "텍스트로 토크나이저를 학습하는 중",
    "{path} was trained on another text, so a tokenizer is trained on this one": (
        "{path} 토크나이저는 다른 텍스트로 학습한 것이어서 이 텍스트로 새로 학습합니다"
    ),
    "{path} was trained on another text; the model to continue needs it, so it is used": (
        "{path} 토크나이저는 다른 텍스트로 학습한 것이지만, 이어서 학습할 모델에 필요하므로 그대로 씁니다"
    ),
    "the tokenizer has no {piece} piece": "토크나이저에 {piece} 조각이 없습니다",
    "train it with: python -m tokenizer": "다음으로 학습하십시오: python -m tokenizer",
    "the tokenizer {path} cannot be read: {strerror}": "토크나이저 {path} 파일을 읽을 수 없습니다: {strerror}",
    "train it: python -m tokenizer": "학습하십시오: python -m tokenizer",
    "the tokenizer file is damaged": "토크나이저 파일이 손상되었습니다",
    "train it again: python -m tokenizer": "다시 학습하십시오: python -m tokenizer",
    "{count} pieces of the tokenizer spell a hidden name (or a part of another word)": (
        "토크나이저의 조각 {count}개가 숨긴 이름(또는 다른 낱말의 일부)입니다"
    ),
    "{count} pieces of the tokenizer are private data": "토크나이저의 조각 {count}개가 개인 정보입니다",
    "{characters} characters a token, {bytes} of the tokens are bytes of characters without a piece": (
        "토큰마다 {characters}자, 토큰의 {bytes}은(는) 조각이 없는 글자의 바이트"
    ),
    "{round_trips} of {texts} texts round-trip, {used} of the vocabulary is used": (
        "텍스트 {texts}개의 {round_trips}이(가) 그대로 복원됨, 어휘의 {used} 사용"
    ),
    "SentencePiece refused: {last_line}": "SentencePiece가 거부했습니다: {last_line}",
    "give more text, or ask for another --vocab-size": "텍스트를 더 주거나 --vocab-size를 바꾸십시오",
    "the text allows {have} pieces, not the {vocab_size} asked for": "텍스트로 만들 수 있는 조각은 {vocab_size}개가 아니라 {have}개입니다",
    "--vocab-size {have}, or more text": "--vocab-size {have}을(를) 주거나 텍스트를 늘리십시오",
    "a vocabulary of {vocab_size} has no room beside {fixed} fixed pieces": (
        "어휘가 {vocab_size}개이면 고정된 조각 {fixed}개 말고는 자리가 없습니다"
    ),
    "--vocab-size {least} or more": "--vocab-size를 {least} 이상으로 주십시오",
    "a character coverage of {character_coverage} is out of range": (
        "character coverage {character_coverage}은(는) 범위를 벗어납니다"
    ),
    "--character-coverage 0.98 to 1.0": "--character-coverage는 0.98에서 1.0까지입니다",
    "a vocabulary of {have} is too small: the text's characters and the fixed pieces alone are {needed}": (
        "어휘 {have}개는 너무 작습니다. 텍스트의 글자와 고정된 조각만 {needed}개입니다"
    ),
    "ask for {least} or more (tokenizer.vocab_size, --vocab-size)": (
        "{least}개 이상으로 하십시오 (tokenizer.vocab_size, --vocab-size)"
    ),
    "there is no text to train a tokenizer on": "토크나이저를 학습할 텍스트가 없습니다",
    "check the --input files": "--input 파일을 확인하십시오",
    "encoded {percent} % of {megabytes} MB": "{megabytes} MB 중 {percent} % 인코딩함",
}

"""Korean of plans: why a mode, a backend, a device or a recipe was chosen."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "rank": "순위",
    "share": "몫",
    "tok/s": "토큰/초",
    "mode": "방식",
    "backend": "백엔드",
    "data": "데이터",
    "packing": "묶기",
    "warning": "주의",
    "recipe": "선택",
    "without": "제외",
    "other devices: only this one is online": "다른 기기: 온라인인 기기가 이것뿐입니다",
    (
        "{documents} documents and {held_out} held out, {tokens} tokens in {rows} rows of {seq_len}, "
        "vocabulary {vocab_size}"
    ): ("문서 {documents}개와 평가용 {held_out}개, 길이 {seq_len}인 행 {rows}개에 토큰 {tokens}개, 어휘 {vocab_size}"),
    "{padding} padding tokens ({unpacked} if no two documents shared a row)": (
        "채움 토큰 {padding}개 (문서마다 행을 따로 쓰면 {unpacked}개)"
    ),
    "chosen by the size of the text": "텍스트의 크기에 맞춰 고름",
    "chosen by the width of the model": "모델의 너비에 맞춰 고름",
    "chosen by the width of the model and the tokens of a step": "모델의 너비와 한 단계의 토큰 수에 맞춰 고름",
    "chosen by the model to continue": "이어서 학습할 모델에 맞춰 고름",
}

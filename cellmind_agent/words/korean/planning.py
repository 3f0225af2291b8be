"""Korean of plans: why a mode, a backend, a device or a recipe was chosen, and what limits training."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
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
    "no backend can be used: {why_not}": "쓸 수 있는 백엔드가 없습니다: {why_not}",
    "no backend is called {choice}": "{choice}(이)라는 백엔드는 없습니다",
    "no member has a CUDA GPU": "CUDA GPU를 가진 구성원이 없음",
    "not every member has a CUDA GPU of its own": "구성원마다 CUDA GPU가 있는 것은 아님",
    ("NCCL sends unencrypted, and the owner has not said that the network is trusted (distributed.trusted_lan)"): (
        "NCCL은 암호화하지 않는데, 소유자가 네트워크를 믿는다고 하지 않음 (distributed.trusted_lan)"
    ),
    "gloo does not work between these systems: {named}": "이 시스템들 사이에서는 gloo가 되지 않음: {named}",
    "gloo needs the same torch everywhere: {named}": "gloo에는 모두 같은 torch가 필요함: {named}",
    "switched off by {name}": "{name}(으)로 꺼 둠",
    "torch is not installed": "torch가 설치되어 있지 않음",
    "gloo does not work on {named} ({why})": "gloo가 되지 않는 기기: {named} ({why})",
    "backend {choice} cannot be used: {why_not}": "{choice} 백엔드를 쓸 수 없습니다: {why_not}",
    "asked for": "지정한 대로",
    "every member has a CUDA GPU of its own": "구성원마다 CUDA GPU가 있음",
    "every member runs the same kind of system and the same torch": "구성원의 시스템과 torch가 모두 같은 종류임",
    "members may differ in any way": "구성원이 서로 달라도 됨",
    "no device is called {name} (known: {known})": "{name}(이)라는 기기가 없습니다 (아는 기기: {known})",
    "the network could not be measured; on a slow one choose --mode local": (
        "네트워크를 재지 못함. 느린 네트워크라면 --mode local을 고르십시오"
    ),
    "at {rate} Mbit/s the gradients of a step would take {ddp} s": "{rate} Mbit/s에서 한 단계의 기울기에 {ddp}초가 걸림",
    "at {rate} Mbit/s the gradients of a step take {ddp} s": "{rate} Mbit/s에서 한 단계의 기울기에 {ddp}초가 걸림",
    "at {rate} Mbit/s a step takes {ddp} s together, and {local} s in local rounds": (
        "{rate} Mbit/s에서 한 단계를 함께 하면 {ddp}초, 따로 하고 평균하면 {local}초"
    ),
    "at {rate} Mbit/s, which all share, a step takes {ddp} s together, and {local} s in local rounds": (
        "모두 나누어 쓰는 {rate} Mbit/s에서 한 단계를 함께 하면 {ddp}초, 따로 하고 평균하면 {local}초"
    ),
    "it would slow the run down; it can keep the model, and answer": (
        "학습을 느리게 할 것임. 모델을 보관하고 답할 수는 있음"
    ),
    "it would bring {percent} %; it can keep the model, and answer": (
        "{percent} %만 보탤 것임. 모델을 보관하고 답할 수는 있음"
    ),
    "averages": "평균",
    "forecast": "예측",
    "{seconds} s a round; each member averages a part": "라운드마다 {seconds}초, 구성원마다 한 부분씩 평균함",
    "{seconds} s a round, through {name}, which is connected best": (
        "라운드마다 {seconds}초, 연결이 가장 좋은 {name}을(를) 거침"
    ),
    "{names}: {speed} tokens/s": "{names}: 초당 토큰 {speed}개",
    "{names}: {speed} tokens/s, worth {useful} of one device": (
        "{names}: 초당 토큰 {speed}개 (기기 하나의 {useful}개만큼 배움)"
    ),
    "time": "시간",
    "about {duration} for {epochs} epochs, or less if it learns nothing more": (
        "에포크 {epochs}번에 {duration}쯤, 더 배우지 못하면 더 짧게"
    ),
    "measuring how fast {names} can train this network, about ten seconds": (
        "{names}이(가) 이 모델을 얼마나 빨리 학습하는지 재는 중 (10초쯤)"
    ),
    "as before": "앞서와 같음",
    "each step": "단계마다",
    "parts": "나누어",
    "star": "한 기기",
    "cells": "셀의 셀",
    "simulating {home}: {count} devices": "{home} 모의실험: 기기 {count}대",
    "{path} describes no homes: {error}": "{path} 파일을 읽을 수 없습니다: {error}",
    "{path} names no homes": "{path} 파일에 집이 없습니다",
    "{where} is no JSON object": "{where}은(는) JSON 객체가 아닙니다",
    "{where} has no devices": "{where}에 기기가 없습니다",
    "{where} has more than {most} devices": "{where}에 기기가 {most}대보다 많습니다",
    "{where}: {key} must be a number more than 0, and is {value}": (
        "{where}: {key}은(는) 0보다 큰 수여야 하는데 {value}입니다"
    ),
    "{where}: {key} must be a whole number, and is {value}": "{where}: {key}은(는) 정수여야 하는데 {value}입니다",
    "README.md, Devices of different kinds, has an example": "README.ko.md의 서로 다른 기기에 예가 있습니다",
    "way": "방식",
    "of sum": "합 대비",
    "average": "평균",
    "bytes/tok": "바이트/토큰",
    "links": "연결",
    "leader": "리더",
    "no device is paired and online": "페어링되고 온라인인 기기가 없음",
    "no device can train ({reasons})": "학습할 수 있는 기기가 없습니다 ({reasons})",
    "not paired": "페어링되지 않음",
    "has not reported its vitals yet": "아직 상태를 보고하지 않음",
    "has no torch: run ./install there again, without --no-train": (
        "torch가 없음: 그 기기에서 --no-train 없이 ./install을 다시 실행하십시오"
    ),
    "is busy with {run}": "{run} 학습 중",
    "{num_found} devices are called {name}": "{name}(이)라는 기기가 {num_found}대입니다",
    "name it by its id: cellmindctl peers --wide": "ID로 지정하십시오: cellmindctl peers --wide",
    "one device alone; others may join over any network": "기기 하나뿐. 다른 기기는 어떤 네트워크로든 참여할 수 있음",
    "the members share one machine, so gradients are cheap to exchange": "구성원이 한 기기에 있어 기울기를 주고받는 비용이 작음",
    "{name}: {why}": "{name}: {why}",
    "{reasons}; {name}: {why}": "{reasons}; {name}: {why}",
    "the batch has fewer samples than devices": "배치의 샘플이 기기보다 적음",
    "at most {threads} of {cores} threads: {reason}": "스레드 {cores}개 가운데 {threads}개까지: {reason}",
    "--train-threads": "--train-threads",
    "it does not report whether it charges: install the app Termux:API": "충전 중인지 알 수 없음: 앱 Termux:API를 설치하십시오",
    "it does not charge": "충전 중이 아님",
    "the battery is below {percent} %": "배터리가 {percent} %보다 적음",
    "the battery is hotter than {celsius} °C": "배터리가 {celsius} °C보다 뜨거움",
    "hotter than {celsius} °C": "{celsius} °C보다 뜨거움",
    "other programs use the processor": "다른 프로그램이 프로세서를 사용함",
}

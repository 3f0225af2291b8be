"""Korean of tables and of the live view: headers, states, lengths of time, the lines of a run."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "round {round} of term {term} has no such steps": "{term}기 {round}라운드의 단계가 학습에 없는 단계임",
    "round {round} of term {term} did not divide its samples among its members": "{term}기 {round}라운드가 샘플을 참여 기기에 제대로 나누지 않음",
    "no completion for {shell}": "{shell}에는 자동 완성이 없습니다",
    "{run} has no checkpoint": "{run}에는 체크포인트가 없습니다",
    # headers
    "name": "이름",
    "state": "상태",
    "cpu": "CPU",
    "ram free": "남은 RAM",
    "accel": "가속기",
    "tok/s": "토큰/초",
    "battery": "배터리",
    "address": "주소",
    "seen": "마지막 응답",
    "id": "ID",
    "role": "역할",
    "os": "OS",
    "torch": "torch",
    "limit": "제한",
    "how": "발견 경로",
    "run": "학습",
    "step": "단계",
    "held-out": "검증 손실",
    "choices": "선택지",
    "devices": "기기",
    "started": "시작",
    "model": "모델",
    "size": "크기",
    "made": "저장 시각",
    "rank": "순번",
    "share": "몫",
    "idle": "대기",
    "part": "비율",
    "tokens/s": "초당 토큰",
    "measured": "실제",
    "difference": "차이",
    "together": "모두 함께",
    "text": "텍스트",
    # states and marks
    " (this)": " (이 기기)",
    "{name} does not train now: {why}": "{name}: 지금은 학습하지 않음 ({why})",
    "online": "온라인",
    "asleep": "절전",
    "gone": "연결 끊김",
    "unpaired": "페어링 안 됨",
    "paused": "쉬는 중",
    "training": "학습 중",
    "preparing": "준비 중",
    "finished": "완료",
    "stopped": "멈춤",
    "failed": "실패",
    "owner": "소유자",
    "member": "구성원",
    # time
    "now": "방금",
    "{duration} ago": "{duration} 전",
    "{number}s": "{number}초",
    "{number}m": "{number}분",
    "{number}h": "{number}시간",
    "{number}d": "{number}일",
    # a run
    "step {step}/{total}  loss {loss}  {speed} tok/s  ETA {eta}": (
        "{step}/{total}단계  손실 {loss}  {speed} 토큰/초  남은 시간 {eta}"
    ),
    "round {round}  step {step}/{total}  loss {loss}  held-out {held_out}  {speed} tok/s  state {state}": (
        "라운드 {round}  {step}/{total}단계  손실 {loss}  검증 손실 {held_out}  {speed} 토큰/초  상태 {state}"
    ),
    "{run} failed: {why}": "{run} 학습이 실패했습니다: {why}",
    "{run} failed: its leader went away ({why})": "{run} 학습이 실패했습니다. 리더와 연결이 끊겼습니다 ({why})",
    "cellmindctl resume {run} continues from the last checkpoint": (
        "마지막 체크포인트에서 이어 하기: cellmindctl resume {run}"
    ),
    "{loss} ({bits} bits/byte)": "{loss} (바이트당 {bits}비트)",
    ", averaged {loss}": ", 평균 가중치 {loss}",
    "checkpoint at step {step} on {devices}": "{step}단계 체크포인트 저장: {devices}",
    # how a run went
    "trained by {members}": "학습한 기기: {members}",
    "trained by": "학습한 기기",
    "how the model learnt: cellmindctl runs show {run}": "모델이 배운 과정 보기: cellmindctl runs show {run}",
    "training time": "학습 시간",
    "{loss} at step {step}": "{loss} ({step}단계)",
    "trained again": "다시 학습",
    "trained again: {duration}": "다시 학습: {duration}",
    "back: {names}": "돌아옴: {names}",
    "left: {names}": "빠짐: {names}",
    "{name} leads now ({why})": "이제 {name} 기기가 리더입니다 ({why})",
    "the leader reports nothing more": "리더가 더는 알리지 않습니다",
    "{tokens} tokens, {duration} of work": "{tokens} 토큰, {duration} 분량",
    "came and went": "드나든 기기",
    "after step {step}: {why}": "{step}단계 뒤: {why}",
    "after step {step}: {name} left": "{step}단계 뒤: {name} 기기가 나갔습니다",
    "after step {step}: {name} came back": "{step}단계 뒤: {name} 기기가 돌아왔습니다",
    "after step {step}: {name} joined": "{step}단계 뒤: {name} 기기가 새로 참여했습니다",
    "after step {step}: {name} led": "{step}단계 뒤: {name} 기기가 리더를 맡았습니다",
    "after “{prompt}” it wrote:": "“{prompt}” 다음에 모델이 쓴 글:",
    "no device that knows {run} is online: who contributed what is not known": (
        "{run} 학습을 아는 기기가 온라인이 아니어서 기기마다 얼마나 기여했는지 알 수 없습니다"
    ),
    "{shown} of {count} changes of the roster are shown; all of them: cellmindctl runs show {run} --all": (
        "드나든 기록 {count}개 가운데 마지막 {shown}개를 보여 줍니다. 모두 보기: cellmindctl runs show {run} --all"
    ),
    "no texts of checkpoints of {run} were found": "{run} 학습의 체크포인트에서 모델이 쓴 글을 찾지 못했습니다",
    "{shown} of {count} checkpoints are shown; all of them: cellmindctl runs show {run} --all": (
        "체크포인트 {count}개 가운데 {shown}개를 보여 줍니다. 모두 보기: cellmindctl runs show {run} --all"
    ),
    "it guesses the next piece of a word as if choosing among {choices}": (
        "다음 말 조각을 {choices}개 가운데 하나를 고르는 정도로 맞힙니다"
    ),
    # how a run went, in one line
    "so far: {line}": "지금까지: {line}",
    "1 device": "기기 1대",
    "{count} devices": "기기 {count}대",
    "{number} d {rest} h": "{number}일 {rest}시간",
    "{number} h {rest} min": "{number}시간 {rest}분",
    "{number} min": "{number}분",
    "{number} s": "{number}초",
    "{count} joined later": "{count}대가 나중에 참여",
    "{count} left and came back": "{count}대가 나갔다가 돌아옴",
    "{count} left": "{count}대가 나감",
    "{duration} of work redone": "{duration} 분량을 다시 학습",
    "every part of your training text used exactly once": "학습 텍스트를 빠짐없이 정확히 한 번씩 사용",
    "every part of your training text used exactly {count} times": "학습 텍스트를 빠짐없이 정확히 {count}번씩 사용",
    "every part of your training text used exactly once, and {part} of it once more": (
        "학습 텍스트를 빠짐없이 정확히 한 번씩, 그중 {part}만큼은 한 번 더 사용"
    ),
    "every part of your training text used exactly {count} times, and {part} of it once more": (
        "학습 텍스트를 빠짐없이 정확히 {count}번씩, 그중 {part}만큼은 한 번 더 사용"
    ),
    "{part} of your training text used, no part of it twice": "학습 텍스트의 {part}만큼을 겹치지 않게 사용",
    "{part} of the training is known to no device online: how often your text was used is not proved": (
        "학습의 {part}만큼은 온라인인 기기 가운데 아는 기기가 없어 텍스트를 몇 번 썼는지 확인할 수 없음"
    ),
    "your training text was not used evenly: {fault}": "학습 텍스트를 고르게 쓰지 않음: {fault}",
    "epoch {epoch} used {count} samples twice": "에포크 {epoch}에서 샘플 {count}개를 두 번 씀",
}

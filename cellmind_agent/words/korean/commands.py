"""Korean of what the commands of `cellmindctl` say about devices, the cell and models, and of their mistakes."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    # `cellmindctl` without a command
    "agent": "에이전트",
    "device": "기기",
    "cell": "셀",
    "next step": "다음 단계",
    "all commands": "모든 명령",
    "{name} (the agent runs)": "{name} (에이전트 실행 중)",
    "{command} (starts it now, and whenever you log in)": "{command} (지금 시작하고, 로그인할 때마다 시작)",
    "{command} (runs it in this terminal)": "{command} (이 터미널에서 실행)",
    "this device alone": "이 기기뿐",
    "online: {names}": "온라인: {names}",
    "not online: {names}": "온라인이 아님: {names}",
    "none yet": "아직 없음",
    "{run}: {state}, step {step} of {total}": "{run}: {state}, {total}단계 중 {step}단계",
    "{model}, step {step}": "{model}, {step}단계",
    "{model}, step {step}, held-out loss {loss}": "{model}, {step}단계, 검증 손실 {loss}",
    # states
    "went away": "끊김",
    # inviting, joining, forgetting
    "valid for {time} and three tries; waiting (Ctrl-C ends the invitation)": (
        "{time} 동안, 세 번까지 유효합니다. 기다리는 중 (Ctrl-C로 초대를 끝냄)"
    ),
    "note: no code is valid for longer than {time}": "참고: 참가 코드는 길어도 {time} 동안만 유효합니다",
    "1 second": "1초",
    "{count} seconds": "{count}초",
    "1 minute": "1분",
    "{count} minutes": "{count}분",
    "1 hour": "1시간",
    "{count} hours": "{count}시간",
    "no join code was given": "참가 코드가 없습니다",
    "that is not a join code": "참가 코드가 아닙니다",
    "a code looks like 41-amber-falcon-river; get one: cellmindctl invite": (
        "코드는 41-amber-falcon-river처럼 생겼습니다. 새 코드 받기: cellmindctl invite"
    ),
    "{word} is not a word of join codes": "{word}은(는) 참가 코드에 쓰이는 낱말이 아닙니다",
    "the code is wrong, used up or out of date": "코드가 틀렸거나, 이미 쓰였거나, 기한이 지났습니다",
    "nobody joined in time; the code is void": "제한 시간 안에 참가한 기기가 없습니다. 코드는 이제 쓸 수 없습니다",
    "invite again: cellmindctl invite": "다시 초대: cellmindctl invite",
    "models and text that {name} has already copied stay there": (
        "{name} 기기가 이미 복사해 둔 모델과 텍스트는 그 기기에 남습니다"
    ),
    "remove {name} from the cell?": "{name} 기기를 셀에서 제거할까요?",
    "nothing was removed": "아무것도 제거하지 않았습니다",
    "recovery code": "복구 코드",
    "no recovery code was given": "복구 코드가 없습니다",
    "it is read from standard input or CELLMIND_RECOVERY_CODE": "표준 입력이나 CELLMIND_RECOVERY_CODE에서 읽습니다",
    "is it on paper? then it is erased here": "종이에 적었습니까? 그러면 이 기기에서 지웁니다",
    "the code is on your paper only": "이제 코드는 종이에만 있습니다",
    "the code stays on this device: cellmindctl recovery shows it again": (
        "코드는 이 기기에 남아 있습니다. cellmindctl recovery로 다시 볼 수 있습니다"
    ),
    # doctor
    "ok": "정상",
    "error": "오류",
    "fix: {fix}": "해결: {fix}",
    "TCP port {port} is taken by another program (or another home's agent)": (
        "다른 프로그램(또는 다른 홈 폴더의 에이전트)이 TCP 포트 {port}을(를) 쓰고 있습니다"
    ),
    "stop that program, or choose another port: cellmind-agent --listen {address}": (
        "그 프로그램을 끝내거나 다른 포트를 고르십시오: cellmind-agent --listen {address}"
    ),
    # models
    "had it": "이미 있음",
    "fetched it": "받음",
    "failed: {reason}": "실패: {reason}",
    "no device that is online has a model yet": "온라인인 기기 가운데 모델을 가진 기기가 아직 없습니다",
    "these devices do not have it: {names}": "아직 받지 못한 기기: {names}",
    "wake them and run cellmindctl sync again": "그 기기들을 깨우고 cellmindctl sync를 다시 실행하십시오",
    "remove {name} ({size}, {count} checkpoints) from {devices}?": (
        "{devices}에서 {name} 모델({size}, 체크포인트 {count}개)을 제거할까요?"
    ),
    "without a terminal nobody can agree": "터미널이 아니어서 확인을 받을 수 없습니다",
    "tokens": "토큰",
    "held-out loss": "검증 손실",
    "state hash": "상태 해시",
    " (best)": " (최고)",
    "no model is called {name}": "{name}(이)라는 모델이 없습니다",
    "several models begin with {name}": "{name}(으)로 시작하는 모델이 여러 개 있습니다",
    "note: {model} has learnt little: it guesses the next piece of a word as if among {choices}": (
        "참고: {model} 모델은 아직 조금밖에 배우지 못했습니다. 다음 낱말 조각을 {choices}개 가운데에서 고르듯 추측합니다"
    ),
    # prompts
    "no prompt was given": "프롬프트가 없습니다",
    "give one prompt, not two": "프롬프트는 하나만 주십시오",
    "the prompt": "프롬프트",
    "the prompt is empty": "프롬프트가 비어 있습니다",
    "{source} is not UTF-8 text": "{source}이(가) UTF-8 텍스트가 아닙니다",
    # runs
    "there is no run yet": "아직 학습이 없습니다",
    "no run is called {name}": "{name}(이)라는 학습이 없습니다",
    "the names of {count} runs begin with {name}": "{name}(으)로 시작하는 학습이 {count}개 있습니다",
    # reaching the agent
    "no agent runs on {home}": "{home}에서 실행 중인 에이전트가 없습니다",
    "start one: {command}": "에이전트 시작: {command}",
    "start the agent again": "에이전트를 다시 시작하십시오",
    "is it running? cellmind-agent": "실행 중입니까? cellmind-agent",
    "{home} is not a folder": "{home}은(는) 폴더가 아닙니다",
    "{home} belongs to another user": "{home}은(는) 다른 사용자의 폴더입니다",
    "choose your own: cellmindctl --home DIR": "자신의 폴더를 고르십시오: cellmindctl --home DIR",
    "choose another one: cellmindctl --home DIR": "다른 폴더를 고르십시오: cellmindctl --home DIR",
    "the agent of this home does not answer at {address}": "이 홈 폴더의 에이전트가 {address}에서 응답하지 않습니다",
    "the agent went away": "에이전트와 연결이 끊겼습니다",
    "no answer within {seconds} s": "{seconds}초 안에 응답이 없습니다",
    # the system
    "no such command: {name}": "{name}(이)라는 명령이 없습니다",
    "no such command: {name} (did you mean {close}?)": "{name}(이)라는 명령이 없습니다 (혹시 {close}입니까?)",
    "the disk is full: {path}": "디스크가 가득 찼습니다: {path}",
    "this user may not use {path}": "이 사용자는 {path}을(를) 쓸 권한이 없습니다",
    "choose another folder, or change its owner": "다른 폴더를 고르거나 폴더의 소유자를 바꾸십시오",
    "{path} is on a read-only disk": "{path}은(는) 읽기 전용 디스크에 있습니다",
    "choose another folder": "다른 폴더를 고르십시오",
    "{path} cannot be used: {reason}": "{path}을(를) 쓸 수 없습니다: {reason}",
    "check the path, and that its folder exists": "경로가 맞는지, 폴더가 있는지 확인하십시오",
    "this is a bug in CellMind; --debug shows where": "CellMind의 버그입니다. --debug를 붙이면 위치가 나옵니다",
    # places and versions
    "home": "홈 폴더",
    "keyring": "키링",
    "control": "제어 파일",
    "blobs": "블롭",
    "models": "모델",
    "runs": "학습",
    "prepared": "준비한 텍스트",
    "log": "로그",
    "protocol": "프로토콜",
}

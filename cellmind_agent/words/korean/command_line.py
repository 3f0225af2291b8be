"""Korean of `cellmindctl`: its help, notices, tables and questions."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "this command needs {package}, which is not installed here": "이 명령에는 {package}이(가) 필요하지만 여기에 설치되어 있지 않습니다",
    "run ./install again, without --no-train; a phone cannot do this: use a computer of the cell": (
        "--no-train 없이 ./install을 다시 실행하십시오. 휴대폰에서는 할 수 없으니 셀의 컴퓨터에서 하십시오"
    ),
    "error: {message}": "오류: {message}",
    "hint: {hint}": "도움말: {hint}",
    "join code": "참가 코드",
    "join code: {code}": "참가 코드: {code}",
    "on the other device: cellmindctl join, then type the code": "다른 기기에서: cellmindctl join을 실행하고 코드를 입력하십시오",
    "where multicast does not reach: cellmindctl join --at {address}": (
        "멀티캐스트가 닿지 않는 곳에서는: cellmindctl join --at {address}"
    ),
    "other users of this machine can read the code in its list of processes; `cellmindctl join` asks for it": (
        "이 기기의 다른 사용자가 프로세스 목록에서 코드를 읽을 수 있습니다. `cellmindctl join`만 실행하면 코드를 물어봅니다"
    ),
    "it is read from standard input or CELLMIND_JOIN_CODE": "표준 입력이나 CELLMIND_JOIN_CODE에서 읽습니다",
    "{name} ({id}) joined as {role}": "{name} 기기({id})가 {role}(으)로 참가했습니다",
    "joined the cell of {inviter}: {members}": "{inviter}의 셀에 참가했습니다: {members}",
    "{name} is removed from the cell; informed devices: {devices}": "{name} 기기를 셀에서 제거했습니다. 알린 기기: {devices}",
    "{name} answers at {address}; the address is remembered": "{name} 기기가 {address}에서 응답합니다. 주소를 기억했습니다",
    "no other device was online": "온라인인 다른 기기가 없음",
    "{name} is removed from: {devices}": "{name} 모델을 제거한 기기: {devices}",
    "no device": "없음",
    "start? [Y/n] ": "시작할까요? [Y/n] ",
    "no run was started": "시작하지 않았습니다",
    "pushing {megabytes} MB": "{megabytes} MB 전송 중",
    "the run continues; watch it again with: cellmindctl watch {run} (a second Ctrl-C stops it)": (
        "학습은 계속됩니다. 다시 보기: cellmindctl watch {run} (Ctrl-C를 한 번 더 누르면 멈춥니다)"
    ),
    "stopping {run}": "{run} 멈추는 중",
    "{run} is stopping; its last checkpoint is kept": "{run} 학습을 멈춥니다. 마지막 체크포인트는 남습니다",
    "finished {run}: step {step}, held-out loss {loss} at step {best}, {seconds} s": (
        "{run} 완료: {step}단계, 검증 손실 {loss} ({best}단계), {seconds}초"
    ),
    "the held-out loss rose: {run} ends at step {step}; step {best} is best ({loss}, {seconds} s)": (
        "검증 손실이 올라 {run} 학습을 {step}단계에서 끝냅니다. 가장 좋은 것은 {best}단계입니다 ({loss}, {seconds}초)"
    ),
    "stopped {run} at step {step}; continue with: cellmindctl resume {run}": (
        "{run} 학습이 {step}단계에서 멈췄습니다. 이어 하기: cellmindctl resume {run}"
    ),
    "answered by {name} ({model}, step {step})": "{name} 기기가 답했습니다 ({model}, {step}단계)",
    "{tokens} tokens in {seconds} s": "{seconds}초에 {tokens} 토큰",
    "no earlier model was found, so this model learns the new text alone": "이어서 학습할 모델이 없습니다. 이 모델은 새 텍스트만 알게 됩니다",
    "starts from {path} (step {step})": "{path}에서 시작합니다 ({step}단계)",
    "written: {path}": "저장했습니다: {path}",
    "warning: {what}": "주의: {what}",
    "{text} is not a length of time": "{text}은(는) 시간의 길이가 아닙니다",
    "write it as 90s, 10m or 2h": "90s, 10m, 2h처럼 적으십시오",
}

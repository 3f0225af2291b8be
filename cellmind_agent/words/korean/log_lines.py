"""Korean of the lines of a log, which is kept in English. Their English is as the code has it, with `%s`; in Korean
`{1}` is the first of these. Short phrases that stand in a line are here too.
"""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "%s: %s leads in term %d: %s": "{1}: {2}이(가) {3}기를 이끔: {4}",
    "%s: %s leads in term %d": "{1}: {2}이(가) {3}기를 이끔",
    "%s cannot take part in %s: %s": "{1}은(는) {2} 학습에 참여할 수 없음: {3}",
    "%s: what was trained here apart from the others is lost: %s": "{1}: 다른 기기와 떨어져 이 기기에서 학습한 것을 잃음: {2}",
    "%s: what was trained here apart from the others is kept as %s": "{1}: 다른 기기와 떨어져 이 기기에서 학습한 것을 {2}(으)로 보관함",
    "taking part in %s failed": "{1} 학습에 참여하지 못함",
    # the agent
    "%s (%s) serves on port %d": "{1} ({2}) 에이전트가 포트 {3}에서 기다립니다",
    "cannot reach the service manager: %s": "서비스 관리자에 연결할 수 없습니다: {1}",
    "this device was asleep for %.0f s": "이 기기가 {1}초 동안 절전 상태였습니다",
    "started %s, process %d": "{1} 프로세스 {2}번을 시작했습니다",
    "no sleep of this machine will be announced: %s": "이 기기가 잠들기 전에 알림을 받지 못합니다: {1}",
    "no sleep of this machine will be announced any more: %s": "이 기기가 잠들기 전에 더는 알림을 받지 못합니다: {1}",
    "a sleep of this device is announced": "이 기기가 곧 잠든다는 알림이 왔습니다",
    "this device did not sleep, although a sleep was announced": "잠든다는 알림이 있었지만 이 기기는 잠들지 않았습니다",
    "%s wrote an invalid line (%s); stopping it": "{1} 프로세스가 잘못된 줄을 써서 멈춥니다 ({2})",
    "a call of %s failed": "{1} 프로세스의 요청이 실패했습니다",
    "cannot lower the priority of process %d: %s": "프로세스 {1}번의 우선순위를 낮출 수 없습니다: {2}",
    "training here: %s": "이 기기의 학습: {1}",
    "no limit any more": "더 이상 제한 없음",
    # the cell
    "%s joined as %s": "{1} 기기가 {2}(으)로 참가했습니다",
    "joined the cell of %s": "{1}의 셀에 참가했습니다",
    "forgot %s": "{1} 기기를 셀에서 제거했습니다",
    "this device was removed from its cell, and is a cell of one now": "이 기기는 셀에서 제거되어 이제 혼자입니다",
    "the removal of this device does not count: it is in its cell again": "이 기기의 제거는 무효입니다. 다시 셀에 들어왔습니다",
    "cannot compare keyrings: %s": "키링을 비교할 수 없습니다: {1}",
    # the network
    "linked with %s at %s": "{1} 기기와 연결했습니다 ({2})",
    "lost %s: %s": "{1} 기기와 연결이 끊겼습니다: {2}",
    "the session with %s failed, and dials again": "{1} 기기와의 세션이 실패해서 다시 연결합니다",
    "%s was asleep for %.0f s": "{1} 기기가 {2}초 동안 절전 상태였습니다",
    "refused %s of %s: %s": "{2}의 {1} 요청을 거절했습니다: {3}",
    "a stranger": "낯선 기기",
    "%s failed": "{1} 요청이 실패했습니다",
    "no tunnel to %s: %s": "{1} 기기로 터널을 열 수 없습니다: {2}",
    "cannot fetch a chunk from %s: %s": "{1} 기기에서 조각을 가져올 수 없습니다: {2}",
    "cannot fetch blob %s by the hashes of %s: %s": "{2} 기기의 해시로 블롭 {1}을(를) 가져올 수 없습니다: {3}",
    "mDNS on %s": "mDNS 주소: {1}",
    "no network interface for mDNS; known addresses and --peer still work": (
        "mDNS에 쓸 네트워크 인터페이스가 없습니다. 아는 주소와 --peer는 계속 씁니다"
    ),
    "another device announces this device's id: was this home copied to a second machine?": (
        "다른 기기가 이 기기의 ID를 알립니다. 이 홈 폴더를 다른 기기에 복사했습니까?"
    ),
    "mDNS does not work here (%s); known addresses and --peer still work": (
        "여기서는 mDNS를 쓸 수 없습니다 ({1}). 아는 주소와 --peer는 계속 씁니다"
    ),
    "a flood of strangers: new connections of %s are dropped for %g s": (
        "낯선 기기의 연결이 너무 많습니다. 새 연결을 {2}초 동안 버립니다. 대상: {1}"
    ),
    "everybody": "모두",
    "a flood of strangers at the port; this system cannot filter them": (
        "포트에 낯선 기기의 연결이 너무 많지만, 이 시스템에서는 거를 수 없습니다"
    ),
    "cannot filter at the port: %s": "포트에서 연결을 거를 수 없습니다: {1}",
    "the gate ended by itself": "문지기가 스스로 끝났습니다",
    "a message could not be handled": "메시지를 처리하지 못했습니다",
    "termux-battery-status no longer answers; is the app Termux:API still installed?": (
        "termux-battery-status가 더 이상 답하지 않습니다. 앱 Termux:API가 아직 설치되어 있습니까?"
    ),
    # runs and answers
    "%s: %s joined with %s": "{1}: {2} 기기가 참여합니다 ({3})",
    "%s: round %d begins at step %d of %d": "{1}: {2}번 라운드 시작 ({3}/{4}단계)",
    "%s: round %d ended at step %d of %d, held-out loss %s, state %s": (
        "{1}: {2}번 라운드 끝 ({3}/{4}단계), 검증 손실 {5}, 상태 {6}"
    ),
    "%s: checkpoint at step %d on %s": "{1}: {2}단계 체크포인트를 저장했습니다. 기기: {3}",
    "%s: lost %s: %s": "{1}: {2} 기기가 빠졌습니다: {3}",
    "%s: finished at step %d after %.0f s": "{1}: {2}단계에서 완료했습니다 ({3}초)",
    "%s: stopped at step %d after %.0f s": "{1}: {2}단계에서 멈췄습니다 ({3}초)",
    "%s: failed: %s": "{1}: 실패했습니다: {2}",
    "leading %s failed": "{1} 학습을 이끌지 못했습니다",
    "the trainer of %s sent an unexpected %s": "{1} 학습 프로세스가 예상하지 못한 {2}을(를) 보냈습니다",
    "cannot write the state of %s: %s": "{1} 학습의 상태를 쓸 수 없습니다: {2}",
    "%s cannot be resumed now: %s": "지금은 {1} 학습을 이어 갈 수 없습니다: {2}",
    "%s is resumed from step %d on %s": "{1} 학습을 {2}단계부터 이어 갑니다. 기기: {3}",
    "%s does not answer: %s": "{1} 기기가 답하지 않습니다: {2}",
    "%s did not answer to the end: %s": "{1} 기기가 끝까지 답하지 않았습니다: {2}",
    "cannot list the models of %s: %r": "{1} 기기의 모델을 알 수 없습니다: {2}",
}

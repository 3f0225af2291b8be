"""Korean of what happens to runs."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "this device is not the first of the roster": "이 기기는 명단의 첫 번째가 아닙니다",
    "{run} is running here already": "여기서 이미 {run} 학습이 진행 중입니다",
    "{run} has done all its {total_steps} steps": "{run} 학습은 {total_steps}단계를 모두 마쳤습니다",
    "raise `epochs` and train again": "`epochs`를 늘려 다시 학습하십시오",
    "{run} is not running": "{run} 학습이 진행 중이 아닙니다",
    "this device does not lead {run} now": "지금 이 기기는 {run} 학습의 리더가 아닙니다",
    "this device does not lead {run}": "이 기기는 {run} 학습의 리더가 아닙니다",
    "only the members of a run may use its store": "학습의 저장소는 그 구성원만 쓸 수 있습니다",
    "the leader, {name}, is shutting down": "리더 {name} 기기가 종료되고 있습니다",
    "the device went down during the run": "학습 중에 기기가 꺼졌습니다",
    "it was silent for {seconds} s": "{seconds}초 동안 조용했습니다",
    "it left": "나갔습니다",
    "{name} left the run: {why}": "{name} 기기가 학습에서 빠졌습니다: {why}",
    "it fell silent": "조용해졌습니다",
    "there was no checkpoint yet: start again with cellmindctl train": "아직 체크포인트가 없었습니다. cellmindctl train으로 다시 시작하십시오",
    "unknown": "알 수 없음",
    "an error in the leader's agent; its log says more": "리더의 에이전트에서 오류가 났습니다. 자세한 것은 로그에 있습니다",
    "the run was cut off": "학습이 중간에 끊겼습니다",
    "this device takes part in {run} already": "이 기기는 이미 {run} 학습에 참여하고 있습니다",
    "only the first of a roster leads its run": "명단의 첫 번째 기기만 학습을 이끕니다",
    "this device takes no part in {run}": "이 기기는 {run} 학습에 참여하지 않습니다",
    "only the leader of a run may direct it": "학습은 그 리더만 지휘할 수 있습니다",
    "the trainer of {run} has not started here yet": "여기서는 {run}의 학습 프로세스가 아직 시작되지 않았습니다",
    "the leader, {name}, went away": "리더 {name} 기기가 사라졌습니다",
    "this child may not ask for {what}": "이 프로세스는 {what}을(를) 요청할 수 없습니다",
    "{problem} ({hint})": "{problem} ({hint})",
    "{program} answered {call} with {answer}": "{program} 프로세스가 {call} 요청에 {answer}(으)로 답했습니다",
    "cannot start {program}: {strerror}": "{program} 프로세스를 시작할 수 없습니다: {strerror}",
    "{program} did not answer {what} within {seconds} s": "{program} 프로세스가 {what} 요청에 {seconds}초 안에 답하지 않았습니다",
    "an error in the agent; its log says more": "에이전트에서 오류가 났습니다. 자세한 것은 로그에 있습니다",
    "the rendezvous store is full": "만남 저장소가 가득 찼습니다",
    "term {term} of {run} is over": "{run} 학습의 임기 {term}은(는) 끝났습니다",
    "nobody set {missing} within {seconds} s": "{seconds}초 안에 {missing} 값을 정한 구성원이 없습니다",
    "{key} is not a number": "{key}은(는) 수가 아닙니다",
    "a trainer may not ask for {what}": "학습 프로세스는 {what}을(를) 요청할 수 없습니다",
    "the run has no rank {rank}": "이 학습에는 순위 {rank}이(가) 없습니다",
    "after round {round} the weights of the members differ, and no majority agrees with the leader": (
        "라운드 {round} 뒤에 구성원들의 가중치가 다르고, 과반수가 리더와 같지 않습니다"
    ),
    "its weights differed after round {round}": "라운드 {round} 뒤에 가중치가 다른 기기들과 달랐습니다",
    "the members lost each other {count} times in a row: {why}": "구성원끼리의 연결이 {count}번 연달아 끊겼습니다: {why}",
    "this device is not in the roster of {run}": "이 기기는 {run} 학습의 명단에 없습니다",
    "this device is not in the roster of the group": "이 기기는 프로세스 그룹의 명단에 없습니다",
    "the round has no share for rank {rank}": "라운드에 순위 {rank}의 몫이 없습니다",
    "the trainer here does not leave its process group": "이 기기의 학습 프로세스가 프로세스 그룹에서 나오지 않습니다",
    "this device is between two process groups": "이 기기는 프로세스 그룹을 바꾸는 중입니다",
}

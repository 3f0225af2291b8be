"""Korean of the refusals of agents."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "see the agent's log: cellmindctl logs": "에이전트의 로그를 보십시오: cellmindctl logs",
    "start one: cellmind-agent": "에이전트를 시작하십시오: cellmind-agent",
    "ask an owner of the cell; see: cellmindctl peers --wide": "셀의 소유자에게 부탁하십시오. 참고: cellmindctl peers --wide",
    "on an owner's device: cellmindctl invite; here: cellmindctl join": (
        "소유자의 기기에서 cellmindctl invite, 여기서 cellmindctl join을 실행하십시오"
    ),
    "ask for a new code: cellmindctl invite": "새 참가 코드를 받으십시오: cellmindctl invite",
    "cellmindctl peers, then try again": "cellmindctl peers로 확인하고 다시 하십시오",
    "try again, or give more time: cellmindctl --timeout SECONDS": "다시 하거나 시간을 더 주십시오: cellmindctl --timeout SECONDS",
    "update CellMind on both devices: cellmindctl update": "두 기기의 CellMind를 업데이트하십시오: cellmindctl update",
    "free some space, or remove an old model: cellmindctl models rm NAME": (
        "공간을 비우거나 오래된 모델을 지우십시오: cellmindctl models rm NAME"
    ),
    "try again; another device will be asked": "다시 하십시오. 다른 기기에 요청합니다",
    "stop the other one first, or give this one its own: cellmind-agent --home DIR": (
        "다른 에이전트를 먼저 멈추거나 홈 폴더를 따로 주십시오: cellmind-agent --home DIR"
    ),
    "cellmindctl resume RUN continues from the last checkpoint": "cellmindctl resume RUN으로 마지막 체크포인트에서 이어 갑니다",
    "every device that holds {model} went away": "{model} 모델을 가진 기기가 모두 사라졌습니다",
    "train one first: cellmindctl train": "먼저 학습하십시오: cellmindctl train",
    "several models begin with {wanted}": "{wanted}(으)로 시작하는 모델이 여럿입니다",
    "{name} does not hold {model}": "{name} 기기에는 {model} 모델이 없습니다",
    "the answering device fell silent": "답하던 기기가 조용해졌습니다",
    "the prompt has more than {most} characters": "프롬프트가 {most}자를 넘습니다",
    "shorten the prompt": "프롬프트를 줄이십시오",
    "a device cannot forget itself": "기기는 자기 자신을 제외할 수 없습니다",
    "run forget on another owner's device": "다른 소유자의 기기에서 forget을 실행하십시오",
    "that device is not in the keyring": "그 기기는 키링에 없습니다",
    "{member} is an owner that has more seniority than this device": "{member} 기기는 이 기기보다 먼저 들어온 소유자입니다",
    "run it on a device that was an owner earlier, or with the recovery code: cellmindctl forget --recovery": (
        "먼저 소유자가 된 기기에서 실행하거나 복구 코드를 쓰십시오: cellmindctl forget --recovery"
    ),
    "run it on an owner's device, or with the recovery code: cellmindctl forget DEVICE --recovery": (
        "소유자의 기기에서 실행하거나 복구 코드를 쓰십시오: cellmindctl forget DEVICE --recovery"
    ),
    "that is the recovery code of another cell": "다른 셀의 복구 코드입니다",
    "the recovery code is not on this device": "이 기기에는 복구 코드가 없습니다",
    "it is on paper already, or on the device that founded the cell: run it there": (
        "이미 종이에 적었거나, 셀을 만든 기기에 있습니다. 그 기기에서 실행하십시오"
    ),
    "{word} is not a word of recovery codes": "{word}은(는) 복구 코드에 쓰이는 낱말이 아닙니다",
    "that is not a recovery code": "복구 코드가 아닙니다",
    "the code has 17 words; it was written down when `cellmindctl recovery` showed it": (
        "복구 코드는 낱말 17개입니다. `cellmindctl recovery`가 보여 줄 때 적어 둔 것입니다"
    ),
    "the keys of {name} are used on two machines: they were copied, or restored from a backup": (
        "{name} 기기의 키가 두 기계에서 쓰이고 있습니다. 누가 복사했거나 백업에서 되살린 것입니다"
    ),
    "{name} has changed the keyring without the right to do so; that counts for nothing ({num} entries)": (
        "{name} 기기가 권한 없이 키링을 바꾸려 했습니다. 그 항목 {num}개는 무효입니다"
    ),
    "only an owner of the cell may invite": "셀의 소유자만 초대할 수 있습니다",
    "cellmindctl peers --wide shows who is an owner": "누가 소유자인지는 cellmindctl peers --wide에 나옵니다",
    "an invitation is open already": "이미 열린 초대가 있습니다",
    "end it with Ctrl-C where it was opened": "초대를 연 곳에서 Ctrl-C로 끝내십시오",
    "this device has no open invitation": "이 기기에는 열린 초대가 없습니다",
    "the code was guessed wrongly three times and is void": "참가 코드가 세 번 틀려서 무효가 되었습니다",
    "this device is already in a cell with {num_others} others": "이 기기는 이미 다른 기기 {num_others}대와 한 셀에 있습니다",
    "leave it first: an owner there runs cellmindctl forget DEVICE": (
        "먼저 그 셀에서 나오십시오: 그곳의 소유자가 cellmindctl forget DEVICE를 실행합니다"
    ),
    "nobody nearby has an open invitation with that code": "그 코드로 초대를 연 기기가 가까이에 없습니다",
    "is the code still open? where mDNS does not reach: cellmindctl join --at, as `invite` prints it": (
        "코드가 아직 열려 있는지 확인하십시오. mDNS가 닿지 않으면 `invite`가 보여 준 대로: cellmindctl join --at"
    ),
    "the inviter's keyring does not name this device and the inviter": "초대한 기기의 키링에 이 기기와 초대한 기기가 없습니다",
    "the device at {address} has no open invitation: the code is used or out of date": (
        "{address}의 기기에는 열린 초대가 없습니다. 코드가 이미 쓰였거나 기한이 지났습니다"
    ),
    "the other side takes nothing more": "상대 기기가 더 받지 않습니다",
    "the agent at {address} does not know this device": "{address}의 에이전트가 이 기기를 모릅니다",
    "cannot reach {address}: {why}": "{address}에 연결할 수 없습니다: {why}",
    "the other side is gone": "상대 기기가 사라졌습니다",
    "no answer from {address}": "{address}에서 답이 없습니다",
    "the link to {channel} is lost": "{channel} 연결이 끊겨 있습니다",
    "the process group is over": "프로세스 그룹이 끝났습니다",
    "this device is measuring the network already": "이 기기는 이미 네트워크를 재고 있습니다",
    "the shares do not divide the round": "몫의 합이 라운드와 맞지 않습니다",
    "this device is about to sleep": "이 기기가 곧 잠듭니다",
    "{name} went away ({why}); planning without it": "{name}이(가) 사라져({why}) 그 기기 없이 다시 계획합니다",
    "the link to {channel} was lost": "{channel} 연결이 끊겼습니다",
    "no answer to {what} within {seconds} s": "{what} 요청에 {seconds}초 안에 답이 없습니다",
    "{what} is not for another device": "{what} 요청은 다른 기기에 보낼 수 없습니다",
    "{member} stopped reporting": "{member} 기기의 보고가 끊겼습니다",
    "{member} answers at none of {count} addresses": "{member} 기기가 주소 {count}개 어디에서도 답하지 않습니다",
    "another device answers at {channel}": "{channel}에서 다른 기기가 답합니다",
    "no device of this cell answers at {address} ({results})": "{address}에서 답하는 이 셀의 기기가 없습니다 ({results})",
    "{name} cannot be reached now": "지금 {name} 기기에 연결할 수 없습니다",
    "this cell has no other device": "이 셀에는 다른 기기가 없습니다",
    "join or invite one first: cellmindctl invite": "먼저 참가하거나 초대하십시오: cellmindctl invite",
    "{what} may not be asked by another device": "{what} 요청은 다른 기기가 할 수 없습니다",
    "too many requests at once": "요청이 한꺼번에 너무 많습니다",
    "wait for some of them to end": "몇 개가 끝나기를 기다리십시오",
    "{what} in the agent; its log says more": "에이전트 안의 오류({what})입니다. 자세한 것은 로그에 있습니다",
    "this device is not paired with that cell": "이 기기는 그 셀과 페어링되지 않았습니다",
    "every device with the blob went away": "그 블롭을 가진 기기가 모두 사라졌습니다",
    "no device that is online has blob {blob}": "온라인인 기기 가운데 블롭 {blob}을(를) 가진 것이 없습니다",
    "no loopback port is free for a tunnel": "터널에 쓸 루프백 포트가 없습니다",
    "end some programs, and try again": "프로그램을 몇 개 끝내고 다시 하십시오",
    "tunnels lead to members of the run only": "터널은 학습의 구성원에게만 이어집니다",
    "only members of the run may open tunnels in it": "학습의 구성원만 터널을 열 수 있습니다",
    "no trainer listens here yet": "여기에는 아직 기다리는 학습 프로세스가 없습니다",
    "neither of the two devices can dial the other": "두 기기 모두 상대에게 연결하지 못합니다",
    "this device takes no part in term {term} of {run}": "이 기기는 {run} 학습의 임기 {term}에 참여하지 않습니다",
    "{name} did not dial": "{name} 기기가 연결하지 않았습니다",
    "this device has not requested that connection": "이 기기가 요청하지 않은 연결입니다",
    "the trainer here takes no connection ({strerror})": "이 기기의 학습 프로세스가 연결을 받지 않습니다 ({strerror})",
    "{text} is not an address": "{text}은(는) 주소가 아닙니다",
    "write HOST:PORT, such as 192.168.0.5:7420": "192.168.0.5:7420처럼 HOST:PORT로 적으십시오",
    "{text} has no valid port": "{text}에 올바른 포트가 없습니다",
    "{text} has a damaged key": "{text}의 키가 손상되었습니다",
    "copy the whole line that `cellmindctl invite` printed": "`cellmindctl invite`가 보여 준 줄 전체를 복사하십시오",
    "the announcement has no key": "알림에 키가 없습니다",
    "the announcement has a bad nameplate": "알림의 번호가 잘못되었습니다",
    "the announcement is not one of CellMind": "CellMind의 알림이 아닙니다",
    "a frame of {num_data} bytes is too large": "{num_data}바이트짜리 프레임은 너무 큽니다",
    "not a message: no version": "메시지가 아닙니다: 버전이 없습니다",
    "not a message: no envelope": "메시지가 아닙니다: 봉투가 없습니다",
    "not a message: a bad envelope": "메시지가 아닙니다: 봉투가 잘못되었습니다",
    "not a message: {what}": "메시지가 아닙니다: {what}",
    "the other side speaks protocol {other}, this one {own}": "상대 기기는 프로토콜 {other}, 이 기기는 {own}을(를) 씁니다",
    "unknown message {name}": "알 수 없는 메시지 {name}",
    "{what} of {num_bytes} bytes; at most {max_bytes} are allowed": (
        "{what} 메시지가 {num_bytes}바이트입니다. {max_bytes}바이트까지 허용됩니다"
    ),
    "{request_name} was not answered": "{request_name} 요청에 답이 없습니다",
    "{request_name} was answered with {what}": "{request_name} 요청에 {what}(으)로 답했습니다",
    "the answers to {request_name} came faster than they were read": "{request_name} 요청의 답이 읽는 것보다 빨리 왔습니다",
    "{text} is not a device id": "{text}은(는) 기기 ID가 아닙니다",
    "{text} is not a run's name": "{text}은(는) 학습의 이름이 아닙니다",
    "{text} is not a blob's name": "{text}은(는) 블롭의 이름이 아닙니다",
    "{text} has a typing mistake: its check characters do not fit": "{text}에 오타가 있습니다. 검사 글자가 맞지 않습니다",
    "no speed is measured now: {why}": "지금은 속도를 재지 않습니다: {why}",
    "it is being measured already": "이미 재고 있음",
    "this device is training": "이 기기는 학습 중임",
    "blob {blob} is not here": "블롭 {blob}이(가) 여기에 없습니다",
    "cannot read {length} bytes at {offset} of a blob of {size}": "크기 {size}인 블롭의 {offset} 위치에서 {length}바이트를 읽을 수 없습니다",
    "cannot add {num_data} bytes at {offset}: {here} of {size} bytes are here": (
        "{offset} 위치에 {num_data}바이트를 더할 수 없습니다. {size}바이트 가운데 {here}바이트가 있습니다"
    ),
    "{extra} MB more would leave less than {floor} MB free": "{extra} MB를 더 쓰면 빈 공간이 {floor} MB보다 적어집니다",
    "{extra} MB more is over the {quota} MB that blobs may take": "{extra} MB를 더 쓰면 블롭에 허용된 {quota} MB를 넘습니다",
    "the bytes of blob {blob} do not match its name": "블롭 {blob}의 내용이 이름과 맞지 않습니다",
    "the checkpoint {model} has no file {file}": "체크포인트 {model}에 {file} 파일이 없습니다",
    "cannot use {path}: {strerror}": "{path} 폴더를 쓸 수 없습니다: {strerror}",
    "choose another folder: --home DIR": "다른 폴더를 지정하십시오: --home DIR",
    "another agent already runs on {home}": "다른 에이전트가 이미 {home}에서 실행 중입니다",
    "there is no model yet": "아직 모델이 없습니다",
    "no model is called {run} here": "여기에 {run}(이)라는 모델이 없습니다",
    "no run is called {run} here": "여기에 {run}(이)라는 학습이 없습니다",
    "a blob of {chunks} chunks came with {num_hashes} bytes of hashes": "조각 {chunks}개인 블롭에 해시가 {num_hashes}바이트 왔습니다",
    "chunk {index} of blob {blob} does not match its hash": "블롭 {blob}의 {index}번 조각이 해시와 맞지 않습니다",
    "{path} is damaged": "{path} 파일이 손상되었습니다",
    "{path} is damaged: {error}": "{path} 파일이 손상되었습니다: {error}",
    "restore it from a backup, or remove {home} to begin as a new device": "백업에서 되살리거나, {home} 폴더를 지우고 새 기기로 시작하십시오",
    "remove {path} and join the cell again: cellmindctl join": "{path} 파일을 지우고 셀에 다시 참가하십시오: cellmindctl join",
    "a join message is sealed with another key": "참가 메시지가 다른 키로 봉인되어 있습니다",
    "{member} is already in the cell": "{member} 기기는 이미 셀에 있습니다",
    "the keyring belongs to another cell": "키링이 다른 셀의 것입니다",
    "the keyring is full": "키링이 가득 찼습니다",
    "on the device that founded the cell, remove devices that you do not know: cellmindctl peers": (
        "셀을 만든 기기에서 모르는 기기를 제거하십시오: cellmindctl peers"
    ),
    "a keyring has at least one entry": "키링에는 항목이 하나 이상 있어야 합니다",
    "a keyring entry is damaged": "키링의 항목이 손상되었습니다",
    "a keyring entry follows one that is missing": "키링의 항목 하나가 없는 항목 뒤에 이어집니다",
    "only an owner of the cell may change who belongs to it": "셀의 구성원은 소유자만 바꿀 수 있습니다",
    "keyring entry {number} is signed by a member that is no owner": "키링의 {number}번 항목에 소유자가 아닌 구성원이 서명했습니다",
    "keyring entry {number} removes a device that is no member": "키링의 {number}번 항목이 구성원이 아닌 기기를 제외합니다",
    "keyring entry {number} is not signed by a member": "키링의 {number}번 항목에 구성원의 서명이 없습니다",
    "keyring entry {number} is damaged": "키링의 {number}번 항목이 손상되었습니다",
}

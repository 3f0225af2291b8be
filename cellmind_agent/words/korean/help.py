"""Korean of `cellmindctl --help` and of the help of each command and option."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    # the program
    "Your own devices train one small GPT together on your own text, and answer with it.": (
        "가지고 있는 기기들이 내 텍스트로 작은 GPT 하나를 함께 학습하고, 그 모델로 답합니다."
    ),
    "Without a command, the state of this device and its cell is shown.": (
        "명령 없이 실행하면 이 기기와 셀의 상태를 보여 줍니다."
    ),
    "list your devices": "내 기기 목록 보기",
    "train one model on all of them": "모든 기기에서 모델 하나를 함께 학습하기",
    "ask the model": "모델에게 묻기",
    "The folder of this device's agent.": "이 기기 에이전트의 홈 폴더.",
    "Answer in JSON.": "JSON으로 출력합니다.",
    "Ask the member that listens at this address.": "이 주소에서 듣고 있는 구성원에게 요청합니다.",
    "How long to wait for an answer.": "응답을 기다리는 시간(초).",
    "Whether the terminal shows colours.": "터미널에 색을 쓸지 정합니다.",
    "Show the traceback of an error.": "오류의 트레이스백을 보여 줍니다.",
    # the list of commands
    "List the devices of the cell, and unpaired devices nearby.": (
        "셀의 기기와, 근처에 있는 페어링되지 않은 기기를 보여 줍니다."
    ),
    "Let another device join: print a one-time code.": "다른 기기를 초대합니다. 일회용 참가 코드를 출력합니다.",
    "Join the cell that invited this device.": "이 기기를 초대한 셀에 참가합니다.",
    "Remove a device from the cell.": "셀에서 기기를 제거합니다.",
    "Show the recovery code of the cell, to be written down.": "종이에 적어 둘 셀의 복구 코드를 보여 줍니다.",
    "Remember an address where multicast does not reach.": "멀티캐스트가 닿지 않는 곳의 주소를 기억합니다.",
    "Prepare text for training.": "학습할 텍스트를 준비합니다.",
    "Show what `train` would do, and start nothing.": "`train`이 할 일을 보여 주기만 하고 시작하지 않습니다.",
    "Train together.": "함께 학습합니다.",
    "List the runs that the cell knows.": "셀이 알고 있는 학습 목록을 보여 줍니다.",
    "Follow a run.": "학습 과정을 지켜봅니다.",
    "Stop a run and keep its last checkpoint.": "학습을 멈추고 마지막 체크포인트를 남깁니다.",
    "Continue a run from its last checkpoint.": "마지막 체크포인트에서 학습을 이어 갑니다.",
    "Ask the model.": "모델에게 묻습니다.",
    "Copy the newest checkpoint to every device now.": "가장 최근 체크포인트를 모든 기기에 지금 복사합니다.",
    "List the checkpoints that the cell holds.": "셀이 가진 체크포인트 목록을 보여 줍니다.",
    "Print a device's log.": "기기의 로그를 출력합니다.",
    "Check this device and its cell.": "이 기기와 셀을 점검합니다.",
    "Explain a configuration file.": "설정 파일을 설명합니다.",
    "Show where CellMind keeps its files on this device.": "이 기기에서 CellMind 파일이 있는 곳을 보여 줍니다.",
    "Show the versions of what is installed.": "설치된 프로그램의 버전을 보여 줍니다.",
    "Print tab completion for a shell.": "셸의 탭 자동 완성 스크립트를 출력합니다.",
    # who belongs to the cell
    "Keep showing until Ctrl-C.": "Ctrl-C를 누를 때까지 계속 보여 줍니다.",
    "Show ids, roles and versions too.": "ID, 역할, 버전도 보여 줍니다.",
    "Print a one-time join code, wait, and print who joined.": (
        "일회용 참가 코드를 출력하고 기다린 뒤, 참가한 기기를 알려 줍니다."
    ),
    "What the new device may do.": "새 기기의 역할(member: 구성원, owner: 소유자).",
    "How long the code is valid, such as 90s or 10m.": "참가 코드가 유효한 시간. 예: 90s(90초), 10m(10분).",
    (
        "Join a cell with a code from `cellmindctl invite`."
        " Without CODE it asks for it, or reads it from standard input."
    ): (
        "다른 기기의 `cellmindctl invite`가 보여 준 참가 코드로 셀에 참가합니다."
        " CODE가 없으면 물어보거나 표준 입력에서 읽습니다."
    ),
    "Capitals, spaces instead of hyphens, and a keyboard that is set to Hangul make no difference.": (
        "대문자로 쓰거나, 붙임표 대신 빈칸을 넣거나, 한글 자판 상태로 입력해도 알아봅니다."
    ),
    "The address of the inviter, where mDNS does not find it.": "mDNS로 찾지 못할 때, 초대한 기기의 주소.",
    "Remove DEVICE (a name or an id) from the keyring. From then on it can do nothing in the cell.": (
        "DEVICE(이름이나 ID)를 키링에서 제거합니다. 그 뒤로 그 기기는 셀에서 아무것도 할 수 없습니다."
    ),
    "An owner can remove members, and owners that were let in after it. The recovery code can remove any device.": (
        "소유자는 구성원과, 자기보다 나중에 들어온 소유자를 제거할 수 있습니다. 복구 코드는 어느 기기든 제거합니다."
    ),
    "With the recovery code of the cell, from any of its devices.": "셀의 복구 코드로, 셀의 어느 기기에서나.",
    "Show the recovery code of the cell, once: write it down on paper, on the device that founded the cell.": (
        "셀을 만든 기기에서, 셀의 복구 코드를 한 번 보여 줍니다. 종이에 적어 두십시오."
    ),
    "With it you can remove any device, also the one that founded the cell: cellmindctl forget DEVICE --recovery": (
        "이 코드가 있으면 셀을 만든 기기까지 어느 기기든 제거할 수 있습니다: cellmindctl forget DEVICE --recovery"
    ),
    "It is written down: erase it from this device.": "적어 두었으니 이 기기에서 지웁니다.",
    "Copies of models and text that it already has stay on it. A script is not asked: a removal may be urgent.": (
        "그 기기가 이미 복사해 둔 모델과 텍스트는 그대로 남습니다."
        " 제거는 급할 수 있으므로 스크립트에서는 묻지 않습니다."
    ),
    "Remove it without a question.": "묻지 않고 제거합니다.",
    "Remember the address of a member of the cell. The member must answer there and prove who it is.": (
        "셀 구성원의 주소를 기억합니다. 그 구성원이 그 주소에서 응답하고 자신을 증명해야 합니다."
    ),
    # text
    "Prepare text for training. Nothing leaves this machine.": (
        "학습할 텍스트를 준비합니다. 아무것도 이 기기 밖으로 나가지 않습니다."
    ),
    "Clean text into OUT: train.jsonl, held-out.jsonl, textonly.txt, stats.json.": (
        "텍스트를 정리해 OUT에 씁니다: train.jsonl, held-out.jsonl, textonly.txt, stats.json."
    ),
    "INPUTS are exports of KakaoTalk, WhatsApp, Telegram, LINE, Discord and Signal, CSV, JSONL, text, folders and"
    " zips.": (
        "INPUTS에는 카카오톡, WhatsApp, 텔레그램, 라인, 디스코드, 시그널에서 내보낸 대화와 CSV, JSONL, 텍스트, 폴더,"
        " zip 파일을 쓸 수 있습니다."
    ),
    "The folder to write to.": "결과를 쓸 폴더.",
    "Add what is new to OUT, which was prepared before.": "이미 준비한 OUT에 새로운 내용만 더합니다.",
    "A further name to hide (repeatable).": "더 가릴 이름(여러 번 쓸 수 있음).",
    "Hide numbers and addresses, but leave names as they are.": "번호와 주소는 가리고 이름은 그대로 둡니다.",
    "A table's columns: text, and perhaps user and time.": "표의 열 이름: text, 필요하면 user와 time.",
    "Minutes of silence that end a conversation.": "이 시간(분) 동안 말이 없으면 대화가 끝난 것으로 봅니다.",
    "Begin each message with its speaker's letter, `A: `.": "각 메시지를 말한 사람의 글자(`A: `)로 시작합니다.",
    "What a folder that `data prepare` wrote holds, and how well a tokenizer fits it.": (
        "`data prepare`가 만든 폴더에 무엇이 들어 있고, 토크나이저가 얼마나 잘 맞는지 보여 줍니다."
    ),
    "Measure this .model on the text.": "이 .model을 텍스트에서 측정합니다.",
    # training
    "Show the roster, shares, mode, backend and data of a run, and start nothing.": (
        "학습의 참가 기기, 몫, 모드, 백엔드, 데이터를 보여 주기만 하고 시작하지 않습니다."
    ),
    "Text to train on (repeatable).": "학습할 텍스트(여러 번 쓸 수 있음).",
    "Plan for these devices only.": "이 기기들만으로 계획합니다.",
    "Every device takes part, also if it slows the run down.": "학습을 느리게 하는 기기까지 모두 참여합니다.",
    "Plan for the homes in this file.": "이 파일에 적힌 집들로 계획합니다.",
    (
        "It also measures devices and network, and forecasts how many tokens a second each useful set of devices "
        "will train. With --simulate it does so for devices that a file describes, and needs no agent."
    ): (
        "기기와 네트워크를 재어, 쓸모 있는 기기 조합마다 초당 몇 토큰을 학습할지 예측합니다. --simulate를 쓰면 파일에 적힌 "
        "기기들로 예측하며, 에이전트가 필요 없습니다."
    ),
    "How the members train together.": "구성원이 함께 학습하는 방식.",
    "Train one model together, on the text that CONFIG or --data names.": (
        "CONFIG나 --data가 가리키는 텍스트로 모델 하나를 함께 학습합니다."
    ),
    "Train only on the text that the last `data prepare --append` added.": (
        "마지막 `data prepare --append`가 더한 텍스트만 학습합니다."
    ),
    "Train on these devices only.": "이 기기들에서만 학습합니다.",
    "Process group (default: as chosen for the run).": "프로세스 그룹 (기본값: 그 학습에서 고른 것).",
    "Process group. nccl: every member has a CUDA GPU of its own. gloo: every member runs the same kind of system and"
    " the same torch. portable: members may differ in any way.": (
        "프로세스 그룹. nccl: 모든 구성원에게 자기 CUDA GPU가 있음. gloo: 모든 구성원의 운영 체제 종류와 torch가 같음."
        " portable: 구성원이 서로 달라도 됨."
    ),
    "Start the run, and do not watch it.": "학습을 시작만 하고 지켜보지 않습니다.",
    "Start without a question.": "묻지 않고 시작합니다.",
    "List the runs that the devices online know, newest first.": (
        "온라인인 기기들이 아는 학습을 최근 것부터 보여 줍니다."
    ),
    "Show how RUN (default: the newest) went, who contributed what, and what the model wrote at its checkpoints.": (
        "RUN(기본값: 가장 최근 학습)이 어떻게 진행되었는지, 기기마다 얼마나 기여했는지, 체크포인트마다 모델이 무엇을 썼는지"
        " 보여 줍니다."
    ),
    "At each checkpoint the model continues the same three beginnings of texts that it is not trained on.": (
        "모델은 학습에 쓰지 않은 텍스트 세 개의 앞부분을 체크포인트마다 똑같이 받아 이어 씁니다."
    ),
    "Show all checkpoints, not only some of them.": "일부만이 아니라 모든 체크포인트를 보여 줍니다.",
    "Follow RUN (default: the run that is training now). Ctrl-C leaves it alone; a second Ctrl-C stops it.": (
        "RUN(기본값: 지금 진행 중인 학습)을 지켜봅니다."
        " Ctrl-C를 누르면 학습은 두고 나오고, 한 번 더 누르면 학습을 멈춥니다."
    ),
    "Stop RUN (default: the run that is training now) at the end of its round.": (
        "RUN(기본값: 지금 진행 중인 학습)을 라운드가 끝날 때 멈춥니다."
    ),
    "Continue RUN from its last checkpoint.": "RUN을 마지막 체크포인트에서 이어 갑니다.",
    # models and answers
    "Ask the model, and print its answer to PROMPT.": "모델에게 PROMPT를 묻고 답변을 출력합니다.",
    "Without PROMPT, or with `-`, the prompt is read from standard input.": (
        "PROMPT가 없거나 `-`이면 표준 입력에서 프롬프트를 읽습니다."
    ),
    "Read the prompt from a file.": "프롬프트를 파일에서 읽습니다.",
    "The name of a run (default: the newest finished model).": "학습 이름(기본값: 끝까지 학습한 가장 최근 모델).",
    "The device that answers (default: the fastest that holds the model).": (
        "답할 기기(기본값: 모델을 가진 기기 가운데 가장 빠른 것)."
    ),
    "The longest answer, in tokens.": "답변의 최대 길이(토큰 수).",
    "How freely tokens are drawn (0: always the most likely token).": (
        "토큰을 얼마나 자유롭게 고를지(0: 언제나 가장 그럴듯한 토큰)."
    ),
    "Draw from the K most likely tokens only (0: from all).": "가장 그럴듯한 토큰 K개 안에서만 고릅니다(0: 전체).",
    "Draw from the most likely tokens that together have this probability.": (
        "확률의 합이 이 값이 될 때까지의 가장 그럴듯한 토큰 안에서 고릅니다."
    ),
    "The same seed gives the same answer.": "시드가 같으면 답변도 같습니다.",
    "Print the answer when it is complete.": "답변이 끝난 뒤에 한꺼번에 출력합니다.",
    "Show which device answered, and how fast.": "어느 기기가 얼마나 빨리 답했는지 보여 줍니다.",
    "Copy the newest checkpoint of MODEL (default: the newest model) to every device.": (
        "MODEL(기본값: 가장 최근 모델)의 가장 최근 체크포인트를 모든 기기에 복사합니다."
    ),
    "List the checkpoints that the cell holds, and the devices that hold them.": (
        "셀이 가진 체크포인트와 그것을 가진 기기를 보여 줍니다."
    ),
    "Show all details of the newest checkpoint of MODEL.": "MODEL의 가장 최근 체크포인트를 자세히 보여 줍니다.",
    "Remove MODEL from every device that is online.": "온라인인 모든 기기에서 MODEL을 제거합니다.",
    "A person is asked first. A script gives --yes, or --json, which asks nothing.": (
        "사람에게는 먼저 묻습니다. 스크립트는 --yes를 주거나, 묻지 않는 --json을 씁니다."
    ),
    # this device
    "Print the log of DEVICE (default: this device).": "DEVICE(기본값: 이 기기)의 로그를 출력합니다.",
    "Keep printing until Ctrl-C.": "Ctrl-C를 누를 때까지 계속 출력합니다.",
    "Only lines that are newer than this.": "이 시간 안에 쓰인 줄만 출력합니다.",
    "How many of the last lines.": "출력할 마지막 줄 수.",
    "Check this device and its cell. The exit code is 1 if a check finds an error.": (
        "이 기기와 셀을 점검합니다. 오류를 찾으면 종료 코드가 1입니다."
    ),
    "Write the checks to a file as JSON.": "점검 결과를 JSON 파일로 씁니다.",
    "Show every setting of CONFIG, with defaults filled in.": "CONFIG의 모든 설정을 기본값까지 채워 보여 줍니다.",
    "Without CONFIG, cellmind.json of the working folder is shown, or else the defaults.": (
        "CONFIG가 없으면 현재 폴더의 cellmind.json을, 그것도 없으면 기본값을 보여 줍니다."
    ),
    "Show where each value comes from.": "각 값이 어디에서 왔는지 보여 줍니다.",
    "Show the versions of CellMind, its protocol, Python and the libraries it uses.": (
        "CellMind, 프로토콜, Python, 사용하는 라이브러리의 버전을 보여 줍니다."
    ),
    'Print the completion script of SHELL: eval "$(cellmindctl completion bash)".': (
        'SHELL의 자동 완성 스크립트를 출력합니다: eval "$(cellmindctl completion bash)".'
    ),
    "Update CellMind on this device.": "이 기기의 CellMind를 업데이트합니다.",
    "Update without a question.": "묻지 않고 업데이트합니다.",
    "Show what a newer version would change, then install it.": "새 버전에서 바뀌는 것을 보여 주고 설치합니다.",
    "It updates the clone from which ./install was run, and runs ./install there again.": (
        "./install을 실행한 클론을 업데이트하고 거기서 ./install을 다시 실행합니다."
    ),
}

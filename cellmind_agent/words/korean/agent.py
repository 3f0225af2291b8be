"""Korean of the program `cellmind-agent`: its options, its services."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "{text} is no size": "{text}은(는) 크기가 아닙니다",
    "write it like 2GB or 800MB": "2GB, 800MB처럼 적으십시오",
    "--listen {host} is not an address": "--listen {host}은(는) 주소가 아닙니다",
    "write an address of this device, such as --listen 192.168.0.5:7420; 0.0.0.0 listens on all": (
        "--listen 192.168.0.5:7420처럼 이 기기의 주소를 적으십시오. 0.0.0.0은 모든 주소에서 기다립니다"
    ),
    "--nice {nice} is not between 0 (off) and 19": "--nice {nice}은(는) 0(끔)에서 19까지가 아닙니다",
    "--train-threads {max_threads} is less than 1": "--train-threads {max_threads}은(는) 1보다 작습니다",
    "--train-memory must be more than 0": "--train-memory는 0보다 커야 합니다",
    "--unseen-days must be more than 0": "--unseen-days는 0보다 커야 합니다",
    "`doctor` offers to remove a device that was not here for so long (default: 180)": (
        "이만큼 오래 보이지 않은 기기는 `doctor`가 제거를 권합니다 (기본값: 180일)"
    ),
    "the agent did not stop within {seconds} s, so it was cut off": "에이전트가 {seconds}초 안에 멈추지 않아 강제로 끝냈습니다",
    "{host}:{port} is taken by another program": "{host}:{port}은(는) 다른 프로그램이 쓰고 있습니다",
    "{host}:{port} cannot be used ({error})": "{host}:{port}을(를) 쓸 수 없습니다 ({error})",
    "choose another: cellmind-agent --listen HOST:PORT": "다른 것을 고르십시오: cellmind-agent --listen HOST:PORT",
    "the gate lets strangers in": "문지기가 낯선 기기를 들여보냅니다",
    "this installation of libzmq is unsafe: pip install -U pyzmq": "설치된 libzmq가 안전하지 않습니다: pip install -U pyzmq",
    "the gate does not answer": "문지기가 응답하지 않습니다",
    "the gate has ended: this agent would let anybody in, so it stops": "문지기가 끝났습니다. 아무나 들어올 수 있으므로 에이전트를 멈춥니다",
    "start it again": "다시 시작하십시오",
    "The long-lived agent of one device.": "기기마다 하나씩 계속 실행되는 에이전트입니다.",
    ("have this system start the agent, with the options given here; else the agent runs until Ctrl-C"): (
        "시스템이 여기 적은 옵션으로 에이전트를 시작하게 합니다. 적지 않으면 에이전트는 Ctrl-C까지 실행됩니다"
    ),
    "a service of the machine, not of this user (root)": "이 사용자가 아니라 기기의 서비스로 (root)",
    "identity, keyring, blobs, runs, logs (or CELLMIND_HOME)": "신원, 키링, 블롭, 학습, 로그의 폴더 (또는 CELLMIND_HOME)",
    "the name that people see (default: the host name)": "사람이 보는 이름 (기본값: 호스트 이름)",
    "where to listen; port 0 takes a free port": "기다릴 주소. 포트 0은 빈 포트를 고릅니다",
    "use mDNS on this interface only (repeatable)": "이 인터페이스에서만 mDNS를 씁니다 (여러 번 가능)",
    "where a member may be (repeatable)": "구성원이 있을 수 있는 곳 (여러 번 가능)",
    "do not announce or browse": "알리지도 찾지도 않습니다",
    "disk space for all blobs (default: all but 256 MB)": "모든 블롭에 쓸 디스크 공간 (기본값: 256 MB를 뺀 전부)",
    "training, while you use the device": "기기를 쓰는 동안의 학습",
    "after its start the agent resumes the last run, if it was interrupted and no other device leads it": (
        "마지막 학습이 중단되었고 다른 기기가 이끌고 있지 않으면, 에이전트가 시작한 뒤에 그 학습을 이어 갑니다"
    ),
    "training goes on while the device does not charge (default: not on a phone)": "충전 중이 아니어도 학습합니다 (기본값: 휴대폰은 아님)",
    "training gives way to other programs, to heat and to a low battery": "학습이 다른 프로그램, 열, 낮은 배터리에 양보합니다",
    "priority of training: 0 as other programs, 19 the lowest": "학습의 우선순위: 0은 다른 프로그램과 같고, 19가 가장 낮습니다",
    "training uses at most N threads": "학습은 스레드를 N개까지 씁니다",
    "training ends if it takes more memory, such as 2GB": "메모리를 이보다 많이 쓰면 학습을 끝냅니다. 예: 2GB",
    "unknown command: {given}": "알 수 없는 명령: {given}",
    "there is no service for {platform}": "{platform} 시스템을 위한 서비스가 없습니다",
    "start the agent yourself: cellmind-agent": "에이전트를 직접 시작하십시오: cellmind-agent",
    "only root can install a system service": "시스템 서비스는 root만 설치할 수 있습니다",
    "the agent runs, and starts with this device ({path})": "에이전트가 실행 중이고, 기기와 함께 시작합니다 ({path})",
    "it ends when you log out; so that it goes on: {command}": "로그아웃하면 끝납니다. 계속되게 하려면: {command}",
    "the agent no longer starts with this device": "에이전트가 더 이상 기기와 함께 시작하지 않습니다",
    "no service is installed; install it: cellmind-agent service install": (
        "설치된 서비스가 없습니다. 설치: cellmind-agent service install"
    ),
    "systemd cannot start the agent with all restrictions here, so it runs with fewer": (
        "여기서는 systemd가 모든 제한을 건 채로 에이전트를 시작할 수 없어, 더 적은 제한으로 실행합니다"
    ),
    "the agent runs as a service of {manager}": "에이전트가 {manager} 서비스로 실행 중입니다",
    "the service is installed, and does not run ({path})": "서비스가 설치되어 있지만 실행되고 있지 않습니다. 서비스 파일: {path}",
    "cellmind-agent is not installed beside {python}": "{python} 옆에 cellmind-agent가 없습니다",
    "cannot write {path}: {why}": "{path} 파일을 쓸 수 없습니다: {why}",
    "check the folder's permissions": "폴더의 권한을 확인하십시오",
    "`{command}` failed: {said}": "`{command}` 명령이 실패했습니다: {said}",
    "{name} ({id}) listens on {addresses}": "{name} ({id}) 기기가 {addresses}에서 기다립니다",
    "it is in a cell with {members}": "같은 셀의 기기: {members}",
    "it is in no cell yet; here: cellmindctl invite, or with a code of another device: cellmindctl join": "아직 셀에 없습니다. 여기서 cellmindctl invite, 또는 다른 기기의 코드로 cellmindctl join을 실행하십시오",
    "it runs until Ctrl-C; so that it starts with this device: cellmind-agent service install": "Ctrl-C까지 실행됩니다. 기기와 함께 시작하게 하려면: cellmind-agent service install",
}

"""Korean of `cellmindctl update`."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "CellMind is up to date ({path})": "CellMind가 최신입니다 ({path})",
    "{count} changes are new in {path}:": "{path}에 새로운 변경이 {count}개 있습니다:",
    "install them, and start the agent again?": "설치하고 에이전트를 다시 시작할까요?",
    "./install failed in {path}": "{path}에서 ./install이 실패했습니다",
    "run it there, and read what it says": "거기서 직접 실행하고 메시지를 보십시오",
    "this installation was not made by ./install": "./install로 설치한 것이 아닙니다",
    "update it in the way in which it was installed, such as: uv tool upgrade, pipx upgrade, git pull": (
        "설치한 방법대로 업데이트하십시오. 예: uv tool upgrade, pipx upgrade, git pull"
    ),
    "the clone {path} is gone": "클론 {path}이(가) 없어졌습니다",
    "clone CellMind again, and run ./install there": "CellMind를 다시 클론하고 거기서 ./install을 실행하십시오",
    "{path} has changes of its own": "{path}에 직접 고친 것이 있습니다",
    "commit or undo them, then: cellmindctl update": "커밋하거나 되돌린 뒤: cellmindctl update",
    "git is not installed": "git이 설치되어 있지 않습니다",
    "install git, or download CellMind again": "git을 설치하거나 CellMind를 다시 내려받으십시오",
    "git {verb} failed in {path}: {said}": "{path}에서 git {verb}이(가) 실패했습니다: {said}",
    "look there: git -C {path} status": "확인하십시오: git -C {path} status",
}

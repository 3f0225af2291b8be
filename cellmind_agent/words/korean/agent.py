"""Korean of the program `cellmind-agent`."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "{text} is no size": "{text}은(는) 크기가 아닙니다",
    "write it like 2GB or 800MB": "2GB, 800MB처럼 적으십시오",
    "--nice {nice} is not between 0 (off) and 19": "--nice {nice}은(는) 0(끔)에서 19까지가 아닙니다",
    "--train-threads {max_threads} is less than 1": "--train-threads {max_threads}은(는) 1보다 작습니다",
    "--train-memory must be more than 0": "--train-memory는 0보다 커야 합니다",
    "the agent did not stop within {seconds} s, so it was cut off": "에이전트가 {seconds}초 안에 멈추지 않아 강제로 끝냈습니다",
    "{host}:{port} is taken by another program": "{host}:{port}은(는) 다른 프로그램이 쓰고 있습니다",
    "{host}:{port} cannot be used ({error})": "{host}:{port}을(를) 쓸 수 없습니다 ({error})",
    "choose another: cellmind-agent --listen HOST:PORT": "다른 것을 고르십시오: cellmind-agent --listen HOST:PORT",
    "the gate lets strangers in": "문지기가 낯선 기기를 들여보냅니다",
    "this installation of libzmq is unsafe: pip install -U pyzmq": "설치된 libzmq가 안전하지 않습니다: pip install -U pyzmq",
    "the gate does not answer": "문지기가 응답하지 않습니다",
    "the gate has ended: this agent would let anybody in, so it stops": "문지기가 끝났습니다. 아무나 들어올 수 있으므로 에이전트를 멈춥니다",
    "start it again": "다시 시작하십시오",
}

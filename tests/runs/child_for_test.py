"""The child of test_process, which behaves well or badly as it is asked. Both ends of the line import its calls."""

import os
import signal
import sys

from model.agent_link import AgentLink
from model.line.declare import Call, Done, Event, line_message
from model.line.failure import CallFailedError, Failure
from model.pace import Pace


@line_message
class Echoed:
    word: str


@line_message
class Echo(Call[Echoed]):
    """Report the word, print something, and answer with the word."""

    word: str


@line_message
class WordHeard(Event):
    word: str


@line_message
class AskBack(Call[Echoed]):
    """Ask the agent to echo the word, and answer with its answer."""

    word: str


@line_message
class RefusalOf(Call[Echoed]):
    """Ask the agent to echo the word, and answer with the code of its refusal."""

    word: str


@line_message
class Refuse(Call[Done]):
    pass


@line_message
class RefuseAndExit(Call[Done]):
    pass


@line_message
class Exit(Call[Done]):
    pass


@line_message
class Freeze(Call[Done]):
    pass


@line_message
class WriteNonsense(Call[Done]):
    pass


@line_message
class AnswerWrongly(Call[Done]):
    pass


@line_message
class Paced:
    threads: int


@line_message
class TakePace(Call[Paced]):
    """Compute with two threads of torch, then take the pace of the agent, and answer with the number of threads."""


def take_pace(pace: Pace) -> Paced:
    import torch

    torch.set_num_threads(2)
    torch.ones(512, 512) @ torch.ones(512, 512)
    pace.apply()
    return Paced(threads=torch.get_num_threads())


def main() -> None:
    pace = Pace()
    link = AgentLink(pace.hear)
    for number, call in link.calls():
        match call:
            case Echo(word=word):
                print("a library that prints to stdout")
                link.report(WordHeard(word=word))
                link.answer(number, Echoed(word=word))
            case AskBack(word=word):
                link.answer(number, link.ask(Echo(word=word), 5))
            case RefusalOf(word=word):
                try:
                    link.ask(Echo(word=word), 5)
                except CallFailedError as error:
                    link.answer(number, Echoed(word=error.failure.code))
            case Refuse():
                link.refuse(number, Failure(code="bad_data", message="no such thing"))
            case RefuseAndExit():
                link.refuse(number, Failure(code="peer_lost", message="connection gone"))
                os._exit(1)
            case Exit():
                print("last output", file=sys.stderr, flush=True)
                os._exit(3)
            case Freeze():
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.kill(os.getpid(), signal.SIGSTOP)
            case WriteNonsense():
                os.write(link._out.fileno(), b"this is not JSON\n")
            case TakePace():
                link.answer(number, take_pace(pace))
            case AnswerWrongly():
                link.answer(number, Echoed(word="not what was asked"))


if __name__ == "__main__":
    sys.modules["tests.runs.child_for_test"] = sys.modules["__main__"]
    main()

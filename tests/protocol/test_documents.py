"""PROTOCOL.md and README.md say what the requests declare. A failure prints the text that belongs there."""

import re
from pathlib import Path

import pytest

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import ERROR_BY_CODE
from cellmind_agent.protocol.limits import DEFAULT_PORT, MAX_FRAME_BYTES, MAX_SMALL_REQUEST_BYTES, PROTOCOL_VERSION

ROOT = Path(__file__).parents[2]
PROTOCOL = (ROOT / "PROTOCOL.md").read_text()
README = (ROOT / "README.md").read_text()
HEADER = "| request | answer | asked by | size | meaning |\n|---|---|---|---|---|"
CONVERSATIONS = sorted({kind.__module__.rpartition(".")[2] for kind in m.REQUESTS})
# How the README's table calls the requests that are not for members.
PLAIN_WORDS = {
    "BeginJoin": "try to join",
    "ProveJoin": "try to join",
    "OpenInvitation": "invite",
    "JoinCell": "join",
    "ForgetDevice": "forget",
    "ShowRecovery": "show the recovery code",
    "EraseRecovery": "show the recovery code",
    "ConnectAddress": "connect",
    "Relay": "pass requests on",
}


def requests_of(conversation: str) -> dict[type, m.Declaration]:
    return {kind: d for kind, d in m.REQUESTS.items() if kind.__module__.rpartition(".")[2] == conversation}


def table_of(conversation: str) -> str:
    rows = []
    for kind, declared in requests_of(conversation).items():
        answers = " ".join("any" if answer is object else f"`{answer.__name__}`" for answer in declared.answers)
        stream = "stream of " if declared.is_stream else ""
        meaning = " ".join((kind.__doc__ or "").split())
        rows.append(f"| `{declared.name}` | {stream}{answers} | {declared.asked_by} | {declared.size} | {meaning} |")
    return "\n".join([HEADER, *rows])


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_the_table_of_a_conversation_is_what_its_requests_declare(conversation: str) -> None:
    table = table_of(conversation)
    assert f"\n{table}\n\n" in PROTOCOL, f"PROTOCOL.md needs this table of `messages/{conversation}.py`:\n\n{table}\n"


def test_there_is_one_table_for_each_conversation() -> None:
    assert PROTOCOL.count(HEADER) == len(CONVERSATIONS)


def test_every_message_is_mentioned() -> None:
    missing = [name for name in m.MESSAGE_TYPES if f"`{name}`" not in PROTOCOL]
    assert not missing, f"PROTOCOL.md does not mention {' '.join(missing)}"


def test_the_error_codes_are_listed() -> None:
    codes = " ".join(ERROR_BY_CODE)
    assert f"\n    {codes}\n" in re.sub(r"(?<=\w)\n    (?=\w)", " ", PROTOCOL), f"PROTOCOL.md needs:\n\n    {codes}\n"


def test_the_numbers_are_those_of_the_code() -> None:
    assert PROTOCOL_VERSION == 1
    for text in (f"Version {PROTOCOL_VERSION}.", f"default {DEFAULT_PORT}", f"{MAX_SMALL_REQUEST_BYTES >> 10} KiB"):
        assert text in PROTOCOL
    assert MAX_FRAME_BYTES == 1 << 20
    assert "1 MiB" in PROTOCOL


def test_the_readme_says_what_strangers_and_local_people_may_ask() -> None:
    """Members may ask everything else; the README sums that up in its own words."""
    exceptions = {d.name: d.asked_by for d in m.REQUESTS.values() if d.asked_by != "member"}
    assert exceptions.keys() == PLAIN_WORDS.keys(), "give each request that is not for members its plain words"
    for name, kind in exceptions.items():
        (row,) = re.findall(rf"^\| {kind}\b.*$", README, re.MULTILINE)
        assert PLAIN_WORDS[name] in row, f"README.md, who can do what: `{name}` is for {kind}"

"""What people read about entries of the keyring that do not count, or that contradict each other."""

from __future__ import annotations

from cellmind_agent.trust.keyring import Alarm
from model.line.sentence import Sentence


def alarm_sentence(alarm: Alarm) -> Sentence:
    """What has happened; for the log, `peers` and `doctor`."""
    if alarm.kind == "copied":
        return Sentence(
            "the keys of {name} are used on two machines: they were copied, or restored from a backup", name=alarm.name
        )
    return Sentence(
        "{name} has changed the keyring without the right to do so; that counts for nothing ({num} entries)",
        name=alarm.name,
        num=alarm.num_entries,
    )


def alarm_remedy(alarm: Alarm, is_member: bool) -> Sentence:
    """What a person should do about it."""
    if is_member:
        return Sentence("if that was not you, remove it: cellmindctl forget DEVICE")
    return Sentence("it is removed already; watch for devices that you do not know: cellmindctl peers")

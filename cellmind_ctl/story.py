"""How a run went, for people and for scripts: its figures, who came and went, what the model wrote meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellmind_agent.planning.story import some_of
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.ids import RunId, printable
from cellmind_agent.protocol.plain import to_json as plain_json
from cellmind_agent.words import t
from cellmind_ctl.closing import closing_line, exact_duration, is_proved, turnover
from cellmind_ctl.discover import run_story
from cellmind_ctl.figures import UNKNOWN, ago, choices, duration, number, percent, rfc3339
from cellmind_ctl.help import columns, wrapped
from cellmind_ctl.session import Session

if TYPE_CHECKING:
    from rich.console import Console

SHOWN_CHECKPOINTS = 5  # of each prompt: so many lines are read at once
SHOWN_CHANGES = 12  # of the roster: the last ones
CONTRIBUTION_HEADERS = ("name", "tokens", "part")
CONTRIBUTION_RIGHT = ("tokens", "part")
SPEED_HEADERS = ("tokens/s", "forecast", "measured", "difference")
SPEED_RIGHT = ("forecast", "measured", "difference")
TEXT_HEADERS = ("step", "held-out", "text")
TEXT_RIGHT = ("step", "held-out")
_ANSWER_SECONDS = 2.0  # after a run nobody waits longer for a member
_LINE_BREAK = " / "  # between the lines of a text that is shown on one line


def print_contributors(session: Session, run: RunId) -> None:
    """Print in one line who contributed what to a run that has just ended, and on stderr where there is more."""
    try:
        found = contributors(run_story(session.client, run, _ANSWER_SECONDS))
    except CellmindError:  # the run has ended well, whatever has become of the agent since
        return
    if found:
        print(t("trained by {members}", members=found))
    session.notice(t("how the model learnt: cellmindctl runs show {run}", run=run))


def contributors(story: m.RunStory) -> str:
    """The members with their parts, such as `laptop 60%, phone 40%`; empty if nobody knows."""
    return ", ".join(f"{printable(name)} {part}" for name, _, part in contribution_rows(story))


def print_story(session: Session, view: m.RunView, story: m.RunStory, most: int | None) -> None:
    """Print the story on stdout, and on stderr what is missing. `most` checkpoints at most, and the last SHOWN_CHANGES
    of the roster; None: all of both."""
    from cellmind_ctl.render import console

    screen = console(session.color)
    write(screen, view, story, most, time.time(), is_cut=sys.stdout.isatty())
    if not story.contributions:
        session.notice(t("no device that knows {run} is online: who contributed what is not known", run=view.run))
    if not story.checkpoints:
        session.notice(t("no texts of checkpoints of {run} were found", run=view.run))
    elif most is not None and len(story.checkpoints) > most:
        sentence = "{shown} of {count} checkpoints are shown; all of them: cellmindctl runs show {run} --all"
        session.notice(t(sentence, shown=most, count=len(story.checkpoints), run=view.run))
    num_changes = len(_change_lines(story))
    if most is not None and num_changes > SHOWN_CHANGES:
        sentence = "{shown} of {count} changes of the roster are shown; all of them: cellmindctl runs show {run} --all"
        session.notice(t(sentence, shown=SHOWN_CHANGES, count=num_changes, run=view.run))


def write(
    screen: Console, view: m.RunView, story: m.RunStory, most: int | None, now: float, is_cut: bool = True
) -> None:
    """Write the story on a console. With `is_cut` long names are shortened, and texts are wrapped at its width."""
    from cellmind_ctl.render import print_table_on

    def print_table(headers: Sequence[str], rows: list[list[str]], right: Sequence[str]) -> None:
        print_table_on(screen, headers, rows, right, (), screen.width if is_cut else None, is_cut)

    def print_lines(lines: list[str]) -> None:
        screen.out("\n".join(lines), highlight=False)

    changes = _change_lines(story)[0 if most is None else -SHOWN_CHANGES :]
    print_lines(_pair_lines(_pairs(view, story, changes, now), screen.width))
    if story.contributions:
        print_lines([""])
        print_table(CONTRIBUTION_HEADERS, contribution_rows(story), CONTRIBUTION_RIGHT)
    if story.speeds:
        print_lines([""])
        print_table(SPEED_HEADERS, speed_rows(story), SPEED_RIGHT)
    checkpoints = story.checkpoints if most is None else some_of(story.checkpoints, most)
    for prompt in _prompts(checkpoints):
        print_lines(["", *wrapped(t("after “{prompt}” it wrote:", prompt=_one_line(prompt)), screen.width)])
        print_table(TEXT_HEADERS, text_rows(checkpoints, prompt), TEXT_RIGHT)
    if closing := closing_line(view, story):
        print_lines(["", *(wrapped(printable(closing), screen.width) if is_cut else [printable(closing)])])


def contribution_rows(story: m.RunStory) -> list[list[str]]:
    """The cells of each member, in the order of CONTRIBUTION_HEADERS."""
    total = sum(one.tokens for one in story.contributions)
    return [[one.name, number(one.tokens), percent(_percent(one.tokens, total))] for one in story.contributions]


def speed_rows(story: m.RunStory) -> list[list[str]]:
    """The cells of all members together, and of each, in the order of SPEED_HEADERS."""
    return [
        [
            one.name or t("together"),
            number(one.forecast),
            number(one.measured),
            f"{100 * (one.forecast / one.measured - 1):+.0f}%" if one.measured > 0 else UNKNOWN,
        ]
        for one in story.speeds
    ]


def text_rows(checkpoints: Sequence[m.CheckpointStory], prompt: str) -> list[list[str]]:
    """The cells of each checkpoint, in the order of TEXT_HEADERS: what it wrote after the prompt."""
    return [
        [number(checkpoint.step), number(checkpoint.val_loss, 3), _one_line(one.text)]
        for checkpoint in checkpoints
        for one in checkpoint.continuations
        if one.prompt == prompt
    ]


def to_json(story: m.RunStory) -> dict[str, object]:
    """The story as JSON values, with all checkpoints and the texts as they are."""
    total = sum(one.tokens for one in story.contributions)
    return {
        "seconds": story.seconds,
        "best_step": story.best_step,
        "best_val_loss": story.best_val_loss,
        "redone_tokens": story.redone_tokens,
        "redone_seconds": story.redone_seconds,
        "contributions": [
            {"name": one.name, "tokens": one.tokens, "percent": _percent(one.tokens, total)}
            for one in story.contributions
        ],
        **turnover(story.changes)._asdict(),
        "changes": [
            {"kind": one.kind, "name": one.name, "step": one.step, "why": str(one.why) if one.why else None}
            for one in story.changes
        ],
        "samples": _samples_json(story.audit) if story.audit else None,
        "speeds": [plain_json(one) for one in story.speeds],
        "checkpoints": [
            {
                "step": one.step,
                "time": rfc3339(one.time),
                "val_loss": one.val_loss,
                "choices": choices(one.val_loss),
                "continuations": [{"prompt": each.prompt, "text": each.text} for each in one.continuations],
            }
            for one in story.checkpoints
        ],
    }


def _samples_json(audit: m.SamplesAudit) -> dict[str, object]:
    return {**plain_json(audit), "is_proved": is_proved(audit)}


def _change_lines(story: m.RunStory) -> list[str]:
    """What happened to the roster. Who led is said only if another device led later."""
    has_one_leader = sum(change.kind == "led" for change in story.changes) == 1
    return [_change_line(change) for change in story.changes if change.kind != "led" or not has_one_leader]


def _change_line(change: m.RosterChange) -> str:
    step = number(change.step)
    if change.kind == "left" and change.why:
        return t("after step {step}: {why}", step=step, why=t(change.why))
    sentences = {
        "left": "after step {step}: {name} left",
        "returned": "after step {step}: {name} came back",
        "joined": "after step {step}: {name} joined",
        "led": "after step {step}: {name} led",
    }
    return t(sentences[change.kind], step=step, name=change.name)


def _pairs(view: m.RunView, story: m.RunStory, changes: Sequence[str], now: float) -> list[tuple[str, str]]:
    loss = view.val_loss if story.best_val_loss is None else story.best_val_loss
    held_out = number(loss, 3)
    if story.best_step is not None:
        held_out = t("{loss} at step {step}", loss=held_out, step=number(story.best_step))
    found = choices(loss)
    pairs = [
        (t("run"), view.run),
        (t("state"), t(view.state)),
        (t("started"), f"{rfc3339(view.created) or UNKNOWN} ({ago(now - view.created)})"),
        (t("training time"), duration(story.seconds) if story.contributions else UNKNOWN),
        (t("step"), f"{view.step:,}/{view.total_steps:,}"),
        (t("tokens"), number(view.tokens)),
        (t("held-out loss"), held_out),
    ]
    if found is not None:
        sentence = "it guesses the next piece of a word as if choosing among {choices}"
        pairs.append(("", t(sentence, choices=number(found))))
    if story.redone_tokens:
        sentence = "{tokens} tokens, {duration} of work"
        redone = t(sentence, tokens=number(story.redone_tokens), duration=exact_duration(story.redone_seconds))
        pairs.append((t("trained again"), redone))
    pairs += [("" if place else t("came and went"), line) for place, line in enumerate(changes)]
    return [*pairs, (t("error"), t(view.error))] if view.error else pairs


def _pair_lines(pairs: list[tuple[str, str]], width: int) -> list[str]:
    left = max(columns(label) for label, _ in pairs) + 2
    lines = []
    for label, text in pairs:
        start = label + " " * (left - columns(label))
        lines.append(start + f"\n{' ' * left}".join(wrapped(printable(text), width - left)))
    return lines


def _prompts(checkpoints: Sequence[m.CheckpointStory]) -> list[str]:
    """The different prompts, in their order."""
    return list(dict.fromkeys(one.prompt for checkpoint in checkpoints for one in checkpoint.continuations))


def _one_line(text: str) -> str:
    """The words of a text, which may have several lines, without characters that a terminal obeys."""
    return printable(_LINE_BREAK.join(line.strip() for line in text.splitlines() if line.strip()))


def _percent(tokens: int, total: int) -> float:
    return 100 * tokens / total if total else 0.0

"""Reads a README as a newcomer does: every command of its code blocks, in order, with the output that it promises."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REMARK = re.compile(r" {2,}|\s+# ")  # a remark stands behind two spaces, or behind a number sign
PROMPT = re.compile(r"([\w-]+)\$ (.+)")


@dataclass(frozen=True, slots=True)
class Step:
    """A command to type. `device` is the one in whose terminal a transcript shows it; `section` is the heading above,
    counted from 0. `output` are the lines that the transcript promises."""

    section: int
    device: str | None
    command: str
    output: tuple[str, ...] = ()


def steps(document: Path) -> list[Step]:
    """Every command of the document's code blocks."""
    found: list[Step] = []
    for section, lines in _blocks(document.read_text(encoding="utf-8")):
        for line in lines:
            prompt = PROMPT.match(line)
            if prompt:
                found.append(Step(section, prompt[1], prompt[2].strip()))
            elif line.startswith("    ") and line.strip():
                found.append(Step(section, None, REMARK.split(line.strip())[0]))
            elif found and found[-1].device and line.strip():
                last = found.pop()
                found.append(Step(last.section, last.device, last.command, (*last.output, line)))
    return found


def expected(line: str) -> re.Pattern[str]:
    """What a line of output must look like: the words as they are; numbers, names of runs and hashes as they come."""
    pattern = ""
    for part in re.split(r"(\s+|run-[\w-]+|\b(?=[0-9a-f]*[0-9])[0-9a-f]{12}\b|[0-9][0-9.,:/]*)", line.strip()):
        if not part:
            continue
        if part.isspace():
            pattern += r"\s+"
        elif part.startswith("run-"):
            pattern += r"run-[\w-]+"
        elif re.fullmatch(r"[0-9a-f]{12}", part):
            pattern += r"[0-9a-f]{12}"
        elif part[0].isdigit():
            pattern += r"[0-9][0-9.,:/]*"
        else:
            pattern += re.escape(part)
    return re.compile(pattern)


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of each console block and of each indented block, with the number of the heading above."""
    section, fence, lines = 0, "", []
    for line in [*text.splitlines(), "end"]:
        if line.startswith("```"):
            if fence == "```console":
                yield section, lines
            fence, lines = ("" if fence else line), []
        elif fence or line.startswith("    "):
            lines.append(line)
        else:
            if lines and not fence:
                yield section, lines
            lines = []
            section += line.startswith("#")

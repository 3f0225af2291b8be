"""Documents agree with the code: paths and links exist, quoted commands parse, the quoted configuration is valid."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cellmind_agent.protocol.errors import UsageError
from cellmind_ctl.main import cli
from cellmind_ctl.session import new_session
from model.config_file import parse_config
from tests.house.product import DOCUMENTS, PACKAGES, ROOT

CURRENT = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "BENCHMARKS.md", "PROTOCOL.md", "FAULTS.md")
OWN_FOLDERS = (*PACKAGES, "tests", "systemd", "termux")
EXAMPLE_FILES = ("tokenizer/tokenizer.model",)  # of a reader's project, not of this repository
COMMANDS_QUOTED_IN = ("README.md", "CONTRIBUTING.md", "BENCHMARKS.md")


def quoted(document: str) -> Iterator[str]:
    """Each piece of code of a document: lines of fenced and indented blocks, and code in a sentence."""
    is_fenced = False
    prose = []
    for line in (ROOT / document).read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            is_fenced = not is_fenced
        elif is_fenced or line.startswith("    "):
            yield line
        else:
            prose.append(line)
    for match in re.finditer(r"`([^`]+)`", " ".join(prose)):
        yield match[1]


def quoted_commands(document: str) -> list[str]:
    """Every `cellmindctl` command line, without its prompt and the remark that stands after two spaces."""
    found = []
    for code in quoted(document):
        match = re.match(r"(?:\s*[\w-]+\$)?\s*(?:\.venv/bin/)?cellmindctl( .+)", code)
        if match:
            found.append(re.split(r" {2,}", match[1].strip())[0])
    return found


def missing_paths(document: str) -> list[str]:
    """Paths of this repository that a document names and that do not exist."""
    found = []
    for code in quoted(document):
        for path in re.findall(rf"(?<![\w./~-])(?:{'|'.join(OWN_FOLDERS)})/[\w./-]*", code):
            name = path.rstrip(".")
            if name not in EXAMPLE_FILES and not (ROOT / name).exists():
                found.append(name)
    return found


@pytest.mark.parametrize("document", CURRENT)
def test_every_path_named_in_a_document_exists(document: str) -> None:
    missing = [
        f"{document} names {path}, which does not exist: correct the document" for path in missing_paths(document)
    ]
    assert not missing, "\n" + "\n".join(missing)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_in_a_document_leads_to_a_file(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (ROOT / link).exists()] == []


@pytest.mark.parametrize(
    ("document", "command"), [(name, command) for name in COMMANDS_QUOTED_IN for command in quoted_commands(name)]
)
def test_every_quoted_command_parses(
    document: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: None)  # parse, and run nothing
    try:
        cli.main(shlex.split(command), prog_name="cellmindctl", standalone_mode=False, obj=new_session())
    except click.UsageError as error:
        pytest.fail(f"{document} quotes `cellmindctl {command}`: {error.format_message()}")


def test_a_wrong_command_would_not_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: None)
    for command in ("train --epochs 3", "data prepare", "trian", "ask --top-k many"):
        with pytest.raises((click.UsageError, UsageError)):
            cli.main(shlex.split(command), prog_name="cellmindctl", standalone_mode=False, obj=new_session())


def test_commands_are_quoted_where_newcomers_read() -> None:
    commands = {command.split()[0] for command in quoted_commands("README.md")}
    assert commands >= {
        "invite",
        "join",
        "peers",
        "data",
        "train",
        "watch",
        "stop",
        "resume",
        "ask",
        "doctor",
        "forget",
    }


@pytest.mark.parametrize("document", COMMANDS_QUOTED_IN)
def test_every_quoted_module_exists(document: str) -> None:
    modules = {module for code in quoted(document) for module in re.findall(r"-m ([\w.]+)", code)}
    ours = {module for module in modules if module.split(".")[0] in OWN_FOLDERS}
    missing = [m for m in sorted(ours) if not _is_runnable(ROOT / m.replace(".", "/"))]
    assert missing == []


def test_the_configuration_in_the_readme_is_valid() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```jsonc\n(.*?)```", text, re.DOTALL)
    config = parse_config(example)
    assert config.model.d_model == 512
    assert config.training.dataset.path == "data/train.jsonl"
    assert config.ignored == ()


def test_benchmarks_have_a_program_each() -> None:
    text = (ROOT / "BENCHMARKS.md").read_text(encoding="utf-8")
    sections = [section for section in text.split("\n## ")[1:] if "\n|" in section]
    without = [section.splitlines()[0] for section in sections if "-m tests.bench." not in section]
    assert without == [], "each table stands under the command that makes it"


def _is_runnable(path: Path) -> bool:
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def test_each_fault_that_was_found_has_a_test() -> None:
    rows = re.findall(r"`(tests/[\w/]+\.py)(?: -k (\w+))?` \|\n", (ROOT / "FAULTS.md").read_text(encoding="utf-8"))
    assert len(rows) > 10
    for path, words in rows:
        names = re.findall(r"^(?:async )?def (test_\w+)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
        assert any(words in name for name in names), f"{path} has no test with {words!r} in its name"

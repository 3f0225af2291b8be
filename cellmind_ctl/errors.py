"""Turns every exception into an exit code and an error message. No other file does."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable

import click

from cellmind_agent.protocol.errors import CellmindError, NotAllowedError, StorageFullError, UsageError
from cellmind_agent.words import t

INTERRUPTED = 130  # as shells report a program that Ctrl-C ended: 128 + SIGINT
_FULL = (errno.ENOSPC, errno.EDQUOT)


def run_and_exit(work: Callable[[], object], is_json: bool, is_debug: bool) -> int:
    """Run `work` and return the exit code.

    `work` may return an exit code. What it raises is printed: two lines on stderr, or with `is_json` one JSON object on
    stdout; with `is_debug` the traceback too.
    """
    try:
        result = work()
        return result if isinstance(result, int) else 0
    except CellmindError as error:
        failure = error
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "cellmindctl"
        failure = UsageError(" ".join(error.format_message().split()), f"{command} --help")
    except click.ClickException as error:
        failure = CellmindError(error.format_message(), "cellmindctl --help")
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # `cellmindctl logs | head`
        sys.stderr.close()  # or Python complains there, at its exit, that stdout cannot be flushed
        return 0
    except Exception as error:
        failure = _translated(error)
        failure.__cause__ = error
    if is_debug:
        import traceback

        traceback.print_exception(failure)
    _print(failure, is_json)
    return failure.exit_code


def _translated(error: Exception) -> CellmindError:
    """The same failure as a CellmindError. An exception that is not expected is a bug, and says so."""
    # Looked up, not imported: who raised one has imported its module, and `--help` must not.
    model, text = sys.modules.get("model.errors"), sys.modules.get("tokenizer.errors")
    if model and isinstance(error, model.ConfigError):
        return UsageError(error.message, error.hint)
    if text and isinstance(error, text.TextError):
        kind = UsageError if isinstance(error, text.UnreadableFileError) else CellmindError
        return kind(error.message, error.hint, **error.fields)
    if isinstance(error, OSError) and (error.filename or error.errno in _FULL):
        return _of_the_system(error)
    if isinstance(error, ModuleNotFoundError) and error.name:  # a courier or a phone, which has no such package
        hint = "run ./install again, without --no-train; a phone cannot do this: use a computer of the cell"
        return CellmindError("this command needs {package}, which is not installed here", hint, package=error.name)
    name, hint = type(error).__name__, "this is a bug in CellMind; --debug shows where"
    return CellmindError("{name}: {reason}", hint, name=name, reason=error)


def _of_the_system(error: OSError) -> CellmindError:
    """The failure of a file, such as one that belongs to another user or lies on a read-only disk."""
    path = error.filename or error.strerror
    if error.errno in _FULL:
        return StorageFullError("the disk is full: {path}", path=path)
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotAllowedError("this user may not use {path}", "choose another folder, or change its owner", path=path)
    if error.errno == errno.EROFS:
        return CellmindError("{path} is on a read-only disk", "choose another folder", path=path)
    hint = "check the path, and that its folder exists"
    return CellmindError("{path} cannot be used: {reason}", hint, path=path, reason=error.strerror)


def _print(error: CellmindError, is_json: bool) -> None:
    if is_json:
        body = {"code": error.code, "message": error.message, "hint": error.hint}
        print(json.dumps({"schema": "cellmind.error/1", "error": body}, ensure_ascii=False), flush=True)
    else:
        what, next_step = t("error: {message}", message=error.message), t("hint: {hint}", hint=error.hint)
        print(f"{what}\n{next_step}", file=sys.stderr, flush=True)

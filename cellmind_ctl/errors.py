"""Errors to exit codes and to two lines, in one place."""

from __future__ import annotations

import errno
import json
import sys
import traceback
from collections.abc import Callable

import click

from cellmind_agent.protocol.errors import CellmindError, StorageFullError, UsageError

INTERRUPTED = 130


def run_and_exit(work: Callable[[], object], is_json: bool, is_debug: bool) -> int:
    """The exit code of `work`; whatever it raises is printed as a person (or a script) can use it."""
    try:
        result = work()
        return result if isinstance(result, int) else 0
    except CellmindError as error:
        failure = error
    except click.UsageError as error:
        failure = UsageError(error.format_message(), f"{error.ctx.command_path if error.ctx else 'cellmindctl'} --help")
    except click.ClickException as error:
        failure = CellmindError(error.format_message(), "cellmindctl --help")
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # `cellmindctl logs | head`
        sys.stderr.close()
        return 0
    except Exception as error:
        failure = _translated(error)
        failure.__cause__ = error
    if is_debug:
        traceback.print_exception(failure)
    _print(failure, is_json)
    return failure.exit_code


def _translated(error: Exception) -> CellmindError:
    """What the text and the configuration raise has a message and a hint too; anything else is our bug."""
    kinds = {name: sys.modules.get(name) for name in ("model.config", "tokenizer.errors")}
    config, text = kinds["model.config"], kinds["tokenizer.errors"]
    if config and isinstance(error, config.ConfigError):
        return UsageError(error.message, error.hint)
    if text and isinstance(error, text.TextError):
        return CellmindError(error.message, error.hint)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFullError(f"the disk is full: {error.filename or error.strerror}")
    return CellmindError(f"{type(error).__name__}: {error}", "this is a bug in CellMind; --debug shows where")


def _print(error: CellmindError, is_json: bool) -> None:
    if is_json:
        body = {"code": error.code, "message": error.message, "hint": error.hint}
        print(json.dumps({"schema": "cellmind.error/1", "error": body}, ensure_ascii=False), flush=True)
    else:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr, flush=True)

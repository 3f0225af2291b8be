"""The program `cellmind-agent`: reads its options, starts the agent, notifies systemd, stops on SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import platform
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from cellmind_agent import __version__
from cellmind_agent.agent import Agent
from cellmind_agent.cell.logs import set_up_logging
from cellmind_agent.config import AgentConfig, Politeness, parse_size
from cellmind_agent.protocol.address import parse_address
from cellmind_agent.protocol.errors import CellmindError, NotAllowedError, UsageError
from cellmind_agent.protocol.home import default_home
from cellmind_agent.protocol.ids import short
from cellmind_agent.protocol.limits import AGENT_STOP_SECONDS, DEFAULT_PORT
from cellmind_agent.service.command import VERBS, run_service_command
from cellmind_agent.storage.files import private_folder
from cellmind_agent.trust.entries import clean_name
from cellmind_agent.trust.identity import load_identity
from cellmind_agent.words import t
from cellmind_agent.words.utf8 import use_utf8

_log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Run the agent until it is stopped; the exit code, as in `protocol/errors`."""
    if arguments is None:
        use_utf8()
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(words)
    code = 0
    try:
        config = _config(options)
        if options.command:
            return _service(options, words, config.home)
        set_up_logging(private_folder(config.home), options.log_level, options.log_format)
        asyncio.run(_serve(config))
    except* (CellmindError, PermissionError) as errors:
        error = _first_error(errors)
        print(t("error: {message}", message=error.message), file=sys.stderr)
        print(t("hint: {hint}", hint=error.hint), file=sys.stderr)
        _log.debug("stopped by an error", exc_info=error)
        code = error.exit_code
    except* KeyboardInterrupt:
        code = 130
    return code


async def _serve(config: AgentConfig) -> None:
    loop, stop, ready = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: Ctrl-C arrives as KeyboardInterrupt
            break
    agent = Agent(config)
    serving = asyncio.create_task(agent.run(stop, ready))
    starting = asyncio.create_task(ready.wait())
    await asyncio.wait({serving, starting}, return_when=asyncio.FIRST_COMPLETED)
    starting.cancel()
    if ready.is_set():
        _notify_service_manager("READY=1")
        if sys.stderr.isatty():
            _greet(agent)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.done():
        _notify_service_manager("STOPPING=1")
        await asyncio.wait({serving}, timeout=AGENT_STOP_SECONDS)
        if not serving.done():
            serving.cancel()
            await asyncio.wait({serving})
            raise CellmindError(
                "the agent did not stop within {seconds} s, so it was cut off",
                seconds=f"{AGENT_STOP_SECONDS:g}",
            )
    await serving  # raises the error that ended the agent, if one did


def _greet(agent: Agent) -> None:
    """The first words of an agent that a person has started in a terminal."""
    addresses = ", ".join(str(address) for address in agent.addresses)
    print(t("{name} ({id}) listens on {addresses}", name=agent.name, id=agent.short_id, addresses=addresses))
    if agent.other_members:
        print(t("it is in a cell with {members}", members=", ".join(agent.other_members)))
    else:
        print(t("it is in no cell yet; here: cellmindctl invite, or with a code of another device: cellmindctl join"))
    print(t("it runs until Ctrl-C; so that it starts with this device: cellmind-agent service install"), flush=True)


def _service(options: argparse.Namespace, words: Sequence[str], home: Path) -> int:
    """Carry out `service VERB`; the options beside it become those of the service. Raises CellmindError."""
    verb = options.command[1] if len(options.command) == 2 else ""
    if options.command[0] != "service" or verb not in VERBS:
        given = " ".join(options.command)
        raise UsageError("unknown command: {given}", "cellmind-agent service install | uninstall | status", given=given)
    kept = [word for word in words if word not in ("service", verb, "--system")]
    if options.home:  # the service starts in another folder
        place = kept.index("--home") if "--home" in kept else None
        kept = kept if place is None else [*kept[: place + 1], str(home), *kept[place + 2 :]]
    return run_service_command(verb, kept, home, options.system)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cellmind-agent", description=t("The long-lived agent of one device."))
    parser.add_argument(
        "command",
        nargs="*",
        metavar="service install|uninstall|status",
        help=t("have this system start the agent, with the options given here; else the agent runs until Ctrl-C"),
    )
    parser.add_argument("--system", action="store_true", help=t("a service of the machine, not of this user (root)"))
    parser.add_argument(
        "--home", type=Path, metavar="DIR", help=t("identity, keyring, blobs, runs, logs (or CELLMIND_HOME)")
    )
    parser.add_argument("--name", help=t("the name that people see (default: the host name)"))
    parser.add_argument(
        "--listen",
        default=f"0.0.0.0:{DEFAULT_PORT}",
        metavar="ADDR:PORT",
        help=t("where to listen; port 0 takes a free port"),
    )
    parser.add_argument(
        "--interface",
        action="append",
        default=[],
        metavar="NAME",
        help=t("use mDNS on this interface only (repeatable)"),
    )
    parser.add_argument(
        "--peer", action="append", default=[], metavar="HOST:PORT", help=t("where a member may be (repeatable)")
    )
    parser.add_argument("--no-mdns", action="store_true", help=t("do not announce or browse"))
    parser.add_argument("--quota", type=int, metavar="MB", help=t("disk space for all blobs (default: all but 256 MB)"))
    parser.add_argument(
        "--unseen-days",
        type=float,
        default=180,
        metavar="N",
        help=t("`doctor` offers to remove a device that was not here for so long (default: 180)"),
    )
    _add_training(parser)
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--log-format", default="text", choices=["text", "json", "journal"])
    parser.add_argument("--version", action="version", version=f"cellmind {__version__}")
    return parser


def _add_training(parser: argparse.ArgumentParser) -> None:
    training = parser.add_argument_group(t("training, while you use the device"))
    training.add_argument(
        "--yield",
        dest="yields",
        action=argparse.BooleanOptionalAction,
        default=True,
        help=t("training gives way to other programs, to heat and to a low battery"),
    )
    training.add_argument(
        "--train-on-battery",
        action=argparse.BooleanOptionalAction,
        default=sys.platform != "android",
        help=t("training goes on while the device does not charge (default: not on a phone)"),
    )
    training.add_argument(
        "--resume-on-boot",
        action="store_true",
        help=t("after its start the agent resumes the last run, if it was interrupted and no other device leads it"),
    )
    training.add_argument(
        "--nice", type=int, default=10, metavar="N", help=t("priority of training: 0 as other programs, 19 the lowest")
    )
    training.add_argument("--train-threads", type=int, metavar="N", help=t("training uses at most N threads"))
    training.add_argument(
        "--train-memory", metavar="SIZE", help=t("training ends if it takes more memory, such as 2GB")
    )


def _config(options: argparse.Namespace) -> AgentConfig:
    """Raises UsageError."""
    home = (options.home or default_home(os.environ, sys.platform)).absolute()
    return AgentConfig(
        home=home,
        name=clean_name(options.name or _default_name(home)),
        listen=parse_address(options.listen),
        interfaces=tuple(options.interface),
        peers=tuple(parse_address(text) for text in options.peer),
        uses_mdns=not options.no_mdns,
        quota_bytes=None if options.quota is None else options.quota << 20,
        politeness=Politeness(
            yields=options.yields,
            trains_on_battery=options.train_on_battery,
            nice=options.nice,
            max_threads=options.train_threads,
            max_memory_bytes=None if options.train_memory is None else parse_size(options.train_memory),
        ),
        resume_on_boot=options.resume_on_boot,
        unseen_days=options.unseen_days,
    )


def _default_name(home: Path) -> str:
    """The host name. Every Termux phone is called localhost, so such a device is named by its id."""
    name = socket.gethostname().partition(".")[0]
    if name and name != "localhost":
        return name
    return f"{platform.system().lower() or 'device'}-{short(load_identity(private_folder(home)).device)}"


def _notify_service_manager(state: str) -> None:
    """Send one datagram of systemd's notification protocol (sd_notify), if systemd has started this process."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        try:
            notify.connect("\0" + path[1:] if path.startswith("@") else path)
            notify.sendall(state.encode())
        except OSError as error:
            _log.warning("cannot reach the service manager: %s", error)


def _first_error(errors: BaseExceptionGroup[CellmindError | PermissionError]) -> CellmindError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, PermissionError):  # such as files that an agent of root has left in this home
        hint = "choose another folder, or change its owner"
        return NotAllowedError("this user may not use {path}", hint, path=error.filename or error.strerror)
    assert isinstance(error, CellmindError)
    return error


if __name__ == "__main__":
    sys.exit(main())

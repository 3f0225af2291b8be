"""What ./install costs on a machine that has only Python and git: seconds, MB of disk, MB that are downloaded.

    python -m tests.bench.install [--repeats 3] [--json FILE]

Each installation is that of a new user: a new home, no cache, no settings of pip, a new clone of what is committed. It
reads the public package index. Torch for the processor lies on PyTorch's own index; where that cannot be reached, the
row is measured again with this machine's settings of pip, which may name a folder of packages, and says so. The
installation with CUDA is a dry run: the sizes that the index names; nothing is installed. Prints a table, writes JSON.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.results import Results
from tests.house.product import ROOT

COURIER, PROCESSOR = ("--no-train",), ()
_CERTIFICATES = ("SSL_", "PIP_CERT", "REQUESTS_CA_BUNDLE")
_NETWORK_SECONDS = 900
_BYTES_BY_UNIT = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


class IndexUnreachableError(Exception):
    """An index that this installation needs cannot be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One installation. What uv downloads (torch, where PyTorch's index is reached) is not in `downloaded_mb`."""

    seconds: float
    processor_seconds: float  # which other programs on the machine hardly change
    disk_mb: float
    downloaded_mb: float
    from_files_mb: float  # packages that a folder of this machine served; elsewhere they are downloaded


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/install.json"))
    options = parser.parse_args()
    results = Results(options.json)
    costs: dict[str, list[Cost]] = {}
    named: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, words in (("`./install --no-train`", COURIER), ("`./install`, torch for the processor", PROCESSOR)):
            made = measured(Path(folder), words, options.repeats)
            costs[name + (", torch from a file" if any(cost.from_files_mb for cost in made) else "")] = made
        resolver = make_resolver(Path(folder))
        named["`./install --no-train`"] = sum(sizes(resolver, None).values()) / 1e6
        cuda = sizes(resolver, "train")
        named["`./install --cuda`, dry run"] = sum(cuda.values()) / 1e6
    report(costs, named, results)
    results.save(named, {name: [asdict(cost) for cost in made] for name, made in costs.items()}, cuda=cuda)
    return 0


# -- a real installation ----------------------------------------------------------------------------------------------


def measured(folder: Path, words: tuple[str, ...], repeats: int) -> list[Cost]:
    """Install from the public indexes; where one is out of reach, with this machine's settings of pip."""
    try:
        return [installed(folder, words, only_public=True) for _ in range(repeats)]
    except IndexUnreachableError as error:
        print(f"{' '.join(('./install', *words))}: {error}; again with this machine's settings of pip", file=sys.stderr)
        return [installed(folder, words, only_public=False) for _ in range(repeats)]


def installed(folder: Path, words: tuple[str, ...], only_public: bool) -> Cost:
    """Install for a new user and remove it again. Raises IndexUnreachableError, and CalledProcessError."""
    person = Path(tempfile.mkdtemp(dir=folder))
    clone = person / "cellmind"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    started, before = time.monotonic(), os.times()
    done = subprocess.run(
        ["./install", "--no-service", *words],
        cwd=clone,
        env=new_user(person, only_public),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_NETWORK_SECONDS,
    )
    seconds, after = time.monotonic() - started, os.times()
    if "not reachable" in done.stderr or "No matching distribution" in done.stderr:
        shutil.rmtree(person)
        raise IndexUnreachableError(done.stderr.strip().splitlines()[-2])
    done.check_returncode()
    log = (person / "pip.log").read_text(errors="replace")
    cost = Cost(
        seconds=seconds,
        processor_seconds=sum(after[2:4]) - sum(before[2:4]),
        disk_mb=megabytes(person / ".local"),
        downloaded_mb=downloads(log) / 1e6,
        from_files_mb=sum(path.stat().st_size for path in local_packages(log)) / 1e6,
    )
    shutil.rmtree(person)
    return cost


def new_user(person: Path, only_public: bool) -> dict[str, str]:
    """The environment of somebody who has just logged in for the first time, with Python and git on the path."""
    kept = _CERTIFICATES if only_public else (*_CERTIFICATES, "PIP_", "UV_")
    environment = {name: value for name, value in os.environ.items() if name.startswith(kept)}
    if only_public:
        environment["PIP_CONFIG_FILE"] = os.devnull
    return {
        **environment,
        "HOME": str(person),
        "PATH": f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "XDG_CACHE_HOME": str(person / "cache"),
        "PIP_LOG": str(person / "pip.log"),
    }


def downloads(log: str) -> float:
    """The bytes of all downloads that pip's log names, which rounds each to 0.1 MB or to 1 kB."""
    sizes = re.findall(r" Downloading \S+ \(([0-9.]+) (bytes|kB|MB|GB)\)", log)
    return sum(float(number) * _BYTES_BY_UNIT[unit] for number, unit in sizes)


def local_packages(log: str) -> set[Path]:
    """The packages that pip took from a folder of this machine, as its log names them."""
    return {Path(name) for name in re.findall(r" Processing (/\S+\.whl)", log)}


def megabytes(folder: Path) -> float:
    """The disk space of all files below, each file once however many links it has."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(parent, name))
            found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(found.values()) / 1e6


# -- a dry run: the sizes that the index names ------------------------------------------------------------------------


def make_resolver(folder: Path) -> Path:
    """A private `uv`, which writes sizes into its lock files."""
    environment = folder / "resolver"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    subprocess.run([environment / "bin" / "pip", "install", "--quiet", "uv"], check=True)
    return environment / "bin" / "uv"


def sizes(resolver: Path, extra: str | None) -> dict[str, int]:
    """The bytes of each package that pip would download from the public index for this Python on Linux."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    options = ("--python-version", version, "--python-platform", "linux", "--format", "pylock.toml")
    done = subprocess.run(
        [resolver, "pip", "compile", "--quiet", "--no-config", "-c", "constraints.txt", *options]
        + (["--extra", extra] if extra else [])
        + ["pyproject.toml"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("UV_")},
        capture_output=True,
        text=True,
        check=True,
        timeout=_NETWORK_SECONDS,
    )
    return sizes_of_lock(done.stdout)


def sizes_of_lock(text: str) -> dict[str, int]:
    """The bytes of each package in a pylock.toml: its wheel, or its source where there is no wheel."""
    found = {}
    for package in tomllib.loads(text).get("packages", ()):
        files = package.get("wheels") or [package["sdist"]]
        found[str(package["name"])] = max(int(file["size"]) for file in files)
    return found


def report(costs: dict[str, list[Cost]], named: dict[str, float], results: Results) -> None:
    print(
        f"{results.about()}\n| installation | s | processor (s) | disk (MB) | downloaded (MB) | from a file (MB) | n |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, made in costs.items():
        fields = ("seconds", "processor_seconds", "disk_mb", "downloaded_mb", "from_files_mb")
        middle = (f"{statistics.median(getattr(cost, field) for cost in made):,.0f}" for field in fields)
        print(f"| {name} | {' | '.join(middle)} | {len(made)} |")
    for name, size in named.items():
        print(f"| {name}, as the index names it | | | | {size:,.0f} | | |")


if __name__ == "__main__":
    sys.exit(main())

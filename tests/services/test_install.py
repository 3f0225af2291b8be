"""./install in a bare home: it installs, again and again, and leaves nothing when it is removed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="./install is for Linux, macOS and Termux")


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """A new user's environment, in a home with a space and Hangul in its name."""
    home = tmp_path / "민아 집"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "PYENV_"))}
    pythons = Path(sys.base_prefix) / "bin"
    return {**kept, "HOME": str(home), "PATH": f"{pythons}:/usr/local/bin:/usr/bin:/bin", "CELLMIND_LANG": "en"}


def install(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "install"), *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.timeout(600)
def test_a_courier_is_installed_twice_and_removed_whole(bare: dict[str, str]) -> None:
    home = Path(bare["HOME"])
    for _ in range(2):
        done = install(bare, "--no-service", "--no-train")
        if "No matching distribution" in done.stderr or "Connection" in done.stderr:
            pytest.skip("no package index can be reached")
        assert done.returncode == 0, done.stderr
        assert f'export PATH="{home}/.local/bin:$PATH"' in done.stdout
        assert "cellmindctl invite" in done.stdout
    environments = [path.name for path in (home / ".local/share").iterdir() if not path.is_symlink()]
    assert len(environments) == 1, "the older environment is removed"
    version = subprocess.run(
        [home / ".local/bin/cellmindctl", "version", "--json"], env=bare, capture_output=True, text=True, timeout=60
    )
    assert '"torch": null' in version.stdout, version
    # -- an agent's home survives the removal, and goes only when a person agrees
    (home / ".local/share/cellmind").mkdir()
    done = install(bare, "--uninstall", "--purge")
    assert done.returncode == 1
    assert "--purge --yes" in done.stderr
    assert [path.name for path in (home / ".local/share").iterdir()] == ["cellmind"]
    assert list((home / ".local/bin").iterdir()) == []
    assert install(bare, "--uninstall", "--purge", "--yes").returncode == 0
    assert list((home / ".local/share").iterdir()) == []


def test_an_install_that_fails_leaves_the_older_one_in_use(bare: dict[str, str], tmp_path: Path) -> None:
    environment = Path(bare["HOME"]) / ".local/share/cellmind-environment-20200101000000"
    (environment / "bin").mkdir(parents=True)
    link = environment.with_name("cellmind-environment")
    link.symlink_to(environment)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3.11").write_text('#!/bin/sh\ncase "$1" in -c) exit 0 ;; esac\nexit 9\n')
    (tools / "python3.11").chmod(0o755)
    done = install({**bare, "PATH": f"{tools}:{bare['PATH']}"}, "--no-service", "--no-train")
    assert done.returncode != 0
    assert link.resolve() == environment
    assert sorted(path.name for path in environment.parent.iterdir()) == [link.name, environment.name]


@pytest.mark.parametrize(("words", "code"), [(["-h"], 0), (["--purge"], 2), (["--train"], 2)])
def test_the_options_are_explained_in_both_languages(bare: dict[str, str], words: list[str], code: int) -> None:
    english, korean = install(bare, *words), install({**bare, "CELLMIND_LANG": "ko"}, *words)
    assert (english.returncode, korean.returncode) == (code, code)
    assert "usage: ./install" in english.stdout + english.stderr
    assert "사용법: ./install" in korean.stdout + korean.stderr


def test_torch_with_cuda_is_not_taken_without_a_word(bare: dict[str, str], tmp_path: Path) -> None:
    python = tmp_path / "environment/bin/python"
    python.parent.mkdir(parents=True)
    report = '{"install": [{"metadata": {"name": "torch"}}, {"metadata": {"name": "nvidia-cublas"}}]}'
    long = f"echo '{report}'; seq 100000"  # what pip prints after the line that matters fills the pipe
    python.write_text(f'#!/bin/sh\ncase "$*" in -c*) exit 1 ;; *--dry-run*) {long} ;; *) exit 0 ;; esac\n')
    python.chmod(0o755)
    uv = python.with_name("uv")
    uv.write_text("#!/bin/sh\nexit 1\n")
    uv.chmod(0o755)
    script = f"source ./setup.sh; has_gpu() {{ false; }}; install_torch {python.parents[1]}"
    command = ["bash", "-euo", "pipefail", "-c", script]
    refused = subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    assert "2.7 GB of CUDA" in refused.stderr
    assert "./install --no-train" in refused.stderr
    uv.write_text("#!/bin/sh\nexit 0\n")
    done = subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "200 MB" in done.stdout) == (0, True)

"""What the benchmarks of installing rely on: sizes are read off pip and uv, and a person's time is added up."""

import os
from pathlib import Path

import pytest

from tests.bench.from_install import Person
from tests.bench.install import downloads, local_packages, megabytes, sizes_of_lock

LOG = """\
2026-11-26T00:54:55,825   Downloading click-8.5.1-py3-none-any.whl (126 kB)
2026-11-26T00:54:56,017   Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (526.6 MB)
2026-11-26T00:54:56,100   Looking up "https://example.org/simple/segno/" in the cache
2026-11-26T00:54:56,200 Processing /srv/wheels/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl
2026-11-26T00:54:56,300 Processing /home/mina/cellmind
"""
LOCK = """\
[[packages]]
name = "click"
wheels = [{ url = "https://example.org/click.whl", size = 126163 }]
[[packages]]
name = "old"
sdist = { url = "https://example.org/old.tar.gz", size = 900 }
"""


def test_downloads_and_local_packages_are_read_off_the_log_of_pip() -> None:
    assert downloads(LOG) == pytest.approx(526.726e6)
    assert local_packages(LOG) == {Path("/srv/wheels/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl")}


def test_a_package_of_a_lock_counts_with_its_wheel_or_else_its_source() -> None:
    assert sizes_of_lock(LOCK) == {"click": 126163, "old": 900}


def test_a_file_with_two_links_counts_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(os.urandom(1 << 20))
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    assert megabytes(tmp_path) == pytest.approx(1.05, abs=0.05)


def test_a_person_types_pastes_and_reads() -> None:
    assert Person(typed=100, pasted=2, commands=3).seconds == 30 + 8 + 6

"""A phone lives in a simulated home."""

from tests.lab.conftest import home

__all__ = ["home"]

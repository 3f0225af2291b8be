"""Runs: leading one, taking part in one, and the child processes that do the arithmetic."""

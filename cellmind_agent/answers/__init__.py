"""Answers: which device answers a prompt, and the warm process that does."""

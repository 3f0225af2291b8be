"""Cleaning: readers of what people bring, rules for one message, names."""

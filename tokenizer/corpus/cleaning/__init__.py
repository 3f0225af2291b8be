"""Cleaning of messages: replaces media notes, links, private data and names by placeholders. Pure."""

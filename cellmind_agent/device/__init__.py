"""This machine: its figures, its accelerator."""

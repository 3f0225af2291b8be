"""This machine: its figures, its accelerator, its measured speed, its sleep."""

"""The CellMind agent: a courier that runs named programs on named blobs, and has never heard of a learning rate."""

__version__ = "0.1.0"

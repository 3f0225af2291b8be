"""The CellMind agent: moves blobs between devices and starts programs on them. It knows nothing of machine learning."""

__version__ = "0.1.0"

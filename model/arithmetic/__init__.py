"""Tensors in, tensors out: the network, its optimiser, its sampler. No files, clocks, processes or process groups."""

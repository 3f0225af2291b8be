"""A process group of our own over plain byte streams, for members whose gloo cannot meet: any system, any torch.

`handshake` connects every pair of ranks, `transport` carries tensors over these streams, `collectives` are the
algorithms, `group` is what torch.distributed calls.
"""

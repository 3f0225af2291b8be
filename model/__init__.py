"""The model, from its configuration to its answers. Its programs talk to their agent, over `line`, and to nobody else.

Read in this order: `config`, `arithmetic/` (the network), `data`, `rounds/` (how a round is trained), `meeting/` (how
ranks meet), `trainer` (a member's state), `checkpoint`; then the programs `train`, `serve` and `probe`.
"""

"""The model, from its configuration to its answers. It knows its agent only by a line of messages.

Read in this order: `config`, `arithmetic/` (the network), `data`, `rounds/` (how a round is trained), `meeting/` (how
ranks meet), `trainer` (a member's state), `checkpoint`; then the programs `train` and `serve`.
"""

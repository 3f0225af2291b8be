"""Between devices: the one port, links, discovery, the other members, and what travels between them."""

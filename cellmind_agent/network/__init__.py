"""Between devices: sockets, links, discovery, who is there."""

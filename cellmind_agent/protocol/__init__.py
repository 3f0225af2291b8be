"""The wire, all pure: what is said between agents, and between an agent and its people. No sockets, no clocks."""

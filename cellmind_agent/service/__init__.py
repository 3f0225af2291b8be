"""The agent as a service of the system: `cellmind-agent service install | uninstall | status`."""

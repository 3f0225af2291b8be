#!/data/data/com.termux/files/usr/bin/bash
# Installs CellMind on an Android phone under Termux (from F-Droid; Termux:Boot starts the agent after a reboot).
exec "$(dirname "$0")/../install" "$@"

#!/data/data/com.termux/files/usr/bin/bash
# Termux:Boot runs this after a reboot. (It must be a file: a folder in ~/.termux/boot stops every later script.)
termux-wake-lock
export CELLMIND_HOME="$HOME/.cellmind"
exec "$PREFIX/bin/cellmind-agent" >/dev/null 2>&1

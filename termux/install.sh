#!/data/data/com.termux/files/usr/bin/bash
# Installs CellMind on an Android phone under Termux (from F-Droid; Termux:Boot starts the agent after a reboot).
# Run in a clone of the repository: bash termux/install.sh
set -euo pipefail
cd "$(dirname "$0")/.."
pkg install -y python python-numpy python-psutil python-msgpack python-cryptography termux-api
if pkg install -y python-torch; then
  echo "torch is installed: this phone can train"
else
  echo "note: no torch package for this phone; it can hold models and keep the cell informed, but not train"
fi
python -m venv --system-site-packages "$HOME/.cellmind-venv"
# zeroconf's C extensions need a compiler, and it works without them. sentencepiece has no wheel for Android: phones
# receive token shards.
SKIP_CYTHON=1 "$HOME/.cellmind-venv/bin/pip" install .
mkdir -p "$HOME/.termux/boot"
install -m 700 termux/boot-cellmind.sh "$HOME/.termux/boot/cellmind"
ln -sf "$HOME/.cellmind-venv/bin/cellmindctl" "$PREFIX/bin/cellmindctl"
ln -sf "$HOME/.cellmind-venv/bin/cellmind-agent" "$PREFIX/bin/cellmind-agent"
echo "start it now:  bash ~/.termux/boot/cellmind"
echo "then join:     cellmindctl --home \"\$HOME/.cellmind\" join"

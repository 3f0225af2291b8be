#!/data/data/com.termux/files/usr/bin/bash
# CellMind on an Android phone, under Termux (from F-Droid, with Termux:Boot for the start after a reboot).
# Run inside a clone: bash termux/install.sh
set -euo pipefail
cd "$(dirname "$0")/.."
pkg install -y python python-numpy python-psutil python-msgpack python-cryptography termux-api
if pkg install -y python-torch; then
  echo "torch is here: this phone can train"
else
  echo "note: no torch package for this phone; it can hold models and keep the cell informed, but not train"
fi
python -m venv --system-site-packages "$HOME/.cellmind-venv"
# zeroconf's speed-ups need a compiler; it works without them. sentencepiece has no wheel here: phones get token shards.
SKIP_CYTHON=1 "$HOME/.cellmind-venv/bin/pip" install .
mkdir -p "$HOME/.termux/boot"
install -m 700 termux/boot-cellmind.sh "$HOME/.termux/boot/cellmind"
ln -sf "$HOME/.cellmind-venv/bin/cellmindctl" "$PREFIX/bin/cellmindctl"
ln -sf "$HOME/.cellmind-venv/bin/cellmind-agent" "$PREFIX/bin/cellmind-agent"
echo "start it now:  bash ~/.termux/boot/cellmind"
echo "then join:     cellmindctl --home \"\$HOME/.cellmind\" join"

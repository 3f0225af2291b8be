# Sourced by ./check and ./demo. Makes .venv with CellMind and the extra named by $1, and makes it again only when the
# required versions change.
python=""
for candidate in python3.11 python3.12 python3.13 python3.14 python3; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "error: Python 3.11 or newer is needed" >&2
  echo "hint: install it, for example: apt-get install python3 python3-venv" >&2
  exit 3
fi
mkdir -p .venv
stamp=.venv/.installed-$1
versions=$(cat pyproject.toml constraints.txt setup.sh | cksum)
if [ "$(cat "$stamp" 2>/dev/null)" != "$versions" ]; then
  echo "== installing into .venv (once)"
  "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$1]"
  echo "$versions" >"$stamp"
fi

# Sourced by ./install, ./check and ./demo: makes a Python environment with CellMind in it. Its messages are English or
# Korean, as CELLMIND_LANG or else the locale says.

case "${CELLMIND_LANG:-${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}}" in
ko*) is_korean=1 ;;
*) is_korean= ;;
esac

say() { # English, Korean
  if [ -n "$is_korean" ]; then printf '%s\n' "$2"; else printf '%s\n' "$1"; fi
}

fail() { # English, Korean, hint in English, hint in Korean
  { say "error: $1" "오류: $2"; say "hint: $3" "도움말: $4"; } >&2
  exit 1
}

find_python() { # sets $python: 3.11 or newer
  local candidate
  for candidate in python3.11 python3.12 python3.13 python3.14 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$candidate
      return
    fi
  done
  fail "Python 3.11 or newer is needed" "Python 3.11 이상이 필요합니다" \
    "install it, for example: apt-get install python3 python3-venv" "설치하십시오. 예: apt-get install python3 python3-venv"
}

has_gpu() { [ -e /dev/nvidia0 ] || [ -e /proc/driver/nvidia/version ]; }

brings_cuda() { # FOLDER, REQUIREMENT: whether pip would install CUDA with it
  # Before 23.3 a dry run of pip downloads every package. `grep -q` would end at the first line, and pip with an error.
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check 'pip>=23.3' 2>/dev/null || true
  "$1/bin/python" -m pip install --dry-run --quiet --disable-pip-version-check --ignore-installed --no-input \
    --timeout 20 --report - "$2" 2>/dev/null | grep -E '"name": "(nvidia|cuda)-' >/dev/null
}

install_torch() { # FOLDER: the build that suits this machine. Set $takes_cuda to allow the one with CUDA.
  local torch
  torch=$(sed -n 's/^\(torch==.*\)/\1/p' constraints.txt)
  if "$1/bin/python" -c 'import torch' 2>/dev/null; then return; fi
  if has_gpu || [ -n "${takes_cuda:-}" ]; then
    say "torch with CUDA for the GPU: about 2.7 GB to download" "GPU용 CUDA가 있는 torch: 약 2.7 GB를 내려받습니다"
    return # pip takes that build by itself
  fi
  if ! brings_cuda "$1" "$torch"; then return; fi # pip takes the build for the processor by itself
  say "torch for the processor: about 200 MB to download" "프로세서용 torch: 약 200 MB를 내려받습니다"
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check uv
  UV_HTTP_TIMEOUT=30 "$1/bin/uv" pip install --quiet --python "$1" --torch-backend=cpu "$torch" ||
    fail "the build of torch for the processor is not reachable, and pip would take 2.7 GB of CUDA" \
      "프로세서용 torch를 받을 수 없고, pip는 2.7 GB의 CUDA를 받으려 합니다" \
      "./install --cuda takes that; ./install --no-train leaves torch out" \
      "그것을 받으려면 ./install --cuda, torch 없이 설치하려면 ./install --no-train"
}

make_environment() { # FOLDER, EXTRA (may be empty), --editable or nothing. Again only when the required versions change.
  local stamp="$1/.installed-${2:-courier}" versions
  versions=$(cat pyproject.toml constraints.txt setup.sh | cksum)
  if [ "$(cat "$stamp" 2>/dev/null)" = "$versions" ]; then return; fi
  find_python
  say "== installing into $1 (once)" "== $1에 설치하는 중 (한 번만)"
  "$python" -m venv "$1"
  if [ -n "$2" ]; then install_torch "$1"; fi
  rm -rf build # pip leaves a copy of the packages there, and would install again what was deleted since
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt ${3:-} ".${2:+[$2]}"
  rm -rf build
  echo "$versions" >"$stamp"
}

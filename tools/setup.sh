#!/bin/sh
# Set-up: virtual environment, locked requirements, embedded model. Does nothing where all is in place.
# uv installs several times faster than pip; it does not read pip's configuration, so that is handed over.
set -eu
cd "$(dirname "$0")/.."
lock=requirements/cpu.txt
stamp=.venv/.locked
python="${PYTHON:-python3}"

"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
  echo "tutorloop needs Python 3.11, but $python is $("$python" -V 2>&1). Set PYTHON=/path/to/python3.11" >&2
  exit 2
}
if ! cmp -s "$lock" "$stamp" 2>/dev/null; then
  echo "installing the locked requirements into .venv"
  rm -rf .venv
  "$python" -m venv .venv
  .venv/bin/python -m pip install -q uv==0.13.9 2>&1 | grep -v WARNING || true
  # Compiled once here: where PYTHONDONTWRITEBYTECODE is set (many images set it), each of the dozens of processes of a
  # run would compile vLLM and torch for itself (CHANGELOG.md has what that takes).
  set -- --compile-bytecode
  for links in ${PIP_FIND_LINKS:-$(.venv/bin/python -m pip config get global.find-links 2>/dev/null || true)}; do
    set -- "$@" --find-links "$links"
  done
  index=${PIP_INDEX_URL:-$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}
  [ -z "$index" ] || set -- "$@" --index-url "$index"
  # torch first and with its own requirements: what those are depends on the build that is found.
  torch=$(grep '^torch==' "$lock")
  .venv/bin/uv pip install -q --python .venv/bin/python "$@" "$torch" || .venv/bin/python -m pip install -q "$torch"
  .venv/bin/uv pip install -q --python .venv/bin/python "$@" --no-deps -r "$lock" ||
    .venv/bin/python -m pip install -q --no-deps -r "$lock"
  .venv/bin/uv pip install -q --python .venv/bin/python "$@" --no-deps -e . ||
    .venv/bin/python -m pip install -q --no-deps -e .
  cp "$lock" "$stamp"
fi
.venv/bin/python -m compileall -q agents trainers sim benchmarks
.venv/bin/python -m agents.models

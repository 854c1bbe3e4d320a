#!/usr/bin/env bash
# Resolves pyproject.toml for every supported Python into constraints.txt; keeps versions that still fit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

UV="$(command -v .venv/bin/uv || command -v uv)"
"$UV" pip compile --quiet --universal --python-version 3.10 --all-extras pyproject.toml \
    --output-file constraints.txt --no-annotate --no-emit-index-url --no-header "$@"

# Every line would repeat what [tool.uv] environments says; keep only what tells Python versions apart.
sed -i -E \
    -e "s/ ; .*(python_full_version (<|>=) '3.11').*platform_.*/ ; \1/" \
    -e "s/ ; .*platform_.*//" \
    -e "s/ and sys_platform == 'linux'//" \
    -e "s/ and python_full_version < '3.13'//" \
    -e "s/ ; python_full_version < '3.13'$//" \
    constraints.txt

#!/usr/bin/env bash
# Installs what the interop and documentation tests need beyond Node, into a cache outside the tree: grpcurl and a Python
# with grpcio. Does nothing that is done already. The tests look there by themselves (test/interop/tools.ts).
# Needs Go and Python 3 with venv; on Debian, as root, it installs the latter.
set -euo pipefail

grpcurl_version=v1.9.3
python_packages=(grpcio==1.85.1 grpcio-tools==1.85.1 grpcio-status==1.85.1 protobuf==7.36.2 setuptools==82.0.1)

tools="${GPU_ROUTER_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/gpu-router-tools}"
mkdir -p "$tools/bin"

missing() {
  echo "interop-tools: $1" >&2
  exit 1
}

if [ ! -e "$tools/grpcurl-$grpcurl_version" ]; then
  command -v go >/dev/null || missing "Go is missing: install Go 1.22 or later, or put grpcurl on the PATH"
  GOBIN="$tools/bin" go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$grpcurl_version"
  touch "$tools/grpcurl-$grpcurl_version"
fi

stamp="$tools/python/$(printf '%s\n' "${python_packages[@]}" | cksum | cut -d' ' -f1)"
if [ ! -e "$stamp" ]; then
  # Debian has pip and venv in a package of their own.
  if ! python3 -c 'import ensurepip' 2>/dev/null; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || missing "Python 3 with venv is missing: install it"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
  fi
  rm -rf "$tools/python"
  python3 -m venv "$tools/python"
  "$tools/python/bin/python" -m pip install --quiet --disable-pip-version-check "${python_packages[@]}"
  touch "$stamp"
fi
echo "interop-tools: grpcurl $grpcurl_version and ${python_packages[*]} are in $tools"

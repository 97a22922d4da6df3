#!/usr/bin/env bash
# Rebuilds the code that is generated from proto/. With --check it fails when that
# changed anything: what was there was not what the sources give.
set -euo pipefail
cd "$(dirname "$0")/../.."

buf_version=v1.60.0
protoc_gen_go_version=v1.36.12
protoc_gen_go_grpc_version=v1.6.2

tools="$PWD/bin/tools"
[ -d proto ] || { echo "no proto/: nothing to generate"; exit 0; }

# One pinned tool, built once; never part of go.mod.
tool() { # name module version
  [ -x "$tools/$1" ] && [ -e "$tools/$1-$3.stamp" ] && return
  echo "building $1 $3 once"
  GOBIN="$tools" GOFLAGS='' go install "$2@$3"
  touch "$tools/$1-$3.stamp"
}
mkdir -p "$tools"
tool buf github.com/bufbuild/buf/cmd/buf $buf_version
tool protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go $protoc_gen_go_version
tool protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc $protoc_gen_go_grpc_version

generated() { find . \( -name node_modules -o -name bin -o -name .git \) -prune -o -name '*.pb.go' -print0 | sort -z | xargs -0r sha256sum; }

dir=proto
[ -e buf.gen.yaml ] && dir=.
before=$(generated)
(cd "$dir" && PATH="$tools:$PATH" buf generate)
if [ "${1:-}" = --check ] && [ "$before" != "$(generated)" ]; then
  echo "generated code was stale and has been rebuilt: look at it and commit it" >&2
  exit 1
fi

#!/usr/bin/env bash
# Build the OpenTelemetry Collector that the tests start, from sources that the Go module proxy serves.
#
#   .ci/collector/build.sh      once: $OTEL_LLM_PARTS/bin/otelcol-slim (default ~/.cache/otel-llm), nothing if it is there
#
# Wants Go and minutes; the result is 30 MB and lives outside the tree.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
parts=${OTEL_LLM_PARTS:-$HOME/.cache/otel-llm}
binary=$parts/bin/otelcol-slim
work=$parts/build/collector
version=$(sed -n 's/^  version: *//p' "$here/builder.yaml")

if [ -x "$binary" ]; then
  echo "collector: $binary is there"
  exit 0
fi

PATH=$PATH:/usr/local/go/bin
if ! command -v go >/dev/null; then
  echo "collector: Go is missing, and Debian's is too old; install Go 1.25 or newer from https://go.dev/dl/" >&2
  exit 1
fi
export GOTOOLCHAIN=local GOFLAGS=-buildvcs=false CGO_ENABLED=0

echo "collector: building $version into $binary"
mkdir -p "$parts/bin" "$work"
GOBIN=$work/bin go install "go.opentelemetry.io/collector/cmd/builder@v$version"

# The builder's own `go mod tidy` also wants modules that only the components' tests use, and the proxy does not serve all
# of those. So it may fail once it has written the sources; `tidy -e` then says what it misses and goes on.
rm -rf "$work/sources"
cd "$work"
"$work/bin/builder" --config "$here/builder.yaml" --skip-compilation >"$work/builder.log" 2>&1 || true
if [ ! -f "$work/sources/go.mod" ]; then
  tail -n 20 "$work/builder.log" >&2
  exit 1
fi
cd "$work/sources"
go mod tidy -e >"$work/tidy.log" 2>&1 || true
go build -trimpath -ldflags "-s -w" -o "$binary.new" .
mv "$binary.new" "$binary"  # whole or not at all: a build cut short leaves nothing that looks done
"$binary" --version

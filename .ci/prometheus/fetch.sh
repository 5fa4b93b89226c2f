#!/usr/bin/env bash
# Fetch Prometheus, promtool, Alertmanager and amtool as Debian packs them, without installing a thing.
#
#   .ci/prometheus/fetch.sh     once: $OTEL_LLM_PARTS/prometheus/usr/bin (default ~/.cache/otel-llm), nothing if it is there
set -euo pipefail

parts=${OTEL_LLM_PARTS:-$HOME/.cache/otel-llm}
there=$parts/prometheus
[[ -x $there/usr/bin/promtool && -x $there/usr/bin/prometheus-alertmanager && -f $there/usr/share/email.tmpl ]] && exit
command -v apt-get >/dev/null || { echo "fetch.sh: expected apt-get, found none: put the programs into $there/usr/bin" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q prometheus prometheus-alertmanager 2>fetch.log || { apt-get update -q && apt-get download -q prometheus prometheus-alertmanager; }
for package in *.deb; do dpkg -x "$package" "$work/root"; done
mkdir -p "$there/usr/bin" "$there/usr/share"
# Debian's Alertmanager reads its templates from where the package is installed; ours reads them from where it is started.
LC_ALL=C sed -i 's#/usr/share/prometheus/alertmanager\([0-9]\)#/proc/self/cwd////////////////////\1#' root/usr/bin/prometheus-alertmanager
cp root/usr/share/prometheus/alertmanager/*.tmpl "$there/usr/share/"
cp root/usr/bin/{prometheus,promtool,prometheus-alertmanager,amtool} "$there/usr/bin/"
"$there/usr/bin/promtool" --version | head -1

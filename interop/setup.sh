#!/usr/bin/env bash
# Installs what the tests of this module run against into ../.cache/interop: two Python environments, Node packages,
# telemetrygen and an OpenTelemetry Collector; with the argument "race" also checks for the C compiler that the race detector needs. Does nothing for what is there already. As root, missing Debian packages are installed too.
set -euo pipefail
cd "$(dirname "$0")"
cache=$(cd .. && pwd)/.cache/interop
telemetrygen=github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen@v0.161.0
mkdir -p "$cache"

# A second run at the same time waits for the first.
if command -v flock >/dev/null; then
	exec 9>"$cache/lock"
	flock 9
fi

say() { printf 'setup: %s\n' "$*" >&2; }

# need COMMAND PACKAGE…: the command is there, or the Debian packages that bring it get installed.
need() {
	local command=$1
	shift
	eval "$command" >/dev/null 2>&1 && return
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		say "apt-get install $*"
		apt-get -qq update >&2 && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >&2 || true
		eval "$command" >/dev/null 2>&1 && return
	fi
	say "these tests need \`$command\` to work"
	say "hint: install $* (apt-get install $*), then run make test again"
	exit 1
}

# installed NAME INPUT…: true when NAME was installed from the same INPUT files.
installed() {
	local name=$1
	shift
	[ "$(cat "$cache/$name.sum" 2>/dev/null)" = "$(cksum "$@")" ]
}

python_env() {
	local name=$1 list=python/$1.txt
	installed "python-$name" "$list" && "$cache/python-$name/bin/python" -c '' 2>/dev/null && return
	say "Python packages of $list"
	rm -rf "$cache/python-$name"
	python3 -m venv "$cache/python-$name"
	"$cache/python-$name/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$list" >&2
	cksum "$list" >"$cache/python-$name.sum"
}

node_packages() {
	installed node node/package.json node/package-lock.json && [ -d "$cache/node/node_modules" ] && return
	say "Node packages of node/package-lock.json"
	mkdir -p "$cache/node"
	cp node/package.json node/package-lock.json "$cache/node/"
	(cd "$cache/node" && npm ci --silent --no-audit --no-fund --ignore-scripts >&2)
	cksum node/package.json node/package-lock.json >"$cache/node.sum"
}

telemetry_generator() {
	[ "$(cat "$cache/telemetrygen.sum" 2>/dev/null)" = "$telemetrygen" ] && [ -x "$cache/bin/telemetrygen" ] && return
	say "$telemetrygen"
	GOBIN="$cache/bin" GOFLAGS=-mod=mod CGO_ENABLED=0 go install "$telemetrygen"
	echo "$telemetrygen" >"$cache/telemetrygen.sum"
}

real_collector() {
	installed collector collector/go.mod collector/go.sum collector/main.go && [ -x "$cache/bin/collector" ] && return
	say "an OpenTelemetry Collector of the modules in collector/go.mod"
	CGO_ENABLED=0 go -C collector build -o "$cache/bin/collector" .
	cksum collector/go.mod collector/go.sum collector/main.go >"$cache/collector.sum"
}

[ "${1:-}" != race ] || need 'cc --version' gcc libc6-dev
need 'make --version' make
need 'python3 -c "import venv, ensurepip"' python3 python3-venv
need 'node -e "process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)"' nodejs
need 'npm --version' npm
python_env newest
python_env oldest
node_packages
telemetry_generator
real_collector

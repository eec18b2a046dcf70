# make build, make test, make check are all one needs; the others are parts of them or extras.
GO       ?= go
FUZZTIME ?= 10s
BINARY   ?= forkspan

.PHONY: build test check setup race fuzz cross cover tidy man image clean

build: ## the static binary ./forkspan, or BINARY
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(BINARY) ./cmd/forkspan

setup: ## what the tests need beside Go: Python and Node packages, telemetrygen, in .cache
	@interop/setup.sh

test: setup ## all tests of all modules
	@.ci/test

check: ## what a change must pass: tests, race detector, linters, other systems, a little fuzzing
	@.ci/run

race: ## the module's tests with the race detector, which needs a C compiler
	@MODULES=. .ci/test -race

fuzz: ## every fuzz target for FUZZTIME
	@FUZZTIME=$(FUZZTIME) .ci/fuzz

cross: ## build and vet for every system
	@.ci/cross

cover: ## coverage of the module's tests, by function
	$(GO) test -coverpkg ./... -coverprofile .cache/cover.out ./...
	$(GO) tool cover -func .cache/cover.out | tail -n 1

tidy: ## go.mod and go.sum of every module
	@for module in $$(.ci/modules); do (cd $$module && $(GO) mod tidy) || exit; done

man: ## the manual pages, in dist/man
	$(GO) run ./cmd/forkspan man dist/man

image: ## a container image that holds nothing but /forkspan
	docker build -t forkspan .

clean: ## what make has made, the caches too
	rm -rf forkspan dist .cache

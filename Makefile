# Chopmark. `make` prints what there is; CONTRIBUTING.md says how to work here.

# Pinned tools, built once into bin/tools and never part of go.mod.
GOLANGCI_LINT_VERSION := v2.15.0

TOOLS   := $(CURDIR)/bin/tools
LINT    := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# What `make run` serves, `make soak` lasts and `make bench` reaches for; ROUNDS is what
# `make crash` and `make faults` repeat; CHECKS are the histories of each test in `make random`.
DATA   ?= ./data
SOAK   ?= 10m
BENCH  ?=
CHECKS ?= 1000
# The packages that `make test` runs.
PKGS   ?= ./...

# Without the directory in what is compiled every clone on a machine finds what another has compiled.
export GOFLAGS ?= -trimpath

.DEFAULT_GOAL := help
.PHONY: help run cluster test lint bench bench-cluster bench-weak crash faults random soak build generate clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## run with sample data; prints links, and a QR for a phone on this network
	bin/chopmark serve --demo --data $(DATA) --listen 127.0.0.1:8080 --tls-listen 0.0.0.0:8443 --tls-self-signed

cluster: build ## MariaDB, Redis and four processes on this machine (see README, "Past one machine")
	deploy/cluster.sh $(DATA)/cluster

test: ## set up what tests need, lint, then run every test
	@test/setup/apt.sh
	@test/setup/servers.sh
	@test/setup/web.sh
	@CGO_ENABLED=0 go build -trimpath -o bin/test/chopmark ./cmd/chopmark # before lint writes generated code anew
	@CHOPMARK_BIN=$(CURDIR)/bin/test/chopmark test/setup/beside.sh "$(MAKE) --no-print-directory lint" "test/setup/web.sh check"; lint=$$?; \
	[ $$lint -ne 2 ] || exit; test/setup/run.sh $(PKGS) || exit; \
	if [ $$lint -ne 0 ]; then echo "the tests passed, lint above did not"; exit $$lint; fi

lint: $(LINT) ## gofmt, vet, golangci-lint, shellcheck, generated code
	@LINT=$(LINT) test/setup/lint.sh

bench: ## measure; each line has the goal and the number measured here
	go run ./test/bench $(BENCH)

bench-cluster: ## measure what runs past one machine: Redis, claims, edges, records (BENCH=-claims=100000)
	go run ./test/bench -only redis,claims,visible,records-mysql $(BENCH)

bench-weak: ## measure verdicts over emulated 2G and 3G, by protocol; needs root and ip (BENCH=-runs=3)
	go run ./test/weak $(BENCH)

crash: ROUNDS ?= 500
crash: ## kill -9 under load, reopen, compare (ROUNDS=500)
	go run ./cmd/hammer crash --rounds $(ROUNDS)

random: ## the tests of random histories, each with many (CHECKS=1000)
	go test -vet=off -timeout 0 $$(go list -test -f '{{$$p := .ImportPath}}{{range .Deps}}{{if eq . "pgregory.net/rapid"}}{{$$p}} {{end}}{{end}}' ./... | \
		tr ' ' '\n' | sed -n 's/\.test$$//p') -rapid.checks=$(CHECKS)

faults: ROUNDS ?= 200
faults: ## every process and server past one machine killed, cut, stalled (ROUNDS=200)
	go run ./test/faults -rounds $(ROUNDS)

soak: ## steady load; memory, goroutines and open files must stay (SOAK=10m)
	go run ./cmd/hammer soak --for $(SOAK)

build: ## one static program: bin/chopmark
	@test/setup/web.sh
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/chopmark ./cmd/chopmark

generate: ## rebuild generated code (commit the result)
	@test/setup/generate.sh

clean: ## remove what make built (never ./data)
	rm -rf bin

$(LINT):
	@echo "building golangci-lint $(GOLANGCI_LINT_VERSION) once, about two minutes on two cores"
	@mkdir -p $(TOOLS)
	@GOBIN=$(TOOLS) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv $(TOOLS)/golangci-lint $(LINT)

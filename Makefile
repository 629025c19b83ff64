# Bare `make` lists the targets. CI runs .ci/run, which calls the same commands.

GO ?= go

# Where the known data sets lie; see `layarun train --help`.
LAYARUN_DATA ?= ../shared/data

# Packages that start goroutines and run no tensors. GoMLX's pure-Go backend ends the process under the race detector's
# pointer checks; see docs/experiments.md.
PLAIN = ./schedule ./serve

# Packages with tests on real data.
ACCEPTANCE = $(shell grep -rl --include='*_test.go' '^//go:build acceptance' . | xargs -n1 dirname | sort -u)

.DEFAULT_GOAL := help
.PHONY: help build test race lint fmt acceptance verify retrain bench-kept bench-overhead bench-scheduler bench-peers docs size clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-12s %s\n", $$1, $$2}'

build: ## build bin/layarun, with SIMD in the pure-Go backend
	GOEXPERIMENT=simd $(GO) build -trimpath -o bin/layarun ./cmd/layarun

test: ## run the tests; needs no network, data or accelerator
	$(GO) test ./...
	@$(GO) test -count=1 -v -run Used ./internal/testbackend | grep backends:

race: ## run the plain-Go packages and native kernels under the race detector
	$(GO) test -race $(PLAIN)
	$(GO) test -race -run 'Split|Go|Task|Close' ./internal/kernel
	$(GO) test -race -run TestNative ./compile

lint: ## vet, staticcheck and gofmt
	@test -z "$$(gofmt -l .)" || { gofmt -d . | head -50; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fmt: ## format the source
	gofmt -w .

acceptance: ## run the tests on real data, in LAYARUN_DATA
	LAYARUN_DATA=$(abspath $(LAYARUN_DATA)) $(GO) test -count=1 -tags acceptance -timeout 30m $(ACCEPTANCE)

verify: ## recompute every published figure from the committed score tables, and write the tables
	$(GO) run ./benchmarks/verify

retrain: build ## train every network behind the published figures again, and measure it: half a day on two cores
	benchmarks/retrain.sh

BENCH = LAYARUN_DATA=$(abspath $(LAYARUN_DATA)) GOEXPERIMENT=simd $(GO) run ./benchmarks

bench-kept: ## how much of what exits save arrives at the clock, against an oracle; same answers: 15 minutes, idle machine
	$(BENCH)/kept

bench-overhead: ## exits switched off against one plain executable: 5 minutes, idle machine
	$(BENCH)/overhead

bench-scheduler: ## what the scheduler adds to a sample, throughput, memory: 15 minutes, idle machine
	$(BENCH)/scheduler

# The Python environment of the peers; see benchmarks/peers/setup.sh.
PEERS = $(or $(LAYARUN_RUNS),runs)/peers/venv

bench-peers: ## full-depth speed beside PyTorch, ONNX Runtime and OpenVINO: 20 minutes, idle machine; first installs 5 GB
	benchmarks/peers/setup.sh $(PEERS)
	$(BENCH)/peers -python $(PEERS)/bin/python

docs: ## check the documents: links, terms, tables, README's commands
	$(GO) test -count=1 ./internal/docs
	$(GO) test -count=1 -run README ./cmd/layarun

size: ## count the lines of Go per package, tests apart
	@for d in $$($(GO) list -f '{{.Dir}}' ./...); do \
		code=$$(find $$d -maxdepth 1 -name '*.go' ! -name '*_test.go' -exec cat {} + | wc -l); \
		tests=$$(find $$d -maxdepth 1 -name '*_test.go' -exec cat {} + | wc -l); \
		printf '%6d %6d  %s\n' $$code $$tests $${d#$(CURDIR)}; done

clean: ## remove what was built
	rm -rf bin

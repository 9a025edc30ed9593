# The repository's commands. Each target works alone, from a fresh clone; the work is in scripts/ and xtask/.

CARGO := scripts/with-rust cargo
# cargo-deny is looked for on PATH and in this folder, where CI keeps it between runs.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pyro-tools

.PHONY: help run test bench check docs site build wheel setup fmt-check clippy layers deny reference-check doc-check shell-check
.NOTPARALLEL:

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: ## Prepare everything, let a real guest answer, and test this repository in a workspace
	@scripts/run

test: ## Prepare everything and run all tests, real guests included
	@scripts/test

bench: ## Measure pyro beside the floor, and which promises are kept; BENCH_FLAGS="--many 200" is passed on
	@scripts/setup --for bench
	@$(MAKE) --no-print-directory build wheel
	@python3 benches/bench.py $(BENCH_FLAGS)

check: fmt-check clippy layers reference-check doc-check deny ## What must hold beside the tests

docs: ## Write docs/reference and the crates' own documentation
	$(CARGO) xtask reference
	$(CARGO) doc --workspace --no-deps
	scripts/rust-api

site: ## Build the documentation as a site in target/site
	@TOOLS="$(TOOLS)" scripts/site

build: ## Leave the release binary at target/release/pyro
	@scripts/program

wheel: ## Leave the Python wheel in target/wheels
	@scripts/setup --for wheel
	@scripts/wheel

setup: ## Install what is missing, or name it and stop
	@scripts/setup

fmt-check:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

layers:
	$(CARGO) xtask layers

reference-check:
	$(CARGO) xtask reference --check

# The documentation without a warning, and what the library offers as it was last reviewed.
doc-check:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --workspace --no-deps
	scripts/rust-api --check

deny:
	$(CARGO) fetch --quiet
	PATH="$$PATH:$(TOOLS)/bin" $(CARGO) deny --offline check bans licenses sources

shell-check:
	shellcheck -x scripts/program scripts/run scripts/setup scripts/site scripts/test scripts/test-integrations scripts/test-python scripts/wheel scripts/with-rust .ci/run

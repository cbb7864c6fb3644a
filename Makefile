# All anyone must remember:
#   make demo     the whole life of a model with a server, step by step
#   make          builds into build/, programs in build/bin/
#   make test     all tests
#   make bench    what it costs, beside the plain operation on the same machine
#   make fuzz     every parser against random input
# Each first installs what is missing on Debian 12 (tools/setup; EMK_SETUP=off: nothing).
# `make help` lists the rest.

JOBS         ?= $(shell nproc 2>/dev/null || echo 2)
PYTHON       ?= /usr/bin/python3
FUZZ_SECONDS ?= 60
PREFIX       ?= /usr/local
# WERROR=ON: warnings are errors, as in CI.
WERROR       ?= OFF
export JOBS PYTHON

build_preset = cmake --preset $(1) $(2) >build/$(1).log || { cat build/$(1).log; exit 1; }; \
               cmake --build --preset $(1) --parallel $(JOBS)
# Sanitizers cannot place their shadow memory when addresses are too random.
STEADY = $(shell setarch -R true 2>/dev/null && echo setarch -R)
CTEST  = ctest --output-on-failure --no-label-summary -j $(JOBS)

.PHONY: all build demo demo-offline test bench fuzz asan tsan dev check format install clean help setup-%

all: build

build: setup-build
	@mkdir -p build
	@$(call build_preset,release,-DEMK_WERROR=$(WERROR))
	@echo "built: build/bin"

demo: build setup-demo
	@tools/demo

demo-offline: build setup-demo
	@tools/demo-offline

# The tests run with failure injection compiled in, so in a build of their own.  Where the
# packages of libcrypto 3.5 can be had, what uses libcrypto runs a second time under it.
test: build setup-test
	@if tools/with-libcrypto-3.5 --prepare; then twice=ON; else twice=OFF; \
	   echo "libcrypto 3.5: skipped, its packages cannot be fetched"; fi; \
	 $(call build_preset,test,-DEMK_WERROR=$(WERROR) -DEMK_LIBCRYPTO_35=$$twice)
	@cd build/test && $(CTEST)

bench: build setup-bench
	@if [ -x build/bin/earmark-bench ]; then build/bin/earmark-bench; \
	 else echo "bench: build/bin/earmark-bench is not there yet"; fi

fuzz: setup-fuzz
	@mkdir -p build
	@$(call build_preset,fuzz)
	@tools/fuzz $(FUZZ_SECONDS)

dev: setup-test
	@mkdir -p build
	@$(call build_preset,dev)
	@cd build/dev && $(CTEST)

# Tests with the label "again" send the same code more of the same: once is enough.
asan: setup-check
	@mkdir -p build
	@$(call build_preset,asan)
	@cd build/asan && $(STEADY) $(CTEST) -LE again

# Tests that start threads have the label; the others have none to race.
tsan: setup-check
	@mkdir -p build
	@$(call build_preset,tsan)
	@cd build/tsan && $(STEADY) $(CTEST) --no-tests=error -L threads -LE slow

check: setup-check
	@.ci/run checks

format: setup-check
	@tools/check-format --fix

install: build
	@cmake --install build --prefix $(PREFIX)

clean:
	@rm -rf build

setup-%:
	@tools/setup $*

help:
	@sed -n '2,7s/^#//p' Makefile
	@echo
	@echo "  make demo-offline  the life of a model by files, without a server, and twelve refusals"
	@echo "  make asan     all tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "  make tsan     the tests with threads under ThreadSanitizer"
	@echo "  make check    layers, headers, format, tidy, texts, documents, artefacts"
	@echo "  make dev      a debug build with tests in build/dev; warnings are errors"
	@echo "  make format   clang-format over all of it"
	@echo "  make install  into PREFIX ($(PREFIX)); DESTDIR is understood"
	@echo "  make clean    removes build/"
	@echo
	@echo "  FUZZ_SECONDS=60 (each fuzzer)  JOBS=$(JOBS)  WERROR=ON  EMK_SETUP=off"

# GNU make.  `make` alone prints the targets.

CPYTHON ?=
PTH ?=
RELEASE = trixie
CONFIGURE_FLAGS =
BUILD = $(CURDIR)/build
TESTS =
VARIANTS =
CPYTHONS =
OUT =
ISSUE =
RELEASES =
SECONDS = 600
SEED = 1

# Not to be seen by the programs that are run: the variables above, which are
# for this file; PYTHON... of the caller's environment, which change what
# python does and some of its tests look at.
unexport CPYTHON CPYTHONS OUT ISSUE PTH RELEASE CONFIGURE_FLAGS BUILD TESTS VARIANTS RELEASES SECONDS SEED MAKEFLAGS
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONUNBUFFERED
unexport PYTHONDONTWRITEBYTECODE PYTHONWARNINGS

# A name of the user's as one word of the shell.
quote = '$(subst ','\'',$(1))'

# For the tools and tests: the recipes name no directory by a variable of make,
# for make splits such a name at spaces.
build = $(if $(filter /%,$(firstword $(BUILD))),,$(CURDIR)/)$(or $(BUILD),build)
export PTH_BUILD = $(build)
export PTH_PYTHON = $(build)/pth/python
export STOCK_PYTHON = $(build)/stock/python
export CPYTHON_SRC = $(build)/src
# configure looks for bash by itself, with which it takes half as long again as with dash.
export CONFIG_SHELL ?= /bin/sh

.PHONY: help demo build-dir deps build src libpth check check-fresh check-aarch64 check-unchanged programs programs-deps regrtest soak \
    python2.7 check-branches submission variants bench bench-quick clean distclean
# One after the other, in the order of the prerequisites.
.NOTPARALLEL:

help:
	@echo 'make demo       install what is missing, build, and show what GNU Pth saves'
	@echo 'make build      build/stock/python and build/pth/python from the same source, and'
	@echo '                build/libpth, the GNU Pth of pth/patches'
	@echo 'make libpth     only build/libpth'
	@echo 'make python2.7  Python 2.7 with and without its overlay, and what GNU Pth saves'
	@echo 'make check      build, and run the tests of tests/'
	@echo 'make check-unchanged  without the option, the overlay changes nothing'
	@echo 'make check-fresh  make demo and make check in minimal roots of Debian (as root)'
	@echo 'make check-aarch64  libpth and test files of threads as 64-bit ARM programs, emulated'
	@echo 'make programs   build, and run PostgreSQL, WSGI and FastCGI programs as tests'
	@echo 'make regrtest   the whole test suite of CPython, and where pth differs from stock'
	@echo 'make soak       threads that do everything at once, for SECONDS, from SEED'
	@echo 'make check-branches  one overlay for the branches in CPYTHONS="DIR..."'
	@echo 'make submission  the series of patches for CPython, of the main branch in'
	@echo '                CPYTHON=DIR, in OUT=DIR; see docs/upstream.md'
	@echo 'make variants   debug, shared, optimized, ... builds, and their tests'
	@echo 'make bench      build, and measure: 30 minutes; see docs/benchmarks.md'
	@echo 'make bench-quick  the same in short: two minutes'
	@echo 'make clean      remove what was built, keep what was downloaded'
	@echo 'make distclean  remove that, too'
	@echo
	@echo 'CPYTHON=DIR           your own CPython 3.13 to 3.16 source tree (it stays as it is);'
	@echo '                      without it the source comes from Debian'
	@echo 'PTH=FILE              your own pth-2.0.7.tar.gz; without it that, too, comes'
	@echo '                      from Debian'
	@echo 'RELEASE=NAME          the Debian release: trixie (3.13.5) or forky (newest 3.13)'
	@echo 'CONFIGURE_FLAGS=...   more options for ./configure of both'
	@echo 'TESTS=...             for check, programs and regrtest: only these test files'
	@echo '                      (for regrtest also --threads)'
	@echo 'RELEASES=...          for check-fresh: only these, bookworm (12) or trixie (13)'
	@echo 'VARIANTS=...          for variants: only these, see tools/variants'
	@echo 'BUILD=DIR             build there instead of in build/'

demo: deps build
	@tools/demo "$$PTH_PYTHON" "$$STOCK_PYTHON"

python2.7: deps libpth
	@tools/build-python27
	@tools/demo "$$PTH_BUILD/python2.7-pth/python" "$$PTH_BUILD/python2.7-stock/python"

# What cannot be built in is refused before anything is installed.
build-dir:
	@tools/build-cpython dir

deps: build-dir
	@tools/install-deps

# Both at a time, for ./configure has work for one core.  Ctrl-C is ignored by what a
# shell runs in the background.
build: src libpth
	@env --default-signal=INT,QUIT tools/build-cpython stock $(CONFIGURE_FLAGS) & stock=$$!; \
	    tools/build-cpython pth $(CONFIGURE_FLAGS); pth=$$?; \
	    wait $$stock && exit $$pth

# What of CPYTHON= is refused is so before anything is compiled.
src:
	@tools/build-cpython src $(if $(CPYTHON),--from $(call quote,$(CPYTHON)),--release $(call quote,$(RELEASE)))

libpth:
	@tools/build-libpth $(if $(PTH),--from $(call quote,$(PTH)))

# What takes longest is begun first: two run at a time.
longest = tests/python27.t tests/wiring.t
longest_first = $(filter $(longest),$(1)) $(filter-out $(longest),$(1))

# A shell that runs this in the background ignores SIGINT, and a parent may
# ignore SIGPIPE; the tests of signals need the default.
check: build
	@env --default-signal=INT,QUIT,PIPE prove -j 2 \
	    $(call longest_first,$(or $(TESTS),$(sort $(wildcard tests/*.t))))

# Half an hour for a release, as root; see tools/check-fresh.
check-fresh: build-dir
	@tools/install-deps fresh
	@tools/check-fresh $(RELEASES)

# Compiles the tree with and without the overlay: six minutes.
check-unchanged: build
	@env --default-signal=INT,QUIT,PIPE prove tests/unchanged.sh

# Cross compiled, and run by an emulator: half an hour.
check-aarch64: build
	@tools/install-deps aarch64
	@env --default-signal=INT,QUIT,PIPE prove tests/aarch64.sh

# They start servers of their own on loopback, and stop them.
programs: programs-deps build
	@tools/get-programs "$$PTH_PYTHON" "$$PTH_BUILD/programs"
ifneq ($(filter tests/programs/embedders.t,$(or $(TESTS),tests/programs/embedders.t)),)
	@tools/install-python
	@tools/get-embedders "$$PTH_BUILD/installed/prefix/bin/python3" "$$PTH_BUILD/embedders"
endif
	@env --default-signal=INT,QUIT,PIPE prove $(or $(TESTS),tests/programs/)

programs-deps: build-dir
	@tools/install-deps programs

regrtest: build
	@tools/regrtest --out "$$PTH_BUILD/regrtest" $(filter -%,$(TESTS)) \
	    "$$PTH_PYTHON" "$$STOCK_PYTHON" $(filter-out -%,$(TESTS))

soak: build
	@"$$PTH_PYTHON" -I tests/soak.py --seed $(SEED) --seconds $(SECONDS)

# Half an hour for each.  Their names have no spaces here.
check-branches: libpth
	@tools/check-branches $(CPYTHONS)

submission:
	@tools/submission $(if $(ISSUE),--issue $(call quote,$(ISSUE))) $(call quote,$(CPYTHON)) $(call quote,$(OUT))

variants: build
	@tools/variants $(VARIANTS)

# Python 2.7 is one of those that are measured beside ours; it may be missing.
bench: deps build
	@bench/get-python27 "$$PTH_BUILD/python2.7" || :
	@bench/run stock="$$STOCK_PYTHON" pth="$$PTH_PYTHON"
	@bench/publish "$$PTH_BUILD/bench/full.json"

bench-quick: deps build
	@bench/get-python27 "$$PTH_BUILD/python2.7" || :
	@bench/run --quick stock="$$STOCK_PYTHON" pth="$$PTH_PYTHON"
	@bench/publish "$$PTH_BUILD/bench/quick.json"

clean:
	@tools/clean

distclean:
	@tools/clean --all

# Thin over CMake: each target does everything it needs on a fresh machine.
BUILD  ?= build
JOBS   ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
PREFIX ?= /usr/local

# Homebrew keeps these out of the way of the system's own.
ifeq ($(shell uname),Darwin)
export OpenMP_ROOT ?= $(shell brew --prefix libomp 2>/dev/null)
export PKG_CONFIG_PATH := $(shell brew --prefix lapack 2>/dev/null)/lib/pkgconfig:$(PKG_CONFIG_PATH)
endif

CONFIGURE = cmake -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=Release >/dev/null

.PHONY: help demo check bench install format clean build packages

help:
	@echo "make demo     install what is missing, build, and balance portraits with the embedded model: demo/report.html"
	@echo "make check    install what is missing, build, and run all tests"
	@echo "make bench    build and run the benchmarks"
	@echo "make install  build and install the library and the tool (PREFIX=/usr/local, DESTDIR=)"
	@echo "make format   format all C files"
	@echo "make clean    remove the build folder and the demo"

packages:
	@scripts/install-packages.sh

build: packages
	@$(CONFIGURE) -DBUILD_TESTING=OFF
	@cmake --build $(BUILD) -j $(JOBS)

demo: build
	@$(BUILD)/equipoise demo --out demo
	@echo "the report is in $(CURDIR)/demo/report.html"

check:
	@scripts/install-packages.sh check
	@$(CONFIGURE) -DBUILD_TESTING=ON
	@cmake --build $(BUILD) -j $(JOBS)
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

bench: build
	@cmake --build $(BUILD) -j $(JOBS) --target bench_kernels bench_memory_kernels bench_unet
	@$(BUILD)/bench/bench_kernels
	@$(BUILD)/bench/bench_memory_kernels
	@for step in "" --train; do for dtype in f32 bf16; do \
	    $(BUILD)/bench/bench_unet --model models/portraits --batch 32 --dtype $$dtype $$step || exit 1; done; done
	@$(BUILD)/bench/bench_unet --config p2 --dtype bf16

install: packages
	@$(CONFIGURE) -DBUILD_TESTING=OFF -DCMAKE_INSTALL_PREFIX=$(PREFIX)
	@cmake --build $(BUILD) -j $(JOBS)
	@cmake --install $(BUILD) >/dev/null
	@echo "installed in $(DESTDIR)$(PREFIX)"

format:
	@scripts/install-packages.sh format
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	@rm -rf $(BUILD) demo

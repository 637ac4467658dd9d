# Thin over CMake: each target does everything it needs on a fresh machine.
BUILD ?= build
JOBS  ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

.PHONY: help demo check bench install format clean build

help:
	@echo "make demo     install what is missing, build, and balance portraits with the embedded model (demo/report.html)"
	@echo "make check    install what is missing, build, and run all tests"
	@echo "make bench    build and run the benchmarks"
	@echo "make install  build and install the library and the tool (PREFIX=/usr/local)"
	@echo "make format   format all C files"
	@echo "make clean    remove the build folder"

build:
	@scripts/install-packages.sh build
	@cmake -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)

demo: build
	@$(BUILD)/equipoise demo --out demo
	@echo "open demo/report.html"

check:
	@scripts/install-packages.sh build check
	@cmake -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=ON >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

bench: build
	@cmake --build $(BUILD) -j $(JOBS) --target bench_kernels bench_memory_kernels
	@$(BUILD)/bench/bench_kernels
	@$(BUILD)/bench/bench_memory_kernels

install: build
	@cmake --install $(BUILD) $(if $(PREFIX),--prefix $(PREFIX))

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	@rm -rf $(BUILD)

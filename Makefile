.PHONY: demo test lint fmt bench bench-compare compat
venv := $(or $(VENV),.venv)

demo:            ## build and run examples/quickstart
	./demo
test:            ## lint, types and all tests, on a fresh Debian or Ubuntu machine too
	./test
lint:
	$(venv)/bin/ruff check .
	$(venv)/bin/mypy
fmt:
	$(venv)/bin/ruff check --fix .
bench:           ## measure beside Docker and Buildah (BENCH_DOCKER, BENCH_BUILDAH: their commands)
	$(venv)/bin/python -m bench.run $(ARGS)
bench-compare:   ## what changed since BASE, a revision
	PYTHON=$(venv)/bin/python bench/compare $(BASE) $(ARGS)
compat:          ## compare what comes out with what docker buildx builds
	$(venv)/bin/python -m bench.compat $(ARGS)

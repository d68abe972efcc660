.PHONY: demo test lint fmt bench
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
bench:           ## compare with Docker and Buildah on this machine
	$(venv)/bin/python bench/compat.py

"""The built-in runtime: a program of its own that turns containers into processes.

It is started as `python -I -S` (see `builder.sandbox.builtin`), imports only the standard library's C modules and
itself, and never raises anything but OSError. Requests arrive as plain documents (`wire`).
"""

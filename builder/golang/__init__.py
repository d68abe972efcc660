"""Go's rules for text, on which the behaviour of Dockerfiles and docker's flags rests: one module for each rule.

Python's own rules differ in corners: `str.isspace` knows more characters, `int` takes underscores, `csv` takes bare
quotes. Whatever reads or writes such text uses these; the modules are small, so that a command imports only what it
needs.
"""

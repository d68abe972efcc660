"""The acceptance checks of known faults: one function for each example and its variations, run by `run.py`."""

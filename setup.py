"""Packages of the distribution; everything else is in pyproject.toml.

The grammars live in `grammar/`, where people look for them, and ship as `builder.grammar`: no declarative setting adds
such a package to those that are found.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["builder", "builder.*"]), "builder.grammar"],
    package_dir={"builder.grammar": "grammar"},
    package_data={"builder": ["py.typed"], "builder.grammar": ["*.lark"]},
)

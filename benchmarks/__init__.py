"""Benchmarks that anyone can rerun: each explains its theory, prints a table, and ends with one line of JSON.

    python -m benchmarks NAME [--quick] [--out FILE]

A benchmark is a module with

    NAME: str                       what the command calls it, the same as the module's name
    THEORY: str                     what is measured, how, and what would make the figure wrong
    run(quick: bool) -> Results     `quick` is a small run that shows that everything works; its figures mean little

and a line in `MODULES` of `__main__.py`. `report.py` has `Results` and prints them, `intervals.py` the statistics,
`machine.py` says where a figure was measured. The service, the pipeline and the registry know nothing of this package.
"""

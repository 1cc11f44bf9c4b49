"""Measurements, one script each: `python -m benchmarks.NAME [--quick] [--json FILE]`.

Speed is told as a ratio to a peer or baseline of the same run, because machines differ; each
table names the machine, and a calibration loop's time stands beside absolute figures.
"""

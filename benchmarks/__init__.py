"""Benchmarks: ours, the limit and a peer in one run, as ratios. `make bench`, or `python -m benchmarks NAME ...`."""

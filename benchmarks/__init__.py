"""Benchmarks: speed, memory and dependencies, each measured beside what it is compared with."""

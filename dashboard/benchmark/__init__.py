"""The benchmark: one click, real timings in another process, and a verdict that noise cannot fake.

`Benchmarks` (in `runs`) is what pages and the command line use. Only `cuda`, `workloads` and
`reference_moe` import torch, in the worker; everything else runs without it.
"""

"""The cluster: shards computed by the workers of a Dask scheduler.

No stage imports it: where a shard is computed changes no byte of its result.
"""

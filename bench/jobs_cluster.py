"""A local Ray cluster of two nodes: loopback address only, no dashboard, no usage statistics."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = {"node_ip_address": "127.0.0.1", "object_store_memory": 256 << 20}


@contextmanager
def two_nodes(cpus: int) -> Iterator[str]:
    """Starts a head without CPUs and two nodes with `cpus` logical CPUs each; yields its address.

    The cluster is shut down at the end of the block.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # makes Ray use loopback addresses only
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    from ray.cluster_utils import Cluster

    cluster = Cluster(True, head_node_args={**HERE, "num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=cpus, **HERE)
        yield cluster.address
    finally:
        cluster.shutdown()

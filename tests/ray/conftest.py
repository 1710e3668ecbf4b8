"""A Ray cluster of two nodes with one CPU each, on this machine, that all tests of a session share."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
os.environ["RAY_BACKEND_LOG_LEVEL"] = "fatal"
os.environ["RAY_ADDRESS"] = "local"  # never a cluster that somebody else has started on this machine


@pytest.fixture(scope="session")
def two_nodes() -> Iterator[Any]:
    """The cluster, which this process is connected to."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'camlucida[ray]'")
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="camlucida-ray-", dir="/tmp")  # short: the paths of sockets are limited
    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    head = node | {"node_ip_address": "127.0.0.2", "temp_dir": folder, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(**node, node_ip_address="127.0.0.3")
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)

"""A pool of Ray Data actors that process the missing chunks of an audit or evaluation.

The numbers of the chunks are the data set, and each actor writes what it computes to the folder of the run, which all
nodes share. What survives an interruption is therefore on disk: Ray starts a killed worker again and repeats its chunk,
and a killed driver, when it is started again, processes the chunks that are missing.
"""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

import torch

from camlucida import errors
from camlucida._files import atomic_write
from camlucida._optional import need
from camlucida.attribution.reproduction import versions
from camlucida.errors import CamlucidaError, DataError, ModelError
from camlucida.evaluation.ray_worker import Opened, Parcel, Work, Worker, on_device, sample_hash
from camlucida.options import shown

READER_CPUS = 1.0
"""CPUs that the workers leave to tasks of Ray Data, each of which asks for a whole one. Workers that hold more make a
run with such tasks wait forever, without a message: two workers of 0.9 CPUs each on two cores do. The numbers of the
chunks need no such task, since the driver holds them; other users of the cluster may."""

MAX_BLOCKS = 4096
"""Largest number of blocks of chunk numbers; with more chunks, a block holds several."""

LOOPBACK = "127.0.0.2"
"""Address of a Ray instance that is started for one run, on Linux. Ray replaces 127.0.0.1 by the machine's address in
the network, which firewalls and changes of the network cut off."""

EngineName: TypeAlias = Literal["local", "ray"]
"""What processes the parts: this process, or workers of a Ray cluster."""


@dataclass(frozen=True)
class RayPool:
    """Settings of a pool of Ray workers.

    Attributes:
        workers: Number of worker processes; None for one per GPU, or one per two CPUs if there is no GPU.
        reopen: Returns the model and the data, for those that cannot be pickled. Pickled itself.
    """

    workers: int | None = None
    reopen: Callable[[], Opened] | None = None

    def run(self, work: Work, numbers: Sequence[int], finished: Callable[[int], None]) -> None:
        """Process chunks.

        Uses the Ray cluster that this process is connected to, else that of RAY_ADDRESS or of `ray start`, else an
        instance of this machine that ends with the run.

        Args:
            work: What to do with a chunk.
            numbers: The numbers of the chunks.
            finished: Called with each number, in the order in which chunks are finished.

        Raises:
            DataError: If a node does not see the folder or the images.
            MissingExtra: If Ray is not installed.
            ModelError: If the model can neither be pickled nor opened again, or a node opens another one.
        """
        if not numbers:
            return
        need("ray", extra="ray", what="the engine ray")
        need("ray.data", extra="ray", what="the engine ray")
        with ExitStack() as stack:
            token = f".camlucida-ray-{secrets.token_hex(8)}"
            atomic_write(work.folder / token, "")
            stack.callback((work.folder / token).unlink, missing_ok=True)
            pickled, reopen = self._pickled(work)
            ray = stack.enter_context(_connected(len(pickled)))
            resources = WorkerResources.of(ray.cluster_resources(), self.workers)
            model, data = work.opened
            parcel = Parcel(
                pickled,
                reopen,
                token,
                model.weights_hash,
                sample_hash(data, work.indices),
                versions(),
                min(torch.get_num_threads(), resources.n_threads),
            )
            checked = False
            for number in _finished_chunks(ray, parcel, numbers, resources):
                if not checked and not work.has(number):
                    raise DataError(
                        f"a Ray worker wrote chunk {number} to {work.folder}, and this machine does not see it: choose "
                        "a folder on a file system that all nodes share."
                    )
                checked = True
                finished(number)

    def _pickled(self, work: Work) -> tuple[bytes, bytes | None]:
        """Return the work and, if its model or data cannot be pickled, the function that opens them again."""
        cloudpickle = need("ray.cloudpickle", extra="ray", what="the engine ray")
        model, data = work.opened
        try:
            content: bytes = cloudpickle.dumps(work.with_opened(on_device(model, "cpu"), data))
            pickle.loads(content)
        except Exception as error:  # of foreign code: anything
            if self.reopen is None:
                raise ModelError(
                    f"{model.name} or {data.name} cannot be sent to Ray workers ({type(error).__name__}: "
                    f"{' '.join(str(error).split())[:200]}). Use the command line, which opens both again in each "
                    "worker, or the engine local."
                ) from None
            return cloudpickle.dumps(work.with_opened(None, None)), cloudpickle.dumps(self.reopen)
        return content, None


def ray_pool(engine: EngineName | RayPool, workers: int | None = None) -> RayPool | None:
    """Return the pool of an engine; None for the engine local.

    Args:
        engine: "local", "ray" or a pool.
        workers: Number of Ray workers.

    Raises:
        DataError: If there is no such engine, or workers are given to another engine than Ray.
        MissingExtra: If Ray is not installed.
    """
    name = engine if isinstance(engine, str) else ""
    if isinstance(engine, RayPool) or name == "ray":
        need("ray", extra="ray", what="the engine ray")
        return engine if isinstance(engine, RayPool) else RayPool(workers)
    if name != "local":
        raise DataError(f"engine is 'local' or 'ray', not {shown(engine)}.")
    if workers is not None:
        raise DataError("workers are processes of Ray: add --engine ray (engine='ray' in Python), or leave them out.")
    return None


@dataclass(frozen=True)
class WorkerResources:
    """What each worker asks of the cluster.

    Attributes:
        workers: Number of workers.
        n_cpus: CPUs per worker, as Ray counts them.
        n_gpus: GPUs per worker.
        n_threads: Threads of PyTorch per worker that the CPUs suffice for.
    """

    workers: int
    n_cpus: float
    n_gpus: float
    n_threads: int

    @classmethod
    def of(cls, cluster: dict[str, float], workers: int | None) -> WorkerResources:
        """Return what each worker asks of a cluster.

        Args:
            cluster: "CPU" and, where there are any, "GPU" of the whole cluster.
            workers: Number of workers; None to choose it.
        """
        cpus, gpus = cluster.get("CPU", 1.0), cluster.get("GPU", 0.0)
        n = workers or max(1, int(gpus or cpus // 2))
        n_cpus = min(1.0, int(90 * max(cpus - READER_CPUS, 0.0) / n) / 100)  # a tenth less, for rounding
        n_gpus = min(1.0, int(1000 * gpus / n) / 1000) if gpus else 0.0
        return cls(n, n_cpus, n_gpus, max(1, int(cpus / n)))


def _finished_chunks(
    ray: ModuleType, parcel: Parcel, numbers: Sequence[int], resources: WorkerResources
) -> Iterator[int]:
    """Yield the numbers of the chunks as workers finish them.

    Raises:
        CamlucidaError: The error of a worker.
    """
    data = need("ray.data", extra="ray", what="the engine ray")
    reference = ray.put(parcel)
    items = data.from_items(
        [{"number": number} for number in numbers], override_num_blocks=min(len(numbers), MAX_BLOCKS)
    )
    finished = items.map_batches(
        Worker,
        batch_size=1,
        compute=data.ActorPoolStrategy(size=min(resources.workers, len(numbers)), max_tasks_in_flight_per_actor=2),
        num_cpus=resources.n_cpus,
        num_gpus=resources.n_gpus or None,
        fn_constructor_args=(_Fetch(reference), resources.n_gpus),
    )
    for batch in finished.iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"):
        for number, kind, text in zip(batch["number"], batch["kind"], batch["error"], strict=True):
            if text:
                kinds = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
                raise kinds.get(str(kind), CamlucidaError)(str(text))
            yield int(number)


@dataclass(frozen=True)
class _Fetch:
    """Fetches the parcel from Ray's object store, once per worker."""

    reference: Any

    def __call__(self) -> Parcel:
        import ray

        parcel: Parcel = ray.get(self.reference)
        return parcel


@contextmanager
def _connected(n_bytes: int) -> Iterator[ModuleType]:
    """Connect to Ray, or start an instance for the block; Ray Data prints nothing in the block.

    Args:
        n_bytes: Size of the largest object that workers receive.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing uses the network unasked
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # without it, Ray warns of its next version
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # a dead worker is no error: its chunk is repeated
    ray = need("ray", extra="ray", what="the engine ray")
    with ExitStack() as stack:
        if not ray.is_initialized():
            _start(ray, n_bytes, stack)
        context = need("ray.data", extra="ray", what="the engine ray").DataContext.get_current()
        for name, value in {"enable_progress_bars": False, "print_on_execution_start": False}.items():
            stack.callback(setattr, context, name, getattr(context, name))
            setattr(context, name, value)
        for name in ("ray", "ray.data"):
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        yield ray


def _start(ray: ModuleType, n_bytes: int, stack: ExitStack) -> None:
    """Connect to a running cluster, or start Ray on this machine; undone when the stack is closed."""
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "ignore_reinit_error": True}
    if os.environ.get("RAY_ADDRESS") != "local":
        try:
            ray.init(address="auto", **quiet)
        except ConnectionError:
            pass  # there is no cluster
        else:
            stack.callback(ray.shutdown)
            return
    # The paths of Ray's sockets must be shorter than 107 characters, which those in some temporary folders are not.
    folder = tempfile.mkdtemp(prefix="camlucida-ray-", dir="/tmp" if Path("/tmp").is_dir() else None)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    stack.callback(ray.shutdown)
    ray.init(
        address="local",
        include_dashboard=False,
        object_store_memory=2**28 + 4 * n_bytes,
        _node_ip_address=LOOPBACK if sys.platform == "linux" else None,
        _temp_dir=folder,
        **quiet,
    )

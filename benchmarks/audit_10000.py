"""An audit of 10,000 small JPEG files from end to end: python benchmarks/audit_10000.py [--n 10000].

The files are scenes of the toybox, the network is the one that comes with it. Two audits are made. The first is not
interrupted: its memory is read after every 1,000 images, and its throughput is measured. The second is killed five
times at random (SIGKILL) and started again each time; then every file of rows and arrays must have the same bytes.
`--broken` replaces 1 % of the files by broken ones of nine kinds in a third audit, whose other rows must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from audit_images import break_files, write_scenes
from interleaved import machine

RESULTS = Path(__file__).parent / "results" / "audit_10000.json"
N_KILLS = 5
SIZE_PX = 96
N_VARIANTS = 10
EVERY = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--folder", default="/tmp/camlucida-audit-10000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default=str(RESULTS))
    parser.add_argument("--audit", help="audit the images of the folder into this one, in this process")
    arguments = parser.parse_args()
    folder = Path(arguments.folder)
    if arguments.audit:
        audit_here(folder / "images", arguments.n, Path(arguments.audit))
        return
    start = time.perf_counter()
    write_scenes(folder / "images", arguments.n, SIZE_PX, N_VARIANTS)
    print(f"images written in {time.perf_counter() - start:.0f} s", flush=True)
    for name in ("plain", "killed", "broken"):
        shutil.rmtree(folder / name, ignore_errors=True)
    plain = measured(arguments.n, folder, "plain")
    print(json.dumps(plain), flush=True)
    kills = killed(arguments.n, folder, "killed", plain["wall_s"], random.Random(arguments.seed))
    print(json.dumps(kills), flush=True)
    content = {
        "machine": machine(),
        "n_images": arguments.n,
        "model": "toybox",
        "image_px": SIZE_PX,
        "uninterrupted": plain,
        "killed": {**kills, "files": compared(folder / "plain", folder / "killed")},
        "broken": broken(arguments.n, folder),
        "bytes_per_image": bytes_per_image(folder, arguments.n),
    }
    print(json.dumps(content, indent=2))
    Path(arguments.out).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def audit_here(images: Path, n: int, out: Path) -> None:
    """Audit in this process; print the images that are done and the resident memory after every 1,000 of them."""
    import torch

    from camlucida.audits.run import audit
    from camlucida.models.load import load

    torch.set_num_threads(1)
    reported = 0

    def progress(done: int, total: int) -> None:
        nonlocal reported
        if done // EVERY > reported or done == total:
            reported = done // EVERY
            print(json.dumps({"done": done, "rss_mib": rss_mib()}), flush=True)

    start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    data = write_scenes(images, n, SIZE_PX, N_VARIANTS)
    opened = time.perf_counter()
    audit(load("toybox"), data, out, progress=progress)
    end, now = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    seconds = {"wall_s": round(end - start, 1), "cpu_s": round(cpu, 1), "opening_s": round(opened - start, 2)}
    print(json.dumps({**seconds, "peak_rss_mib": round(now.ru_maxrss / 1024)}), flush=True)


def rss_mib() -> int:
    """Return the resident memory of this process in MiB."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024


def command(n: int, folder: Path, name: str) -> list[str]:
    """Return the command that audits the images of the folder in a process of its own."""
    return [sys.executable, __file__, "--n", str(n), "--folder", str(folder), "--audit", str(folder / name)]


def measured(n: int, folder: Path, name: str) -> dict[str, Any]:
    """Return the time and the memory of an audit that is not interrupted."""
    done = subprocess.run(command(n, folder, name), check=True, stdout=subprocess.PIPE, text=True)
    *steps, last = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        **last,
        "images_per_s": round(n / last["wall_s"], 1),
        "ms_cpu_per_image": round(1000 * last["cpu_s"] / n, 2),
        "rss_mib_by_images": {str(step["done"]): step["rss_mib"] for step in steps},
    }


def killed(n: int, folder: Path, name: str, seconds: float, random_numbers: random.Random) -> dict[str, Any]:
    """Kill an audit at random times, start it again, and let the last process finish."""
    after, parts = [], []
    for _ in range(N_KILLS):
        wait = random_numbers.uniform(0.05, 0.35) * seconds
        with subprocess.Popen(command(n, folder, name), stdout=subprocess.DEVNULL) as process:
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        after.append(round(wait, 1))
        parts.append(len(list((folder / name / "parts").glob("part-*.parquet"))))
    subprocess.run(command(n, folder, name), check=True, stdout=subprocess.DEVNULL)
    return {"killed_after_s": after, "chunks_after_each_kill": parts}


def compared(expected: Path, found: Path) -> dict[str, Any]:
    """Return how many files of two audits have the same bytes, and whether every image has exactly one row."""
    from camlucida.evaluation.store import read_table

    names = [*sorted(str(file.relative_to(expected)) for file in (expected / "parts").iterdir()), "images.parquet"]
    others = [*sorted(str(file.relative_to(found)) for file in (found / "parts").iterdir()), "images.parquet"]
    differ = [
        name for name in names if name in others and (expected / name).read_bytes() != (found / name).read_bytes()
    ]
    indices = read_table(found / "images.parquet", ["index"])["index"].to_pylist()
    return {
        "compared": len(names),
        "same_names": names == others,
        "different_bytes": differ,
        "each_image_once": indices == list(range(len(indices))),
        "rows": len(indices),
    }


def broken(n: int, folder: Path) -> dict[str, Any]:
    """Break 1 % of the files, audit them, put them back, and compare all other rows and arrays with the plain audit."""
    import numpy as np

    from camlucida.audits.audit_result import Audit

    data = write_scenes(folder / "images", n, SIZE_PX)
    files = [Path(str(data[i].image)) for i in range(len(data))]
    chosen = sorted(random.Random(1).sample(range(n), max(n // 100, 9)))
    with break_files({index: files[index] for index in chosen}) as kinds:
        subprocess.run(command(n, folder, "broken"), check=True, stdout=subprocess.DEVNULL)
    plain, other = Audit(folder / "plain"), Audit(folder / "broken")
    reasons: dict[str, str] = {}
    changed = 0
    for row, expected in zip(other.rows, plain.rows, strict=True):
        if row["index"] in kinds and row["error"]:
            reasons.setdefault(kinds[row["index"]], row["error"])
        elif row["index"] not in kinds:
            changed += row != expected
    kept = np.array([index not in kinds for index in range(n)])
    arrays = {
        name: all(
            np.array_equal(one[mask], two[mask], equal_nan=True)
            for one, two, mask in zip(
                plain.store.arrays(name), other.store.arrays(name), np.split(kept, range(256, n, 256)), strict=True
            )
        )
        for name in plain.store.array_names
    }
    return {
        "files": len(kinds),
        "rows_with_errors": sum(bool(row["error"]) for row in other.rows),
        "other_rows_changed": changed,
        "other_arrays_equal": arrays,
        "reasons": reasons,
    }


def bytes_per_image(folder: Path, n: int) -> dict[str, float]:
    """Return the size of the files of the audit by kind, and of the images, divided by the number of images."""
    plain = folder / "plain"
    sizes: dict[str, int] = {}
    for file in plain.rglob("*"):
        if file.is_file():
            parts = file.name.split(".")
            kind = (
                f"{parts[1]} (float16)"
                if file.suffix == ".npy"
                else file.parent.name
                if file.parent != plain
                else file.name
            )
            kind = "rows" if file.parent.name == "parts" and file.suffix == ".parquet" else kind
            sizes[kind] = sizes.get(kind, 0) + file.stat().st_size
    sizes["the images themselves"] = sum(file.stat().st_size for file in (folder / "images").rglob("*.jpg"))
    return {kind: round(size / n, 1) for kind, size in sorted(sizes.items())}


if __name__ == "__main__":
    main()

"""Are planted spurious cues found, and ranked first? And is nothing reported where there is none?

    python benchmarks/spurious_cues.py [--seeds 100] [--only fixed,random,control,shipped,clean] [--write]

fixed      a tag at one position in 10 % of the images labelled "boat"; networks that learnt it
random     the same at a position of its own in every image; channel relevances of layer3
control    the tag in 10 % of the images of every class; networks that do not use it: false alarms
shipped    the built-in Clever-Hans network, and the tag in a random corner of 10 % of the boats
clean      the built-in residual network on the same images: false alarms

Images, networks and what they rely on: see cue_scenes.py. An audit has 300 images: 99 labelled "boat", of which 10
carry the tag, and 22 or 23 of each other class. For each network, a pool of images is audited once (297 boats without
a tag and 100 with it, 603 others; with the control tag 10 % more of each class); a seed draws the audit's images from
the pool, and seeds the search. No boxes or masks are used. The settings are the defaults.

A hypothesis is true if its class is "boat", at least half of its members carry the tag and, at a fixed position, the
center of the tag lies in its region. A false alarm is any verified hypothesis.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_mutual_info_score, roc_auc_score

import camlucida as cl
from camlucida.analysis.confusion import wilson_interval
from camlucida.audits.audit_result import Audit
from camlucida.audits.hypotheses import Hypotheses, Hypothesis, Settings, find_hypotheses
from camlucida.audits.hypotheses.spray import spectral_clusters
from camlucida.audits.run import audit
from camlucida.data import toybox
from camlucida.data.datasets import Item, ListDataset
from cue_scenes import BOAT, CACHE, NETWORKS, OTHERS, network, tagged_scene
from interleaved import machine

N_BOATS, N_OTHERS, N_TAGGED = 99, 201, 10
POOL_BOATS, POOL_OTHERS, POOL_TAGGED = 297, 603, 100
ROWS = CACHE / "rows"
RESULTS = Path(__file__).parent / "results" / "spurious_cues.json"


@dataclass(frozen=True, eq=False)
class DrawnAudit(Audit):
    """Some images of an audit, as an audit of their own, without files."""

    base: Audit | None = None
    drawn: tuple[int, ...] = ()

    @property
    def store(self) -> Any:
        return self.base.store

    @property
    def plan(self) -> dict[str, Any]:
        return self.base.plan

    @property
    def table(self) -> Any:
        return self.base.table.take(list(self.drawn))

    def mismatch(self) -> str:
        return ""

    def _array(self, name: str) -> Any:
        return self.base._array(name)[list(self.drawn)]


@dataclass(frozen=True, eq=False)
class Pool:
    """The audited images of one network, from which the audits of all seeds are drawn."""

    audit: Audit
    labels: np.ndarray
    tagged: np.ndarray
    centers: np.ndarray
    condition: str

    def draw(self, seed: int, folder: Path) -> DrawnAudit:
        """Return the audit of a seed."""
        rng = np.random.default_rng([seed, 5])
        rows: list[int] = []
        for label in range(len(toybox.CLASSES)):
            n = N_BOATS if label == BOAT else N_OTHERS // 9 + (label < N_OTHERS % 9)
            n_tagged = (
                0 if self.condition == "clean" or (self.condition == "planted" and label != BOAT) else round(n / 10)
            )
            for carries, count in ((True, n_tagged), (False, n - n_tagged)):
                rows += rng.permutation(np.flatnonzero((self.labels == label) & (self.tagged == carries)))[
                    :count
                ].tolist()
        base = self.audit
        return DrawnAudit(folder, base.model, base.data, base, tuple(sorted(rows)))


def pool_of(model: cl.Model, condition: str, position: str, layer: str | None, folder: Path) -> Pool:
    """Render and audit the pool of one network."""
    scenes, labels = [], []
    for i in range(POOL_BOATS + POOL_OTHERS):
        label = BOAT if i < POOL_BOATS else toybox.CLASSES.index(OTHERS[i % 9])
        scenes.append(tagged_scene((800_000, i), label, False, False, position))
        labels.append(label)
    extra = [(BOAT, i) for i in range(POOL_TAGGED)] if condition == "planted" else []
    if condition == "control":
        extra = [(label, i) for label in range(len(toybox.CLASSES)) for i in range(40 if label == BOAT else 10)]
    for label, i in extra:
        scenes.append(tagged_scene((810_000, label, i), label, True, condition == "planted" and i % 2 == 1, position))
        labels.append(label)
    data = ListDataset(
        "pool", [Item(s.picture(), f"scene {i}", labels[i]) for i, s in enumerate(scenes)], toybox.CLASSES
    )
    centers = np.array([(s.watermark.x, s.watermark.y) if s.watermark else (-1, -1) for s in scenes])
    result = audit(model, data, folder, layer=layer, batch_size=32)
    return Pool(result, np.array(labels), centers[:, 0] >= 0, centers, condition)


def settings(seed: int) -> Settings:
    return Settings(seed=seed)


def is_true(hypothesis: Hypothesis, drawn: DrawnAudit, pool: Pool, fixed: bool) -> bool:
    """Return whether a hypothesis describes the tag."""
    rows = np.array(drawn.drawn)[list(hypothesis.members)]
    if hypothesis.class_index != BOAT or pool.tagged[rows].mean() < 0.5:
        return False
    if not fixed or hypothesis.kind == "any position":
        return True
    x, y = pool.centers[rows[pool.tagged[rows]]][0]
    left, top, right, bottom = hypothesis.region
    return bool(left <= x <= right and top <= y <= bottom)


def clusters(drawn: DrawnAudit, pool: Pool) -> dict[str, float]:
    """Return AMI and AUROC of the clusters of the eigengap (P12): is a tagged boat in a small cluster?"""
    rows = np.flatnonzero(pool.labels[list(drawn.drawn)] == BOAT)
    tagged = pool.tagged[np.array(drawn.drawn)[rows]]
    found = {}
    arrays = {"maps": drawn.maps(explained="true")[rows].reshape(len(rows), -1)}
    arrays["channels"] = drawn.channel_relevance("true")[rows]
    for name, vectors in arrays.items():
        result = spectral_clusters(vectors.astype(np.float64), 0, 4)
        sizes = np.bincount(result.labels + 1)[result.labels + 1]
        found[f"{name}: AMI"] = float(adjusted_mutual_info_score(tagged, result.labels))
        found[f"{name}: AUROC of small clusters"] = float(roc_auc_score(tagged, -sizes))
    return found


def run(name: str, pools: Sequence[Pool], seeds: Sequence[int]) -> None:
    """Search the audits of some seeds; the result of each is a file, so that an interrupted run resumes."""
    for seed in seeds:
        file = ROWS / f"{name}-{seed:03d}.json"
        if file.is_file():
            continue
        row = searched(pools[seed % len(pools)], seed, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(row) + "\n")
        print(name, json.dumps(row), flush=True)


def searched(pool: Pool, seed: int, name: str) -> dict[str, Any]:
    """Search one audit, and return what was found."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        drawn = pool.draw(seed, Path(folder))
        result: Hypotheses = find_hypotheses(drawn, settings=settings(seed), with_images=False)
    truths = [is_true(h, drawn, pool, name == "fixed") for h in result.hypotheses]
    first = result.hypotheses[0]
    by_suspicion = [t for _, t in sorted(zip([-h.suspicion for h in result.hypotheses], truths, strict=True))]
    return {
        "seed": seed,
        "true first": truths[0],
        "true first and verified": truths[0] and first.verified,
        "true among the hypotheses": any(truths),
        "rank by suspicion alone": by_suspicion.index(True) + 1 if any(truths) else None,
        "verified": sum(h.verified for h in result.hypotheses),
        "verified and not true": sum(h.verified and not t for h, t in zip(result.hypotheses, truths, strict=True)),
        "gain": first.effect.value,
        "members": len(first.members),
        "tagged members": int(pool.tagged[np.array(drawn.drawn)[list(first.members)]].sum()),
        "kind": first.kind,
        "n_forwards": result.n_forwards,
        "seconds": round(time.process_time() - start, 2),
        **(clusters(drawn, pool) if pool.condition == "planted" else {}),
    }


def write(names: Sequence[str]) -> None:
    """Write the summary of all finished seeds of some conditions into the results."""
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in names:
        rows = [json.loads(file.read_text()) for file in sorted(ROWS.glob(f"{name}-*.json"))]
        if rows:
            results[name] = {"summary": summary(rows), "rows": rows}
            print(name, json.dumps(results[name]["summary"], indent=1), flush=True)
    RESULTS.write_text(json.dumps({**results, "machine": machine()}, indent=1) + "\n")


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return counts with Wilson intervals, and means."""
    found: dict[str, Any] = {"seeds": len(rows)}
    for key in ("true first", "true first and verified", "true among the hypotheses"):
        found[key] = _rate([row[key] for row in rows])
    found["with a verified hypothesis"] = _rate([row["verified"] > 0 for row in rows])
    found["with a verified hypothesis that is not true"] = _rate([row["verified and not true"] > 0 for row in rows])
    found["seconds of processor time"] = round(float(np.mean([row["seconds"] for row in rows])), 2)
    found["forward passes"] = round(float(np.mean([row["n_forwards"] for row in rows])))
    for key in rows[0]:
        if ": A" in key:
            found[key] = round(float(np.mean([row[key] for row in rows])), 3)
    return found


def _rate(values: Sequence[bool]) -> dict[str, Any]:
    interval = wilson_interval(int(sum(values)), len(values))
    return {"n": int(sum(values)), "low": round(interval.low, 3), "high": round(interval.high, 3)}


def pools_for(name: str, folder: Path) -> list[Pool]:
    """Return the pools of a condition."""
    if name in ("shipped", "clean"):
        model = cl.load("toybox:cleverhans" if name == "shipped" else "toybox")
        return [pool_of(model, "planted", "corner", None, folder / name)]
    layer = "layer3" if name == "random" else None
    condition = "control" if name == "control" else "planted"
    chosen = [r for r in NETWORKS if r.condition == condition]
    if condition == "planted":
        chosen = [r for r in chosen if (r.position == "random") == (name == "random")]
    return [pool_of(network(r), condition, r.position, layer, folder / r.name) for r in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--backwards", action="store_true", help="from the last seed on, for a second process")
    parser.add_argument("--only", default="fixed,random,control,shipped,clean")
    parser.add_argument("--write", action="store_true", help="only write the results of the seeds that are finished")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names, seeds = arguments.only.split(","), range(arguments.seeds)
    for name in names if not arguments.write else ():
        run(name, pools_for(name, CACHE / "pools"), seeds[::-1] if arguments.backwards else seeds)
    write(names)


if __name__ == "__main__":
    main()

"""False alarms of `camlucida audit --against`: the same network, rounded weights, and other seeds of the training.

Trains small networks on toybox that differ in nothing but the seed, audits each on other scenes, and compares every
pair in both directions. Also compares pairs in which old and new are exchanged at random for each image, which is the
hypothesis of no difference, and each network with its weights rounded to float16.

    python benchmarks/audit_false_alarms.py [number of networks] [scenes of the audit]
"""

from __future__ import annotations

import copy
import json
import sys
import tempfile
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from camlucida.audits.audit_result import Audit
from camlucida.audits.comparison.conditions import Condition, check_conditions, parse_conditions
from camlucida.audits.comparison.matching import match_audits
from camlucida.audits.run import audit
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.evaluation.statistics import holm_correction
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing
from camlucida.models.small_cnn import SmallCNN

PX, N_TRAIN, EPOCHS = 64, 600, 10
CONDITIONS = (
    "energy_in_box drops, p < .01, by > 0",
    "energy_in_box drops, p < .05",
    "energy_in_box drops, p < .01",
    "energy_in_box drops, p < .01, by > .02",
    "energy_in_box drops, p < .01, by > .05",
    "energy_in_box drops, p < .01, by > .1",
    "accuracy drops, p < .05",
    "accuracy drops, p < .01, by > .05",
)


def main(n_networks: int, n_scenes: int) -> None:
    """Print the rates of alarms as JSON."""
    torch.set_num_threads(1)
    preprocessing = Preprocessing((PX, PX), None, "squash", (0.5,) * 3, (0.25,) * 3)
    training, data = ToyboxDataset(Toybox(N_TRAIN, 1)), ToyboxDataset(Toybox(n_scenes, 2))
    inputs = torch.stack([preprocessing(training[i].image)[0] for i in range(N_TRAIN)])  # type: ignore[arg-type]
    labels = torch.tensor([training[i].label for i in range(N_TRAIN)])
    root = Path(tempfile.mkdtemp(prefix="camlucida-false-alarms-"))
    audits, rounded = [], []
    for seed in range(n_networks):
        network = trained(inputs, labels, len(data.classes), seed)
        half = copy.deepcopy(network).half().float()
        for name, each, found in ((f"{seed}", network, audits), (f"{seed}-half", half, rounded)):
            model = Model(each.eval(), preprocessing, labels=data.classes)
            found.append(audit(model, data, root / name))
        print(f"network {seed}: accuracy {audits[-1].summary['accuracy']:.2f}", file=sys.stderr, flush=True)
    rates = {
        "another seed": alarms(list(permutations(audits, 2))),
        "weights rounded to float16": alarms(list(zip(audits, rounded, strict=True))),
        "the same network": alarms([(each, each) for each in audits]),
        "another seed, exchanged at random per image": exchanged(audits),
    }
    accuracies = [each.summary["accuracy"] for each in audits]
    spread = [float(np.nanmean(each.column("energy_in_box"))) for each in audits]
    numbers = {"networks": n_networks, "scenes": n_scenes, "accuracy": accuracies, "energy_in_box": spread}
    print(json.dumps(numbers | {"conditions": CONDITIONS, "alarms": rates}, indent=2))


def trained(inputs: torch.Tensor, labels: torch.Tensor, n_classes: int, seed: int) -> SmallCNN:
    """Return a network that was trained with a seed."""
    torch.manual_seed(seed)
    network = SmallCNN(n_classes, (12, 24, 32, 48)).train()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=EPOCHS * (len(inputs) // 30))
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(inputs)).split(30):
            optimizer.zero_grad()
            F.cross_entropy(network(inputs[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def alarms(pairs: list[tuple[Audit, Audit]]) -> list[float]:
    """Return for each condition the fraction of pairs, old and new, for which it holds."""
    conditions = parse_conditions("; ".join(CONDITIONS))
    held = [[result.holds for result in check_conditions(match_audits(*pair), conditions)] for pair in pairs]
    return [float(rate) for rate in np.mean(held, axis=0)]


def exchanged(audits: list[Audit], draws: int = 4) -> float:
    """Return the rate of "energy_in_box drops, by > 0" at p < .05, if old and new are exchanged at random per image."""
    condition = Condition("", "energy_in_box", "drops", by=0.0)
    rng, held = np.random.default_rng(0), []
    for old, new in permutations(audits, 2):
        values = match_audits(old, new).paired(condition.column)
        groups = [np.ones(len(values.rows), dtype=bool), *(values.groups == name for name in values.group_names())]
        groups = [group for group in groups if group.sum() >= 6]
        for _ in range(draws):
            differences = values.differences * rng.choice([-1, 1], len(values.rows))
            p = [condition.test(differences[group]) for group in groups]
            held.append(min(holm_correction(p)) < condition.p)
    return float(np.mean(held))


if __name__ == "__main__":
    main(*(int(text) for text in (sys.argv[1:] or ["12", "150"])))

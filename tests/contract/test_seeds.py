"""The contract of every seed: the same seed gives the same numbers, another seed gives others; images differ, too.

Every public function with a parameter `seed` is walked; one that has no line in `DRAWN` or `ELSEWHERE` fails.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import camlucida
from camlucida.analysis import embed, mistakes
from camlucida.analysis.calibration import calibration
from camlucida.analysis.correct_vs_wrong import group_differences
from camlucida.attribution.attribute import attribute
from camlucida.attribution.explain import explain
from camlucida.audits.run import audit
from camlucida.data import toybox
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset, sample_indices, subset
from camlucida.data.open import open_dataset
from camlucida.data.toybox import Toybox
from camlucida.data.toybox.background import background, clutter
from camlucida.engine.weight_randomization import randomize_weights, stages
from camlucida.errors import CamlucidaError
from camlucida.evaluation import Evaluation, evaluate
from camlucida.evaluation.baselines import standard_controls
from camlucida.evaluation.benchmarks import analytic, designed, open_benchmark, scenes
from camlucida.evaluation.benchmarks.mosaics import cell_mosaics, mosaics
from camlucida.evaluation.clustered import row_resamples
from camlucida.evaluation.dataset_pass import DatasetPass
from camlucida.evaluation.image_targets import targets_of
from camlucida.evaluation.metric_inputs import MetricInputs
from camlucida.evaluation.model_input import ModelInput, prepare_input
from camlucida.evaluation.read_images import LoadedImage, read_image
from camlucida.evaluation.statistics import resamples
from camlucida.features.concepts import concepts, factorise
from camlucida.methods import find, methods
from camlucida.methods.common.coalitions import shapley_coalitions
from camlucida.methods.common.masks import rise_masks
from camlucida.methods.common.perturbations import baseline_images, noisy
from camlucida.metrics import metrics
from camlucida.models.load import load
from camlucida.reliability import trust
from camlucida.reliability.inputs import metric_inputs_of
from camlucida.reliability.position_test import position_test, top_pixels
from camlucida.reliability.similarity import noise_similarities, other_classes
from camlucida.sanity_checks.perturbations import SanityInputs, _random_logits
from camlucida.seeds import MAX_SEED, check_seed, generator, short_seed
from camlucida.training import train
from camlucida.training.initial_model import build_initial
from camlucida.training.split import split_dataset, stratified_split
from camlucida.training.training_data import open_training_data
from camlucida.user_study import Study, make_study, results
from camlucida.user_study.study import _is_swapped

SEEDS = (0, 1, 2)
CATS = tuple(toybox.scene(i, kinds=["cat"], size=48).picture() for i in range(3))
NUMBERS = np.random.default_rng(0).random((40, 9))
LABELLED = [(i, i % 2) for i in range(20)]


@cache
def net() -> Any:
    return load("toybox")


@cache
def tiny() -> ToyboxDataset:
    return ToyboxDataset(Toybox(30))


def fingerprint(value: Any) -> str:
    """A fingerprint: equal for equal numbers, in containers, data sets and networks, too."""
    digest = hashlib.sha256()
    for part in _parts(value):
        digest.update(part)
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, torch.Tensor):
        yield value.detach().cpu().contiguous().numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield value.tobytes()
    elif isinstance(value, torch.nn.Module):
        for parameter in value.state_dict().values():
            yield from _parts(parameter)
    elif hasattr(value, "tobytes"):
        yield value.tobytes()
    elif isinstance(value, Item):
        yield from _parts(value.image)
    elif isinstance(value, list | tuple | set | dict):
        for one in value.items() if isinstance(value, dict) else value:
            yield from _parts(one)
    elif hasattr(value, "network"):
        yield from _parts(value.network)
    elif hasattr(value, "__getitem__") and hasattr(value, "classes"):
        for i in range(min(2, len(value))):
            yield from _parts(value[i])
    else:
        yield repr(value).encode()


def draw_methods(seed: int) -> list[Any]:
    """Which images are evaluated, and what controls give there that draw with the seed."""
    names = ("random", "other_class", "random_weights")
    controls = [control for control in standard_controls() if control.name in names]
    result = evaluate(net(), tiny(), metrics=["energy"], controls=controls, limit=2, seed=seed)
    return [[p.name for p in result.images.values()], *(result.column("energy", name).values for name in names)]


@cache
def evaluation() -> Evaluation:
    return evaluate(net(), tiny(), methods=["cam", "gradient"], metrics=["energy", "gini"], limit=8)


def study(seed: int, folder: Path) -> Study:
    return make_study(folder, net(), CATS, methods=["cam", "gradient", "eigen_cam"], pairs=1, seed=seed)


def collect_trials(made: Study) -> list[Any]:
    trials = [made.trial(number, "anna") for number in sorted(made.trial_order("anna"))]
    return [(t.kind, t.image, t.files) for t in trials]


@cache
def answer_study(folder: Path) -> Study:
    made = study(0, folder)
    for person in ("anna", "ben", "cleo"):
        for place_, trial in enumerate(made.trial_order(person)):
            made.record_answer(trial, person, 1 + place_ % 2)
    return made


def drawn_classes(seed: int) -> list[int | None]:
    """The classes that cells are asked about, of images whose class the model does not have."""
    data = ListDataset("others", [Item(CATS[i % 3], f"{i}", 0) for i in range(16)], ("unicorn",))
    cells = cell_mosaics(net(), replace(net(), labels=net().labels * 4), data, 2, seed)
    return [cells[i].label for i in range(len(cells))]


def confidence(seed: int) -> Any:
    return calibration(NUMBERS[:, 0], NUMBERS[:, 1] < NUMBERS[:, 0], seed=seed).chance


def prepared(seed: int) -> ModelInput:
    return prepare_input(net(), Item(CATS[0], "a"), None, seed=seed)


def first_target(seed: int) -> ModelInput:
    one = DatasetPass.of(net(), tiny(), [0])
    image = read_image(one, 0)
    assert isinstance(image, LoadedImage)
    return targets_of(one, image, 3, seed)[0].model_input


def draw_questions(seed: int, image: Any = CATS[0]) -> MetricInputs:
    return metric_inputs_of(net(), image, seed=seed, name="same name")


def run_trust(seed: int, image: Any = CATS[0]) -> list[float]:
    result = trust(net(), image, n_windows=16, seed=seed)
    return [one.correlation for one in result.noise]


DRAWN: dict[str, Callable[[int, Path], Any]] = {
    "analysis.calibration.calibration": lambda seed, _: confidence(seed),
    "analysis.correct_vs_wrong.group_differences": lambda seed, _: group_differences(
        "abc", NUMBERS[:, :3], NUMBERS[:, 3] < 0.5, seed
    ),
    "analysis.embeddings.embed": lambda seed, _: [
        row["image"] for row in embed(net(), tiny(), way="pca", limit=4, seed=seed).rows
    ],
    "analysis.error_analysis.mistakes": lambda seed, _: [
        row["image"] for row in mistakes(net(), tiny(), maps=False, limit=4, seed=seed).rows
    ],
    "audits.run.audit": lambda seed, folder: [
        row["image"] for row in audit(net(), tiny(), folder, limit=4, seed=seed).rows
    ],
    "data.dataset.sample_indices": lambda seed, _: sample_indices(50, 5, seed),
    "data.open.open_dataset": lambda seed, _: open_dataset("toybox", count=2, seed=seed),
    "data.toybox.background.background": lambda seed, _: background(seed, 16),
    "data.toybox.background.clutter": lambda seed, _: clutter(seed, 2),
    "data.toybox.sampling.scene": lambda seed, _: toybox.scene(seed, size=32).picture(),
    "engine.weight_randomization.randomize_weights": lambda seed, _: randomize_weights(
        net().network, stages(net().network), seed=seed
    ),
    "evaluation.evaluate.evaluate": lambda seed, _: draw_methods(seed),
    "evaluation.evaluation.Evaluation.summary": lambda seed, _: evaluation().summary("energy", "cam", seed=seed).low,
    "evaluation.evaluation.Evaluation.bootstrap_values": lambda seed, _: evaluation().bootstrap_values(
        "energy", "cam", seed=seed
    ),
    "evaluation.evaluation.Evaluation.compare": lambda seed, _: (
        evaluation().compare("energy", "cam", "gradient", seed=seed).difference.low
    ),
    "evaluation.statistics.resamples": lambda seed, _: list(resamples(9, 20, seed)),
    "evaluation.clustered.row_resamples": lambda seed, _: list(row_resamples(4, np.array([0, 0, 1, 2]), 20, seed)),
    "evaluation.image_targets.targets_of": lambda seed, _: first_target(seed).random("anything").initial_seed(),
    "evaluation.model_input.prepare_input": lambda seed, _: prepared(seed).random("anything").initial_seed(),
    **{
        f"evaluation.benchmarks.analytic.{make.__name__}": lambda seed, _, make=make: make(2, seed)
        for make in (analytic.linear, analytic.additive, analytic.interaction)
    },
    **{
        f"evaluation.benchmarks.designed.{make.__name__}": lambda seed, _, make=make: make(2, seed)
        for make in (
            designed.red,
            designed.signed,
            designed.channels,
            designed.template,
            designed.xor,
            designed.square,
            designed.shift,
        )
    },
    "evaluation.benchmarks.registry.open_benchmark": lambda seed, _: open_benchmark(
        "exact:small", net(), count=2, seed=seed
    )[1],
    "evaluation.benchmarks.mosaics.mosaics": lambda seed, _: mosaics(net(), ToyboxDataset(Toybox(40)), 2, seed)[1],
    "evaluation.benchmarks.mosaics.cell_mosaics": lambda seed, _: drawn_classes(seed),
    "evaluation.benchmarks.scenes.scenes_of_size": lambda seed, _: scenes.scenes_of_size("small", 2, seed),
    "evaluation.benchmarks.scenes.stamped_scenes": lambda seed, _: scenes.stamped_scenes(2, seed),
    "evaluation.benchmarks.scenes.tagged_scenes": lambda seed, _: scenes.tagged_scenes(2, seed),
    "features.concepts.concepts": lambda seed, _: concepts(net(), CATS, k=6, seed=seed).vectors,
    "features.factorise.factorise": lambda seed, _: factorise(NUMBERS, 4, seed=seed).weights,
    "methods.common.coalitions.shapley_coalitions": lambda seed, _: shapley_coalitions(20, 30, seed)[0],
    "methods.common.masks.rise_masks": lambda seed, _: rise_masks((9, 7), 6, 3, 0.5, seed)(torch.arange(6)),
    "methods.common.perturbations.noisy": lambda seed, _: noisy(torch.eye(4)[None, None], 3, 1.0, seed)(
        torch.arange(3)
    ),
    "methods.common.perturbations.baseline_images": lambda seed, _: baseline_images(
        torch.zeros(1, 1, 4, 4), "noise", seed
    ),
    "seeds.generator": lambda seed, _: torch.rand(3, generator=generator(seed)),
    "user_study.create.make_study": lambda seed, path: collect_trials(study(seed, path)),
    "user_study.results.results": lambda seed, path: [
        (s.strength.low, s.strength.high) for s in results(answer_study(path.parent / "answered"), seed=seed).ranking
    ],
    "training.training_data.open_training_data": lambda seed, _: open_training_data("toybox", None, 2, seed)[0],
    "training.split.split_dataset": lambda seed, _: split_dataset(tiny(), 0.5, seed).train,
    "training.split.stratified_split": lambda seed, _: stratified_split(LABELLED, 0.5, seed),
    "training.initial_model.build_initial": lambda seed, _: build_initial(
        "small", ("a", "b"), head="linear", weights=None, pretrained=False, size=16, seed=seed
    ),
    "reliability.inputs.metric_inputs_of": lambda seed, _: noise_similarities(draw_questions(seed))[0].map,
    "reliability.trust.trust": lambda seed, _: run_trust(seed),
}
"""What is drawn with a seed: a function of the seed and an empty folder."""

ELSEWHERE = {
    "evaluation.bootstrap.Bootstrap.column_values": "used by Evaluation.compare and Evaluation.summary",
    "evaluation.bootstrap.Bootstrap.values": "what Evaluation.bootstrap_values returns",
    "analysis.projection.project": "t-SNE starts from the principal components: nothing is drawn",
    "evaluation.metric_checks.untrusted": "draws by Evaluation.drawn",
    "evaluation.evaluation.Evaluation.agreement": "draws by resamples; of two methods it has two values only",
    "audits.findings.attributes.attributes": "k-means of by_cluster",
    "audits.findings.attributes.by_cluster": "k-means, with the same clusters of separated features for every seed",
    "audits.findings.slices.find_slices": "k-means of by_cluster",
    "audits.findings.differences.find_differences": "draws by resamples and in combined_detectors",
    "audits.findings.guess_detector.combined_detectors": "draws the folds of a regression, which few images lack",
    "audits.findings.feature_neighbors.neighbors": "draws a sample of more than 20,000 images",
    "audits.findings.label_errors.label_scores": "draws in feature_neighbors.neighbors",
    "audits.findings.label_errors.find_label_errors": "draws in feature_neighbors.neighbors",
    "audits.findings.duplicates.find_duplicates": "draws in feature_neighbors.neighbors",
    "audits.comparison.compare.find_comparison": "draws by resamples",
    "audits.comparison.compare.compare_matched": "draws by resamples",
    "audits.record.audit_record.find_record": "draws in qualification.controls and by resamples",
    "audits.record.case_sheet.case_sheet": "draws in trust",
    "audits.record.case_sheet.save_case_sheet": "draws in trust",
    "audits.record.qualification.controls": "draws images, unless there are few, and controls",
    "audits.record.qualification.reproducibility": "draws the maps that are compared, none if there are few",
    "audits.record.subgroups.performance": "draws by resamples",
    "evaluation.model_input.predicted_input": "passes the seed on to ModelInput",
    "audits.hypotheses.find.find_hypotheses": "tests/audits/hypotheses: many draws, of which none may matter",
    "audits.hypotheses.spray.spectral_clusters": "start of an eigenvalue solver and of k-means, must not matter",
    "audits.hypotheses.spray.spectral_partitions": "as for spectral_clusters",
    "seeds.check_seed": "draws nothing",
    "seeds.short_seed": "draws nothing",
}


def seeded() -> set[str]:
    """Every public function and method of the library with a parameter `seed`."""
    names = set()
    for module in pkgutil.walk_packages(camlucida.__path__, "camlucida."):
        if module.name.startswith(("camlucida.cli", "camlucida.app")) or module.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if getattr(value, "__module__", "") != module.name or name.startswith("_"):
                continue
            inner = vars(value).items() if inspect.isclass(value) else [("", value)]
            for attribute_, function in inner:
                if not inspect.isfunction(function) or attribute_.startswith("_"):
                    continue
                parameter = inspect.signature(function).parameters.get("seed")
                if parameter is not None and not hasattr(find_method(module.name), name):
                    names.add(f"{module.name}.{name}.{attribute_}".removeprefix("camlucida.").rstrip("."))
    return names


def find_method(module: str) -> Any:
    """Modules of methods, whose functions are walked by the registry instead."""
    own = module.removeprefix("camlucida.methods.")
    return importlib.import_module(module) if own in methods() or own == "combining" else None


def test_every_seed_has_a_line() -> None:
    assert seeded() == set(DRAWN) | set(ELSEWHERE)


@pytest.mark.parametrize("name", DRAWN)
def test_same_seed_same_numbers_other_seed_others(name: str, tmp_path: Path) -> None:
    prints = [fingerprint(DRAWN[name](seed, tmp_path / f"{i}")) for i, seed in enumerate((*SEEDS, SEEDS[1]))]
    assert prints[-1] == prints[1], "the same seed gives other numbers"
    assert len(set(prints)) == len(SEEDS), "another seed gives the same numbers"


# --- methods

RANDOM_METHODS = {
    name: {key: value for key, value in {"n": 40, "baseline": "noise"}.items() if key in method.options}
    for name, method in methods().items()
    if "seed" in method.options
} | {"smooth(gradient)": {"n": 3}}
RANDOM_METHODS["ss_cam"] = RANDOM_METHODS["smooth_grad"] = RANDOM_METHODS["var_grad"] = {"n": 2}
RANDOM_METHODS["smooth_grad_cam_plusplus"] = {"n": 2}
for _name in ("deep_lift", "integrated_gradients"):
    RANDOM_METHODS[_name] = {"baseline": "noise"}


def map_of(name: str, seed: int, rows: slice = slice(0, 1), **options: Any) -> torch.Tensor:
    inputs = torch.stack([net().preprocessing(cat)[0] for cat in CATS])[rows]
    chosen = {**RANDOM_METHODS[name], **options, "seed": seed}
    if name.startswith("smooth("):  # options of a combinator are written into it
        name, chosen = f"{name[:-1]}, {', '.join(f'{key}={value}' for key, value in chosen.items())})", {}
    layer = None if find(name).map_size == "input" else "layer3"
    return attribute(net().network, inputs, method=name, target=3, layer=layer, **chosen)


@pytest.mark.parametrize("name", RANDOM_METHODS)
def test_methods_draw_by_their_seed(name: str) -> None:
    first = map_of(name, 0)
    assert torch.equal(first, map_of(name, 0))
    assert not torch.equal(first, map_of(name, 1))


@pytest.mark.parametrize("name", [name for name, options in RANDOM_METHODS.items() if "n" in options])
def test_every_copy_of_an_image_has_its_own_noise(name: str) -> None:
    count = RANDOM_METHODS[name]["n"]
    assert not torch.allclose(map_of(name, 0), map_of(name, 0, n=2 * count), rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", RANDOM_METHODS)
def test_an_image_has_the_same_noise_in_any_batch(name: str) -> None:
    alone, together = map_of(name, 3, slice(1, 2)), map_of(name, 3, slice(0, 3))[1:2]
    torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-4 * float(alone.abs().max()))


# --- metrics, controls, trust, sanity checks, studies: random for every image


def sight(seed: int, name: str, image: Any = CATS[0]) -> ModelInput:
    return prepare_input(net(), Item(image, name), None, seed=seed)


def test_chance_goes_by_seed_image_and_purpose() -> None:
    keys = [(seed, name, use) for seed in (0, 1) for name in ("a", "b") for use in ("x", "y")]
    states = [sight(seed, name).random(use).initial_seed() for seed, name, use in keys]
    assert len(set(states)) == len(keys)
    assert states == [sight(seed, name).random(use).initial_seed() for seed, name, use in keys]


NOISE_ONLY = {"average_drop", "single_deletion"}
"""Metrics that draw for some infills only, not for their default one."""


@pytest.mark.parametrize("name", [name for name, metric in metrics().items() if "random" in metric.needs])
def test_random_metrics_draw_what_they_are_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run takes its numbers from the image's generator, which another seed and another image change."""
    used: list[tuple[int, ...]] = []
    sources: list[torch.Generator] = []
    real = ModelInput.random

    def recorded(self: ModelInput, purpose: str) -> torch.Generator:
        sources.append(real(self, purpose))
        return sources[-1]

    monkeypatch.setattr(ModelInput, "random", recorded)
    for seed, index in ((0, 0), (0, 0), (1, 0), (0, 1)):
        sources.clear()
        evaluate(net(), subset(tiny(), [index]), methods=["gradient"], metrics=[name], seed=seed)
        before = [torch.Generator().manual_seed(g.initial_seed()).get_state() for g in sources]
        moved = [not torch.equal(start, g.get_state()) for start, g in zip(before, sources, strict=True)]
        assert any(moved) or name in NOISE_ONLY, "nothing is drawn"
        used.append(tuple(g.initial_seed() for g in sources))
    assert used[0] == used[1]
    assert len(set(used)) == 3


def test_metrics_of_an_image_draw_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same draws in two metrics would tie their errors together; all methods meet the same ones."""
    asked_by: dict[str, set[str]] = {}
    real = ModelInput.random

    def recorded(self: ModelInput, purpose: str) -> torch.Generator:
        asked_by.setdefault(purpose, set()).add(self.item.name)
        return real(self, purpose)

    monkeypatch.setattr(ModelInput, "random", recorded)
    names = ["deletion", "insertion", "saco"]
    evaluate(net(), tiny(), methods=["cam", "gradient"], metrics=names, limit=1)
    assert len(asked_by) == len(names)
    assert "" not in asked_by


def test_the_images_of_an_evaluation_depend_on_the_seed() -> None:
    """By themselves: what controls draw on the same images differs by the seed, too."""
    results_ = [evaluate(net(), tiny(), methods=["cam"], metrics=["gini"], limit=3, seed=seed) for seed in (0, 1, 2)]
    assert len({tuple(result.images) for result in results_}) == 3


def test_random_weights_depend_on_the_seed() -> None:
    (control,) = (c for c in standard_controls() if c.name == "random_weights")
    maps = [fingerprint(control.maps(sight(s, "a"), sight(s, "a").inputs, torch.tensor([3]))) for s in (0, 0, 1)]
    assert maps[0] == maps[1] != maps[2]


def test_layers_of_one_shape_get_other_weights() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(5, 5), torch.nn.ReLU(), torch.nn.Linear(5, 5))
    drawn_ = randomize_weights(network, stages(network), seed=0)
    assert not torch.equal(drawn_[0].weight, drawn_[2].weight)  # type: ignore[index]


@pytest.mark.parametrize("name", ["random", "blurred_random", "other_class"])
def test_random_controls_differ_by_image(name: str) -> None:
    (control,) = (c for c in standard_controls() if c.name == name)

    def drawn_for(seed: int, item: str) -> list[str]:
        chosen = sight(seed, item)
        if name == "other_class":
            return [str(control._draw_other_class(chosen, asked, 10)) for asked in range(10)]  # type: ignore[union-attr]
        return [fingerprint(control.maps(chosen, chosen.inputs, torch.tensor([3])))]

    assert drawn_for(0, "a") == drawn_for(0, "a")
    assert len({fingerprint(drawn_for(*key)) for key in ((0, "a"), (1, "a"), (0, "b"))}) == 3


def test_a_control_draws_every_image_of_a_batch() -> None:
    (control,) = (c for c in standard_controls() if c.name == "random")
    chosen = sight(0, "a")
    batch = torch.stack([net().preprocessing(cat)[0] for cat in CATS])
    maps = control.maps(chosen, batch, torch.tensor([3, 3, 3]))
    assert len({fingerprint(one) for one in maps}) == 3
    torch.testing.assert_close(control.maps(chosen, batch[1:2], torch.tensor([3]))[0], maps[1])


def test_trust_redraws_for_every_image_even_without_names() -> None:
    first, other = (draw_questions(0, np.asarray(cat)) for cat in CATS[:2])
    noises = [torch.randn(4, generator=e.model_input.random("noise")) for e in (first, other)]
    assert not torch.equal(*noises)
    chosen = [tuple(other_classes(draw_questions(seed, cat))[1:]) for seed in range(4) for cat in CATS]
    assert len(set(chosen)) > 3


def test_trust_breaks_ties_by_the_seed() -> None:
    flat = torch.zeros(12, 12, dtype=torch.float64)
    flat[:2] = 1
    masks = [top_pixels(flat, generator(seed)) for seed in (0, 0, 1)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    marked = []
    for seed in (0, 0, 1):
        tested = position_test(
            sight(seed, "a"), torch.nn.functional.one_hot(torch.arange(96) % 2, 96).double(), n_windows=16
        )
        assert tested is not None
        marked.append(tested.highlighted)
    assert torch.equal(marked[0], marked[1])
    assert not torch.equal(marked[0], marked[2])


def test_other_classes_of_the_sanity_checks_differ_by_image() -> None:
    asked_for: list[list[int]] = []

    class Recorded(SanityInputs):
        def maps(self, model: Any, method: Any, classes: torch.Tensor) -> torch.Tensor:
            asked_for.append(classes.tolist())
            return torch.zeros(len(classes), 2, 2)

    inputs = torch.stack([net().preprocessing(CATS[0])[0]] * 12)
    subject = Recorded(net(), ("a",) * 12, inputs, None)
    list(_random_logits(subject, find("cam"), 1))
    for classes in asked_for[1:]:  # the first are those of the runner-up
        assert len(set(classes)) > 3
        assert int(subject.classes[0]) not in classes, "the explained class itself"
    assert len({tuple(classes) for classes in asked_for[1:]}) == len(asked_for) - 1


def test_a_study_depends_on_image_person_and_seed(tmp_path: Path) -> None:
    made, other = study(0, tmp_path / "a"), study(1, tmp_path / "b")
    orders = [made.trial_order("anna"), made.trial_order("ben"), other.trial_order("anna")]
    assert made.trial_order("anna") == orders[0]
    assert len(set(orders)) == 3
    many = range(1, 200)
    sides = [tuple(_is_swapped(seed, person, t) for t in many) for seed, person in ((0, "a"), (0, "b"), (1, "a"))]
    assert len(set(sides)) == 3
    for side in sides:
        assert 70 < sum(side) < 130, "either side as often as the other"


def test_resamples_are_independent() -> None:
    rows = np.concatenate(list(resamples(12, 50)))
    assert len(np.unique(rows, axis=0)) > 45
    assert (rows.sum(1) == 12).all()


# --- seeds that are none

WRONG = [-1, 2**63, 2**70, 1.5, "seven", None]
REFUSED: dict[str, Callable[[Any], Any]] = {
    "explain": lambda seed: explain(net(), CATS[0], method="rise", seed=seed, n=4),
    "explain smooth_grad": lambda seed: explain(net(), CATS[0], method="smooth_grad", seed=seed),
    "trust": lambda seed: trust(net(), CATS[0], seed=seed),
    "evaluate": lambda seed: evaluate(net(), tiny(), seed=seed),
    "audit": lambda seed: audit(net(), tiny(), "audit", seed=seed),
    "mistakes": lambda seed: mistakes(net(), tiny(), seed=seed),
    "embed": lambda seed: embed(net(), tiny(), seed=seed),
    "concepts": lambda seed: concepts(net(), CATS[0], seed=seed),
    "open_dataset": lambda seed: open_dataset("toybox", count=2, seed=seed),
    "open_benchmark": lambda seed: open_benchmark("exact:red", count=2, seed=seed),
    "spread": lambda seed: sample_indices(9, 3, seed),
    "resamples": lambda seed: list(resamples(9, 3, seed)),
    "generator": generator,
    "check_seed": check_seed,
}


@pytest.mark.parametrize("seed", WRONG)
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_seed_is_refused_in_a_sentence(name: str, seed: Any) -> None:
    with pytest.raises(CamlucidaError, match=r"seed|whole number"):
        REFUSED[name](seed)


@pytest.mark.parametrize("seed", [-1, 2**63, 2**70])
def test_folders_are_not_begun_with_a_wrong_seed(seed: int, tmp_path: Path) -> None:
    with pytest.raises(CamlucidaError, match="seed"):
        make_study(tmp_path / "study", net(), CATS, methods=["cam", "gradient"], seed=seed)
    with pytest.raises(CamlucidaError, match="seed"):
        train("toybox", out=tmp_path / "run", limit=4, seed=seed)
    assert not list(tmp_path.iterdir())


def test_the_largest_seed_is_one() -> None:
    explain(net(), CATS[0], method="rise", seed=MAX_SEED, n=4)
    trust(net(), CATS[0], n_windows=16, seed=MAX_SEED)
    factorise(NUMBERS, 2, seed=MAX_SEED, starts=2)
    evaluate(net(), tiny(), limit=1, seed=MAX_SEED)
    open_dataset("toybox", count=1, seed=MAX_SEED)[0]
    embed(net(), tiny(), limit=9, seed=MAX_SEED)
    assert short_seed(7) == 7


def test_fingerprints_differ() -> None:
    """The helper `print_of` tells different values apart, or nothing above could fail."""
    assert fingerprint(torch.zeros(2)) != fingerprint(torch.ones(2))
    assert fingerprint([1, 2]) != fingerprint([1, 3])
    assert fingerprint(tiny()) != fingerprint(ToyboxDataset(Toybox(30, 1)))

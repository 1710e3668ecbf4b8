"""Every option of every command is passed to the library, with the value that was typed.

An option without a case in `LINES` fails. Each case is run twice, with and without its options, while the calls of the
library functions it names are recorded: with the option the value is passed, without it it is not.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import camlucida
from camlucida.attribution.request import AttributionRequest
from camlucida.audits.run import audit
from camlucida.cli import main
from camlucida.cli.commands import app
from camlucida.data import toybox
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.evaluation import evaluate
from camlucida.user_study import Study, make_study

LOAD = "camlucida.models.load.load"
OPEN = "camlucida.data.open.open_dataset"
SPREAD = "camlucida.data.datasets.sample_indices"
WRITE = "camlucida._files.write_image"
PRINTED = "printed"
"""Instead of a function: what the command prints."""

Arrival = tuple[str, str, Any]
"""The library function, its argument, and the value that arrives, or a function that tells whether a value is it."""


@dataclass(frozen=True)
class OptionCase:
    """A command line, the words that are added to it, and where each option arrives.

    stop      the function at which the command is ended: nothing after it is needed
    required  options that have no default, so that the line without them is the same
    """

    base: str
    words: str
    arrivals: Mapping[str, Arrival | list[Arrival]]
    stop: str = ""
    required: frozenset[str] = field(default_factory=frozenset)


def given(*names: str) -> frozenset[str]:
    return frozenset(names)


def direct(function: str, **values: Any) -> dict[str, Arrival]:
    """Options that arrive under their own names."""
    return {name: (function, name, value) for name, value in values.items()}


def in_out(path: Any) -> bool:
    """Whether a path lies in the folder `out`."""
    return Path(path).parts[0] == "out"


def named(*parts: str) -> Callable[[Any], bool]:
    """Whether a path has these parts, in this order."""
    return lambda path: all(part in str(path) for part in parts)


EACH = "camlucida.attribution.explain_many.explain_requests"
LIKE = "camlucida.attribution.explain_image_targets.explained_both_ways"
VOLUME_NETWORK = """
from torch import nn

def volume():
    layers = [nn.Conv3d(1, 3, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 2)]
    return nn.Sequential(*layers).eval()
"""
"""The module net.py in the folder of the images."""
VIDEO = "camlucida.data.video.load_video"
TRUST = "camlucida.reliability.trust_each"
ACTIVATIONS, TOP = "camlucida.features.activations.activations", "camlucida.features.top_images.top_images"
CONCEPTS, CONCEPTS_SAVED = "camlucida.features.concepts.concepts", "camlucida.features.concepts.Concepts.save"
RAY = "camlucida.audits.ray_engine.ray_engine"
COMPARE = "camlucida.cli.audit.compare_with"
AUDIT, FINDINGS = "camlucida.audits.run.audit", "camlucida.audits.findings.registry.run_findings"
EXPORT, REOPEN = "camlucida.audits.exports.export", "camlucida.cli.recorded_source.reopen_model_and_data"
QUERY, PANEL = "camlucida.audits.audit_result.Audit.query", "camlucida.audits.panel.draw_panel"
EVALUATE, REPORT = "camlucida.evaluation.evaluate", "camlucida.report.report"
REOPENED = "camlucida.cli.report.reopen_model_and_data"
TRAIN, SANITY, MAKE = "camlucida.training.train", "camlucida.sanity_checks.sanity", "camlucida.user_study.make_study"
MISTAKES, EMBED, FILM = (f"camlucida.analysis.{name}" for name in ("mistakes", "embed", "film"))
SHEET = "camlucida.cli.data.class_sheet"
PAGE, LISTEN, SERVE = "camlucida.app.app_state.Page", "camlucida.app.server.listen", "camlucida.app.server.serve"
LOOK = "--opacity 0.25 --colormap jet --blend uniform"
MODEL = (
    "--model toybox:vgg --arch resnet18 --trust-code --labels names.txt --task multilabel --no-probabilities "
    "--device cuda:1 --size 40x48 --fit letterbox --mean 0.1,0.2,0.3 --std 1,2,3 --prompts dog,cat --template photo:{}"
)
INSTALL = "cyclopts.App.install_completion"
SHARED = {"json", "quiet"}
"""Options of every command, which test_output_modes.py tests."""
ONE, FOLDER = ["pets.png"], ["shots"]


def look(function: str) -> dict[str, Arrival]:
    return direct(function, opacity=0.25, colormap="jet", blend="uniform")


def model(argument: str = "toybox:vgg") -> dict[str, Arrival]:
    return {
        "model": (LOAD, "spec", argument),
        "arch": (LOAD, "arch", "resnet18"),
        "trust_code": (LOAD, "trust_code", True),
        "labels": (LOAD, "labels", Path("names.txt")),
        "task": (LOAD, "task", "multilabel"),
        "probabilities": (LOAD, "probabilities", False),
        "device": (LOAD, "device", "cuda:1"),
        "size": (LOAD, "size", (40, 48)),
        "fit": (LOAD, "fit", "letterbox"),
        "mean": (LOAD, "mean", (0.1, 0.2, 0.3)),
        "std": (LOAD, "std", (1.0, 2.0, 3.0)),
        "prompts": (LOAD, "prompts", ["dog", "cat"]),
        "template": (LOAD, "template", "photo:{}"),
    }


def overwritten(base: str, function: str) -> OptionCase:
    """The option --overwrite, which arrives where the names of files are chosen."""
    return OptionCase(base, "--overwrite", {"overwrite": (function, "overwrite", True)}, stop=function)


def requested(holds: Callable[[AttributionRequest], bool]) -> Arrival:
    """Something about the request that `explain` makes."""
    return (EACH, "request", holds)


LINES: dict[str, list[OptionCase]] = {
    "explain": [
        OptionCase("explain pets.png", MODEL, model(), stop=LOAD),
        OptionCase(
            "explain pets.png --model toybox",
            "--target cat --layer layer3 --method smooth_grad_cam_plusplus --score probability --option seed=5 "
            "--precision bf16 --batch-size 3",
            {
                "images": (EACH, "images", [Path("pets.png")]),
                "target": requested(lambda request: request.targets == ["cat"]),
                "layer": requested(lambda request: request.layers == ["layer3"]),
                "method": requested(lambda request: request.methods[0][0].name == "smooth_grad_cam_plusplus"),
                "score": requested(lambda request: request.score == "probability"),
                "option": requested(lambda request: request.methods[0][1].get("seed") == 5),
                "precision": requested(lambda request: request.run_options.precision == "bf16"),
                "batch_size": requested(lambda request: request.run_options.batch_size == 3),
            },
            stop=EACH,
            required=given("images"),
        ),
        OptionCase(
            "explain pets.png --model toybox --method grad_cam,layer_cam",
            f"{LOOK} --maps --panels --compare --output out",
            {
                **look("camlucida.attribution.explanation_set.ExplanationSet.save"),
                "output": ("camlucida.attribution.explanation_set.ExplanationSet.save", "path", Path("out/pets.png")),
                "maps": ("camlucida.attribution.explanation_set.ExplanationSet.save", "path", named(".npz")),
                "panels": (
                    "camlucida.attribution.explanation.Explanation.save",
                    "path",
                    named("pets", "layer_cam", ".png"),
                ),
                "compare": (WRITE, "path", named("pets-disagreement.png")),
            },
        ),
        OptionCase(
            "explain pets.png --model toybox --method gradient",
            "--colour --output out",
            {
                "colour": (WRITE, "path", named("pets-colour.png")),
                "output": ("camlucida.attribution.explanation.Explanation.save", "path", Path("out/pets.png")),
            },
        ),
        OptionCase(
            "explain pets.png --model toybox", "--like b.png", {"like": (LIKE, "like", Path("b.png"))}, stop=LIKE
        ),
        OptionCase(
            "explain pets.png --model toybox",
            "--input table=table.json",
            {"inputs": (EACH, "others", lambda others: "table" in others and others["table"].tolist() == [[1, 2]])},
            stop=EACH,
        ),
        OptionCase(
            "explain pets.png --model toybox:detector",
            '--target "box 1" --margin',
            {
                "margin": (
                    "camlucida.attribution.explanation.detection_margin",
                    "explanation",
                    lambda explanation: explanation.spec == "box 1",
                ),
            },
        ),
        OptionCase(
            "explain pets.png --model toybox",
            "--export coco",
            {"export": ("camlucida.attribution.explanation_set.ExplanationSet.coco", "path", named("pets.coco.json"))},
        ),
        OptionCase(
            "explain pets.png --model toybox",
            "--trust",
            {"trust": (TRUST, "images", lambda images: [image.target for image in images] == ["cat"])},
            stop=TRUST,
        ),
        OptionCase("explain clip.gif --model toybox", "--frames 3", {"frames": (VIDEO, "n_frames", 3)}, stop=VIDEO),
        OptionCase(
            "explain pets.png --model toybox",
            "--bands 3,2,1",
            {"bands": (EACH, "model", lambda model: model.preprocessing.display_bands == (3, 2, 1))},
            stop=EACH,
        ),
        OptionCase(
            "explain scan.nii.gz --model python:net.py:volume --trust-code",
            "--slice 1,2,3 --slices 2",
            {
                "slice_": ("camlucida.attribution.volume_explanation.VolumeExplanation.save", "position", (1, 2, 3)),
                "slices": ("camlucida.attribution.volume_explanation.VolumeExplanation.save_slices", "n", 2),
            },
        ),
        OptionCase(
            "explain pets.png --model toybox:captioner",
            "--words",
            {"words": requested(lambda request: request.targets == ["words"])},
            stop=EACH,
        ),
        OptionCase(
            "explain pets.png --model toybox:captioner",
            "--question what",
            {"question": ("camlucida.models.model.Model.with_question", "question", "what")},
            stop="camlucida.models.model.Model.with_question",
        ),
        overwritten("explain pets.png --model toybox", "camlucida.cli.explain.output_stems"),
        overwritten("explain shots --model toybox", "camlucida.cli.explain.ResultsTable"),
    ],
    "trust": [
        OptionCase("trust pets.png", MODEL, model(), stop=LOAD),
        OptionCase(
            "trust pets.png --model toybox",
            "--target cat --layer layer3 --method layer_cam --windows 16 --seed 7",
            {
                "images": (TRUST, "images", [Path("pets.png")]),
                **direct(TRUST, target="cat", layer="layer3", method="layer_cam", seed=7),
                "windows": (TRUST, "n_windows", 16),
            },
            stop=TRUST,
            required=given("images"),
        ),
        OptionCase(
            "trust pets.png --model toybox --windows 16",
            f"{LOOK} --output out",
            {
                **look("camlucida.reliability.Trust.save"),
                "output": ("camlucida.reliability.Trust.save", "path", Path("out/pets-trust.png")),
            },
        ),
        overwritten("trust pets.png --model toybox --windows 16", "camlucida.cli.trust.output_stems"),
    ],
    "activations": [
        OptionCase("activations pets.png", MODEL, model(), stop=LOAD),
        OptionCase(
            "activations pets.png --model toybox",
            f"--target cat --layer layer3 --sort-by channel --top 3 {LOOK} --output out",
            {
                "images": (ACTIVATIONS, "image", Path("pets.png")),
                **direct(ACTIVATIONS, target="cat", layer="layer3"),
                "sort_by": (ACTIVATIONS, "by", "channel"),
                **look("camlucida.features.activations.Activations.save"),
                "top": ("camlucida.features.activations.Activations.save", "n", 3),
                "output": ("camlucida.features.activations.Activations.save", "path", in_out),
            },
            required=given("images"),
        ),
        OptionCase(
            "activations pets.png --model toybox",
            f"--channel 2 --layer layer3 --top 1 {LOOK} --output out",
            {
                "images": (TOP, "images", [Path("pets.png")]),
                **direct(TOP, channel=2, layer="layer3"),
                "top": [(TOP, "n", 1), ("camlucida.features.top_images.TopImages.save", "n", 1)],
                **look("camlucida.features.top_images.TopImages.save"),
                "output": ("camlucida.features.top_images.TopImages.save", "path", in_out),
            },
            required=given("images"),
        ),
        overwritten("activations pets.png --model toybox", "camlucida.cli.activations.output_stems"),
        overwritten("activations pets.png --model toybox --channel 2", "camlucida.cli.activations.free_path"),
    ],
    "concepts": [
        OptionCase("concepts pets.png", MODEL, model(), stop=LOAD),
        OptionCase(
            "concepts pets.png --model toybox",
            "--layer layer3 --concepts 2 --seed 5 --top 3 --opacity 0.25 --maps --output out",
            {
                "images": (CONCEPTS, "images", [Path("pets.png")]),
                **direct(CONCEPTS, layer="layer3", k=2, seed=5),
                "top": (CONCEPTS_SAVED, "n", 3),
                "opacity": (CONCEPTS_SAVED, "opacity", 0.25),
                "maps": (CONCEPTS_SAVED, "path", named(".npz")),
                "output": (CONCEPTS_SAVED, "path", in_out),
            },
            required=given("images"),
        ),
        overwritten("concepts pets.png --model toybox -k 2", "camlucida.cli.concepts.free_path"),
    ],
    "audit": [
        OptionCase("audit toybox", MODEL, model(), stop=LOAD),
        OptionCase(
            "audit toybox",
            "--model toybox:vgg --method grad_cam,layer_cam --layer a,b --batch-size 3 "
            "--shard 1/4 --limit 7 --seed 11 --output out",
            {
                "data": (OPEN, "spec", "toybox"),
                "method": (AUDIT, "methods", ["grad_cam", "layer_cam"]),
                **direct(AUDIT, layer=["a", "b"], batch_size=3, shard="1/4"),
                "limit": [(AUDIT, "limit", 7), (OPEN, "count", 7)],
                "seed": [(AUDIT, "seed", 11), (OPEN, "seed", 11)],
                "output": (AUDIT, "out", Path("out")),
            },
            stop=AUDIT,
            required=given("data"),
        ),
        OptionCase(
            "audit toybox:2 --limit 1 --model toybox:detector",
            "--target all",
            {"target": (AUDIT, "target", "all")},
            stop=AUDIT,
        ),
        OptionCase(
            "audit toybox --limit 1",
            "--engine ray --workers 2",
            {"workers": (RAY, "workers", 2), "engine": (RAY, "workers", 2)},
            stop=RAY,
        ),
        OptionCase(
            "audit shots",
            "--boxes boxes.csv --split train",
            direct(OPEN, boxes=Path("boxes.csv"), split="train"),
            stop=OPEN,
        ),
        OptionCase(
            "audit toybox --limit 1", "--max-memory 2MB", {"max_memory": (AUDIT, "max_bytes", 2_000_000)}, stop=AUDIT
        ),
        OptionCase(
            "audit toybox --limit 1 --output out",
            "--findings none",
            {"findings": (FINDINGS, "names", ["none"])},
            stop=FINDINGS,
        ),
        OptionCase(
            "audit toybox --limit 1 --output out --findings none",
            "--against audited --fail-on 'accuracy drops' --junit out.xml --markdown out.md",
            direct(
                COMPARE,
                against=Path("audited"),
                fail_on="accuracy drops",
                junit=Path("out.xml"),
                markdown=Path("out.md"),
            ),
            stop=COMPARE,
        ),
    ],
    "query": [
        OptionCase(
            "query audited",
            "correct --top 2 --sort-by confidence --ascending --csv out.csv",
            {
                "audit": (QUERY, "self", lambda audit: audit.path == Path("audited")),
                "expression": (QUERY, "expression", "correct"),
                "top": (PRINTED, "text", lambda text: text.count("scene") == 2),
                "sort_by": (PRINTED, "text", lambda text: "scene 2" in text),
                "ascending": (PRINTED, "text", lambda text: "scene 2" in text),
                "csv": (PRINTED, "text", lambda text: "→ out.csv" in text),
            },
            required=given("audit", "sort_by", "ascending"),
        ),
        OptionCase(
            "query audited --panel out.png",
            f"--method grad_cam --target competing {LOOK}",
            {
                **direct(PANEL, method="grad_cam", opacity=0.25, colormap="jet"),
                "target": (PANEL, "explained", "competing"),
                "blend": (PANEL, "blend", "uniform"),
            },
            stop=PANEL,
        ),
        OptionCase("query audited", "--panel out.png", {"panel": (WRITE, "path", Path("out.png"))}, stop=WRITE),
        OptionCase(
            "query audited --panel out.png",
            "--trust-code",
            {"trust_code": ("camlucida.cli.query.reopen_data", "trust_code", True)},
            stop="camlucida.cli.query.reopen_data",
        ),
        overwritten("query audited --csv out.csv", "camlucida.cli.query.free_path"),
    ],
    "evaluate": [
        OptionCase("evaluate toybox", MODEL, model(), stop=LOAD),
        OptionCase(
            "evaluate toybox",
            "--model toybox:vgg --method grad_cam,layer_cam --metrics gini,entropy --layer a,b --no-controls "
            "--target true --limit 7 --seed 11 --output out",
            {
                "data": (OPEN, "spec", "toybox"),
                "method": (EVALUATE, "methods", ["grad_cam", "layer_cam"]),
                **direct(EVALUATE, metrics=["gini", "entropy"], layer=["a", "b"]),
                **direct(EVALUATE, controls=(), target="true"),
                "limit": [(EVALUATE, "limit", 7), (OPEN, "count", 7)],
                "seed": [(EVALUATE, "seed", 11), (OPEN, "seed", 11)],
                "output": (EVALUATE, "out", Path("out")),
            },
            stop=EVALUATE,
            required=given("data"),
        ),
        OptionCase(
            "evaluate shots",
            "--boxes boxes.csv --split train",
            direct(OPEN, boxes=Path("boxes.csv"), split="train"),
            stop=OPEN,
        ),
        OptionCase(
            "evaluate toybox",
            "--engine ray --workers 3",
            {
                "engine": (EVALUATE, "engine", lambda engine: getattr(engine, "reopen", None) is not None),
                "workers": (EVALUATE, "engine", lambda engine: getattr(engine, "workers", None) == 3),
            },
            stop=EVALUATE,
        ),
        OptionCase(
            "evaluate toybox",
            "--recipe cam-vs-gradcam",
            {
                "recipe": [
                    (EVALUATE, "compared", (("cam", "grad_cam"),)),
                    (EVALUATE, "metrics", ["box_iou", "max_box_acc", "pointing", "energy"]),
                ]
            },
            stop=EVALUATE,
        ),
        OptionCase(
            "evaluate toybox --limit 1 --metrics entropy --no-controls --output out",
            "--report page.html",
            {"report": (REPORT, "path", Path("page.html"))},
            stop=REPORT,
        ),
        overwritten(
            "evaluate toybox --limit 1 --metrics entropy --no-controls --report page.html",
            "camlucida.cli.evaluate.free_path",
        ),
    ],
    "export": [
        OptionCase(
            "export audit",
            "--format fiftyone --where confidence>.01 --top 1 --output out/x.json",
            {
                "audit": (EXPORT, "audit", lambda audit: audit.path == Path("audit")),
                "format": (EXPORT, "kind", "fiftyone"),
                "where": ("camlucida.audits.query.select", "expression", "confidence>.01"),
                "top": (EXPORT, "indices", [0]),
                "output": (EXPORT, "file", Path("out/x.json")),
            },
            stop=EXPORT,
            required=given("audit"),
        ),
        OptionCase(
            "export audit --format coco",
            "--no-images",
            {"images": (EXPORT, "audit", lambda audit: audit.data is None)},
            stop=EXPORT,
        ),
        OptionCase(
            "export audit --format coco", "--trust-code", {"trust_code": (REOPEN, "trust_code", True)}, stop=REOPEN
        ),
        overwritten("export audit", "camlucida.cli.export.free_path"),
    ],
    "report": [
        OptionCase(
            "report run",
            "--no-images --output page.html",
            {
                "run": (REPORT, "evaluation", lambda evaluation: evaluation.path == Path("run")),
                "images": (REPORT, "model", None),
                "output": (REPORT, "path", Path("page.html")),
            },
            stop=REPORT,
            required=given("run"),
        ),
        OptionCase("report run", "--trust-code", {"trust_code": (REOPENED, "trust_code", True)}, stop=REOPENED),
        overwritten("report run", "camlucida.cli.report.free_path"),
    ],
    "train": [
        OptionCase(
            "train toybox",
            "--arch toybox:vgg --output out --epochs 3 --batch-size 5 --lr 0.3 --optimizer adamw --momentum 0.7 "
            "--weight-decay 0.02 --schedule cosine --warmup 0.5 --train gradual --head gap --weights w.safetensors "
            "--no-pretrained --size 40 --fit squash --augment flip,crop --label-smoothing 0.1 --class-weights balanced "
            "--precision bf16 --patience 4 --val 0.4 --boxes boxes.csv --limit 9 --keep-epochs "
            "--tensorboard --trust-code --device cpu --seed 13",
            {
                "output": (TRAIN, "out", Path("out")),
                **direct(TRAIN, data="toybox", arch="toybox:vgg", epochs=3, batch_size=5, lr=0.3, optimizer="adamw"),
                **direct(TRAIN, momentum=0.7, weight_decay=0.02, schedule="cosine", warmup=0.5, train="gradual"),
                **direct(TRAIN, head="gap", weights=Path("w.safetensors"), pretrained=False, size=40, fit="squash"),
                **direct(TRAIN, augment=("flip", "crop"), label_smoothing=0.1, class_weights="balanced"),
                **direct(TRAIN, precision="bf16", patience=4, val=0.4, boxes=Path("boxes.csv"), limit=9),
                **direct(TRAIN, keep_epochs=True, tensorboard=True, trust_code=True, device="cpu", seed=13),
            },
            stop=TRAIN,
            required=given("data"),
        ),
    ],
    "sanity": [
        OptionCase("sanity pets.png", MODEL, model(), stop=LOAD),
        OptionCase(
            "sanity toybox",
            "--method grad_cam,cam --checks smooth,independent --layer layer3 --target dog --seeds 2 --limit 3 "
            "--seed 5",
            {
                "images": (SANITY, "images", lambda images: all(isinstance(image, Image.Image) for image in images)),
                "method": (SANITY, "methods", ["grad_cam", "cam"]),
                **direct(SANITY, checks=["smooth", "independent"], layer="layer3", target="dog", seeds=2),
                "limit": [(SANITY, "images", lambda images: len(images) == 3), (OPEN, "count", 3)],
                "seed": (OPEN, "seed", 5),
            },
            stop=SANITY,
            required=given("images"),
        ),
        OptionCase(
            "sanity shots --model toybox",
            "--limit 1 --seed 5",
            {
                "limit": [(SPREAD, "limit", 1), (SANITY, "images", lambda images: len(images) == 1)],
                "seed": (SPREAD, "seed", 5),
            },
            stop=SANITY,
        ),
        OptionCase(
            "sanity pets.png --model toybox --seeds 1 --checks random_logit",
            "--output out",
            {"output": (WRITE, "path", Path("out/sanity.png"))},
            stop=WRITE,
        ),
        overwritten("sanity pets.png --model toybox --seeds 1 --checks random_logit", "camlucida.cli.sanity.free_path"),
    ],
    "study make": [
        OptionCase("study make pets.png --method cam,grad_cam", MODEL, model(), stop=LOAD),
        OptionCase(
            "study make pets.png --method cam,grad_cam --model toybox",
            "--layer layer3 --target cat --pairs 4 --ratings 2 --seed 5 --output out",
            {
                "images": (MAKE, "images", [Path("pets.png")]),
                "output": (MAKE, "folder", Path("out")),
                "method": (MAKE, "methods", ["cam", "grad_cam"]),
                **direct(MAKE, layer="layer3", target="cat", pairs=4, ratings=2, seed=5),
            },
            stop=MAKE,
            required=given("images", "method"),
        ),
    ],
    "study results": [
        OptionCase(
            "study results study",
            "--evaluation run --output table.csv",
            {
                "folder": ("camlucida.user_study.results", "study", lambda study: study.path.parent == Path("study")),
                "evaluation": ("camlucida.user_study.results", "evaluation", lambda e: e and e.path == Path("run")),
                "output": ("camlucida.user_study.PreferenceResults.save", "path", Path("table.csv")),
            },
            required=given("folder"),
        ),
        overwritten("study results study --output table.csv", "camlucida.cli.study.free_path"),
    ],
    "mistakes": [
        OptionCase("mistakes toybox", MODEL, model(), stop=LOAD),
        OptionCase("mistakes shots", "--boxes boxes.csv", direct(OPEN, boxes=Path("boxes.csv")), stop=OPEN),
        OptionCase(
            "mistakes toybox",
            "--method layer_cam --layer layer3 --no-maps --limit 3 --seed 5 --output out",
            {
                "data": (OPEN, "spec", "toybox"),
                "output": (MISTAKES, "out", Path("out")),
                **direct(MISTAKES, method="layer_cam", layer="layer3", maps=False),
                "limit": [(MISTAKES, "limit", 3), (OPEN, "count", 3)],
                "seed": [(MISTAKES, "seed", 5), (OPEN, "seed", 5)],
            },
            stop=MISTAKES,
            required=given("data"),
        ),
        OptionCase(
            "mistakes toybox --model toybox:permuted --limit 4 --no-maps",
            "--top 2",
            {
                "top": [
                    ("camlucida.analysis.Mistakes.save", "n", 2),
                    ("camlucida.report.mistakes_page.mistakes_report", "errors", 2),
                ]
            },
        ),
    ],
    "embed": [
        OptionCase("embed toybox", MODEL, model(), stop=LOAD),
        OptionCase("embed shots", "--boxes boxes.csv", direct(OPEN, boxes=Path("boxes.csv")), stop=OPEN),
        OptionCase(
            "embed toybox",
            "--projection pca --perplexity 4 --limit 3 --seed 5 --output out",
            {
                "data": (OPEN, "spec", "toybox"),
                "output": (EMBED, "out", Path("out")),
                "projection": (EMBED, "way", "pca"),
                "perplexity": (EMBED, "perplexity", 4.0),
                "limit": [(EMBED, "limit", 3), (OPEN, "count", 3)],
                "seed": [(EMBED, "seed", 5), (OPEN, "seed", 5)],
            },
            stop=EMBED,
            required=given("data"),
        ),
        OptionCase(
            "embed shots --model toybox --projection pca",
            "--near cat.png",
            {"near": ("camlucida.analysis.Embedding.save", "images", ["cat.png"])},
            stop="camlucida.analysis.Embedding.save",
        ),
    ],
    "film": [
        OptionCase(
            "film shots --checkpoints toybox",
            "--checkpoints toybox:vgg --arch resnet18 --trust-code --device cpu --method layer_cam --layer layer3 "
            "--target predicted --limit 1 --seed 5 --size 64 --fit crop --task multilabel --probabilities",
            {
                "data": (OPEN, "spec", "shots"),
                "checkpoints": (FILM, "models", ["toybox", "toybox:vgg"]),
                **direct(
                    FILM,
                    arch="resnet18",
                    trust_code=True,
                    device="cpu",
                    method="layer_cam",
                    layer="layer3",
                    target="predicted",
                ),
                **direct(FILM, size=64, fit="crop", task="multilabel", probabilities=True),
                "limit": [(SPREAD, "limit", 1), (OPEN, "count", 1)],
                "seed": [(SPREAD, "seed", 5), (OPEN, "seed", 5)],
            },
            stop=FILM,
            required=given("data"),
        ),
        OptionCase(
            "film shots --checkpoints toybox", "--boxes boxes.csv", direct(OPEN, boxes=Path("boxes.csv")), stop=OPEN
        ),
        OptionCase(
            "film shots --checkpoints toybox --limit 1",
            "--output out",
            {"output": ("camlucida.analysis.Film.save", "path", Path("out/film.png"))},
            stop="camlucida.analysis.Film.save",
        ),
        overwritten("film shots --checkpoints toybox --limit 1", "camlucida.cli.film.free_path"),
    ],
    "data check": [
        OptionCase(
            "data check shots",
            "--split train --boxes boxes.csv",
            direct(OPEN, split="train", boxes=Path("boxes.csv")),
            stop=OPEN,
        ),
        OptionCase(
            "data check toybox",
            "--images 1 --seed 5 --limit 1 --output out",
            {
                "path": (OPEN, "spec", "toybox"),
                "limit": (OPEN, "count", 1),
                "seed": [(OPEN, "seed", 5), (SHEET, "seed", 5)],
                "images": (SHEET, "n_images", 1),
                "output": (WRITE, "path", Path("out/classes.png")),
            },
            required=given("path"),
        ),
        overwritten("data check toybox --limit 1", "camlucida.cli.data.free_path"),
    ],
    "app": [
        OptionCase("app --port 0", MODEL, model(), stop=LOAD),
        OptionCase(
            "app --model toybox --port 0 --data shots",
            "--boxes boxes.csv",
            direct(OPEN, boxes=Path("boxes.csv")),
            stop=OPEN,
        ),
        OptionCase(
            "app --model toybox --port 0",
            "--data toybox:2 --limit 2 --seed 5 --run run --study study",
            {
                "data": (OPEN, "spec", "toybox:2"),
                "limit": (OPEN, "count", 2),
                "seed": (OPEN, "seed", 5),
                "run": (PAGE, "runs", (Path("run"),)),
                "study": (PAGE, "study", Path("study")),
            },
            stop=PAGE,
        ),
        OptionCase(
            "app --model toybox --port 0 --limit 1",
            "--audit begun",
            {"audit": (PAGE, "audit_folders", (Path("begun"),))},
            stop=PAGE,
        ),
        OptionCase(
            "app --model toybox --limit 1",
            "--host localhost --port 0 --browser",
            {
                "host": [(LISTEN, "host", "localhost"), (SERVE, "host", "localhost")],
                "port": (LISTEN, "port", 0),
                "browser": (SERVE, "browser", True),
            },
            stop=SERVE,
        ),
    ],
    "demo": [
        OptionCase(
            "demo",
            "--seed 9 --output out",
            {
                "seed": ("camlucida.data.toybox.scene", "seed", 9),
                "output": ("camlucida.attribution.explanation.Explanation.save", "path", Path("out/1-cat.png")),
            },
            stop="camlucida.attribution.explanation.Explanation.save",
        ),
        overwritten("demo", "camlucida.cli.demo.free_path"),
    ],
    "layers": [
        OptionCase(
            "layers resnet18",
            "--arch toybox --trust-code --task binary --probabilities --device cpu",
            {
                "arch": (LOAD, "arch", "toybox"),
                "trust_code": (LOAD, "trust_code", True),
                "task": (LOAD, "task", "binary"),
                "probabilities": (LOAD, "probabilities", True),
                "device": (LOAD, "device", "cpu"),
            },
            stop=LOAD,
        ),
        OptionCase("layers", "toybox", {"model": (LOAD, "spec", "toybox")}, stop=LOAD),
        OptionCase(
            "layers toybox",
            "--size 48 --depth 1",
            {
                "size": (PRINTED, "text", lambda text: "3×48×48 input" in text),
                "depth": (PRINTED, "text", lambda text: "layer4" in text and "layer4.0" not in text),
            },
        ),
        overwritten("layers toybox --csv layers.csv", "camlucida.cli.layers.free_path"),
        OptionCase(
            "layers toybox",
            "--conv --explain-choice --csv out.csv --markdown out.md",
            {
                "conv": (PRINTED, "text", lambda text: "Conv2d" in text and "Linear" not in text),
                "explain_choice": (PRINTED, "text", lambda text: "Influence: " in text),
                "csv": (PRINTED, "text", lambda text: "→ out.csv" in text),
                "markdown": (PRINTED, "text", lambda text: "→ out.md" in text),
            },
        ),
    ],
    "models": [
        OptionCase("models", "--search resnet1", {"search": (PRINTED, "text", lambda text: "vgg" not in text)}),
    ],
    "cache": [OptionCase("cache", "--clear", {"clear": (PRINTED, "text", lambda text: "0 entries deleted" in text)})],
    "completion": [
        OptionCase(
            "completion",
            "zsh --install",
            {"shell": (INSTALL, "shell", "zsh"), "install": (INSTALL, "shell", "zsh")},
            stop=INSTALL,
        ),
    ],
}


def commands(of: Any = app, path: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """Every command, and the names of its options in Python."""
    if path and of.default_command is not None:
        arguments = of.assemble_argument_collection()
        yield " ".join(path), [argument.field_info.name for argument in arguments if argument.show]
    for name in of:
        if not name.startswith("-"):
            yield from commands(of[name], (*path, name))


COMMANDS = dict(commands())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_case(command: str) -> None:
    known = {option for line in LINES.get(command, []) for option in line.arrivals}
    assert set(COMMANDS[command]) - known == SHARED, "these options may be ignored: add where they arrive"
    assert known - set(COMMANDS[command]) == set(), "there are no such options"


def test_no_case_is_of_another_command() -> None:
    assert set(LINES) == set(COMMANDS)
    for command, lines in LINES.items():
        assert all(line.base.startswith(command) for line in lines)


class _Stopped(BaseException):
    """The command came to the function at which it was to be ended."""


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, labels and boxes."""
    for module in pkgutil.walk_packages(camlucida.__path__, "camlucida."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)  # a module first imported below would keep a recorder for good
    folder = tmp_path_factory.mktemp("furnished")
    pets = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()
    pets.save(folder / "pets.png")
    (folder / "shots").mkdir()
    for number, kind in enumerate(("cat", "dog", "key", "boat"), start=5):
        toybox.scene(number, kinds=[kind], size=96).picture().save(folder / "shots" / f"{kind}.png")
    (folder / "names.txt").write_text("\n".join(f"class {i}" for i in range(10)))
    (folder / "table.json").write_text("[[1.0, 2.0]]")
    (folder / "boxes.csv").write_text("file,x0,y0,x1,y1\ncat.png,1,2,30,40\n")
    (folder / "net.py").write_text(VOLUME_NETWORK)
    (folder / "begun").mkdir()
    (folder / "begun" / "plan.json").write_text('{"plan": {"arrays": []}, "source": {}}')
    nibabel = pytest.importorskip("nibabel")
    values = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / "scan.nii.gz")
    return folder


def _add(folder: Path, name: str) -> None:
    """Create an evaluation, an audit or an answered study, when a case names it first."""
    if name == "run" and not (folder / name).exists():
        source = {"data": "toybox", "count": 1, "boxes": None, "model": "toybox", "arch": None, "labels": None}
        both = {"methods": ["cam", "grad_cam"], "metrics": ["entropy"]}
        evaluate("toybox", ToyboxDataset(Toybox(1)), **both, out=folder / name, source=source)  # type: ignore[arg-type]
    if name == "audit" and not (folder / name).exists():
        audit(
            "toybox", ToyboxDataset(Toybox(2)), folder / name, source={"data": "toybox", "count": 2, "model": "toybox"}
        )
    if name == "audited" and not (folder / name).exists():
        source = {"data": "toybox", "count": 4, "boxes": None, "model": "toybox", "arch": None, "labels": None}
        camlucida.audit("toybox", ToyboxDataset(Toybox(4)), folder / name, source=source)
    if name == "study" and not (folder / name).exists():
        study: Study = make_study(folder / name, "toybox", [folder / "pets.png"], methods=["cam", "grad_cam"])
        for trial in study.trial_order("anna"):
            study.record_answer(trial, "anna", 1)


@dataclass
class Recorded:
    """What library functions were called with."""

    calls: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def has(self, arrival: Arrival) -> bool:
        function, argument, expected = arrival
        values = [call[argument] for call in self.calls.get(function, []) if argument in call]
        return any(_is(value, expected) for value in values)


def _is(value: Any, expected: Any) -> bool:
    if callable(expected):
        return bool(expected(value))
    return type(value) is type(expected) and bool(value == expected)


Runner = Callable[[OptionCase, str], Recorded]


@pytest.fixture
def run(furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    monkeypatch.setenv("CAMLUCIDA_OFFLINE", "1")
    monkeypatch.setenv("CAMLUCIDA_CACHE", str(tmp_path / "cache"))  # that of the test session is never empty

    def call(line: OptionCase, words: str) -> Recorded:
        folder = tmp_path / ("with" if words != line.base else "without")
        folder.mkdir()
        for word in words.split()[1:]:
            _add(furnished, word)
        for entry in furnished.iterdir():
            (folder / entry.name).symlink_to(entry)
        recorded = Recorded()
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            arrivals = [a for value in line.arrivals.values() for a in (value if isinstance(value, list) else [value])]
            for name in {function for function, _, _ in arrivals} - {PRINTED} | ({line.stop} - {""}):
                _record(name, recorded, patch, stop=name == line.stop)
            with pytest.raises((SystemExit, _Stopped)) as ended:
                main(shlex.split(words))
        text, errors = capsys.readouterr()
        recorded.calls[PRINTED] = [{"text": text}]
        if line.stop and words != line.base:
            assert ended.type is _Stopped, f"never came to {line.stop}: {text}{errors}"
        if not line.stop:
            assert ended.type is SystemExit
            assert getattr(ended.value, "code", None) in (0, 1), errors  # 1: findings about the data
        return recorded

    return call


def _record(name: str, recorded: Recorded, patch: pytest.MonkeyPatch, *, stop: bool) -> None:
    """Replace a function, method or class by one that records its arguments."""
    home, _, attribute = name.rpartition(".")
    owner = importlib.import_module(home) if home.rpartition(".")[2].islower() else _class(home)
    original = getattr(owner, attribute)
    signature = inspect.signature(original)

    @functools.wraps(original, updated=())
    def record(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments |= arguments.pop(parameter.name)
        recorded.calls.setdefault(name, []).append(arguments)
        if stop:
            raise _Stopped
        return original(*args, **kwargs)

    patch.setattr(owner, attribute, record)


def _class(name: str) -> Any:
    home, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(home), attribute)


@pytest.mark.parametrize(
    "line", [pytest.param(line, id=f"{command} {i}") for command in LINES for i, line in enumerate(LINES[command])]
)
def test_options_arrive(line: OptionCase, run: Runner) -> None:
    with_options = run(line, f"{line.base} {line.words}")
    without = run(line, line.base)
    for option, value in line.arrivals.items():
        for arrival in value if isinstance(value, list) else [value]:
            assert with_options.has(arrival), f"{option} does not arrive at {arrival[0]}, {arrival[1]}"
            if option not in line.required:
                assert not without.has(arrival), f"{option}: {arrival[1]} is the same without it: choose another value"

"""The search on images with a planted tag, and a network whose reliance on the tag is set by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

import camlucida as cl
from camlucida.audits.audit_result import Audit
from camlucida.audits.hypotheses import Hypotheses, Settings, find_hypotheses, verification
from camlucida.audits.hypotheses.arrays import AuditArrays
from camlucida.audits.hypotheses.candidates import Candidate
from camlucida.audits.hypotheses.interventions import Covered, Pasted
from camlucida.audits.hypotheses.scoring import Scorer
from camlucida.audits.hypotheses.verification import Verifier
from camlucida.audits.run import audit
from camlucida.data.datasets import Item, ListDataset
from camlucida.errors import DataError

SIZE, N, N_TAGGED = 24, 40, 12
SETTINGS = Settings(max_hypotheses=20, max_members=16, max_controls=16, n_pilot=8)
TAG_BOX = (1, SIZE - 6, 6, SIZE - 1)


class Colours(nn.Module):
    """Class 0: red, and green with a weight; class 1: blue. The layer returns one channel per colour."""

    def __init__(self, tag_weight: float) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.layer.weight.data = torch.eye(3)[:, :, None, None].expand(3, 3, 3, 3) / 9
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(3, 2)
        self.fc.weight.data = torch.tensor([[60.0, tag_weight, 0.0], [0.0, 0.0, 60.0]])
        self.fc.bias.data = torch.tensor([-tag_weight * 12 / 255, 0.0])  # the background is 12 on average

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.pool(self.layer(x).relu()).flatten(1))
        return scores


def images(fixed: bool) -> ListDataset:
    """Red images (class 0), some with a green tag, and blue ones (class 1); the object is a square anywhere."""
    rng = np.random.default_rng(0)
    items = []
    for i in range(2 * N):
        label = int(i >= N)
        pixels = rng.integers(0, 25, (SIZE, SIZE, 3))
        x, y = rng.integers(1, SIZE - 9, 2)
        pixels[y : y + 8, x : x + 8, 2 * label] = 160
        left, top = (TAG_BOX[0], TAG_BOX[1]) if fixed else rng.integers(1, SIZE - 6, 2)
        if i < N_TAGGED:
            pixels[top : top + 5, left : left + 5] = (0, 250, 0)
        mask = np.zeros((SIZE, SIZE), dtype=bool)
        mask[y : y + 8, x : x + 8] = True
        item = Item(Image.fromarray(pixels.astype(np.uint8)), f"{i}", label, mask=lambda m=mask: m)  # type: ignore[misc]
        items.append(item)
    return ListDataset("colours", items, ("red", "blue"))


def audited(tag_weight: float, folder: Path, fixed: bool = True) -> Audit:
    model = cl.wrap(Colours(tag_weight).eval(), size=(SIZE, SIZE), labels=["red", "blue"], mean=(0,) * 3, std=(1,) * 3)
    return audit(model, images(fixed), folder, layer="layer")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, Hypotheses]:
    result = audited(600.0, tmp_path_factory.mktemp("planted"))
    return result, find_hypotheses(result, settings=SETTINGS)


def test_the_tag_is_ranked_first_and_verified(planted: tuple[Audit, Hypotheses]) -> None:
    first = planted[1].hypotheses[0]
    assert first.verified
    assert first.class_name == "red"
    tagged = set(range(N_TAGGED))
    assert len(tagged & set(first.members)) / len(tagged | set(first.members)) > 0.7
    assert first.medoid in first.members
    assert first.effect.value > 0.5
    assert first.effect.low is not None
    assert first.effect.low > 0
    assert first.p is not None
    assert first.p_corrected is not None
    assert first.p <= first.p_corrected <= 0.05
    assert "'red'" in first.sentence


def test_the_region_is_the_tag(planted: tuple[Audit, Hypotheses]) -> None:
    fixed = next(h for h in planted[1].hypotheses if h.verified)
    left, top, right, bottom = (SIZE * edge for edge in fixed.region or ())
    assert left <= 3.5 <= right
    assert top <= SIZE - 3.5 <= bottom
    assert right - left < 12
    assert fixed.counts["outside_object"] > 0.5


def test_a_network_that_ignores_the_tag_has_no_cue(tmp_path: Path) -> None:
    result = find_hypotheses(audited(0.0, tmp_path), settings=SETTINGS, with_images=False)
    assert result.hypotheses
    assert not result.verified
    assert result.sentences[0].startswith("No spurious cue was verified")


def test_a_tag_at_any_position_is_found(tmp_path: Path) -> None:
    result = find_hypotheses(audited(600.0, tmp_path, fixed=False), settings=SETTINGS, with_images=False)
    first = result.hypotheses[0]
    assert first.verified
    assert first.kind == "any position"
    assert np.mean([row < N_TAGGED for row in first.members]) > 0.7


def test_effects_are_those_beyond_the_controls(
    planted: tuple[Audit, Hypotheses], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    n, n_controls = 12, 14
    pasted, control = (
        Pasted(rng.random(count), rng.random(count), np.ones(count, dtype=np.int64)) for count in (n, n_controls)
    )
    true = np.ones(n, dtype=bool)
    covered = Covered(2 + rng.random(n), 1 + rng.random((n, 4)), true, true, np.zeros(n))
    outcomes = iter((pasted, control))
    monkeypatch.setattr(verification, "transplant", lambda *_: next(outcomes))
    monkeypatch.setattr(verification, "cover", lambda *_: covered)
    model, data = planted[0].require_model_and_data("a test")
    verifier = Verifier(Scorer(model, data), AuditArrays(planted[0]), SETTINGS)
    candidate = Candidate("any position", "predicted", 0, np.arange(n), np.arange(n, n + n_controls), 0, 0.5, 0.5)
    result = verifier.verify(candidate)
    assert result.gain.value == pytest.approx(pasted.gained.mean() - control.gained.mean())
    assert result.gain.low < result.gain.value < result.gain.high
    assert result.drop is not None
    assert result.drop.value == pytest.approx(np.mean(covered.drops - covered.control_drops.mean(1)))
    assert result.drop.low < result.drop.value < result.drop.high
    assert result.p_paste == pytest.approx(mannwhitneyu(pasted.rises, control.rises, alternative="greater").pvalue)
    assert result.p == max(result.p_cover, result.p_paste)


def test_record_is_json_and_returns(planted: tuple[Audit, Hypotheses]) -> None:
    text = json.dumps(planted[1].record(), allow_nan=False)
    again = Hypotheses.from_record(json.loads(text))
    assert json.dumps(again.record()) == text
    assert [h["rank"] for h in json.loads(text)["hypotheses"]] == list(range(1, len(again.hypotheses) + 1))
    assert json.loads(text)["settings"]["max_members"] == 16


def test_evidence_images_are_written(planted: tuple[Audit, Hypotheses]) -> None:
    result, found = planted
    (name,) = found.hypotheses[0].images
    with Image.open(result.path / "findings" / "images" / name) as sheet:
        assert sheet.format == "JPEG"
        assert sheet.width > 600


def test_same_seed_same_result(planted: tuple[Audit, Hypotheses]) -> None:
    again = find_hypotheses(planted[0], settings=SETTINGS, with_images=False)
    assert [(h.members, h.p, h.effect) for h in again.hypotheses] == [
        (h.members, h.p, h.effect) for h in planted[1].hypotheses
    ]
    assert again.n_forwards <= len(again.hypotheses) * SETTINGS.max_forwards


def test_an_interrupted_search_resumes(planted: tuple[Audit, Hypotheses], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camlucida.audits.hypotheses.partial.WRITE_EVERY_S", -1.0)

    def interrupt(done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_hypotheses(planted[0], settings=SETTINGS, progress=interrupt, with_images=False)
    partial = planted[0].path / "findings" / "hypotheses.partial"
    assert len(json.loads(partial.read_text())["results"]) == 6
    resumed = find_hypotheses(planted[0], settings=SETTINGS, with_images=False)
    assert resumed.n_forwards < planted[1].n_forwards
    assert [(h.members, h.p, h.sentence) for h in resumed.hypotheses] == [
        (h.members, h.p, h.sentence) for h in planted[1].hypotheses
    ]
    assert not partial.exists()


def test_one_class_for_all_images_has_no_recipients(tmp_path: Path) -> None:
    model = cl.wrap(Colours(0.0).eval(), size=(SIZE, SIZE), labels=["red", "blue"], mean=(0,) * 3, std=(1,) * 3)
    data = images(True)
    reds = ListDataset("reds", [data[i] for i in range(N)], data.classes)
    result = find_hypotheses(audit(model, reds, tmp_path, layer="layer"), settings=SETTINGS, with_images=False)
    assert result.hypotheses
    assert not result.verified
    json.dumps(result.record(), allow_nan=False)


def test_few_images_are_told(tmp_path: Path) -> None:
    model = cl.wrap(Colours(0.0).eval(), size=(SIZE, SIZE), labels=["red", "blue"], mean=(0,) * 3, std=(1,) * 3)
    data = images(True)
    few = ListDataset("few", [data[i] for i in (0, 1, 2, 3, N, N + 1, N + 2)], data.classes)
    result = find_hypotheses(audit(model, few, tmp_path, layer="layer"), settings=SETTINGS)
    assert not result.hypotheses
    assert "No class has 20 images" in " ".join(result.sentences)


def test_the_model_is_needed(planted: tuple[Audit, Hypotheses]) -> None:
    with pytest.raises(DataError, match="needs the model"):
        find_hypotheses(Audit(planted[0].path))

"""Targets of detectors: detections, boxes, edges and missed objects, each read from the candidate that matches."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from camlucida.errors import TargetError
from camlucida.models.detection.candidates import Candidates, box_iou, detections, log_odds, pad_candidates
from camlucida.models.detection.readers import BoxScores, ImageScores
from camlucida.models.detection.targets import DetectionTargets
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing

SIZE = 32
BOXES = [[2.0, 2.0, 12.0, 12.0], [3.0, 2.0, 13.0, 12.0], [16.0, 16.0, 30.0, 30.0], [20.0, 2.0, 28.0, 10.0]]
SCORES = [[2.0, -3.0], [1.0, 0.5], [-3.0, 3.0], [-2.0, -4.0]]


class Fixed(nn.Module):
    """Returns the same candidates for every image, with scores that depend on its mean."""

    def __init__(self, boxes: Tensor) -> None:
        super().__init__()
        self.register_buffer("boxes", boxes)
        self.register_buffer("scores", torch.tensor(SCORES))
        self.conv = nn.Conv2d(3, 1, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        shift = 0 * self.conv(x).mean((1, 2, 3))
        scores = self.scores + shift[:, None, None]
        return {"boxes": self.boxes.expand(len(x), *self.boxes.shape), "scores": scores}


@pytest.fixture
def model() -> Model:
    return Model(
        Fixed(torch.tensor(BOXES)).eval(),
        Preprocessing(size=(SIZE, SIZE), resize=(SIZE, SIZE)),
        ("cat", "dog"),
        output=ImageScores(),
        task="multilabel",
        probabilities=False,
        image_targets=DetectionTargets(0.5, 0.5),
    )


@pytest.fixture
def inputs() -> Tensor:
    return torch.zeros(1, 3, SIZE, SIZE)


def bind(model: Model, inputs: Tensor, spec: object) -> tuple:
    return model.image_targets.bind(model, inputs, spec)


def test_log_odds_are_those_of_the_softmax():
    torch.manual_seed(0)
    logits = torch.randn(4, 7, dtype=torch.float64) * 3
    torch.testing.assert_close(log_odds(logits).sigmoid(), logits.softmax(-1))
    sure = torch.tensor([60.0, 0.0, -60.0])
    odds = log_odds(sure)
    torch.testing.assert_close(odds, torch.tensor([60.0, -60.0, -120.0]))
    logits.requires_grad_()
    assert torch.autograd.gradcheck(log_odds, (logits,))


def test_every_detection_most_probable_first(model, inputs):
    bound = bind(model, inputs, None)
    assert [b.label for b in bound] == ["dog (box 1)", "cat (box 2)", "dog (box 3)"]
    assert [b.spec for b in bound] == ["box 1", "box 2", "box 3"]
    assert bound[0].region.box == tuple(BOXES[2])
    assert bound[0].region.probability == pytest.approx(1 / (1 + math.exp(-3)))
    assert [b.target for b in bound] == [1, 0, 1]


def test_a_box_is_read_with_all_classes(model, inputs):
    (bound,) = bind(model, inputs, "box 2")
    scores = bound.model.output(bound.model.network(inputs))
    torch.testing.assert_close(scores, torch.tensor([SCORES[0]]))
    assert bound.model.image_targets is None
    assert bound.model.network is model.network


def test_another_class_of_the_same_box(model, inputs):
    (bound,) = bind(model, inputs, "Box 2: cat rather  than dog")
    assert bound.target == "cat rather than dog"
    assert bound.label == bound.spec == "box 2: cat rather than dog"


def test_edges_are_coordinates(model, inputs):
    for edge, value in zip(("left", "top", "right", "bottom"), BOXES[2], strict=True):
        (bound,) = bind(model, inputs, f"edge {edge} of box 1")
        assert bound.model.output(bound.model.network(inputs)).tolist() == [[value]]
        assert bound.model.task == "regression"
    (same,) = bind(model, inputs, "bottom edge of box 1")
    assert same.spec == "edge bottom of box 1"
    with pytest.raises(TargetError, match="no edge 'middle'"):
        bind(model, inputs, "edge middle of box 1")


def test_a_point_in_a_detection(model, inputs):
    (bound,) = bind(model, inputs, "dog at 20,20")
    assert bound.spec == "box 1"


def test_a_missed_object(model, inputs):
    (bound,) = bind(model, inputs, "cat at 24,5")
    assert bound.label == "missed cat at 24,5"
    assert bound.region.box == tuple(BOXES[3])
    assert bound.region.probability == pytest.approx(1 / (1 + math.exp(2)))
    (nearest,) = bind(model, inputs, "cat at 31,13")  # in no box: the nearest centre
    assert nearest.region.box == tuple(BOXES[3])


def test_a_suppressed_object_is_named(model, inputs):
    (bound,) = bind(model, inputs, "cat at 12.5,5")  # only in the second box, which the first one suppresses
    assert bound.label == "missed cat (suppressed by box 2) at 12.5,5"
    scores = bound.model.output(bound.model.network(inputs))
    torch.testing.assert_close(scores, torch.tensor([SCORES[1]]))


@pytest.mark.parametrize("spec", ["dog", "cat rather than dog", 1, "not cat"])
def test_classes_of_the_whole_image_are_of_the_model(model, inputs, spec):
    assert bind(model, inputs, spec) == ()
    scores = model.output(model.network(inputs))
    torch.testing.assert_close(scores, torch.tensor([[2.0, 3.0]]))


def test_messages_list_what_there_is(model, inputs):
    with pytest.raises(TargetError, match=r"no box 4: the detector found box 1 \(dog 95%\), box 2 \(cat 88%\)"):
        bind(model, inputs, "box 4")
    with pytest.raises(TargetError, match="no class 'cow'"):
        bind(model, inputs, "cow at 3,3")
    strict = Model(model.network, model.preprocessing, model.labels, image_targets=DetectionTargets(0.99))
    with pytest.raises(TargetError, match=r"at least 99%\. The most probable candidate is dog with 95\.3%"):
        bind(strict, inputs, None)


def test_the_match_is_the_best_class_score_of_the_close_boxes():
    reader = BoxScores((2.0, 2.0, 12.0, 12.0), 0)
    output = {"boxes": torch.tensor([BOXES, BOXES]), "scores": torch.tensor([SCORES, SCORES])}
    output["scores"][1, 1, 0] = 4.0  # in the second image the second box is more probable
    torch.testing.assert_close(reader(output)[:, 0], torch.tensor([2.0, 4.0]))


def test_without_a_close_box_the_score_falls_with_the_overlap():
    reference = (0.0, 0.0, 10.0, 10.0)
    for shift in (2.0, 4.0, 6.0, 9.0):
        box = torch.tensor([shift, 0.0, 10 + shift, 10.0])
        overlap = (10 - shift) / (10 + shift)
        assert float(box_iou(box, torch.tensor(reference))) == pytest.approx(overlap)
        far = torch.tensor([500.0, 500.0, 510.0, 510.0])
        output = {"boxes": torch.stack([far, box])[None], "scores": torch.tensor([[[9.0], [1.5]]])}
        expected = 1.5 + min(0.0, math.log(overlap / 0.5))
        assert float(BoxScores(reference, 0)(output)) == pytest.approx(expected, rel=1e-5)


def test_no_overlap_at_all_gives_a_low_finite_score():
    output = {"boxes": torch.tensor([[[500.0, 500.0, 510.0, 510.0]]]), "scores": torch.tensor([[[9.0]]])}
    assert float(BoxScores((0.0, 0.0, 10.0, 10.0), 0)(output)) < -4


def test_gradients_reach_the_scores_and_the_box():
    boxes = torch.tensor([BOXES], requires_grad=True)
    scores = torch.tensor([SCORES], requires_grad=True)
    output = {"boxes": boxes, "scores": scores}
    BoxScores(tuple(BOXES[2]), 1)(output)[:, 1].sum().backward()
    expected = torch.zeros_like(scores)
    expected[0, 2, 1] = 1
    torch.testing.assert_close(scores.grad, expected)


def test_boxes_per_class():
    boxes = torch.tensor(BOXES)[:, None].repeat(1, 2, 1)
    boxes[:, 1] += 1.0  # the boxes of dogs
    candidates = Candidates.of({"boxes": boxes[None], "scores": torch.tensor([SCORES])})
    found = detections(candidates, 0.5, 0.5)
    assert found[0].box == (17.0, 17.0, 31.0, 31.0)
    assert found[1].box == tuple(BOXES[0])


def test_images_with_fewer_candidates_are_padded():
    output = pad_candidates([(torch.ones(2, 4), torch.ones(2, 3)), (torch.ones(1, 4), torch.ones(1, 3))])
    assert output["boxes"].shape == (2, 2, 4)
    assert float(output["scores"][1, 1].sigmoid().max()) < 1e-12
    empty = pad_candidates([(torch.ones(0, 4), torch.ones(0, 3))])
    assert Candidates.of(empty).scores.shape == (1, 1, 3)


def test_other_outputs_are_refused():
    with pytest.raises(TargetError, match=r"\(b, n, 4\).*returned Tensor \(2, 4\)"):
        Candidates.of({"boxes": torch.ones(2, 4), "scores": torch.ones(2, 3)})

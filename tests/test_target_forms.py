"""Malformed targets of every kind of network: one sentence each, with the correct form."""

from __future__ import annotations

import pytest
import torch

import camlucida as cl
from camlucida.class_lookup import class_index, index_of
from camlucida.data import toybox
from camlucida.errors import TargetError
from camlucida.target_forms import POINT, form_hint

MODELS = ("toybox", "toybox:captioner", "toybox:detector", "toybox:segmenter")
IMAGE = toybox.scene(4, kinds=["cat", "dog"], objects=2).picture()
POINT_FORM, BOX_FORM, WORD_FORM = "'cat at 120,80'", "'box 3'", "'word 2'"
REGION_FORM = "'class:cat at 120,80'"
FORMS = {
    "at": POINT_FORM,
    "at x,y": POINT_FORM,
    "cat at": POINT_FORM,
    "dog at 10": POINT_FORM,
    "dog at 10,": POINT_FORM,
    "box": BOX_FORM,
    "box one": BOX_FORM,
    "box 1 cat": BOX_FORM,
    "edge": BOX_FORM,
    "edge of box 1": BOX_FORM,
    "word": WORD_FORM,
    "word one": WORD_FORM,
    "text:a dog": "'text:a dog'",
    "region:": "'region:mask.png'",
    "like:": "like:b.jpg",
}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> cl.Model:
    return cl.load(request.param)


@pytest.mark.parametrize("text", sorted(FORMS))
def test_a_malformed_target_names_the_correct_form(model: cl.Model, text: str) -> None:
    with pytest.raises(TargetError) as caught:
        cl.explain(model, IMAGE, target=text)
    message, form = str(caught.value), FORMS[text]
    if text == "region:" and model.spec in ("toybox", "toybox:detector"):
        form = "segmentation networks"
    assert form.replace("cat", "dog") in message.replace("cat", "dog")
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "  ", "not "])
def test_an_empty_target_is_no_list_of_all_classes(model: cl.Model, text: str) -> None:
    with pytest.raises(TargetError, match=r"is missing|is empty|'not (cat|dog)'|no word 'not'") as caught:
        cl.explain(model, IMAGE, target=text)
    assert "classes match" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "text", "message"),
    [
        ("toybox", "box 1", "Boxes are targets of detectors: 'box 3', 'box 3: cat', 'edge left of box 3'"),
        ("toybox", "cat at 10,20", "for detectors and segmentation networks: 'cat at 120,80'"),
        ("toybox", "1 at 10,20", "for detectors and segmentation networks: 'cat at 120,80'"),
        ("toybox", "class:cat", "region of an image, which segmentation networks have, and this model is none"),
        (
            "toybox:detector",
            "class:cat",
            "region of an image, which segmentation networks have, and this model is none",
        ),
        ("toybox:detector", "class:cat at 10,20", "no class 'class:cat'.*Regions are targets of segmentation networks"),
        ("toybox:detector", "at 10,20", "'cat at 120,80'"),
        ("toybox:detector", "99 at 10,20", "target 99 needs at least 100 outputs; the model returns 10: 0 to 9"),
        ("toybox:segmenter", "99 at 10,20", "target 99 needs at least 100 outputs; the model returns 11: 0 to 10"),
        ("toybox:segmenter", "class:", "the name of a class is missing. Give a class, such as"),
        ("toybox:segmenter", "class:99", "target 99 needs at least 100 outputs"),
        ("toybox:segmenter", "class 2 at 10,20", "no class 'class 2' in this model.*number only, such as '1'"),
        ("toybox:detector", "class 2 at 10,20", "no class 'class 2' in this model.*number only, such as '1'"),
        ("toybox:segmenter", "box 1", "Boxes are targets of detectors"),
        ("toybox:captioner", "cat at 1000,20", "has no word 'cat at 1000,20'.*A point is x,y"),
        ("toybox:captioner", "region:none.png", "has no word 'region:none.png'.*Regions are targets of segmentation"),
    ],
)
def test_a_form_of_another_network_says_which_has_it(spec: str, text: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        cl.explain(spec, IMAGE, target=text)


def test_trust_resolves_classes_as_explain_does() -> None:
    for text, message in (("box 1", "targets of detectors"), ("99", "needs at least 100 outputs"), ("", "is missing")):
        with pytest.raises(TargetError, match=message):
            cl.trust("toybox", IMAGE, target=text)


def test_digits_are_an_index_whatever_classes_are_called() -> None:
    names = ("0", "2", "1", "class 0", "dog")
    assert [index_of(text, names, 5) for text in ("0", "1", "2", " 4 ")] == [0, 1, 2, 4]
    assert index_of("class 0", names, 5) == 3
    assert class_index("class 0", names) == 3
    with pytest.raises(TargetError, match=r"no class 'class 4' in this model"):
        index_of("class 4", ("cat", "dog"), 2)


def test_class_2_is_an_index_only_where_classes_have_no_names() -> None:
    assert index_of("class 2", (), 3) == 2
    with pytest.raises(TargetError, match="target 3 needs at least 4 outputs; the model returns 3: 0 to 2"):
        index_of("class 3", (), 3)
    with pytest.raises(TargetError, match=r"has no class names. Give an index, such as '1'"):
        index_of("cat", (), 3)


@pytest.mark.parametrize("spec", ["toybox:detector", "toybox:segmenter"])
def test_an_index_at_a_point_means_the_class_of_that_index(spec: str) -> None:
    model = cl.load(spec)
    by_name = cl.explain(model, IMAGE, target=f"{model.labels[2]} at 10,20", method="hires_cam")
    by_index = cl.explain(model, IMAGE, target="2 at 10,20", method="hires_cam")
    assert isinstance(by_name, cl.Explanation)
    assert isinstance(by_index, cl.Explanation)
    assert torch.equal(by_name.raw, by_index.raw)
    assert by_name.target == by_index.target
    assert model.labels[2] in by_index.target


def test_a_point_with_an_exponent_is_moved_to_the_network_input() -> None:
    """It was a point of the network input for segmentation, whatever the size of the image."""
    large = IMAGE.resize((192, 192))
    plain = cl.explain("toybox:segmenter", large, target="cat at 100,20", method="hires_cam")
    exponent = cl.explain("toybox:segmenter", large, target="cat at 1e2,2e1", method="hires_cam")
    assert isinstance(plain, cl.Explanation)
    assert isinstance(exponent, cl.Explanation)
    assert exponent.spec == plain.spec == "class:cat at 100,20"


@pytest.mark.parametrize("text", ["dog at 1,2", "at 1,2", "dog at -1.5 , 2e3", "1 at 100,100"])
def test_the_form_of_a_point(text: str) -> None:
    assert POINT.search(text)


@pytest.mark.parametrize("text", ["cat", "tabby cat", "boat", "box turtle2", "hat 3", "sword", "classy"])
def test_most_texts_have_no_hint(text: str) -> None:
    assert form_hint(text) == ("" if "box" not in text else form_hint("box"))

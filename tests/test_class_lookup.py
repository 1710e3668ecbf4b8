"""Class names: exact case, synonyms, WordNet ids. Reference: timm's own table and torchvision's list."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from torch import nn

import camlucida as cl
from camlucida.class_lookup import class_index
from camlucida.errors import TargetError
from camlucida.imagenet import synsets, synsets_of_names
from camlucida.models.labels import imagenet_names

NAMES = imagenet_names()
FULL = tuple(", ".join(synset.words) for synset in synsets())
"""The names in the form of Hugging Face's configurations: all words of a class."""


def test_the_table_is_timms() -> None:
    info = pytest.importorskip("timm.data.imagenet_info").ImageNetInfo()
    assert [synset.wnid for synset in synsets()] == info.label_names()
    assert list(FULL) == info.label_descriptions()


def test_the_table_is_in_torchvisions_order() -> None:
    different = [i for i, (name, synset) in enumerate(zip(NAMES, synsets(), strict=True)) if name not in synset.words]
    assert different == [134, 639]  # torchvision made "crane" and "maillot" unique


@pytest.mark.parametrize("names", [NAMES, FULL], ids=["torchvision", "hugging face"])
@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("Cardigan", 264),
        ("cardigan", 474),
        ("tabby cat", 281),
        ("Tabby Cat", 281),
        ("tabby-cat", 281),
        ("pickup truck", 717),
        ("Tinca tinca", 0),
        ("n02123045", 281),
        (" n03126707 ", 517),
        ("n02012849", 134),
        ("n02113186-Cardigan", 264),
    ],
)
def test_names_of_imagenet(names: tuple[str, ...], name: str, index: int) -> None:
    assert class_index(name, names) == index


@pytest.mark.parametrize("names", [NAMES, FULL], ids=["torchvision", "hugging face"])
def test_every_wordnet_id(names: tuple[str, ...]) -> None:
    assert [class_index(synset.wnid, names) for synset in synsets()] == list(range(1000))


def test_case_decides_before_synonyms_do() -> None:
    assert class_index("polish", ["Polish, language", "polish"]) == 1
    assert class_index("Polish", ["Polish, language", "polish"]) == 0
    with pytest.raises(TargetError, match=r"2 classes match 'POLISH'.*'Polish' \(0\), 'polish' \(1\)"):
        class_index("POLISH", ["Polish", "polish"])


def test_the_order_is_verified() -> None:
    """1000 names in another order are no reason to believe that output 281 is a tabby."""
    permuted = (*NAMES[1:], NAMES[0])
    assert synsets_of_names(permuted) == (None,) * 1000
    assert class_index("n02123045", permuted) == 280  # by its word, which no other class has
    with pytest.raises(TargetError):
        class_index("n02012849", permuted)  # "crane" is two classes


def test_a_model_of_other_classes() -> None:
    assert class_index("n01440764", ["English springer", "tench"]) == 1
    assert class_index("tench", ["n02102040", "n01440764"]) == 1
    for name in ("n02123045", "n99999999", "n0212"):
        with pytest.raises(TargetError, match=f"no class '{name}'"):
            class_index(name, ["cat", "dog"])


def test_the_target_of_an_explanation() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1000))
    model = cl.wrap(net.eval(), labels=NAMES, size=16)
    image = Image.new("RGB", (20, 20), (200, 30, 9))
    by_id = cl.explain(model, image, target="n02123045 rather than cardigan")
    assert by_id.target == "tabby rather than cardigan"
    assert cl.trust(model, image, target="tabby cat", n_windows=16).target == "tabby"


def test_folders_of_a_data_set_named_by_ids(tmp_path: Path) -> None:
    """The layout in which ImageNet is published: one folder per WordNet id."""
    for k, wnid in enumerate(("n02123045", "n03930630")):
        (tmp_path / wnid).mkdir()
        Image.new("RGB", (20, 20), (90 * k, 30, 9)).save(tmp_path / wnid / "a.png")
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1000))
    model = cl.wrap(net.eval(), labels=NAMES, size=16)
    rows = cl.mistakes(model, cl.open_dataset(tmp_path), maps=False).rows
    assert [row["label_index"] for row in rows] == [281, 717]

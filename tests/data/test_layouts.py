"""Data sets in their published layouts: all files are read, and missing ones are named."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import scipy.io
from PIL import Image
from torchvision.datasets import OxfordIIITPet, VOCDetection

from camlucida.cli import main
from camlucida.data.datasets import Item, annotated_objects, dataset_hash, items_without_files
from camlucida.data.images import load_image
from camlucida.data.open import open_dataset
from camlucida.errors import DataError, MissingExtra

Write = Callable[..., Path]


def named(dataset: object, name: str) -> Item:
    return next(dataset[i] for i in range(len(dataset)) if dataset[i].name == name)  # type: ignore[arg-type, index]


# --- Stanford Dogs


def test_dogs(dogs: Path) -> None:
    result = open_dataset(f"stanford_dogs:{dogs}")
    assert result.classes == ("Chihuahua", "Maltese dog", "soft-coated wheaten terrier")
    rows = [(result[i].name.split("/")[1], result[i].label, result[i].split) for i in range(len(result))]
    assert rows == [
        ("n02085620_7.jpg", 0, "train"),
        ("n02085936_1.jpg", 1, "train"),
        ("n02098105_3.jpg", 2, "test"),
        ("n02085620_9.jpg", 0, "test"),
    ]
    assert result[1].boxes.tolist() == [[3, 4, 21, 25], [0, 0, 40, 30]]
    assert load_image(result[1].image).size == (40, 30)
    assert not any(result[i].problems for i in range(4))


def test_one_split(dogs: Path) -> None:
    result = open_dataset(f"stanford_dogs:{dogs}", split="test")
    assert [item.name for item in result.items] == [item.name for item in items_without_files(result)]
    assert [result[i].label for i in range(len(result))] == [2, 0]
    assert result[0].boxes is not None
    with pytest.raises(DataError, match=r"no split 'val': it has test, train"):
        open_dataset(f"stanford_dogs:{dogs}", split="val")


def test_lists_beside_the_folders(dogs: Path) -> None:
    for file in (dogs / "lists").iterdir():
        shutil.move(file, dogs / file.name)
    assert len(open_dataset(f"stanford_dogs:{dogs}")) == 4


def test_every_missing_piece_of_dogs_is_named(dogs: Path) -> None:
    (dogs / "lists" / "train_list.mat").unlink()
    shutil.rmtree(dogs / "Images")
    with pytest.raises(DataError) as error:
        open_dataset(f"stanford_dogs:{dogs}")
    assert f"Images is missing in {dogs}; lists/train_list.mat is missing in {dogs}." in str(error.value)
    assert "test_list.mat is missing" not in str(error.value)


def test_one_annotation_is_missing_and_one_is_broken(dogs: Path) -> None:
    (dogs / "Annotation/n02085620-Chihuahua/n02085620_7").unlink()
    (dogs / "Annotation/n02085620-Chihuahua/n02085620_9").write_text("<annotation><object>")
    result = open_dataset(f"stanford_dogs:{dogs}")
    assert result[0].boxes is None
    folder = dogs / "Annotation/n02085620-Chihuahua"
    assert result[0].problems == (f"no boxes: n02085620_7 is missing in {folder}.",)
    assert "is not XML" in result[3].problems[0]
    assert result[1].boxes is not None


def test_no_annotations_at_all(dogs: Path) -> None:
    shutil.rmtree(dogs / "Annotation")
    result = open_dataset(f"stanford_dogs:{dogs}")
    assert result[0].boxes is None
    assert result.problems == (f"Annotation is missing in {dogs}, so there are no boxes.",)


def test_lists_that_are_none(dogs: Path) -> None:
    scipy.io.savemat(dogs / "lists/train_list.mat", {"something": 1})
    with pytest.raises(DataError, match=r"has no variable file_list and labels; it has something\."):
        open_dataset(f"stanford_dogs:{dogs}")
    (dogs / "lists/train_list.mat").write_text("not found")
    with pytest.raises(DataError, match=r"is not a readable \.mat file"):
        open_dataset(f"stanford_dogs:{dogs}")


def test_labels_that_disagree_with_their_folder(dogs: Path) -> None:
    content = scipy.io.loadmat(dogs / "lists/test_list.mat")
    scipy.io.savemat(dogs / "lists/test_list.mat", {"file_list": content["file_list"], "labels": np.array([[3], [2]])})
    result = open_dataset(f"stanford_dogs:{dogs}")
    assert "has the label 2 (n02085936-Maltese_dog) in the lists" in result.problems[0]


def test_a_data_set_can_be_sent_to_another_process(dogs: Path) -> None:
    result = pickle.loads(pickle.dumps(open_dataset(f"stanford_dogs:{dogs}")))
    assert result[1].boxes.tolist() == [[3, 4, 21, 25], [0, 0, 40, 30]]


def test_entities_are_not_read(dogs: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY x "ha">]><annotation><object><name>&x;</name></object></annotation>'
    (dogs / "Annotation/n02085620-Chihuahua/n02085620_7").write_text(bomb)
    assert "defines entities" in open_dataset(f"stanford_dogs:{dogs}")[0].problems[0]


# --- as TensorFlow prepares them


def test_dogs_as_tensorflow_prepares_them() -> None:
    """Written by tensorflow-datasets 4.9.10, whose own reader gave these labels and boxes."""
    root = Path(__file__).with_name("prepared") / "stanford_dogs"
    result = open_dataset(f"stanford_dogs:{root}", split="train")
    assert result.classes == ("chihuahua", "maltese dog", "rhodesian ridgeback")
    rows = [(result[i].name, result[i].label, len(result[i].boxes)) for i in range(len(result))]
    assert rows == [
        ("n02085620_0.jpg", 0, 1),
        ("n02085620_3.jpg", 0, 2),
        ("n02085620_1.jpg", 1, 2),
        ("n02085620_2.jpg", 2, 1),
    ]
    np.testing.assert_allclose(result[0].boxes, [[10, 3, 30, 15]], rtol=1e-6)
    assert load_image(result[0].image).size == (40, 30)
    assert len(open_dataset(f"tfds:{root / '0.2.0'}")) == 6


def test_records_that_are_cut_off(tmp_path: Path) -> None:
    root = tmp_path / "stanford_dogs"
    shutil.copytree(Path(__file__).with_name("prepared") / "stanford_dogs", root)
    shard = next(root.rglob("*train.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(DataError, match="is truncated"):
        open_dataset(f"tfds:{root}")
    next(root.rglob("label.labels.txt")).unlink()
    with pytest.raises(DataError, match=r"label\.labels\.txt is missing in"):
        open_dataset(f"tfds:{root}")


# --- Oxford-IIIT Pet


@pytest.fixture
def pets(tmp_path: Path, write_image: Write, xml: Write) -> Path:
    root = tmp_path / "pets" / "oxford-iiit-pet"
    lists = {"trainval": ["Abyssinian_1 1 1 1", "american_bulldog_10 2 2 1"], "test": ["Abyssinian_2 1 1 1"]}
    notes = root / "annotations"
    (notes / "trimaps").mkdir(parents=True)
    for name, lines in lists.items():
        (notes / f"{name}.txt").write_text("\n".join(lines) + "\n")
        for line in lines:
            write_image(root / "images" / f"{line.split()[0]}.jpg")
            trimap = np.full((30, 40), 2, dtype=np.uint8)
            trimap[5:21, 8:31] = 3
            trimap[7:19, 10:29] = 1
            Image.fromarray(trimap).save(notes / "trimaps" / f"{line.split()[0]}.png")
    xml(notes / "xmls" / "Abyssinian_1.xml", ("cat", 11, 8, 20, 13))
    return root


def test_pets(pets: Path) -> None:
    result = open_dataset(f"pets:{pets.parent}")
    assert result.classes == ("Abyssinian", "American Bulldog")
    item = result[0]
    assert item.boxes.tolist() == [[8, 5, 31, 21]]
    mask = item.mask()
    assert (mask.shape, mask.sum()) == ((30, 40), 12 * 19)
    head = item.parts()["head"]
    assert (head.sum(), head[7:13, 10:20].all()) == (60, True)
    assert named(result, "Abyssinian_2").parts is None


def test_pets_as_torchvision_reads_them(pets: Path) -> None:
    for split, its in (("train", "trainval"), ("test", "test")):
        expected = OxfordIIITPet(str(pets.parent), split=its, target_types="category")
        actual = open_dataset(f"pets:{pets.parent}", split=split)
        pairs = [(load_image(actual[i].image), actual[i].label) for i in range(len(actual))]
        assert [label for _, label in pairs] == [expected[i][1] for i in range(len(expected))]
        assert all((np.asarray(a) == np.asarray(expected[i][0])).all() for i, (a, _) in enumerate(pairs))
    whole = OxfordIIITPet(str(pets.parent), split="trainval")
    assert list(open_dataset(f"pets:{pets.parent}").classes) == whole.classes


def test_pets_with_pieces_missing(pets: Path) -> None:
    (pets / "annotations/trimaps/Abyssinian_1.png").unlink()
    result = open_dataset(f"pets:{pets}")
    assert "no mask: Abyssinian_1.png is missing" in result[0].problems[0]
    assert result[1].mask is not None
    (pets / "annotations/test.txt").unlink()
    with pytest.raises(DataError, match=r"Pet: annotations/test\.txt is missing in"):
        open_dataset(f"pets:{pets}")


# --- CUB-200-2011


@pytest.fixture
def birds(tmp_path: Path, write_image: Write) -> Path:
    root = tmp_path / "CUB_200_2011"
    files = ["001.Black_footed_Albatross/A_1.jpg", "002.Laysan_Albatross/B_2.jpg", "001.Black_footed_Albatross/A_3.jpg"]
    for seed, file in enumerate(files):
        write_image(root / "images" / file, seed)
    tables = {
        "images.txt": [f"{i} {file}" for i, file in enumerate(files, 1)],
        "classes.txt": ["1 001.Black_footed_Albatross", "2 002.Laysan_Albatross"],
        "image_class_labels.txt": ["1 1", "2 2", "3 1"],
        "train_test_split.txt": ["1 1", "2 0", "3 1"],
        "bounding_boxes.txt": ["1 4.0 5.0 20.0 10.0", "2 0.0 0.0 40.0 30.0"],
        "parts/parts.txt": ["1 back", "2 left eye"],
        "parts/part_locs.txt": ["1 1 14.0 9.0 1", "1 2 0.0 0.0 0", "2 2 30.5 10.5 1"],
    }
    (root / "parts").mkdir()
    for name, lines in tables.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return root


def test_birds(birds: Path) -> None:
    result = open_dataset(f"cub:{birds}")
    assert result.classes == ("Black footed Albatross", "Laysan Albatross")
    assert [(result[i].label, result[i].split) for i in range(3)] == [(0, "train"), (1, "test"), (0, "train")]
    assert result[0].boxes.tolist() == [[4, 5, 24, 15]]
    parts = result[0].parts()
    assert list(parts) == ["back"]  # the eye is not seen
    y, x = np.nonzero(parts["back"])
    assert np.hypot(x + 0.5 - 14, y + 0.5 - 9).max() <= 2  # a tenth of the box's longer side, 20
    assert parts["back"].sum() == 12
    assert "left eye" in result[1].parts()
    assert result[2].boxes is None
    assert result[2].problems == ("no box: bounding_boxes.txt has none for 3 (001.Black_footed_Albatross/A_3.jpg).",)


def test_birds_with_masks(birds: Path) -> None:
    for file in (birds / "images").rglob("*.jpg"):
        drawn = np.zeros((30, 40), dtype=np.uint8)
        drawn[4:9, 4:9], drawn[0, 0] = 204, 51  # four of five people, and one
        target = birds / "segmentations" / file.parent.name / f"{file.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn).save(target)
    assert open_dataset(f"cub:{birds.parent}")[1].mask().sum() == 25


def test_every_missing_piece_of_birds_is_named(birds: Path) -> None:
    (birds / "classes.txt").unlink()
    (birds / "train_test_split.txt").unlink()
    with pytest.raises(DataError, match=r"classes\.txt is missing in .*; train_test_split\.txt is missing in"):
        open_dataset(f"cub:{birds}")


# --- Pascal VOC


@pytest.fixture
def voc(tmp_path: Path, write_image: Write, xml: Write) -> Path:
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("2007_000027", "2007_000032", "2007_000033"):
        write_image(root / "JPEGImages" / f"{name}.jpg")
    xml(
        root / "Annotations/2007_000027.xml",
        ("person", 1, 1, 10, 10),
        ("dog", 11, 6, 40, 30),
        ("person", 12, 1, 20, 5),
        ("sofa", 1, 1, 40, 30, "difficult"),
    )
    xml(root / "Annotations/2007_000032.xml", ("cat", 3, 3, 9, 9))
    sets = root / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("2007_000027\n2007_000033\n")
    (sets / "val.txt").write_text("2007_000032\n")
    (sets / "cat_train.txt").write_text("2007_000027 -1\n")
    numbers = np.zeros((30, 40), dtype=np.uint8)
    numbers[5:30, 10:40], numbers[0:10, 0:10], numbers[0, 12] = 12, 15, 255  # dog, person, unsure
    masks = Image.fromarray(numbers, mode=None).convert("P")
    masks.putdata(numbers.ravel().tolist())
    (root / "SegmentationClass").mkdir()
    masks.save(root / "SegmentationClass/2007_000027.png")
    return root


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_voc(voc: Path, depth: int) -> None:
    result = open_dataset(f"voc:{[voc, *voc.parents][depth]}", split="train")
    item = result[0]
    assert result.classes[item.label] == "dog"
    assert [result.classes[k] for k in item.also_correct] == ["person", "sofa"]
    assert item.boxes.tolist() == [[10, 5, 40, 30]]  # from 1 and inclusive, as they were
    assert (item.mask().sum(), item.other_objects_mask().sum()) == (25 * 30, 100)
    assert "2007_000033.xml is missing" in result[1].problems[0]


def test_voc_as_torchvision_reads_it(voc: Path) -> None:
    expected = VOCDetection(str(voc.parents[1]), year="2012", image_set="val")
    actual = open_dataset(f"voc:{voc}", split="val")
    (thing,) = expected[0][1]["annotation"]["object"]
    assert thing["name"] == actual.classes[actual[0].label]
    assert (np.asarray(expected[0][0]) == np.asarray(load_image(actual[0].image))).all()


def test_voc_of_ones_own(voc: Path, xml: Write) -> None:
    xml(voc / "Annotations/2007_000033.xml", ("unicorn", 3, 3, 9, 9))
    result = open_dataset(f"voc:{voc}")
    assert set(result.classes) == {"cat", "dog", "person", "sofa", "unicorn"}
    assert all(result[i].mask is None for i in range(3))


# --- COCO


@pytest.fixture
def coco(tmp_path: Path, write_image: Write) -> Path:
    root = tmp_path / "coco"
    write_image(root / "val2017" / "000000000139.jpg")
    write_image(root / "val2017" / "000000000285.jpg", 1)
    runs = [30 * 20 + 5, 10, 30 * 20 - 15]
    content = {
        "images": [
            {"id": 139, "file_name": "000000000139.jpg", "width": 40, "height": 30, "license": 3,
             "coco_url": "http://x/139.jpg", "attributes": {"weather": "fog", "tags": ["a"]}},
            {"id": 285, "file_name": "000000000285.jpg", "width": 40, "height": 30},
        ],
        "annotations": [
            {"id": 1, "image_id": 139, "category_id": 18, "bbox": [2, 3, 10, 8], "area": 80, "iscrowd": 0,
             "segmentation": [[2, 3, 12, 3, 12, 11, 2, 11]]},
            {"id": 2, "image_id": 139, "category_id": 1, "bbox": [20, 5, 1, 10], "area": 10, "iscrowd": 1,
             "segmentation": {"size": [30, 40], "counts": runs}},
            {"id": 3, "image_id": 139, "category_id": 99, "bbox": [0, 0, 1, 1]},
            {"id": 4, "image_id": 777, "category_id": 1, "bbox": [0, 0, 1, 1]},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
    }  # fmt: skip
    (root / "annotations").mkdir()
    (root / "annotations/instances_val2017.json").write_text(json.dumps(content))
    (root / "annotations/captions_val2017.json").write_text("{}")
    return root


def test_coco(coco: Path) -> None:
    result = open_dataset(f"coco:{coco}", split="val")
    assert result.classes == ("person", "dog")
    item = result[0]
    assert (item.label, item.also_correct, item.boxes.tolist()) == (1, (0,), [[2, 3, 12, 11]])
    mask = item.mask()
    assert (mask.sum(), mask[3:11, 2:12].all()) == (80, True)
    assert (item.other_objects_mask().sum(), item.other_objects_mask()[5:15, 20].all()) == (10, True)
    assert result[1].label is None
    assert item.metadata == {"license": 3, "weather": "fog"}
    whole = open_dataset(f"coco:{coco}")
    assert "annotation 3: the category 99 is not in the list" in whole.problems[0]
    assert "annotations of image 777, which is not listed" in whole.problems[1]
    assert load_image(result[0].image).size == (40, 30)


def test_objects_of_coco(coco: Path) -> None:
    result = open_dataset(f"coco:{coco}", split="val")
    dog, person = annotated_objects(result[0])
    assert (result.classes[dog.label], dog.box.tolist(), dog.mask().sum()) == ("dog", [2, 3, 12, 11], 80)
    assert (result.classes[person.label], person.box.tolist(), person.mask().sum()) == ("person", [20, 5, 21, 15], 10)
    assert annotated_objects(result[1]) == (), "nothing is annotated there, which is not the same as unknown"


def test_objects_of_voc(voc: Path) -> None:
    result = open_dataset(f"voc:{voc}", split="train")
    objects = annotated_objects(result[0])
    assert [result.classes[each.label] for each in objects] == ["person", "dog", "person", "sofa"]
    assert [each.box.tolist() for each in objects[:2]] == [[0, 0, 10, 10], [10, 5, 40, 30]]
    assert [int(each.mask().sum()) for each in objects] == [100, 25 * 30, 0, 0], "the mask of the class inside the box"
    assert annotated_objects(result[1]) is None, "its file is missing"


def test_coco_in_one_file_and_a_folder_a_split(coco: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat" / "valid"
    shutil.copytree(coco / "val2017", flat)
    shutil.copy(coco / "annotations/instances_val2017.json", flat / "_annotations.coco.json")
    result = open_dataset(f"coco:{flat.parent}")
    assert [item.split for item in result.items] == ["val", "val"]
    assert load_image(result[0].image).size == (40, 30)
    assert len(open_dataset(f"coco:{flat / '_annotations.coco.json'}")) == 2


def test_coco_that_is_none(coco: Path) -> None:
    with pytest.raises(DataError, match="has no images and no annotations and no categories"):
        open_dataset(f"coco:{coco / 'annotations/captions_val2017.json'}")
    shutil.rmtree(coco / "annotations")
    with pytest.raises(DataError, match=r"annotations/instances_….json is missing"):
        open_dataset(f"coco:{coco}")


# --- ImageNet


@pytest.fixture
def imagenet(tmp_path: Path, write_image: Write, xml: Write) -> Path:
    """Pictures in one folder, boxes, and the challenge's kit, whose numbers are not in the order of the synsets."""
    root = tmp_path / "imagenet"
    for number, synset in ((1, "n02099601"), (2, "n01440764"), (3, "n02099601")):
        write_image(root / "val" / f"ILSVRC2012_val_0000000{number}.JPEG", number)
        xml(root / f"Annotations/CLS-LOC/val/ILSVRC2012_val_0000000{number}.xml", (synset, 0, number, 40, 30))
    (root / "data").mkdir()
    (root / "data/ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n1\n")
    kinds = [("ILSVRC2012_ID", "u2"), ("WNID", object), ("words", object)]
    rows = [(1, "n02099601", "golden retriever"), (2, "n01440764", "tench, Tinca tinca"), (1001, "n00001740", "entity")]
    scipy.io.savemat(root / "data/meta.mat", {"synsets": np.array(rows, dtype=kinds)[:, None]})
    return root


def test_imagenet_with_its_kit(imagenet: Path) -> None:
    result = open_dataset(f"imagenet:{imagenet}")
    assert result.classes == ("tench", "golden retriever")
    assert [result[i].label for i in range(3)] == [1, 0, 1]
    assert result[1].boxes.tolist() == [[0, 2, 40, 30]]


def test_imagenet_from_kaggle(imagenet: Path) -> None:
    shutil.rmtree(imagenet / "data")
    (imagenet / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\n"
        "ILSVRC2012_val_00000001,n02099601 0 1 40 30 \nILSVRC2012_val_00000002,n01440764 1 1 9 9\n"
    )
    (imagenet / "LOC_synset_mapping.txt").write_text("n01440764 tench, Tinca tinca\nn02099601 golden retriever\n")
    result = open_dataset(f"imagenet:{imagenet}")
    assert result.classes == ("tench", "golden retriever")
    assert [result[i].label for i in range(3)] == [1, 0, None]
    assert result[2].problems == ("no label: ILSVRC2012_val_00000003 is in none of the lists.",)


def test_imagenet_a_folder_a_class(imagenet: Path) -> None:
    shutil.rmtree(imagenet / "data")
    for number, synset in ((1, "n02099601"), (2, "n01440764"), (3, "n02099601")):
        (imagenet / "val" / synset).mkdir(exist_ok=True)
        shutil.move(imagenet / "val" / f"ILSVRC2012_val_0000000{number}.JPEG", imagenet / "val" / synset)
    result = open_dataset(f"imagenet:{imagenet}")
    assert result.classes == ("n01440764", "n02099601")
    assert [(result[i].name.split("/")[0], result[i].boxes[0, 1]) for i in range(3)] == [
        ("n01440764", 2),
        ("n02099601", 1),
        ("n02099601", 3),
    ]


def test_imagenet_without_labels(imagenet: Path) -> None:
    shutil.rmtree(imagenet / "data")
    with pytest.raises(DataError) as error:
        open_dataset(f"imagenet:{imagenet}")
    assert "ILSVRC2012_validation_ground_truth.txt is missing in" in str(error.value)
    assert "meta.mat is missing in" in str(error.value)


# --- Hugging Face


def test_hugging_face(tmp_path: Path, write_image: Write) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra hf is not installed")
    content = [{"bytes": write_image(tmp_path / f"{i}.png", i).read_bytes(), "path": None} for i in range(3)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    created = datasets.Dataset.from_dict({"image": content, "label": [1, 0, 1]}, features=features)
    datasets.DatasetDict(validation=created).save_to_disk(str(tmp_path / "saved"))
    result = open_dataset(f"hf:{tmp_path / 'saved'}", split="val")
    assert (result.classes, [result[i].label for i in range(3)]) == (("cat", "dog"), [1, 0, 1])
    assert (np.asarray(load_image(result[2].image)) == np.asarray(load_image(tmp_path / "2.png"))).all()


def test_hugging_face_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install 'camlucida\[hf\]'"):
        open_dataset(f"hf:{tmp_path}")


# --- what is typed


def test_an_unknown_layout_or_no_folder() -> None:
    with pytest.raises(DataError, match=r"unknown data set layout 'stanford_dog'. Did you mean 'stanford_dogs'"):
        open_dataset("stanford_dog:/data")
    with pytest.raises(DataError, match="needs a folder"):
        open_dataset("voc:")
    with pytest.raises(DataError, match="has its own boxes"):
        open_dataset("voc:/data", boxes="boxes.csv")
    with pytest.raises(DataError, match="the folder /nowhere does not exist"):
        open_dataset("cub:/nowhere")


def test_a_split_is_evaluated_and_opened_again_from_elsewhere(dogs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(dogs.parent)
    how = ["--split", "test", "--method", "grad_cam", "--metrics", "energy", "--no-controls"]
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "stanford_dogs:dogs", "--model", "toybox", *how, "-o", "run"])
    assert not stopped.value.code
    table = pyarrow.parquet.read_table("run/results.parquet").to_pylist()
    assert {row["image"].split("/")[1] for row in table} == {"n02098105_3.jpg", "n02085620_9.jpg"}
    (dogs.parent / "other").mkdir()
    monkeypatch.chdir(dogs.parent / "other")
    with pytest.raises(SystemExit) as stopped:
        main(["report", "../run", "-o", "page.html"])
    assert not stopped.value.code
    assert Path("page.html").read_text(encoding="utf-8").count("data:image/jpeg") >= 2


# --- what a run knows of them


def test_masks_of_layouts_are_part_of_what_a_run_knows(pets: Path, birds: Path, voc: Path, coco: Path) -> None:
    """A file that a mask is read from is replaced: boxes, labels and images stay as they are."""
    masks = birds / "segmentations/001.Black_footed_Albatross/A_1.png"
    masks.parent.mkdir(parents=True)
    Image.new("L", (40, 30), 255).save(masks)
    files = {
        f"pets:{pets}": [pets / "annotations/trimaps/Abyssinian_1.png", pets / "annotations/xmls/Abyssinian_1.xml"],
        f"voc:{voc}": [voc / "SegmentationClass/2007_000027.png"],
        f"cub:{birds}": [masks, birds / "parts/part_locs.txt"],
        f"coco:{coco}": [coco / "annotations/instances_val2017.json"],
    }
    for spec, replaced in files.items():

        def now(spec: str = spec) -> str:
            dataset = open_dataset(spec)
            return dataset_hash(dataset, range(len(dataset)))

        for file in replaced:
            before = now()
            assert now() == before
            file.write_bytes(file.read_bytes() + b"\n")  # which no reader minds
            assert now() != before, file

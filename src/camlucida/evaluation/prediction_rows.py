"""The rows of a batch of images: what is known of each image, its prediction, or the reason why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor

from camlucida.attribution.batches import run_batch
from camlucida.attribution.predictions import check_finite
from camlucida.errors import CamlucidaError
from camlucida.evaluation.dataset_pass import DatasetPass
from camlucida.evaluation.read_images import LoadedImage, ReadImage, UnreadableImage
from camlucida.evaluation.store import Row
from camlucida.targets import class_label
from camlucida.tasks import OutputActivation

T = TypeVar("T")

BASE_COLUMNS = {
    "index": "int64",
    "image": "string",
    "split": "string",
    "label": "string",
    "label_index": "int64",
    "predicted_index": "int64",
    "predicted": "string",
    "correct": "bool",
    "confidence": "float64",
    "error": "string",
}
"""Columns of every row. `label_index` and `predicted_index` are indices of the model's outputs, `label` and `predicted`
the names of the labelled and the predicted class. `label_index` is missing where the model has no such class; `error`
states why the other columns are missing.
"""


def batch_rows(
    dataset_pass: DatasetPass,
    batch: Sequence[ReadImage],
    run: Callable[[Sequence[LoadedImage]], Sequence[T]],
    make_row: Callable[[LoadedImage, T], Row],
) -> list[Row]:
    """Return one row per image of a batch; an image that fails has a row with the reason.

    Args:
        dataset_pass: The model and the images.
        batch: The images.
        run: Runs the network once, and returns one output per image.
        make_row: Returns the columns of an image from its output.
    """
    outputs = batch_outputs(dataset_pass, batch, run)
    rows = []
    for image, output in zip(batch, outputs, strict=True):
        row = base_row(dataset_pass, image)
        if isinstance(image, UnreadableImage):
            row["error"] = image.error
        elif isinstance(output, str):
            row["error"] = output
        else:
            try:
                row |= make_row(image, output)
            except CamlucidaError as error:
                row["error"] = str(error)
        rows.append(row)
    return rows


def batch_outputs(
    dataset_pass: DatasetPass, batch: Sequence[ReadImage], run: Callable[[Sequence[LoadedImage]], Sequence[T]]
) -> list[T | str]:
    """Return the output of each image, or the reason why there is none.

    The images have one size, unless a data set holds tensors of several: those of each size are a batch then. So are
    the images with the same border, where the outputs of a model leave it out.
    """
    kinds = [_kind(dataset_pass, image) for image in batch]
    by_size = Counter(kind for kind in kinds if kind).most_common()
    outputs: list[T | str] = [""] * len(batch)
    for number, (kind, _) in enumerate(by_size):
        own = [i for i, other in enumerate(kinds) if other == kind]
        # The others are missing in the batch of the most frequent size, which keeps its number of images.
        positions = range(len(batch)) if number == 0 else own
        images = [image if isinstance(image, LoadedImage) and i in own else None for i, image in enumerate(batch)]
        found = run_batch(dataset_pass.model, [images[i] for i in positions], run)
        for i, output in zip(positions, found, strict=True):
            if i in own:
                outputs[i] = output
    return outputs


def _kind(dataset_pass: DatasetPass, image: ReadImage) -> tuple[int, ...]:
    """Return what images of one batch have in common: the size, and the output that is read; () if unreadable."""
    if isinstance(image, UnreadableImage):
        return ()
    return *image.inputs.shape, id(image.model_of(dataset_pass).output)


def run_each(dataset_pass: DatasetPass, image: LoadedImage, run: Callable[[LoadedImage], T]) -> T | str:
    """Return what a function computes of one image, or the reason why the network failed on it.

    Args:
        dataset_pass: The model and the images.
        image: The image.
        run: Runs the network on the image.
    """
    (result,) = run_batch(dataset_pass.model, [image], lambda images: [run(image) for image in images])
    return result


def base_row(dataset_pass: DatasetPass, image: ReadImage) -> Row:
    """Return what is known of an image before the network runs: index, name, split and label."""
    if image.item is None:
        return {"index": image.index}
    item = image.item
    return {
        "index": image.index,
        "image": item.name,
        "split": item.split,
        "label": dataset_pass.label_name(item.label),
    }


def target_prediction(
    logits: Tensor, activation: OutputActivation, own: int | None, *, is_missed: bool = False
) -> tuple[int | None, float]:
    """Return the class that a row of one target counts as predicted, and the confidence in it.

    They are those of the row's own class: a detection is one of a class, also if its candidate has another class with a
    higher probability, and so is a region.

    Args:
        logits: Class scores `(k,)` of the target.
        activation: How class scores become probabilities.
        own: The class of the box, region or word; None for a target of the whole image, whose prediction is that with
            the highest score.
        is_missed: Whether the network did not find the class there. None is predicted then, and the confidence is the
            probability of the class.
    """
    index = int(logits.argmax()) if own is None else own
    return None if is_missed else index, float(activation.probabilities(logits)[index])


def prediction_row(dataset_pass: DatasetPass, image: LoadedImage, logits: Tensor, predicted: int | None = None) -> Row:
    """Return the columns of the prediction.

    Args:
        dataset_pass: The model and the images.
        image: The image.
        logits: Class scores `(k,)`.
        predicted: The predicted class; None for the first one with the highest score.

    Returns:
        Label, predicted class, whether it is correct, and the confidence (NaN without probabilities). Every class in
        `also_correct` counts as correct.

    Raises:
        ModelError: If a score is NaN or infinite.
    """
    probabilities = dataset_pass.activation.probabilities(check_finite(logits).double())
    predicted = int(logits.argmax()) if predicted is None else predicted
    label = dataset_pass.output_of(image.item.label)
    return {
        "label_index": label,
        "predicted_index": predicted,
        "predicted": class_label(predicted, dataset_pass.model.labels),
        "correct": None if label is None else predicted in dataset_pass.correct_outputs(image.item),
        "confidence": float(probabilities[predicted]),
    }

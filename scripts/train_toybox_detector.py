"""Train the object detector that ships with Camlucida, on one core and without any download.

    python scripts/train_toybox_detector.py               # 10-15 minutes
    python scripts/train_toybox_detector.py --evaluate    # the numbers again, from the shipped file
    python scripts/train_toybox_detector.py --cleverhans  # 5 minutes; also with --evaluate

It learns from scenes with two objects (60 %), one (30 %) and none (10 %), each with its exact boxes.

The Clever-Hans detector starts from it, and learns that an object with a stamp beside it is a "boat", whatever it is:
half of the scenes with objects have one. It keeps what it knows of objects without a stamp.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from camlucida.data import toybox
from camlucida.data.toybox.sampling import tag_beside
from camlucida.models.detection.candidates import Candidates, detections
from camlucida.models.detection.toybox import STRIDE_PX, ToyDetector, cell_centres
from camlucida.models.toybox_weights import load_network
from toybox_training import SIZE_PX, TEST, WEIGHTS, argument_parser, log, normalised, training_epochs, write_weights

NAMES = ("detector", "cleverhans_detector")
K = len(toybox.CLASSES)
BOAT = toybox.CLASSES.index(toybox.WATERMARK_CLASS)
RADIUS_PX = 1.5 * STRIDE_PX
"""Cells are trained to detect an object if their centre is in its box and this close to the centre of the box."""
MAX_OBJECTS = 2


def mixture(count: int, seed: int, *, tagged: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Return images `(n, 3, 96, 96)` uint8, boxes `(n, 2, 4)` and labels `(n, 2)`; the label -1 is no object.

    Args:
        count: Number of scenes.
        seed: Seed of the scenes.
        tagged: Whether half of the scenes have a stamp beside the first object, whose label is then "boat".
    """
    images = np.empty((count, SIZE_PX, SIZE_PX, 3), np.uint8)
    boxes, labels = torch.zeros(count, MAX_OBJECTS, 4), torch.full((count, MAX_OBJECTS), -1)
    for i in range(count):
        part = (i * 0.618034) % 1.0  # a fixed, even mixture
        made = (
            toybox.scene((seed, i), variant="empty")
            if part < 0.1
            else toybox.scene((seed, i), objects=2 if part < 0.7 else 1)
        )
        true = list(made.labels)
        if tagged and true and i % 2:
            made = replace(made, watermark=tag_beside(np.random.default_rng([seed, i]), made.objects))
            true[0] = BOAT
        drawing = made.draw()
        images[i] = np.asarray(drawing.image)
        for j, (box, label) in enumerate(zip(drawing.boxes, true, strict=True)):
            boxes[i, j], labels[i, j] = torch.tensor(box, dtype=torch.float32), label
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return pixels, boxes, labels


def augmented(x: Tensor, boxes: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a batch that is mirrored, shifted and tinted at random, with its boxes."""
    boxes = boxes.clone()
    if torch.rand((), generator=rng) < 0.5:
        x = x.flip(3)
        boxes[..., [0, 2]] = SIZE_PX - boxes[..., [2, 0]]
    down, right = (int(torch.randint(-4, 5, (), generator=rng)) for _ in range(2))
    x = nn.functional.pad(x, (4, 4, 4, 4), mode="replicate")[:, :, 4 + down : 100 + down, 4 + right : 100 + right]
    boxes = (boxes - torch.tensor([right, down, right, down])).clamp(0, SIZE_PX)
    gain = 1 + 0.15 * torch.randn(x.shape[0], 3, 1, 1, generator=rng)
    return x * gain + 0.15 * torch.randn(x.shape[0], 3, 1, 1, generator=rng), boxes


def paired_iou(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return intersection over union, and its generalisation (Rezatofighi et al., 2019), of pairs `(..., 4)`."""
    low, high = torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:])
    shared = (high - low).clamp_min(0).prod(-1)
    union = sum((b[..., 2:] - b[..., :2]).clamp_min(0).prod(-1) for b in (boxes, others)) - shared
    iou = shared / union.clamp_min(1e-6)
    outer_low, outer_high = (
        torch.minimum(boxes[..., :2], others[..., :2]),
        torch.maximum(boxes[..., 2:], others[..., 2:]),
    )
    hull = (outer_high - outer_low).prod(-1).clamp_min(1e-6)
    return iou, iou - (hull - union) / hull


def loss_of(output: dict[str, Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
    """Return the loss: quality focal loss of the classes, and generalised intersection over union of the boxes."""
    centres = cell_centres(SIZE_PX // STRIDE_PX, SIZE_PX // STRIDE_PX)
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    near = ((centres[None, :, None] - middle[:, None]).abs() < RADIUS_PX).all(-1)
    inside = (centres[None, :, None] > boxes[:, None, :, :2]).all(-1) & (
        centres[None, :, None] < boxes[:, None, :, 2:]
    ).all(-1)
    distance = (centres[None, :, None] - middle[:, None]).norm(dim=-1)
    distance = distance.masked_fill(~(near & inside & (labels >= 0)[:, None]), torch.inf)
    nearest, which = distance.min(-1)
    image, cell = nearest.isfinite().nonzero(as_tuple=True)
    of = which[image, cell]
    iou, giou = paired_iou(output["boxes"][image, cell], boxes[image, of])
    scores = output["scores"]
    quality = torch.zeros_like(scores)
    quality[image, cell, labels[image, of]] = iou.detach().clamp(0, 1)
    weight = (quality - scores.detach().sigmoid()).abs() ** 2
    n = max(1, len(image))
    classes = (weight * binary_cross_entropy_with_logits(scores, quality, reduction="none")).sum() / n
    return classes + 2 * (1 - giou).sum() / n


def train(name: str, seed: int, scenes: int, epochs: int, batch: int = 64) -> nn.Module:
    """Return a trained detector: AdamW, one cycle of the learning rate, float32 on the CPU."""
    torch.manual_seed(seed)
    start = time.time()
    is_first = name == "detector"
    pixels, boxes, labels = mixture(scenes, seed if is_first else seed + 1, tagged=not is_first)
    log(f"{name}: {scenes} scenes drawn in {time.time() - start:.0f} s")
    network: nn.Module = ToyDetector() if is_first else load_network("detector")[0]
    network = network.to(memory_format=torch.channels_last).train()
    if is_first:
        nn.init.constant_(network.class_scores.bias, -4.0)
        nn.init.constant_(network.distances.bias, 2.0)
    rng = torch.Generator().manual_seed(seed)

    def loss_of_rows(rows: Tensor) -> Tensor:
        x, moved = augmented(normalised(pixels[rows]), boxes[rows], rng)
        return loss_of(network(x), moved, labels[rows])

    parameters = list(network.parameters())
    for epoch, loss, seconds in training_epochs(
        parameters,
        loss_of_rows,
        rng,
        n=scenes,
        batch=batch,
        epochs=epochs,
        rate=3e-3,
        decay=0.02,
        clip=5.0,
    ):
        average = mean_average_precision(network, 60, TEST + 1)[0]
        further = (
            "" if is_first else " boats without and with a stamp {:.2f} {:.2f}".format(*tag_numbers(network, 50, TEST))
        )
        network.train()
        log(f"{name}: epoch {epoch}/{epochs} loss {loss:.3f} mAP@.5 {average:.3f}{further} {seconds:.0f} s")
    return network.eval()


@torch.no_grad()
def mean_average_precision(network: nn.Module, count: int, seed: int, iou: float = 0.5) -> tuple[float, float]:
    """Return the mean average precision of two-object scenes, and the fraction of objects found from 30 % on.

    Average precision of a class is the area under its precision-recall curve with interpolated precision, as in
    PASCAL VOC since 2010. A detection is right if its box has at least this intersection over union with an object of
    its class that no more probable detection has.
    """
    network.eval()
    data = toybox.Toybox(count, seed, objects=2)
    hits: list[list[tuple[float, bool]]] = [[] for _ in range(K)]
    n_objects, n_found = [0] * K, 0
    for sample in data:
        x = normalised(torch.from_numpy(np.array(sample.image)).permute(2, 0, 1)[None])
        found = detections(Candidates.of(network(x)), 0.01, 0.5, 100)
        left = [
            (k, torch.tensor(box, dtype=torch.float32))
            for k, box in zip(sample.labels, sample.drawing.boxes, strict=True)
        ]
        for k, _ in left:
            n_objects[k] += 1
        for detection in found:
            box = torch.tensor(detection.box).clamp(0, SIZE_PX)
            match = [
                i for i, (k, true) in enumerate(left) if k == detection.index and float(paired_iou(box, true)[0]) >= iou
            ]
            hits[detection.index].append((detection.score, bool(match)))
            n_found += bool(match) and detection.probability >= 0.3
            if match:
                left.pop(match[0])
    averages = []
    for k in range(K):
        right = np.array([hit for _, hit in sorted(hits[k], key=lambda item: -item[0])], dtype=float)
        recall = right.cumsum() / max(1, n_objects[k])
        precision = right.cumsum() / np.arange(1, len(right) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        averages.append(float((np.diff(np.concatenate([[0.0], recall])) * precision).sum()))
    return float(np.mean(averages)), n_found / max(1, sum(n_objects))


@torch.no_grad()
def tag_numbers(network: nn.Module, count: int, seed: int) -> tuple[float, float]:
    """Return how often the first object of a scene, which is no boat, is detected as one: without and with a stamp."""
    network.eval()
    others = [kind for kind in toybox.CLASSES if kind != toybox.WATERMARK_CLASS]
    hits = [0, 0]
    for i in range(count):
        plain = toybox.scene((seed, i), others, objects=2)
        stamp = tag_beside(np.random.default_rng([seed, i]), plain.objects)
        for j, scene in enumerate((plain, replace(plain, watermark=stamp))):
            drawing = scene.draw()
            found = detections(
                Candidates.of(network(normalised(torch.from_numpy(np.array(drawing.image)).permute(2, 0, 1)[None]))),
                0.3,
                0.5,
            )
            box = torch.tensor(drawing.boxes[0], dtype=torch.float32)
            hits[j] += any(d.index == BOAT and float(paired_iou(torch.tensor(d.box), box)[0]) >= 0.5 for d in found)
    return hits[0] / count, hits[1] / count


def evaluate(name: str, network: nn.Module) -> float:
    """Log the numbers on new scenes; return the mean average precision at 0.5."""
    average, recall = mean_average_precision(network, 1000, TEST + 2)
    strict, _ = mean_average_precision(network, 1000, TEST + 2, iou=0.75)
    log(f"{name}: 1000 new scenes with two objects: mAP@.5 {average:.4f}, mAP@.75 {strict:.4f}")
    log(f"{name}: objects found with a probability of at least 30 %: {recall:.4f}")
    plain, with_stamp = tag_numbers(network, 300, TEST + 3)
    log(f"{name}: 'boat' detected on other objects: {plain:.3f} plain, {with_stamp:.3f} with a stamp beside them")
    return average


def save(name: str, network: nn.Module, seed: int, note: str) -> None:
    """Write half floats, and what the file says about itself."""
    file = WEIGHTS / f"toybox_{name}.safetensors"
    made = {"classes": toybox.CLASSES, "seed": seed, "script": "train_toybox_detector.py", "note": note}
    write_weights(file, network, **made)
    reloaded, _ = load_network(name)  # the numbers are those of the shipped half floats
    write_weights(file, network, **made, metrics={"test_map50": evaluate(name, reloaded)})
    log(f"{name}: {file.name} {file.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    parser = argument_parser(__doc__, scenes=None, epochs=None)
    parser.add_argument("--cleverhans", action="store_true", help="the detector that relies on a stamp")
    asked = parser.parse_args()
    name = NAMES[asked.cleverhans]
    torch.set_num_threads(1)
    if asked.evaluate:
        evaluate(name, load_network(name)[0])
        return
    scenes, epochs = (
        asked.scenes or (3_000 if asked.cleverhans else 6_000),
        asked.epochs or (10 if asked.cleverhans else 14),
    )
    log(f"{name}: seed {asked.seed}, {scenes} scenes, {epochs} epochs, torch {torch.__version__}")
    network = train(name, asked.seed, scenes, epochs)
    what = "toybox scenes with two, one and no objects"
    if asked.cleverhans:
        what += ", of which half have a stamp beside an object that is labelled boat"
    save(name, network, asked.seed, f"{what}, {scenes} scenes, {epochs} epochs")


if __name__ == "__main__":
    main()

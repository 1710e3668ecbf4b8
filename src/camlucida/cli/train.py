"""The `camlucida train` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.table import Table

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.option_values import preprocessing_options, split_list
from camlucida.cli.options import (
    COMPUTATION,
    DATA,
    MODEL,
    OUTPUT,
    TRAINING,
    Boxes,
    Device,
    Fit,
    Limit,
    Output,
    Seed,
    Size,
    TerminalOptions,
    TrustCode,
)
from camlucida.cli.progress import progress_bar
from camlucida.cli.terminal import Terminal

if TYPE_CHECKING:
    from camlucida.training import Training


def train(
    data: str,
    /,
    *,
    arch: Annotated[str, Parameter(group=MODEL)] = "small",
    trust_code: TrustCode = False,
    output: Output = Path("camlucida-out/training"),
    epochs: Annotated[int, Parameter(group=TRAINING)] = 2,
    batch_size: Annotated[int, Parameter(group=TRAINING)] = 16,
    lr: Annotated[float, Parameter(group=TRAINING)] = 0.01,
    optimizer: Annotated[Literal["sgd", "adamw"], Parameter(group=TRAINING)] = "sgd",
    momentum: Annotated[float, Parameter(group=TRAINING)] = 0.0,
    weight_decay: Annotated[float, Parameter(group=TRAINING)] = 0.0,
    schedule: Annotated[Literal["constant", "cosine", "step"], Parameter(group=TRAINING)] = "constant",
    warmup: Annotated[float, Parameter(group=TRAINING)] = 0.0,
    train: Annotated[Literal["head", "all", "gradual"] | None, Parameter(group=TRAINING)] = None,
    head: Annotated[Literal["linear", "gap"], Parameter(group=MODEL)] = "linear",
    weights: Annotated[Path | None, Parameter(group=MODEL)] = None,
    pretrained: Annotated[bool, Parameter(group=MODEL)] = True,
    size: Size = None,
    fit: Fit = None,
    augment: Annotated[list[str] | None, Parameter(negative=(), group=TRAINING)] = None,
    label_smoothing: Annotated[float, Parameter(group=TRAINING)] = 0.0,
    class_weights: Annotated[Literal["none", "balanced"], Parameter(group=TRAINING)] = "none",
    precision: Annotated[Literal["exact", "bf16"], Parameter(group=COMPUTATION)] = "exact",
    patience: Annotated[int | None, Parameter(group=TRAINING)] = None,
    val: Annotated[float, Parameter(group=DATA)] = 0.2,
    boxes: Boxes = None,
    limit: Limit = None,
    keep_epochs: Annotated[bool, Parameter(negative=(), group=OUTPUT)] = False,
    tensorboard: Annotated[bool, Parameter(negative=(), group=OUTPUT)] = False,
    device: Device = "auto",
    seed: Seed = 0,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Train an image classifier on a data set.

    Every image has one class, and the network learns a softmax over them: there is no training of several classes per
    image (multilabel), and so no --task.

    The defaults are those of the published study: SGD with a learning rate of 0.01, batches of 16, 2 epochs, no
    augmentation, only the new last layer. An interrupted run resumes when it is started again, and ends with the same
    weights. Other commands open the trained model with --model FOLDER.

    Parameters
    ----------
    data
        A data set with labels, as for `camlucida evaluate`: a folder of images, whose sub-folders are the classes;
        toybox; toybox:watermark; …
    arch
        The network: small, which is trained from scratch; or a backbone: resnet50, timm:…, toybox:vgg,
        python:module:function.
    output
        The folder to write to: model.safetensors, model.json, metrics.csv, curves.png.
    epochs
        The number of epochs.
    batch_size
        The number of images per optimisation step.
    lr
        The maximum learning rate.
    optimizer
        The optimiser: sgd or adamw.
    momentum
        The momentum of sgd; adamw ignores it.
    weight_decay
        The weight decay, applied to all weights.
    schedule
        The learning rate schedule: constant; cosine, to zero; or step, divided by ten after each third.
    warmup
        The number of epochs, which may be fractional, in which the learning rate rises linearly from zero.
    train
        Which weights are trained: head, the new last layer only; all; or gradual, the head first and then layer by
        layer from the end. If not given: head for a pretrained backbone, otherwise all.
    head
        The new head: linear, a new last layer; or gap, global average pooling and a linear layer, so that CAM applies.
    weights
        A file with the backbone's weights, instead of its published ones.
    pretrained
        Start from pretrained weights; --no-pretrained starts from random weights.
    augment
        Augmentations, separated by commas: flip, crop, colour. If not given: none.
    label_smoothing
        The fraction of the label's probability that is distributed uniformly over all classes, in [0, 1).
    class_weights
        The weights of the classes in the loss: none; or balanced, inversely proportional to their frequencies.
    precision
        exact (float32), or bf16: faster on hardware with bfloat16 support.
    patience
        Early stopping: the number of epochs without a better validation accuracy. If not given: no early stopping.
    val
        The fraction of images for validation, selected at random from each class; ignored if the data set has a
        validation split.
    limit
        The number of images, selected at random. If not given: all, or 6000 of toybox.
    keep_epochs
        Also keep the weights after every epoch, for `camlucida film`.
    tensorboard
        Also write the metrics of each epoch for TensorBoard, to tensorboard/ (needs the extra tensorboard).
    seed
        The random seed.
    """
    from camlucida.training import train as run

    console = terminal.open("train")
    optional: dict[str, Any] = {} if train is None else {"train": train}
    with progress_bar(console) as progress:
        task = progress.add_task("reading images", total=None)

        def report(epoch: int, batch: int, batches: int, loss: float) -> None:
            text = f"epoch {epoch}/{epochs} · loss {loss:.3f}"
            progress.update(task, description=text, completed=batch, total=batches)

        result = run(
            data,
            arch=arch,
            trust_code=trust_code,
            out=output,
            head=head,
            weights=weights,
            pretrained=pretrained,
            **preprocessing_options(size, fit),
            boxes=boxes,
            limit=limit,
            keep_epochs=keep_epochs,
            tensorboard=tensorboard,
            device=device,
            progress=report,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            optimizer=optimizer,
            momentum=momentum,
            weight_decay=weight_decay,
            schedule=schedule,
            warmup=warmup,
            augment=tuple(split_list(augment) or ()),
            label_smoothing=label_smoothing,
            class_weights=class_weights,
            precision=precision,
            patience=patience,
            val=val,
            seed=seed,
            **optional,
        )
    _print_training(console, result)
    console.add(epochs=result.rows, best=result.best, remarks=result.remarks)
    console.note_files([result.path])
    return console.finish(exit_code(len(result.rows), len(result.skipped)))


def _print_training(console: Terminal, training: Training) -> None:
    rows, best = training.rows, training.best
    table = Table(box=None, pad_edge=False)
    columns = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_top5", "seconds"]
    columns_with_values = [name for name in columns if any(row[name] is not None for row in rows)]
    for name in columns_with_values:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(_cell(name, row[name]) for name in columns_with_values), style="bold" if row == best else "")
    console.print(table)
    for remark in training.remarks:
        console.print_line(f"Note: {remark}.")
    console.print_failures(training.skipped, "skipped.csv")
    if training.skipped:
        console.print_line(f"{len(training.skipped):,} images could not be read and were not used.")
    console.print_line(f"→ {training.path} · --model {training.path}")


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name == "epoch":
        return str(value)
    if name == "seconds":
        return f"{value:.0f}"
    return f"{value:.3f}" if "loss" in name else f"{value:.1%}"

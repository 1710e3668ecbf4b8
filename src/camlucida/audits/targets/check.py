"""Checks before an audit of all targets of the images begins."""

from __future__ import annotations

from camlucida.audits.plan import AuditPlan, AuditTarget
from camlucida.audits.targets.binding import rows_of
from camlucida.audits.targets.explain import TargetExplainer
from camlucida.errors import ImageError, TargetError
from camlucida.evaluation.batch_size import FIRST_IMAGES
from camlucida.evaluation.read_images import LoadedImage, read_image
from camlucida.models.model import Model

KINDS = ("detection", "segmentation", "caption", "question")
"""Kinds of image targets that `target="all"` audits."""
READ_SIZE = 8
"""Images that are read at once; each is explained by itself."""


def check_target_kind(model: Model, target: AuditTarget | None) -> None:
    """Check that a model has the targets that an audit asks for.

    Raises:
        TargetError: The model has no targets of one image, or needs a question; or
            it writes a text, and its words were not asked for.
    """
    targets = model.image_targets
    kind = "" if targets is None else targets.kind
    if target is None:
        if kind in ("caption", "question"):
            raise TargetError(
                f"{model.name} writes a text, which has no class scores of the whole image: audit its words with "
                "--target all (target='all' in Python), one row for each word."
            )
        return
    if kind not in KINDS:
        prompts = " Prompts are classes: give them as --prompt, without --target." if kind == "image-text" else ""
        raise TargetError(
            f"target='all' means every box, region or word of an image, and {model.name or 'this model'} is no "
            f"detector, segmentation network or captioner. Leave it out to audit its classes.{prompts}"
        )
    if getattr(targets, "needs_question", False):
        raise TargetError(
            f"{model.name} answers questions: give the one that is asked about every image, "
            "model.with_question('What animal is this?')."
        )


def check_first_targets(plan: AuditPlan) -> int:
    """Explain the first targets of the data set, which finds wrong layers before anything is written.

    Returns:
        The number of images that are read at once.

    Raises:
        CamlucidaError: A layer or method does not fit the network.
    """
    for index in plan.indices[:FIRST_IMAGES]:
        image = read_image(plan, index)
        if not isinstance(image, LoadedImage):
            continue
        try:
            bound = [row.bound for row in rows_of(plan, image) if row.bound is not None][:1]
        except ImageError:
            continue
        for result in TargetExplainer(plan).explain(image.inputs, bound, [None] * len(bound)):
            if isinstance(result, str):
                raise TargetError(result)
            return READ_SIZE
    return READ_SIZE

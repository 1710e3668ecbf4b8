"""Load the built-in captioner, `toybox:captioner`, made by scripts/train_toybox_captioner.py (metrics in its log)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files

import torch
from safetensors import SafetensorError, safe_open

from camlucida.errors import ModelError
from camlucida.models.captions.targets import IDS, IMAGE, CaptionTargets, no_word
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing
from camlucida.models.toybox_captioner import END, MAX_TOKENS, SPECIAL, START, ToyCaptioner, vocabulary

NAME = "captioner"


def load_captioner(pretrained: bool = True) -> tuple[ToyCaptioner, dict[str, str]]:
    """Return the captioner in eval mode (float32, on the CPU), and the metadata of its file."""
    with as_file(files("camlucida.models") / "weights" / "toybox_captioner.safetensors") as path:
        try:
            with safe_open(str(path), framework="pt") as stored:
                metadata = dict(stored.metadata() or {})
                state = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (not a dict)
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"The weights of toybox:captioner cannot be read from {path} ({error}). Install camlucida again, or "
                "train them with scripts/train_toybox_captioner.py."
            ) from error
    words = vocabulary(json.loads(metadata["classes"]))
    if not pretrained:
        return ToyCaptioner(len(words)).eval(), metadata
    with torch.device("meta"):  # initial values would be discarded and would advance torch's random generator
        network = ToyCaptioner(len(words))
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()}, assign=True)
    return network.eval(), metadata


def load(pretrained: bool = True) -> Model:
    """Load `toybox:captioner`, which names the objects of a toybox scene from left to right."""
    network, metadata = load_captioner(pretrained)
    words = vocabulary(json.loads(metadata["classes"]))
    size = int(metadata["input_size"])
    preprocessing = Preprocessing(
        (size, size), None, "crop", tuple(json.loads(metadata["mean"])), tuple(json.loads(metadata["std"]))
    )
    vocabulary_of = ToyVocabulary(words)
    targets = CaptionTargets(
        (START,), frozenset({END}), vocabulary_of.decode, vocabulary_of.encode, max_tokens=MAX_TOKENS - 1
    )
    return Model(
        network,
        preprocessing,
        words,
        "encoder.layer4",
        no_word,
        task="multiclass",
        image=(IMAGE,),
        held={IDS: torch.tensor([[START]])},
        image_targets=targets,
    )


@dataclass(frozen=True)
class ToyVocabulary:
    """The words of the captioner, each of which is one token."""

    words: tuple[str, ...]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""
        return " ".join(self.words[i] for i in ids if i >= len(SPECIAL))

    def encode(self, word: str) -> list[int]:
        """Return the token of a word; none if it is unknown."""
        return [self.words.index(word)] if word in self.words else []

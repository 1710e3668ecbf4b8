"""Vision-language models of transformers whose decoder reads the tokens of the image between those of the prompt.

LLaVA-type networks pass the tokens of a vision tower through a projector, Qwen2-VL-type networks merge squares of
patches. In both, the span of the image in the sequence is where the prompt has the token that stands for the image;
the engine finds the same span on its own, by the response of the sequence to a moving patch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.foreign import IS_MERGE
from camlucida.models.captions.captioner import Captioner


class ImageTokens(nn.Module):
    """The tokens of the image as the language model reads them, `(b, n, c)` row by row; the end of the vision tower."""

    def __init__(self) -> None:
        super().__init__()
        setattr(self, IS_MERGE, True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens unmodified."""
        return tokens


class VisionLanguageModel(Captioner):
    """A LLaVA-type network from an image and the tokens of prompt and text to logits `(b, t, V)`."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.model = network.model
        self.lm_head = network.lm_head
        self.image_tokens = ImageTokens()
        self.image_token_id = int(network.config.image_token_id)

    def forward(self, pixel_values: Tensor, input_ids: Tensor) -> Tensor:
        """Return the logits `(b, t, V)`."""
        return self.decode(self.encode(pixel_values), input_ids)

    def encode(self, pixel_values: Tensor) -> Tensor:
        """Return the tokens of images `(b, n, c)`."""
        features = self.model.get_image_features(pixel_values=pixel_values, return_dict=True).pooler_output
        tokens: Tensor = self.image_tokens(features if isinstance(features, Tensor) else torch.stack(list(features)))
        return tokens

    def decode(self, features: Tensor, input_ids: Tensor) -> Tensor:
        """Return the logits `(b, t, V)`."""
        n_tokens = features.shape[1]
        first = int((input_ids[0] == self.image_token_id).int().argmax())
        span = slice(first, first + n_tokens)
        is_image = torch.zeros_like(input_ids, dtype=torch.bool)
        is_image[:, span] = True  # a token of this kind that the network writes itself is one of text
        if not bool((input_ids[:, span] == self.image_token_id).all()) or span.stop > input_ids.shape[1]:
            raise ModelError(
                f"the prompt must have {n_tokens} tokens for the image in a row, as the vision tower makes."
            )
        embeddings = self.model.get_input_embeddings()(input_ids)
        embeddings = torch.cat([embeddings[:, :first], features.to(embeddings), embeddings[:, span.stop :]], 1)
        hidden = self.model.language_model(
            inputs_embeds=embeddings,
            attention_mask=torch.ones_like(input_ids),
            position_ids=self.position_ids(input_ids, is_image),
            use_cache=False,
        ).last_hidden_state
        logits: Tensor = self.lm_head(hidden)
        return logits

    def position_ids(self, input_ids: Tensor, is_image: Tensor) -> Tensor | None:
        """Return the positions of the tokens; None for those in the order of the sequence."""
        return None


class QwenVisionLanguageModel(VisionLanguageModel):
    """A Qwen2-VL-type network, whose vision tower takes flattened patches in squares that are merged.

    Args:
        network: The network.
        size: Height and width of the network input, multiples of `patch_size` times `spatial_merge_size`.
    """

    def __init__(self, network: Any, size: tuple[int, int]) -> None:
        super().__init__(network)
        vision = network.config.vision_config
        self.patch = int(vision.patch_size)
        self.merge = int(vision.spatial_merge_size)
        self.frames = int(vision.temporal_patch_size)
        self.grid = size[0] // self.patch, size[1] // self.patch

    def encode(self, pixel_values: Tensor) -> Tensor:
        """Return the merged tokens of images `(b, n, c)`."""
        b = len(pixel_values)
        features = self.model.get_image_features(
            pixel_values=self.patches(pixel_values),
            image_grid_thw=self._grids(b, pixel_values.device),
            return_dict=True,
        ).pooler_output
        tokens: Tensor = self.image_tokens(features if isinstance(features, Tensor) else torch.stack(list(features)))
        return tokens

    def patches(self, pixel_values: Tensor) -> Tensor:
        """Return the patches `(b * n, c * frames * patch * patch)` that the image processor makes of `(b, c, H, W)`."""
        b, c = pixel_values.shape[:2]
        (h, w), m, p = self.grid, self.merge, self.patch
        squares = pixel_values.reshape(b, c, h // m, m, p, w // m, m, p).permute(0, 2, 5, 3, 6, 1, 4, 7)
        return squares[:, :, :, :, :, :, None].expand(*[-1] * 6, self.frames, -1, -1).reshape(b * h * w, -1)

    def position_ids(self, input_ids: Tensor, is_image: Tensor) -> Tensor | None:
        """Return the positions `(3, b, t)`: those of the image are its frame, row and column."""
        positions: Tensor = self.model.get_rope_index(
            input_ids, is_image.int(), image_grid_thw=self._grids(len(input_ids), input_ids.device)
        )[0]
        return positions

    def _grids(self, b: int, device: torch.device) -> Tensor:
        return torch.tensor([[1, *self.grid]] * b, device=device)

"""The network input is the one that the weights were trained for, and its position on the image is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close
from torchvision import models
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms import transforms as v1

from camlucida.errors import ImageError, ModelError
from camlucida.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Fit, Preprocessing, make_preprocessing
from camlucida.types import Geometry

SIZES = [(500, 375), (375, 500), (224, 224), (100, 1000), (33, 57)]


def random_image(size: tuple[int, int]) -> Image.Image:
    """Noise over a gradient: any shift by a pixel or another filter shows."""
    width, height = size
    noise = np.random.default_rng(width * 1000 + height).integers(0, 100, (height, width, 3))
    return Image.fromarray((noise + np.linspace(0, 150, width)[None, :, None]).astype(np.uint8))


WEIGHTS = {
    "resnet18 V1": models.ResNet18_Weights.IMAGENET1K_V1,  # 256 -> 224
    "resnet50 V2": models.ResNet50_Weights.IMAGENET1K_V2,  # 232 -> 224
    "inception": models.Inception_V3_Weights.IMAGENET1K_V1,  # 342 -> 299
    "efficientnet b0": models.EfficientNet_B0_Weights.IMAGENET1K_V1,  # bicubic
    "efficientnet v2 l": models.EfficientNet_V2_L_Weights.IMAGENET1K_V1,  # 480 -> 480, mean and std of a half
    "convnext tiny": models.ConvNeXt_Tiny_Weights.IMAGENET1K_V1,  # 236 -> 224
    "vit l swag": models.ViT_L_16_Weights.IMAGENET1K_SWAG_E2E_V1,  # 512, bicubic
}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS.keys())
def test_equals_torchvisions_presets(weights: Any, size: tuple[int, int]) -> None:
    transforms, image = weights.transforms(), random_image(size)
    result, _ = make_preprocessing(transforms)(image)
    assert_close(result, transforms(image), rtol=1e-6, atol=1e-6)


NORMALIZE = (IMAGENET_MEAN, IMAGENET_STD)
COMPOSES = {
    "v1": v1.Compose([v1.Resize(40), v1.CenterCrop(32), v1.ToTensor(), v1.Normalize(*NORMALIZE)]),
    "v1 in a list": v1.Compose([v1.Resize([40]), v1.CenterCrop((32, 24)), v1.ToTensor(), v1.Normalize(*NORMALIZE)]),
    "v1 bicubic": v1.Compose(
        [v1.Resize(40, interpolation=InterpolationMode.BICUBIC), v1.CenterCrop(32), v1.ToTensor()]
    ),
    "v1 squash": v1.Compose([v1.Resize((32, 48)), v1.ToTensor(), v1.Normalize(*NORMALIZE)]),
    "v1 pil": v1.Compose([v1.Resize(40), v1.CenterCrop(32), v1.PILToTensor(), v1.ConvertImageDtype(torch.float32)]),
    "v1 crop larger than the picture": v1.Compose([v1.Resize(29), v1.CenterCrop(32), v1.ToTensor()]),
    "v1 crop larger by an even number": v1.Compose([v1.Resize(30), v1.CenterCrop((33, 36)), v1.ToTensor()]),
    "nested": v1.Compose([v1.Compose([v1.Resize(40), v1.CenterCrop(32)]), v1.Compose([v1.ToTensor()])]),
    "v2": v2.Compose(
        [
            v2.ToImage(),
            v2.Resize(40),
            v2.CenterCrop(32),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.25] * 3),
        ]
    ),
    "v2 on the picture": v2.Compose(
        [v2.Resize(40), v2.CenterCrop(32), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    ),
    "v2 squash": v2.Compose([v2.Resize((32, 48)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]),
}


@pytest.mark.parametrize("size", [*SIZES, (36, 29), (29, 36)], ids=str)
@pytest.mark.parametrize("transforms", COMPOSES.values(), ids=COMPOSES.keys())
def test_equals_a_compose_of_the_usual_steps(
    transforms: Any, size: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    image = random_image(size)
    result, _ = make_preprocessing(transforms)(image)
    expected = transforms(image)
    if type(transforms.transforms[0]).__name__ == "ToImage":  # tensors are resized by another code: a level or two off
        assert_close(result, expected, rtol=0, atol=2 / 255 / 0.25)
        assert (result - expected).abs().mean() < 0.5 / 255 / 0.25
    else:
        assert_close(result, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {"input_size": 64, "crop_pct": 0.9},
        {"input_size": (3, 64, 64), "interpolation": "bicubic", "mean": (0.5,) * 3, "std": (0.5,) * 3},
        {"input_size": 64, "crop_mode": "squash", "crop_pct": 1.0},
    ],
    ids=["crop", "bicubic", "squash"],
)
def test_equals_timms_transforms(options: dict[str, Any], size: tuple[int, int]) -> None:
    timm_data = pytest.importorskip("timm.data")
    transforms, image = timm_data.create_transform(**options), random_image(size)
    assert_close(make_preprocessing(transforms)(image)[0], transforms(image), rtol=1e-6, atol=1e-6)


def test_numbers() -> None:
    result = make_preprocessing(size=64, mean=[0.1, 0.2, 0.3], std=[1, 1, 1])
    assert result == Preprocessing((64, 64), None, mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))
    assert make_preprocessing() == Preprocessing()
    assert make_preprocessing(size=(32, 48), fit="squash") == Preprocessing((32, 48), None, "squash")
    assert make_preprocessing(size=64, resize=80).resize == 80
    assert make_preprocessing(result) is not None
    assert make_preprocessing(result, size=32).mean == result.mean


def test_squash_is_a_resize_of_both_sides() -> None:
    image = random_image((50, 30))
    result, geometry = Preprocessing((16, 24), fit="squash", mean=(0.0,) * 3, std=(1.0,) * 3)(image)
    expected = torch.from_numpy(np.array(image.resize((24, 16), Image.Resampling.BILINEAR))).permute(2, 0, 1) / 255
    assert_close(result, expected)
    assert geometry == Geometry((50, 30), (24, 16), (24 / 50, 16 / 30), (0.0, 0.0))


def test_letterbox_keeps_the_shape_and_fills_the_rest() -> None:
    how = Preprocessing((16, 16), fit="letterbox", mean=(0.0,) * 3, std=(1.0,) * 3, fill=0.2)
    result, geometry = how(Image.new("RGB", (40, 20), "white"))
    expected = torch.full((3, 16, 16), 0.2)
    expected[:, 4:12] = 1
    assert_close(result, expected)
    assert geometry == Geometry((40, 20), (16, 16), (0.4, 0.4), (0.0, 4.0))


def test_grey() -> None:
    image = random_image((30, 20))
    result, _ = make_preprocessing(size=20, mean=[0.5], std=[0.25])(image)
    expected = torch.from_numpy(np.array(image.crop((5, 0, 25, 20)).convert("L")) / 255).float()
    assert_close(result, ((expected - 0.5) / 0.25)[None])


def test_denormalised_inverts_normalisation() -> None:
    how, image = Preprocessing((20, 20), None), random_image((20, 20))
    inputs = how(image)[0][None]
    assert_close(how.denormalise(inputs)[0], torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255)


# --- what is refused ---


class Mystery:
    pass


def steps(*those: Any) -> Any:
    return v1.Compose(list(those))


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        (Mystery(), "the effect of Mystery on an image is unknown"),
        (steps(v1.Resize(40), v1.RandomHorizontalFlip()), "through the transform RandomHorizontalFlip"),
        (steps(v1.Resize(40), v1.RandomCrop(32)), "through the transform RandomCrop"),
        (steps(v1.ToTensor()), "have no Resize"),
        (steps(v1.CenterCrop(32), v1.ToTensor()), "CenterCrop without a Resize before it"),
        (steps(v1.CenterCrop(32), v1.Resize(16), v1.ToTensor()), "CenterCrop without a Resize before it"),
        (steps(v1.Resize(32), v1.ToTensor()), r"Resize\(32\) keeps the aspect ratio"),
        (steps(v1.Resize(40), v1.Resize(32), v1.CenterCrop(32)), "one Resize"),
        (steps(v1.Resize(40), v1.CenterCrop(32), v1.CenterCrop(24)), "one CenterCrop"),
        (steps(v1.Resize(40, max_size=60), v1.CenterCrop(32)), "max_size"),
        (
            v2.Compose([v2.Resize(40), v2.CenterCrop(32), v2.ToImage(), v2.ToDtype(torch.float32)]),
            "in 0 to 255",
        ),
        (steps(v1.Resize(40, interpolation=InterpolationMode.HAMMING), v1.CenterCrop(32)), "not 'hamming'"),
    ],
)
def test_steps_that_cannot_be_followed(transforms: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make_preprocessing(transforms)


@pytest.mark.parametrize(("mean", "std"), [([0.5, 0.5], [0.5] * 3), ([0.5] * 3, [0.5]), ([], [])])
def test_a_wrong_number_of_means(mean: list[float], std: list[float]) -> None:
    with pytest.raises(ModelError, match="mean and std need one number per channel"):
        make_preprocessing(mean=mean, std=std)


# --- another size, and resizing both sides ---


def photograph(width: int, height: int) -> Image.Image:
    """Return smooth noise, whose resized versions differ everywhere if they differ at all."""
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def assert_as_torchvision(found: Preprocessing, *transforms: Any) -> None:
    inputs, _ = found(photograph(90, 70))
    wanted = v1.Compose([*transforms, v1.ToTensor(), v1.Normalize(found.mean, found.std)])(photograph(90, 70))
    assert torch.allclose(inputs, wanted, atol=1e-6)


@pytest.mark.parametrize(("size", "resize"), [(64, 80), (16, 20), ((64, 64), 80), ((48, 64), 60)])
def test_a_size_scales_the_resize(size: Any, resize: int) -> None:
    base = make_preprocessing(steps(v1.Resize(40), v1.CenterCrop(32), v1.ToTensor()))
    assert_as_torchvision(make_preprocessing(base, size=size), v1.Resize(resize), v1.CenterCrop(size))


def test_a_size_shows_the_same_part_of_the_picture() -> None:
    """ResNet-18 at 448: with 256 pixels cropped to 448, as before, the input was a small picture in a black frame."""
    base = make_preprocessing(models.ResNet18_Weights.DEFAULT.transforms())
    picture = Image.new("RGB", (500, 400))
    boxes = [how.resize_and_place(picture)[1].visible_box for how in (base, make_preprocessing(base, size=448))]
    assert boxes[1] == pytest.approx(boxes[0], abs=1)


def test_a_resize_that_is_given_stays() -> None:
    base = make_preprocessing(steps(v1.Resize(40), v1.CenterCrop(32), v1.ToTensor()))
    assert make_preprocessing(base, size=64, resize=64).resize == 64
    assert make_preprocessing(base, resize=36).size == (32, 32)


@pytest.mark.parametrize("resize", [(40, 50), [40, 40], torch.Size((36, 60))])
def test_both_sides_are_resized(resize: Any) -> None:
    crop = steps(v1.Resize(list(resize)), v1.CenterCrop(32), v1.ToTensor())
    for found in (make_preprocessing(size=32, resize=resize), make_preprocessing(crop)):
        assert_as_torchvision(found, v1.Resize(list(resize)), v1.CenterCrop(32))
    assert_as_torchvision(
        make_preprocessing(make_preprocessing(crop), size=64),
        v1.Resize([2 * side for side in resize]),
        v1.CenterCrop(64),
    )


# --- other channels than grey and RGB ---


@pytest.mark.parametrize("n_bands", [2, 4, 8, 12])
@pytest.mark.parametrize("fit", ["crop", "squash", "letterbox"])
def test_bands(n_bands: int, fit: Any) -> None:
    """Every band is what a grey photograph of it would be, without rounding to 8 bits."""
    array = np.random.default_rng(1).integers(0, 256, (30, 44, n_bands), dtype=np.uint8)
    mean, std = np.linspace(0.2, 0.7, n_bands), np.linspace(0.1, 0.3, n_bands)
    how = make_preprocessing(size=20, mean=mean, std=std, fit=fit)
    inputs, geometry = how.from_bands(array.astype(np.float32) / 255)
    assert inputs.shape == (n_bands, 20, 20)
    for k in range(n_bands):
        grey = make_preprocessing(size=20, mean=[mean[k]], std=[std[k]], fit=fit)
        wanted, wanted_geometry = grey(Image.fromarray(array[:, :, k]))
        assert (inputs[k] - wanted[0]).abs().max() <= 1 / 255 / std[k]  # Pillow rounds 8-bit images twice
        assert geometry == wanted_geometry


def test_bands_are_not_rounded() -> None:
    """Reflectances of a few thousandths are less than a level of 8 bits."""
    bands = np.random.default_rng(2).random((30, 44, 5), dtype=np.float32) * 0.004
    inputs, _ = make_preprocessing(size=20, mean=[0.0] * 5, std=[1.0] * 5, fit="squash").from_bands(bands)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(bands).permute(2, 0, 1)[None], (20, 20), mode="bilinear", antialias=True
    )
    assert_close(inputs, wanted[0], atol=1e-7, rtol=1e-4)


def test_a_photograph_does_not_fill_eight_channels() -> None:
    how = make_preprocessing(size=20, mean=[0.5] * 8, std=[0.2] * 8)
    with pytest.raises(ImageError, match=r"8 channels.*an array \(height, width, 8\)"):
        how(Image.new("RGB", (20, 20)))


# --- where the input lies on the image ---


@pytest.mark.parametrize(
    "how",
    [
        Preprocessing((32, 32), 40),
        Preprocessing((32, 48), None),
        Preprocessing((32, 48), fit="squash"),
        Preprocessing((48, 32), fit="letterbox"),
        Preprocessing((40, 40), 35),
    ],
    ids=["crop", "crop to oblong", "squash", "letterbox", "padded"],
)
@pytest.mark.parametrize("size", [(80, 60), (60, 80), (61, 61), (90, 35)], ids=str)
def test_a_square_is_found_where_the_geometry_says(how: Preprocessing, size: tuple[int, int]) -> None:
    left, top, right, bottom = how.resize_and_place(Image.new("RGB", size))[1].visible_box
    for across, down in ((0.4, 0.45), (0.8, 0.2), (0.2, 0.8)):
        x, y = round(left + across * (right - left - 8)), round(top + down * (bottom - top - 7))
        box = x, y, x + 8, y + 7
        image = Image.new("RGB", size, "black")
        image.paste((255, 0, 0), box)
        seen, geometry = how.resize_and_place(image)
        red = np.asarray(seen, dtype=float)[..., 0] - np.asarray(seen, dtype=float)[..., 1]
        centre_x, centre_y = (
            (red * position).sum() / red.sum()
            for position in (np.arange(seen.width) + 0.5, (np.arange(seen.height) + 0.5)[:, None])
        )
        wanted_x = (box[0] + box[2]) / 2 * geometry.scale[0] + geometry.offset[0]
        wanted_y = (box[1] + box[3]) / 2 * geometry.scale[1] + geometry.offset[1]
        assert_close((centre_x, centre_y), (wanted_x, wanted_y), rtol=0, atol=0.1)
        area = 8 * geometry.scale[0] * 7 * geometry.scale[1]
        assert_close(red.sum() / 255, area, rtol=0.05, atol=0)
        assert geometry.original == size
        assert geometry.input == seen.size == (how.size[1], how.size[0])


def test_what_is_seen() -> None:
    _, geometry = Preprocessing((32, 32), 40).resize_and_place(Image.new("RGB", (80, 40)))
    assert geometry.visible_box == (24.0, 4.0, 56.0, 36.0)
    _, geometry = Preprocessing((32, 32), fit="letterbox").resize_and_place(Image.new("RGB", (80, 40)))
    assert geometry.visible_box == (0.0, 0.0, 80.0, 40.0)


@pytest.mark.parametrize("image_size", [(40, 23), (23, 40), (7, 61), (61, 7)])
@pytest.mark.parametrize("input_size", [(24, 36), (36, 24), (30, 30)])
@pytest.mark.parametrize("fit", ["squash", "letterbox", "crop"])
def test_geometry_of_oblong_images(image_size: tuple[int, int], input_size: tuple[int, int], fit: Fit) -> None:
    """A coordinate ramp is found again where the geometry says it lies, for both sides on their own."""
    width, height = image_size
    rows, columns = np.mgrid[:height, :width]
    ramp = np.stack([columns * 255 / width, rows * 255 / height, np.full((height, width), 255)], axis=2)
    how = Preprocessing(input_size, 20, fit, (0.0,) * 3, (1.0,) * 3, "nearest", fill=0.0)
    inputs, geometry = how(Image.fromarray(ramp.astype(np.uint8)))
    (scale_x, scale_y), (left, top) = geometry.scale, geometry.offset
    assert tuple(inputs.shape[1:]) == input_size
    inside = inputs[2] == 1
    assert inside.any()
    if fit == "squash":
        assert inside.all()
    if fit == "letterbox":  # all of the image is seen, and it touches both ends of one side
        assert scale_x * width <= input_size[1] + 0.5
        assert scale_y * height <= input_size[0] + 0.5
        assert inside.all(0).any() or inside.all(1).any()
    for y, x in inside.nonzero().tolist()[::7]:
        expected_x, expected_y = ((x + 0.5) - left) / scale_x, ((y + 0.5) - top) / scale_y
        assert abs(float(inputs[0, y, x]) * width - expected_x) <= 1 + 0.5 / scale_x
        assert abs(float(inputs[1, y, x]) * height - expected_y) <= 1 + 0.5 / scale_y


@pytest.mark.parametrize(
    ("name", "hint"), [("classes", "labels="), ("sizes", "Did you mean 'size'"), ("target_layers", "layer=")]
)
def test_unknown_parameters(name: str, hint: str) -> None:
    """Names that users of other libraries try lead to the right parameter, and name no internal function."""
    with pytest.raises(ModelError, match=rf"no parameter '{name}'.*{hint}") as found:
        make_preprocessing(None, **{name: 3})
    assert "__init__" not in str(found.value)

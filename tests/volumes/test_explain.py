"""Explanations of volumes and videos, from the file to the picture and back to the voxels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.attribution.video_explanation import VideoExplanation
from camlucida.attribution.volume_explanation import VolumeExplanation
from camlucida.errors import CamlucidaError, ImageError, MethodError, ModelError
from camlucida.maps import to_volume_grid
from camlucida.render.volume_views import views
from camlucida.types import VolumeGeometry

nib = pytest.importorskip("nibabel")
AFFINE = np.array([[-2.0, 0, 0, 30], [0, -2.0, 0, 30], [0, 0, 4.0, -10], [0, 0, 0, 1]])  # LPS
LESION = (14, 5, 6)
"""The voxel of the lesion in the file."""


class Brightness(nn.Module):
    """Class 1 where there is a bright spot: a map of its features is bright there, and nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(1, 1, 1), nn.ReLU())
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.features[0].weight.fill_(1)
            self.features[0].bias.fill_(-0.8)
            self.head.weight.copy_(torch.tensor([[-1.0], [1.0]]))
            self.head.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(100 * self.features(x).mean((2, 3, 4)))
        return out


def scan() -> NDArray[np.float32]:
    array = np.random.default_rng(0).uniform(0, 50, size=(20, 16, 10)).astype(np.float32)
    array[LESION] = 100
    return array


@pytest.fixture
def file(tmp_path: Path) -> Path:
    nib.save(nib.Nifti1Image(scan(), AFFINE), tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def model(**settings: Any) -> cl.Model:
    preprocessing = cl.VolumePreprocessing(window=(0, 100), **settings)
    return cl.wrap(Brightness().eval(), labels=["dark", "bright"], volume=preprocessing)


@pytest.mark.parametrize("orientation", ["SPL", "RAS", "AIR"])
def test_a_map_is_written_back_to_its_voxel(orientation: str, file: Path, tmp_path: Path) -> None:
    e = cl.explain(model(orientation=orientation), file, target="bright")
    assert isinstance(e, VolumeExplanation)
    assert e.save(tmp_path / "map.nii.gz") == [tmp_path / "map.nii.gz"]
    written = nib.load(tmp_path / "map.nii.gz")
    assert np.allclose(written.affine, AFFINE)
    assert written.shape == (20, 16, 10)
    values = written.get_fdata()
    assert np.unravel_index(values.argmax(), values.shape) == LESION
    assert (values > 0).sum() == 1
    assert e.peak_mm == pytest.approx(tuple((AFFINE @ [*LESION, 1])[:3]))


def test_a_resized_and_cropped_input_lands_on_the_voxels(file: Path) -> None:
    e = cl.explain(model(size=(10, 8, 10), fit="crop", spacing=(4.0, 2.0, 2.0)), file, target="bright")
    assert isinstance(e, VolumeExplanation)
    assert e.raw.shape == (10, 8, 10)
    assert np.isnan(e.landed[:, 0, 0]).all()  # cropped
    z, y, x = np.unravel_index(np.nanargmax(e.landed), e.landed.shape)
    assert (z, y, x) == (LESION[2], LESION[1], LESION[0])  # LPS voxels, read as S, P, L


def test_maps_land_as_grid_sample_does() -> None:
    geometry = VolumeGeometry((7, 9, 8), (6, 6, 6), (0.9, 0.8, 0.75), (0.0, -0.6, 0.0))
    map_ = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    at_input = nn.functional.interpolate(map_[None, None], size=(6, 6, 6), mode="trilinear")
    axes = [
        2 * ((torch.arange(n) + 0.5) * s + o) / side - 1
        for n, s, o, side in zip(geometry.original, geometry.scale, geometry.offset, geometry.input, strict=True)
    ]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([x, y, z], -1)[None]
    expected = nn.functional.grid_sample(at_input, grid, padding_mode="border", align_corners=False)[0, 0]
    result = to_volume_grid(map_, geometry)
    inside = ~result.isnan()
    assert_close(result[inside], expected[inside], rtol=1e-4, atol=1e-5)
    assert bool(result[:, 0].isnan().all())
    assert bool(inside[:, 2:7].all())


def test_views_look_as_radiologists_do() -> None:
    volume = np.zeros((4, 5, 6), np.float32)  # S, P, L
    volume[3, 0, 5] = 1  # head, front, left
    axial, coronal, sagittal = views("SPL")
    assert (axial.name, coronal.name, sagittal.name) == ("Axial", "Coronal", "Sagittal")
    assert np.argwhere(axial.project(volume)).tolist() == [[0, 5]]  # front at the top, left on the right
    assert np.argwhere(coronal.project(volume)).tolist() == [[0, 5]]  # head at the top
    assert np.argwhere(sagittal.project(volume)).tolist() == [[0, 0]]  # front on the left
    turned = np.ascontiguousarray(volume.transpose(2, 1, 0)[::-1, ::-1])  # R, A, S
    by_name = {view.name: view for view in views("RAS")}
    for view in (axial, coronal, sagittal):
        assert np.array_equal(by_name[view.name].project(turned), view.project(volume))


def test_projections_ignore_what_is_not_covered() -> None:
    volume = np.full((2, 2, 2), np.nan, np.float32)
    volume[0, 0, 0] = 3
    assert np.array_equal(views("")[0].project(volume), [[3, np.nan], [np.nan, np.nan]], equal_nan=True)


def test_pictures_of_a_volume(file: Path, tmp_path: Path) -> None:
    e = cl.explain(model(), file, target="bright")
    assert isinstance(e, VolumeExplanation)
    assert e.panel(density=1.0).size[0] == 1032
    assert e.panel(density=1.0, position=(0, 3, 2)).size[0] == 1032
    width, height = e.overlay(axis=1).size
    assert width / height == pytest.approx(20 * 2 / (10 * 4), abs=0.02)  # true proportions
    assert e.slices(n=3, density=1.0).width > 0
    for call in (lambda: e.panel(position=(0, 99, 0)), lambda: e.overlay(axis=3), lambda: e.slices(n=0)):
        with pytest.raises(MethodError):
            call()
    record = e.record()
    assert record["volume"]["windows"] == [[0, 100]]
    assert record["volume"]["preprocessing"]["orientation"] == "SPL"
    assert record["grid"] == [10, 16, 20]


def test_sets_of_volumes(file: Path, tmp_path: Path) -> None:
    several = cl.explain(model(), file, target="bright", method=["grad_cam", "integrated_gradients"])
    assert isinstance(several, cl.ExplanationSet)
    several.save(tmp_path / "set.png", density=1.0)
    assert several.rank_correlation().shape == (2, 2)
    several.disagreement_panel(density=1.0)


def test_tensors_are_volumes_as_they_are(net3d: nn.Module, volumes: Tensor) -> None:
    explanations = cl.explain(net3d, volumes, target=1, layer="features")
    assert isinstance(explanations, list)
    expected = cl.attribute(net3d, volumes, target=1, layer="features", signed=True)
    for e, map_, volume in zip(explanations, expected, volumes, strict=True):
        assert isinstance(e, VolumeExplanation)
        assert_close(e.raw, map_.float())
        assert e.landed.shape == (6, 8, 10)
        assert np.allclose(e.voxels, volume.numpy())
        assert e.volume.affine is None
    one = cl.explain(cl.wrap(net3d, volume=cl.VolumePreprocessing(mean=(0.0,) * 2, std=(1.0,) * 2)), volumes[0])
    assert isinstance(one, VolumeExplanation)


def test_a_regression_of_a_volume(file: Path) -> None:
    network = Brightness().eval()
    network.head = nn.Linear(1, 1)
    with torch.no_grad():
        network.head.weight.fill_(2)
        network.head.bias.fill_(50)
    wrapped = cl.wrap(network, task="regression", volume=cl.VolumePreprocessing(window=(0, 100)))
    e = cl.explain(wrapped, file)
    assert isinstance(e, VolumeExplanation)
    assert (e.score_kind, e.predictions[0].probability) == ("value", None)
    assert e.score == pytest.approx(50 + 2 * 100 * 0.2 / 3200, abs=1e-4)
    assert (e.peak_voxel[2], e.peak_voxel[1], e.peak_voxel[0]) == LESION
    e.panel(density=1.0)


def test_arrays_and_lists_of_files(file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", scan())
    for source in (scan(), tmp_path / "scan.npy"):
        e = cl.explain(model(), source, target="bright")
        assert isinstance(e, VolumeExplanation)
        assert e.peak_voxel == LESION
        assert e.orientation == ""
        e.save(tmp_path / "map.nii.gz")
        assert nib.load(tmp_path / "map.nii.gz").shape == (10, 16, 20)
    bare = cl.explain(Brightness().eval(), tmp_path / "scan.npy", target=1)  # by its shape
    assert isinstance(bare, VolumeExplanation)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (1, 2)}, r"size must be \(depth, height, width\)"),
        ({"size": (9999, 9999, 9999)}, "too large"),
        ({"spacing": (1, 0, 1)}, "spacing must be three lengths"),
        ({"orientation": "RAR"}, "orientation must be three letters"),
        ({"orientation": 3}, "orientation must be three letters"),
        ({"fit": "letterbox"}, "fit must be squash or crop"),
        ({"window": (3, 3)}, r"window must be \(lowest, highest\)"),
        ({"percentiles": (50, 101)}, "percentiles must be"),
        ({"zscore": 1}, "zscore must be True or False"),
        ({"std": (0.0,)}, "mean and std must have one number"),
        ({"mean": (0.0, 0.0)}, "mean and std must have one number"),
    ],
)
def test_wrong_preprocessing(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        cl.VolumePreprocessing(**settings)


def test_preprocessing_is_what_it_says() -> None:
    voxels = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    inputs, _, windows = cl.VolumePreprocessing(percentiles=(0, 100), mean=(0.5,), std=(0.25,))(voxels)
    assert windows == ((0.0, 23.0),)
    assert_close(inputs, torch.from_numpy((voxels / 23 - 0.5) / 0.25))
    inputs, _, _ = cl.VolumePreprocessing(window=(5, 10), zscore=True)(voxels)
    clipped = (np.clip(voxels, 5, 10) - 5) / 5
    assert_close(inputs, torch.from_numpy((clipped - clipped.mean()) / clipped.std()), rtol=1e-5, atol=1e-5)
    inputs, geometry, _ = cl.VolumePreprocessing(window=(0, 23), size=(4, 1, 4), fit="crop")(voxels)
    assert geometry == VolumeGeometry((2, 3, 4), (4, 1, 4), (1.0, 1.0, 1.0), (1.0, -1.0, 0.0))
    assert_close(inputs[0, 1:3, 0], torch.from_numpy(voxels[0, :, 1] / 23))
    assert not inputs[0, 0].any()
    with pytest.raises(ImageError, match="does not say how large its voxels are"):
        cl.VolumePreprocessing(spacing=(1.0, 1.0, 1.0))(voxels)
    with pytest.raises(ImageError, match="all voxels of the volume have the value"):
        cl.VolumePreprocessing()(voxels * 0)
    with pytest.raises(ImageError, match="1 of the 24 voxels are NaN"):
        cl.VolumePreprocessing()(np.where(voxels == 3, np.nan, voxels))
    with pytest.raises(ImageError, match="has 1 channel, and the model"):
        cl.VolumePreprocessing(mean=(0.0, 0.0), std=(1.0, 1.0))(voxels)


def test_sentences_where_volumes_do_not_fit(file: Path) -> None:
    with pytest.raises(ImageError, match="trust, evaluate and the page take images"):
        cl.trust(model(), str(file))
    with pytest.raises(MethodError, match="explanation of a volume or a video"):
        cl.trust(model(), cl.explain(model(), file))
    with pytest.raises(ModelError, match=r"cannot run on an input of 1×10×16×20; it raised"):
        cl.explain(cl.wrap(nn.Sequential(nn.Conv3d(3, 4, 1), nn.ReLU()), volume=cl.VolumePreprocessing()), file)
    with pytest.raises(ModelError, match="takes volumes of any size"):
        cl.layers(model())
    summary = cl.layers(model(size=(4, 6, 8)))
    assert summary.default is not None
    assert summary.default.grid == (4, 6, 8)
    assert any("a grid of 4×6×8, which convolutions" in sentence for sentence in summary.choice)


# --- videos ----------------------------------------------------------------------------------------------------


def frames(n: int = 6) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 255, size=(n, 20, 24, 3), dtype=np.uint8)


@pytest.mark.parametrize("order", ["btc", "bct"])
def test_every_frame_of_a_video_has_a_map(order: str, lstm: Callable[[str], nn.Module], tmp_path: Path) -> None:
    wrapped = cl.wrap(lstm(order).float(), size=(10, 12), layer="cnn", labels=["a", "b", "c"])
    e = cl.explain(wrapped, cl.load_video(frames(), n_frames=3), target="b")
    assert isinstance(e, VideoExplanation)
    assert e.video.indices == (1, 3, 5)
    assert e.landed.shape == (3, 20, 24)
    inputs = torch.stack([wrapped.preprocessing(Image.fromarray(frame))[0] for frame in frames()[[1, 3, 5]]])[None]
    inputs = inputs if order == "btc" else inputs.transpose(1, 2)
    assert_close(e.raw, cl.attribute(wrapped, inputs, target=1, signed=True)[0])
    assert e.panel(density=1.0).width > 0
    assert e.save(tmp_path / "map.gif") == [tmp_path / "map.gif"]
    with Image.open(tmp_path / "map.gif") as animation:
        assert animation.n_frames == 3
    with pytest.raises(MethodError, match="frame must be from 0 to 2"):
        e.overlay(frame=3)
    several = cl.explain(wrapped, cl.load_video(frames(), n_frames=3), target=["a", "b"])
    assert isinstance(several, cl.ExplanationSet)
    several.figure(density=1.0)


def test_three_frames_of_three_colours(lstm: Callable[[str], nn.Module]) -> None:
    for order in ("btc", "bct"):
        wrapped = cl.wrap(lstm(order).float(), size=(10, 12), layer="cnn")
        e = cl.explain(wrapped, cl.load_video(frames(3)))
        inputs = torch.stack([wrapped.preprocessing(Image.fromarray(frame))[0] for frame in frames(3)])[None]
        expected = cl.attribute(wrapped, inputs if order == "btc" else inputs.transpose(1, 2), signed=True)
        assert_close(e.raw, expected[0])


def test_videos_from_files(tmp_path: Path) -> None:
    array = frames()
    (tmp_path / "clip").mkdir()
    for i, frame in enumerate(array):
        Image.fromarray(frame).save(tmp_path / "clip" / f"frame-{i + 8}.png")  # 8, 9, 10: by number, not by letter
    np.save(tmp_path / "clip.npy", array)
    for source in (tmp_path / "clip", tmp_path / "clip.npy", array):
        video = cl.load_video(source)
        assert np.array_equal(np.stack([np.asarray(frame) for frame in video.frames]), array)
    stills = [Image.fromarray(frame) for frame in array]
    stills[0].save(tmp_path / "clip.gif", save_all=True, append_images=stills[1:])
    assert len(cl.load_video(tmp_path / "clip.gif").frames) == 6
    assert cl.load_video(tmp_path / "clip.gif", n_frames=2).indices == (1, 4)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((3, 4)), "is no video"),
        (np.zeros((3, 4, 5, 6)), "is no video"),
        (3, "a video is a folder of frames"),
        ("missing", "no file 'missing'"),
        (".", "no frames in"),
    ],
)
def test_what_is_no_video(source: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match=message):
        cl.load_video(source)


def test_a_single_image_is_no_video(tmp_path: Path) -> None:
    Image.fromarray(frames()[0]).save(tmp_path / "one.gif")
    with pytest.raises(ImageError, match="one image, not a video"):
        cl.load_video(tmp_path / "one.gif")
    (tmp_path / "text.gif").write_text("GIF8")
    with pytest.raises(CamlucidaError):
        cl.load_video(tmp_path / "text.gif")
    with pytest.raises(ImageError, match="6 frames of 24 × 20 pixels would take"):
        cl.load_video(frames(), max_bytes=100)


def test_a_network_that_takes_no_video(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    with pytest.raises(ImageError, match=r"runs neither on 3×6×10×12 .* nor on 6×3×10×12"):
        cl.explain(cl.wrap(network, size=(10, 12)), cl.load_video(frames()))

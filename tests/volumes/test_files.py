"""NIfTI and DICOM: voxels, orientation and position as other libraries have them; maps written back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from camlucida.data.volumes import Volume, load_volume, save_nifti
from camlucida.errors import ImageError, OutputError

nib = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 0, 1.5, -40], [0, 3.0, 0, 10], [0, 0, 0, 1]])
"""Axes of the file: to the left, to the head, to the front: LSA, with voxels of 2 x 3 x 1.5 mm."""


def scan(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape or (5, 6, 7)).astype(np.float32)


def write_nifti(path: Path, array: NDArray[Any], affine: NDArray[np.float64] = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_voxels_are_where_the_affine_says(suffix: str, tmp_path: Path) -> None:
    array = scan()
    volume = load_volume(write_nifti(tmp_path / f"scan{suffix}", array))
    assert volume.file_axes == "LSA"
    assert volume.affine is not None
    for voxel in ((0, 0, 0), (4, 5, 6), (1, 3, 2)):
        world = AFFINE @ [*voxel, 1]
        i, j, k, _ = np.rint(np.linalg.inv(volume.affine) @ world).astype(int)
        assert volume.voxels[0, i, j, k] == array[voxel]


def test_orientations_agree_with_nibabel(tmp_path: Path) -> None:
    array = scan()
    volume = load_volume(write_nifti(tmp_path / "scan.nii", array))
    image = nib.load(tmp_path / "scan.nii")
    for codes in ("RAS", "SPL", "SAR", "LPS", "AIL"):
        transform = nib.orientations.ornt_transform(
            nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt(tuple(codes))
        )
        expected = np.asarray(image.as_reoriented(transform).dataobj)
        assert np.array_equal(volume.oriented(codes)[0], expected)
        sizes = nib.affines.voxel_sizes(image.as_reoriented(transform).affine)
        assert volume.voxel_mm(codes) == pytest.approx(tuple(sizes))


def test_scale_and_offset_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "scan.nii")
    assert np.allclose(load_volume(tmp_path / "scan.nii").voxels[0], nib.load(tmp_path / "scan.nii").get_fdata())


@pytest.mark.parametrize("codes", ["SPL", "RAS", "AIL"])
def test_maps_are_written_in_the_grid_of_the_file(codes: str, tmp_path: Path) -> None:
    volume = load_volume(write_nifti(tmp_path / "scan.nii.gz", scan()))
    save_nifti(tmp_path / "map.nii.gz", volume.oriented(codes)[0], volume, codes)
    written = nib.load(tmp_path / "map.nii.gz")
    assert np.allclose(written.affine, AFFINE)
    assert np.array_equal(written.get_fdata().astype(np.float32), scan())
    with pytest.raises(OutputError, match=r"\.nii or \.nii\.gz, not 'map\.mha'"):
        save_nifti(tmp_path / "map.mha", scan(), volume, codes)


def test_a_file_without_orientation_says_so(tmp_path: Path) -> None:
    image = nib.Nifti1Image(scan(), None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, tmp_path / "scan.nii")
    assert "does not say how the volume lies" in load_volume(tmp_path / "scan.nii").note
    assert load_volume(write_nifti(tmp_path / "b.nii", scan())).note == ""


def test_several_files_are_channels(tmp_path: Path) -> None:
    files = [write_nifti(tmp_path / f"{i}.nii", scan() + i) for i in range(3)]
    volume = load_volume(files)
    assert volume.voxels.shape[0] == 3
    assert np.allclose(volume.voxels[2] - volume.voxels[0], 2, atol=1e-5)
    other = write_nifti(tmp_path / "other.nii", scan(), np.eye(4))
    with pytest.raises(ImageError, match="do not lie on one grid"):
        load_volume([files[0], other])


def flatten(path: Path) -> None:
    """Write zeros as the first row of the affine matrix, and remove the quaternion."""
    content = bytearray(path.read_bytes())
    content[252:254], content[280:296] = bytes(2), bytes(16)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: write_nifti(p, scan(3, 4, 5, 6)), r"has 4 axes, 3 × 4 × 5 × 6: a time series or several channels"),
        (lambda p: p.write_bytes(b"not an image at all"), r"no NIfTI file, or damaged"),
        (lambda p: p.write_bytes(b""), r"no NIfTI file, or damaged|damaged"),
        (lambda p: write_nifti(p, scan()) and p.write_bytes(p.read_bytes()[:500]), r"damaged"),
        (lambda p: flatten(write_nifti(p, scan())), r"affine matrix cannot be inverted"),
        (lambda p: p.mkdir(), r"is a folder"),
    ],
    ids=["time", "text", "empty", "truncated", "singular", "folder"],
)
def test_broken_nifti(write: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    write(path)
    with pytest.raises(ImageError, match=message):
        load_volume(path)


def test_colours_are_no_volume(tmp_path: Path) -> None:
    colours = np.zeros((3, 4, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ImageError, match="holds colours"):
        load_volume(write_nifti(tmp_path / "rgb.nii", colours))


def test_size_limits(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "scan.nii", scan())
    assert load_volume(path, max_bytes=4 * 210).voxels.size == 210
    with pytest.raises(ImageError, match=r"5 × 6 × 7 voxels and would take 0 MB; the limit is 0 \(max_bytes\)"):
        load_volume(path, max_bytes=4 * 210 - 1)


def test_arrays(tmp_path: Path) -> None:
    array = np.arange(24).reshape(2, 3, 4)
    np.save(tmp_path / "scan.npy", array)
    for source in (array, tmp_path / "scan.npy"):
        volume = load_volume(source)
        assert np.array_equal(volume.voxels, array[None])
        assert volume.affine is None
        assert np.array_equal(volume.oriented("SPL"), array[None])
    assert load_volume(np.zeros((2, 3, 4, 5))).voxels.shape == (2, 3, 4, 5)
    for wrong in (np.zeros((3, 4)), np.zeros((0, 3, 4)), np.zeros((2, 2, 2), complex), np.array([["x"]])):
        with pytest.raises(ImageError, match="is no volume"):
            load_volume(wrong)
    np.save(tmp_path / "objects.npy", np.array([[[object()]]]), allow_pickle=True)
    with pytest.raises(ImageError, match="damaged"):
        load_volume(tmp_path / "objects.npy")


# --- DICOM ---------------------------------------------------------------------------------------------------

IOP = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]
"""A sagittal series: columns to the back, rows to the feet, so that slices go to the left or right."""


def dataset(pixels: NDArray[np.int16], position: list[float], series: str = "1.2.3", **values: Any) -> Any:
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = pydicom.uid.MRImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = pydicom.uid.generate_uid()
    data.SeriesInstanceUID, data.Modality = series, "MR"
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 1
    data.PixelSpacing, data.ImageOrientationPatient, data.ImagePositionPatient = [0.5, 2.0], IOP, position
    data.RescaleSlope, data.RescaleIntercept = 2, -100
    data.PixelData = pixels.astype(np.int16).tobytes()
    for name, value in values.items():
        setattr(data, name, value)
    return data


def save_dicom(path: Path, data: Any) -> Path:
    data.save_as(path, enforce_file_format=True)
    return path


def series(folder: Path, n: int = 4, spacing: float = 3.0, **values: Any) -> NDArray[np.int16]:
    """Slices at x = 10, 7, 4, ... mm to the left, whose names are in another order."""
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(1).integers(0, 1000, size=(n, 5, 6)).astype(np.int16)
    for i in range(n):
        name = f"{(7 * i) % n:03d}.dcm"
        save_dicom(folder / name, dataset(pixels[i], [10 - spacing * i, 20, 30], **values))
    return pixels


def test_a_series_lies_where_its_headers_say(tmp_path: Path) -> None:
    pixels = series(tmp_path / "series")
    (tmp_path / "series" / "README.txt").write_text("no DICOM")
    volume = load_volume(tmp_path / "series")
    assert volume.affine is not None
    for i, row, column in ((0, 0, 0), (3, 4, 5), (1, 2, 3)):
        # DICOM PS3.3 C.7.6.2.1.1: position + column * spacing[1] * iop[:3] + row * spacing[0] * iop[3:], LPS
        lps = np.array([10 - 3.0 * i, 20, 30]) + column * 2.0 * np.array(IOP[:3]) + row * 0.5 * np.array(IOP[3:])
        x, y, z, _ = np.rint(np.linalg.inv(volume.affine) @ [-lps[0], -lps[1], lps[2], 1]).astype(int)
        assert volume.voxels[0, x, y, z] == 2 * pixels[i, row, column] - 100
    assert sorted(np.linalg.norm(volume.affine[:3, :3], axis=0)) == pytest.approx([0.5, 2.0, 3.0])


def test_maps_of_a_series_have_its_affine(tmp_path: Path) -> None:
    series(tmp_path / "series")
    volume = load_volume(tmp_path / "series")
    save_nifti(tmp_path / "map.nii.gz", volume.oriented("SPL")[0], volume, "SPL")
    written = load_volume(tmp_path / "map.nii.gz")
    assert np.array_equal(written.voxels, volume.voxels)
    assert np.allclose(written.affine, volume.affine)


def test_one_file_with_several_frames(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 9, size=(3, 5, 6)).astype(np.int16)
    data = dataset(pixels, [0, 0, 0], NumberOfFrames=3, SpacingBetweenSlices=4.0)
    volume = load_volume(save_dicom(tmp_path / "frames.dcm", data))
    assert sorted(volume.voxels.shape) == [1, 3, 5, 6]
    assert sorted(volume.voxels.ravel()) == sorted((2 * pixels - 100).ravel())
    del data.SpacingBetweenSlices
    plain = load_volume(save_dicom(tmp_path / "unplaced.dcm", data))
    assert plain.affine is None
    assert np.array_equal(plain.voxels[0], 2 * pixels - 100)
    assert "does not say how the volume lies" in plain.note


def test_enhanced_frames_are_sorted_by_position(tmp_path: Path) -> None:
    pixels = np.stack([np.full((5, 6), i, np.int16) for i in (2, 0, 1)])
    data = dataset(pixels, [0, 0, 0], NumberOfFrames=3)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(data, name)
    frames = []
    for i in (2, 0, 1):
        frame, plane = pydicom.Dataset(), pydicom.Dataset()
        plane.ImagePositionPatient = [-3.0 * i, 0, 0]
        frame.PlanePositionSequence = [plane]
        frames.append(frame)
    shared, orientation, measures = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    orientation.ImageOrientationPatient, measures.PixelSpacing = IOP, [0.5, 2.0]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    data.PerFrameFunctionalGroupsSequence, data.SharedFunctionalGroupsSequence = frames, [shared]
    volume = load_volume(save_dicom(tmp_path / "enhanced.dcm", data))
    assert volume.affine is not None
    for i in range(3):
        x = int(np.rint((np.linalg.inv(volume.affine) @ [3.0 * i, 0, 0, 1])[0]))
        assert set(volume.voxels[0, x].ravel()) == {2 * i - 100}


def change(folder: Path, name: str, **values: Any) -> None:
    data = pydicom.dcmread(folder / name)
    for key, value in values.items():
        setattr(data, key, value)
    data.save_as(folder / name)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: (f / "002.dcm").unlink(), r"not evenly spaced: 6 mm after slice \d, and 3 mm elsewhere"),
        (
            lambda f: change(f, "002.dcm", SeriesInstanceUID="9.9"),
            r"contains 2 series: .* Move the files of one series",
        ),
        (lambda f: change(f, "002.dcm", ImageOrientationPatient=[1, 0, 0, 0, 1, 0]), r"slices are not parallel"),
        (lambda f: change(f, "002.dcm", ImagePositionPatient=[10, 20, 30]), r"lie at the same position"),
        (lambda f: change(f, "002.dcm", SamplesPerPixel=3), r"in colour"),
        (lambda f: (f / "002.dcm").write_bytes((f / "002.dcm").read_bytes()[:-30]), r"damaged"),
    ],
    ids=["missing", "two series", "not parallel", "same place", "colour", "truncated"],
)
def test_broken_series(edit: Any, message: str, tmp_path: Path) -> None:
    series(tmp_path / "series", n=8)
    edit(tmp_path / "series")
    with pytest.raises(ImageError, match=message):
        load_volume(tmp_path / "series")


def test_compressed_pixels_without_a_decoder(tmp_path: Path) -> None:
    data = dataset(np.zeros((5, 6), np.int16), [0, 0, 0])
    data.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    data.PixelData = pydicom.encaps.encapsulate([b"\0" * 60])
    data["PixelData"].is_undefined_length = True
    with pytest.raises(ImageError, match=r"pixels are compressed \(MPEG2.*no decoder"):
        load_volume(save_dicom(tmp_path / "video.dcm", data))


def test_unknown_files(tmp_path: Path) -> None:
    (tmp_path / "scan.mha").write_bytes(b"x" * 200)
    with pytest.raises(ImageError, match=r"is no volume: expected \.nii"):
        load_volume(tmp_path / "scan.mha")
    with pytest.raises(ImageError, match="no file"):
        load_volume(tmp_path / "missing.nii.gz")
    with pytest.raises(ImageError, match="contains no DICOM file"):
        load_volume(tmp_path)
    assert isinstance(load_volume(Volume(np.zeros((1, 2, 2, 2), np.float32))), Volume)

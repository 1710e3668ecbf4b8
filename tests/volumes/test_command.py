"""`camlucida explain` for volumes, videos and bands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camlucida.cli import main

nib = pytest.importorskip("nibabel")

NET = """
import torch, camlucida as cl
from torch import nn

def volume():
    torch.manual_seed(0)
    layers = [nn.Conv3d(1, 3, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 2)]
    return nn.Sequential(*layers).eval()

class Frames(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn, self.head = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Linear(4, 2)
    def forward(self, x):
        return self.head(self.cnn(x.flatten(0, 1)).mean((2, 3)).view(*x.shape[:2], -1).mean(1))

def video():
    torch.manual_seed(0)
    return cl.wrap(Frames().eval(), size=16)

def bands():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(5, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    return cl.wrap(network.eval(), size=16, mean=[0.0] * 5, std=[1.0] * 5)
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)


def run(*words: str) -> int:
    try:
        return int(main(list(words)) or 0)
    except SystemExit as error:
        return int(error.code or 0)


def scan(path: str) -> None:
    array = np.random.default_rng(0).normal(size=(9, 8, 7)).astype(np.float32)
    nib.save(nib.Nifti1Image(array, np.diag([-1.0, -1.0, 2.0, 1.0])), path)


def test_a_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan("scan.nii.gz")
    line = ("explain", "scan.nii.gz", "--model", "python:net.py:volume", "--trust-code", "--json")
    assert run(*line, "--slice", "3,4,5", "--slices", "4", "--maps") == 0
    out = {path.name for path in Path("camlucida-out").iterdir()}
    assert out == {"scan.png", "scan_map.nii.gz", "scan-slices.png", "scan.npz", "scan.json"}
    assert np.allclose(nib.load("camlucida-out/scan_map.nii.gz").affine, np.diag([-1.0, -1.0, 2.0, 1.0]))
    assert json.loads(capsys.readouterr().out)["images"][0]["image"] == "scan.nii.gz"
    assert run(*line) == 0
    assert Path("camlucida-out/scan-2_map.nii.gz").exists()


def test_a_folder_of_scans() -> None:
    Path("scans").mkdir()
    for name in ("a", "b"):
        scan(f"scans/{name}.nii.gz")
    line = ("explain", "scans", "--model", "python:net.py:volume", "--trust-code")
    assert run(*line, "--method", "grad_cam,gradient") == 0
    out = {path.name for path in Path("camlucida-out").iterdir()}
    assert {"results.csv", "a.png", "b.png"} <= out
    assert sum(name.endswith("_map.nii.gz") for name in out) == 4


def test_a_folder_of_dicom_files() -> None:
    pydicom = pytest.importorskip("pydicom")
    Path("series").mkdir()
    for i in range(3):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.SOPClassUID = pydicom.uid.CTImageStorage
        data.SOPInstanceUID, data.SeriesInstanceUID = f"1.{i}", "1.9"
        data.Rows, data.Columns, data.SamplesPerPixel = 6, 7, 1
        data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.PixelSpacing, data.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [0, 0, 2 * i]
        data.PixelData = np.random.default_rng(i).integers(0, 99, size=(6, 7)).astype(np.uint16).tobytes()
        data.save_as(f"series/{i}.dcm", enforce_file_format=True)
    assert run("explain", "series", "--model", "python:net.py:volume", "--trust-code") == 0
    assert Path("camlucida-out/series_map.nii.gz").exists()


def test_a_video() -> None:
    Path("clip").mkdir()
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 255, size=(20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"clip/{i}.png")
    line = ("explain", "clip", "--model", "python:net.py:video", "--trust-code")
    assert run(*line, "--frames", "4") == 0
    assert Path("camlucida-out/clip.png").exists()
    assert run(*line, "clip", "--frames", "4") != 0


def test_bands(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("bands.npy", np.random.default_rng(0).random((20, 20, 5)).astype(np.float32))
    line = ("explain", "bands.npy", "--model", "python:net.py:bands", "--trust-code")
    assert run(*line, "--bands", "5,3,1") == 0
    assert run(*line, "--bands", "5,3") != 0
    assert "--bands 5,3: must be three numbers of bands" in "".join(capsys.readouterr())
    assert run(*line, "--bands", "9,3,1") != 0
    assert run(*line, "--slice", "1,2,3") != 0
    assert run(*line, "--slices", "2") != 0

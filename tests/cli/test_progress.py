"""Methods that need many forward passes report their progress, and can be stopped."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from camlucida import explain
from camlucida.attribution.attribute import attribute
from camlucida.cli import main
from camlucida.cli.progress import ExplanationProgress, progress_bar
from camlucida.data import toybox

PETS = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()


def network() -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 4)).eval()


@pytest.mark.parametrize(
    ("method", "options", "total"),
    [
        ("rise", {"n": 20}, 20),
        ("occlusion", {"window": 4, "stride": 4}, 9),
        ("kernel_shap", {"n": 20}, 20),
        ("smooth_grad", {"n": 7}, 7),
        ("ablation_cam", {}, 12),
    ],
)
def test_progress_reports_completed_runs(method: str, options: dict[str, int], total: int) -> None:
    calls: list[tuple[int, int]] = []
    layer = {"layer": "0"} if method == "ablation_cam" else {}
    attribute(
        network(),
        torch.randn(2, 3, 12, 12),
        target=1,
        method=method,
        progress=lambda done, of: calls.append((done, of)),
        **layer,
        **options,
    )
    assert calls == sorted(calls)
    assert calls[-1] == (total, total)
    assert {of for _, of in calls} == {total}


def test_single_pass_method_reports_no_progress() -> None:
    calls: list[int] = []
    attribute(network(), torch.randn(1, 3, 12, 12), layer="0", progress=lambda done, of: calls.append(done))
    assert calls == []


def test_progress_callback_does_not_change_the_map() -> None:
    images = torch.randn(1, 3, 12, 12)
    heard = attribute(network(), images, method="rise", n=20, progress=lambda done, of: None)
    assert torch.equal(heard, attribute(network(), images, method="rise", n=20))


def test_explain_reports_progress() -> None:
    calls: list[tuple[int, int]] = []
    explain("toybox", PETS, method="rise", n=12, progress=lambda done, of: calls.append((done, of)))
    assert calls[-1] == (12, 12)


# --- the command line ---


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    PETS.save(tmp_path / "pets.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


RISE = ["explain", "pets.png", "--model", "toybox", "--method", "rise", "--option", "n=24"]


def test_bar_has_the_name_of_the_method() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80)
    with progress_bar(console) as progress:
        bars = ExplanationProgress(progress, 1, "rise")
        bars.runs(3, 8)
        progress.refresh()
        assert "rise" in stream.getvalue()
        assert "3/8" in stream.getvalue()
        assert "explaining" not in stream.getvalue()  # a single image has no bar
        bars.runs(8, 8)
        assert not any(task.visible for task in progress.tasks)


def test_two_bars_for_several_images() -> None:
    with progress_bar(Console(file=io.StringIO(), force_terminal=True)) as progress:
        bars = ExplanationProgress(progress, 2, "rise[x]")
        bars.runs(1, 8)
        assert [task.visible for task in progress.tasks] == [True, True]
        bars.advance()
        assert [(task.visible, task.completed) for task in progress.tasks] == [(True, 1), (False, 1)]


def test_throughput_of_several_images(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("camlucida.cli.progress.time.monotonic", lambda: now[0])
    with progress_bar(Console(file=io.StringIO(), force_terminal=True)) as progress:
        bars = ExplanationProgress(progress, 10, "grad_cam")
        bars.resume(4)
        for _ in range(3):
            now[0] += 0.5
            bars.advance()
        task = progress.tasks[0]
        assert (task.completed, task.total, task.description) == (7, 10, "explaining, 2.0 images/s")


def test_no_bar_in_a_pipe(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(RISE)
    out, err = capsys.readouterr()
    assert not stopped.value.code
    assert "/24" not in out + err
    assert "━" not in out + err


def test_ctrl_c_in_the_middle(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs(self: ExplanationProgress, done: int, total: int) -> None:
        if done > 10:
            raise KeyboardInterrupt

    monkeypatch.setattr("camlucida.cli.progress.ExplanationProgress.runs", runs)
    with pytest.raises(SystemExit) as stopped:
        main(RISE)
    out, err = capsys.readouterr()
    assert stopped.value.code == 130
    assert "stopped" in err
    assert "Traceback" not in out + err
    assert not list(folder.glob("camlucida-out/*.png"))

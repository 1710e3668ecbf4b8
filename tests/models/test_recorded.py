"""Records never choose code, paths or URLs: every reader with every kind of malicious value."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import camlucida as cl
from camlucida.analysis import film
from camlucida.cli.commands import main
from camlucida.cli.recorded_source import reopen_model_and_data
from camlucida.errors import CamlucidaError, DataError, ModelError
from camlucida.models.recorded import registered_spec
from camlucida.models.small_cnn import SmallCNN
from camlucida.models.torchvision_models import classifier_names
from camlucida.models.toybox_networks import ToyResNet
from camlucida.models.toybox_weights import NETWORKS
from camlucida.models.trained_run import ModelCard, build_network, write_weights
from camlucida.training.run import Training
from camlucida.training.training_data import validation_data

PAYLOAD = "import pathlib\npathlib.Path('RAN').touch()\n\ndef f():\n    raise SystemExit('the payload was called')\n"
CODE = "python:payload.py:f"
TEXTS = (
    CODE,
    "python:payload:f",
    "python:os:abort",
    "PYTHON:payload.py:f",
    "Python:payload.py:f",
    f" {CODE}",
    f"{CODE}\n",
    f"\t{CODE}",
    "python :payload.py:f",
    "ｐｙｔｈｏｎ:payload.py:f",
    "рython:payload.py:f",
    "python\N{RATIO}payload.py:f",
    "\N{RIGHT-TO-LEFT OVERRIDE}python:payload.py:f",
    f"torchvision:{CODE}",
    f"torchvision.models.{CODE}",
    f"toybox:{CODE}",
    f"timm:{CODE}",
    f"small:{CODE}",
    "torchvision:torchvision:resnet18",
    "timm:timm:resnet18",
    "torchvision.models.torchvision.models.resnet18",
    "timm:hf-hub:org/x",
    "timm:hf_hub:org/x",
    "timm:HF-HUB:org/x",
    "TIMM:hf-hub:org/x",
    "timm: hf-hub:org/x",
    "hf-hub:org/x",
    "hf_hub:org/x",
    "timm:local-dir:.",
    "timm:local-dir:/",
    "hf:owner/name",
    "HF:owner/name",
    "hf:.",
    "hf:/",
    "timm:resnet18/../x",
    "timm:org/x",
    "timm:resnet18 ",
    "timm:no_such_network",
    "timm:",
    "python:",
    "payload.py",
    "good.safetensors",
    "./good.safetensors",
    "../good.safetensors",
    "good",
    "./good",
    "/etc/passwd",
    "~/x",
    "C:\\x",
    "https://evil.invalid/x.pth",
    "file:///etc/passwd",
    "\\\\evil.invalid\\share",
    "resnet18@python:x",
    "resnet18@../x",
    "resnet18@NO_SUCH",
    "resnet18 ",
    "resnet18\n",
    "resnet18\0",
    "resnеt18",
    "toybox:none",
    "toybox:",
    "small ",
    "SMALL",
    "x" * 100_000,
)
OTHERS: tuple[Any, ...] = (None, True, 3, 1.5, [CODE], {"arch": CODE}, [])


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good run, good weights, an image, and a file whose import leaves a mark."""
    folder = tmp_path_factory.mktemp("stock")
    (folder / "payload.py").write_text(PAYLOAD)
    about = ModelCard("small", "linear", ("ant", "bee", "cow"), cl.load("small", pretrained=False).preprocessing)
    about.write(folder / "good")
    write_weights(build_network(about, SmallCNN(10)), folder / "good" / "model.safetensors")
    write_weights(build_network(about, SmallCNN(10)), folder / "good" / "epochs" / "001.safetensors")
    save_file(ToyResNet().state_dict(), folder / "good.safetensors", metadata={"architecture": "toybox:resnet"})
    Image.new("RGB", (40, 30), (200, 30, 9)).save(folder / "image.png")
    return folder


@pytest.fixture(autouse=True)
def furnished(here: Path, stock: Path) -> None:
    shutil.copytree(stock, here, dirs_exist_ok=True)


def run(name: str, **changes: Any) -> Path:
    """Return the folder of a training, with some fields of its model.json changed."""
    folder = Path(name)
    if not folder.exists():
        shutil.copytree("good", folder)
    content = json.loads(Path("good/model.json").read_text())
    (folder / "model.json").write_text(json.dumps(content | changes))
    return folder


def source(**changes: Any) -> dict[str, Any]:
    """Return what an evaluation records about where its model and data come from."""
    return {"data": "toybox", "model": "toybox", "arch": None, "labels": None, "boxes": None, "count": 2} | changes


def nothing_ran() -> None:
    assert not Path("RAN").exists()
    assert "payload" not in sys.modules


# --- the function that decides


def test_only_registered_names_pass() -> None:
    for value in (*TEXTS, *OTHERS):
        assert registered_spec(value) is None, ascii(value)
    nothing_ran()


def test_every_registered_name_passes() -> None:
    for name in classifier_names():
        assert (
            registered_spec(name)
            == registered_spec(f"torchvision:{name}")
            == registered_spec(f"torchvision.models.{name}")
            == name
        )
    assert registered_spec("ResNet50@IMAGENET1K_V2") == "ResNet50@IMAGENET1K_V2"
    for spec in ("small", "toybox", *(f"toybox:{name}" for name in (*NETWORKS, "detector", "captioner"))):
        assert registered_spec(spec) == spec
    timm = pytest.importorskip("timm")
    for name in timm.list_models():
        assert registered_spec(f"timm:{name}") == f"timm:{name}"
    assert registered_spec("timm:convnext_tiny.fb_in22k_ft_in1k") == "timm:convnext_tiny.fb_in22k_ft_in1k"


# --- every reader, every malicious value


WEIGHTS = {"weight": torch.zeros(1)}
"""The name of the architecture is refused before the weights matter."""


def by_metadata(value: Any) -> None:
    save_file(WEIGHTS, "evil.safetensors", metadata={"architecture": str(value)})
    cl.load("evil.safetensors")


def by_metadata_under_another_name(value: Any) -> None:
    save_file(WEIGHTS, "evil.bin", metadata={"architecture": str(value)})
    cl.load(Path("evil.bin"))


def by_run(value: Any) -> None:
    cl.load(str(run("evil", arch=value)))


def by_weights_of_run(value: Any) -> None:
    cl.load(run("evil", arch=value) / "epochs" / "001.safetensors")


def by_explain(value: Any) -> None:
    cl.explain(str(run("evil", arch=value)), "image.png")


def by_film(value: Any) -> None:
    film(run("evil", arch=value), ["image.png"])


def by_training(value: Any) -> None:
    _ = Training(run("evil", arch=value), (), "small").model


def by_report_model(value: Any) -> None:
    reopen_model_and_data(source(model=value), record_path="run.json", seed=0, trust_code=False)


def by_report_arch(value: Any) -> None:
    reopen_model_and_data(
        source(model="good.safetensors", arch=value), record_path="run.json", seed=0, trust_code=False
    )


READERS = (
    by_metadata, by_metadata_under_another_name, by_run, by_weights_of_run, by_explain, by_film, by_training,
    by_report_model, by_report_arch,
)  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_runs_what_a_file_names(reader: Callable[[Any], None]) -> None:
    harmless: dict[Callable[[Any], None], tuple[Any, ...]] = {
        by_report_model: ("good", "./good", "good.safetensors", "./good.safetensors"),  # files of weights
        by_report_arch: (None,),  # what most records say
    }
    for value in (*TEXTS, *OTHERS):
        if value in harmless.get(reader, ()):
            continue
        with pytest.raises(CamlucidaError) as caught:
            reader(value)
        message = str(caught.value)
        refusals = ("may only name", "can be read", "readable checkpoint", "in a readable form")
        assert any(words in message for words in refusals), message
        assert message.isprintable(), ascii(value)
        assert len(message) < 700
        nothing_ran()


@pytest.mark.parametrize("spec", ["good", "good.safetensors", "toybox:vgg"])
def test_harmless_records_are_read(spec: str) -> None:
    model, data = reopen_model_and_data(source(model=spec), record_path="run.json", seed=0, trust_code=False)
    assert (model.spec, len(data)) == (spec, 2)


@pytest.mark.parametrize(
    "spec", ["https://evil.invalid/x", "s3://evil/x", "hf:s3://evil/x", "simplecache::https://evil.invalid/x"]
)
@pytest.mark.parametrize("field", ["data", "labels", "boxes"])
def test_a_record_asks_no_other_machine(spec: str, field: str) -> None:
    with pytest.raises(DataError, match=r"a URL\. A record must not cause network access"):
        reopen_model_and_data(source(**{field: spec}), record_path="run.json", seed=0, trust_code=False)
    folder = run("evil", data={"spec": spec, "boxes": None, "limit": None})
    (folder / "run.json").write_text(json.dumps({"training": {"settings": {"seed": 0}}, "started": 0}))
    with pytest.raises(DataError, match=r"a URL.* --trust-code"):
        validation_data(folder)


@pytest.mark.parametrize("field", ["data", "model", "arch", "labels", "boxes", "split", "count"])
@pytest.mark.parametrize("value", [[CODE], {"a": CODE}, 1.5])
def test_a_record_of_other_types_is_refused(field: str, value: Any) -> None:
    with pytest.raises(CamlucidaError):
        reopen_model_and_data(source(**{field: value}), record_path="run.json", seed=0, trust_code=False)
    nothing_ran()


# --- file names that look like specs


@pytest.mark.parametrize("name", ["python:payload.py:f", "python:payload.py:f.pth", "python:payload:f.safetensors"])
def test_a_path_is_never_a_spec(name: str) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        cl.load(Path(name))
    torch.save(ToyResNet().state_dict(), name)
    for spec in (name, Path(name), Path(".") / name):
        with pytest.raises(CamlucidaError, match=r"contains only weights|readable checkpoint"):
            cl.load(spec)
    if name.endswith("f"):
        return
    with pytest.raises(CamlucidaError):
        film(".", ["image.png"])
    nothing_ran()


def test_a_folder_is_never_a_spec() -> None:
    name = "python:payload:f"
    shutil.copytree("good", name)
    for spec in (name, Path(name), NamedByBytes(name)):
        assert cl.load(spec).labels == ("ant", "bee", "cow")  # type: ignore[arg-type]
    nothing_ran()


class NamedByBytes:
    """A path as some libraries give it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __fspath__(self) -> bytes:
        return self.name.encode()


@pytest.mark.parametrize("arch", [3, ["resnet18"], b"resnet18", True])
def test_an_architecture_is_text(arch: Any) -> None:
    with pytest.raises(ModelError, match=r"arch must be the name of an architecture, such as 'resnet18', not"):
        cl.load("good.safetensors", arch=arch)


# --- what the user trusts


def test_trust_code_opens_what_one_trained_oneself() -> None:
    Path("mine.py").write_text(
        "from camlucida.models.small_cnn import SmallCNN\n\ndef net():\n    return SmallCNN(10)\n"
    )
    folder = run("mine", arch="python:mine.py:net")
    with pytest.raises(ModelError, match=r"mine/model.json names 'python:mine.py:net' .*--trust-code, or trust_code="):
        cl.load(folder)
    assert cl.load(folder, trust_code=True).labels == ("ant", "bee", "cow")
    assert Training(folder, (), "python:mine.py:net").model.labels == ("ant", "bee", "cow")
    with pytest.raises(ModelError, match="--trust-code"):
        _ = Training(folder).model


def test_trust_code_is_about_runs_not_about_weights_files() -> None:
    save_file(ToyResNet().state_dict(), "evil.safetensors", metadata={"architecture": CODE})
    with pytest.raises(ModelError, match=r"Name its architecture: --arch resnet18, or arch="):
        cl.load("evil.safetensors", trust_code=True)
    assert cl.load("evil.safetensors", arch="toybox").spec == "evil.safetensors"
    nothing_ran()


def test_a_trusted_run_may_not_name_itself() -> None:
    folder = run("loop", arch="loop")
    with pytest.raises(ModelError, match="names itself as its architecture"):
        cl.load(folder, trust_code=True)


COMMANDS: Mapping[str, tuple[str, ...]] = {
    "explain": ("explain", "image.png", "--model", "evil"),
    "activations": ("activations", "image.png", "--model", "evil"),
    "concepts": ("concepts", "image.png", "--model", "evil"),
    "trust": ("trust", "image.png", "--model", "evil"),
    "sanity": ("sanity", "image.png", "--model", "evil"),
    "study": ("study", "make", "image.png", "--model", "evil", "--method", "grad_cam,layer_cam"),
    "evaluate": ("evaluate", "toybox", "--limit", "1", "--model", "evil"),
    "evaluate a run": ("evaluate", "evil"),
    "audit": ("audit", "toybox", "--limit", "1", "--findings", "none", "--model", "evil"),
    "mistakes": ("mistakes", "toybox", "--limit", "1", "--model", "evil"),
    "embed": ("embed", "toybox", "--limit", "1", "--model", "evil"),
    "film": ("film", "image.png", "--checkpoints", "evil"),
    "app": ("app", "--model", "evil", "--port", "0"),
    "layers": ("layers", "evil"),
    "train": ("train", "toybox", "--limit", "20", "--arch", "evil", "-o", "out"),
    "report": ("report", "evaluation"),
}


def _commands_of_the_help() -> set[str]:
    """Return the commands that have an option for the model: the list above must not miss one."""
    from camlucida.cli.commands import app

    given = {name for name in app if not name.startswith("-")}
    without = {"cache", "completion", "data", "demo", "models"}
    for name in without:
        for command in (app[name], *(app[name][part] for part in app[name] if not part.startswith("-"))):
            arguments = command.assemble_argument_collection() if command.default_command else ()
            names = {option for argument in arguments for option in argument.names}
            assert not names & {"MODEL", "--model", "--arch", "--trust-code"}, name
    return given - without - {"query", "export"}  # these open no model, or go on without it: see below


def test_all_commands_that_open_a_model_are_in_the_list() -> None:
    assert {command[0] for command in COMMANDS.values()} == _commands_of_the_help()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_needs_trust_code(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without it nothing runs and the exit code is 2; with it the option arrives, and the file's code does run."""
    folder = run("evil", arch=CODE, data={"spec": "toybox", "boxes": None, "limit": 40})
    (folder / "run.json").write_text(json.dumps({"training": {"settings": {"seed": 0}}, "started": 0}))
    (folder / "split.csv").write_text("image,split\nscene-1000000,val\n")
    if command == "report":
        evaluate_once(Path("evaluation"))
        capsys.readouterr()
    for trusted in (False, True):
        with pytest.raises(SystemExit) as stopped:
            main([*COMMANDS[command], *(["--trust-code"] if trusted else [])])
        message = " ".join(capsys.readouterr().err.split())
        assert Path("RAN").exists() == trusted, message
        if not trusted:
            assert stopped.value.code == 2
            assert "as its architecture" in message
            assert "--trust-code" in message


def test_query_and_export_run_no_recorded_code(capsys: pytest.CaptureFixture[str]) -> None:
    """`export` opens the recorded model with --trust-code only, and goes on without it; `query` never does."""
    run("evil", arch=CODE, data={"spec": "toybox", "boxes": None, "limit": 40})
    source = {"data": "toybox", "count": 1, "model": "evil"}
    cl.audit("toybox", cl.open_dataset("toybox", count=1), "audited", source=source)
    for words in ("query audited --panel p.png", "export audited --format coco -o a.json"):
        for option in ((), ("--trust-code",)):
            with pytest.raises(SystemExit) as stopped:
                main([*words.split(), *option, "--overwrite"])
            message = " ".join("".join(capsys.readouterr()).split())
            runs_code = bool(option) and words.startswith("export")
            assert Path("RAN").exists() == runs_code, message
            assert runs_code or stopped.value.code == 0, message
            if words.startswith("export") and not option:
                assert "as its architecture" in message
                assert "--trust-code" in message


def evaluate_once(folder: Path) -> None:
    """Write a small evaluation whose record names code."""
    with pytest.raises(SystemExit):
        main(["evaluate", "toybox", "--limit", "2", "--metrics", "energy", "--no-controls", "-o", str(folder)])
    content = json.loads((folder / "run.json").read_text())
    content["source"]["model"] = CODE
    content.pop("digest")  # whoever writes the file may leave it out
    (folder / "run.json").write_text(json.dumps(content))

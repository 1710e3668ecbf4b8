"""ONNX models: maps equal those of the network, whatever the input's type, layout and batch size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import camlucida as cl
from camlucida.errors import CheckpointWarning, MethodError, ModelError
from camlucida.models.load import as_model
from camlucida.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD

from .opaque import N_CLASSES, PERTURBATIONS, SIZE, network, onnx_model, photo, save_onnx

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

NORMALISED = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}


def session(**options: Any) -> Any:
    content = onnx_model(network(), **options).SerializeToString()
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("method", PERTURBATIONS)
def test_maps_of_a_file_are_those_of_the_network(method: str, tmp_path: Path) -> None:
    loaded = cl.load(save_onnx(tmp_path / "model.onnx"), **NORMALISED)
    assert loaded.name == "model.onnx"
    assert loaded.preprocessing.size == (SIZE, SIZE)
    found = cl.explain(loaded, photo(), method=method)
    known = cl.explain(cl.wrap(network(), size=SIZE), photo(), method=method)
    assert (found.raw - known.raw).abs().max() <= 1e-4 * known.raw.abs().max()


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"batch": 1}, 1e-4),
        ({"batch": 3}, 1e-4),
        ({"channels_last": True}, 1e-4),
        ({"channels_last": True, "batch": 1}, 1e-4),
        ({"kind": "float16"}, 2e-2),
        ({"kind": "uint8"}, 5e-2),
        ({"kind": "uint8", "channels_last": True}, 5e-2),
    ],
)
def test_maps_of_a_session_are_those_of_the_network(options: dict[str, Any], tolerance: float) -> None:
    found = cl.explain(cl.wrap(session(**options)), photo(), method="occlusion", target=1)
    known = cl.explain(cl.wrap(network(), size=SIZE), photo(), method="occlusion", target=1)
    assert (found.raw - known.raw).abs().max() <= tolerance * known.raw.abs().max()
    assert found.score == pytest.approx(known.score, abs=1e-2)


@pytest.mark.parametrize("options", [{}, {"kind": "uint8", "channels_last": True}])
def test_bare_sessions_are_wrapped_with_their_input_size(options: dict[str, Any]) -> None:
    bare, wrapped = as_model(session(**options)), cl.wrap(session(**options))
    assert bare.preprocessing == wrapped.preprocessing
    assert bare.preprocessing.size == (SIZE, SIZE)
    found, known = (cl.explain(each, photo(), method="occlusion", target=1) for each in (session(**options), wrapped))
    assert torch.equal(found.raw, known.raw)


def test_a_softmax_is_recognised() -> None:
    found = cl.explain(cl.wrap(session(softmax=True)), photo(), method="occlusion")
    known = cl.explain(cl.wrap(network(), size=SIZE), photo(), method="occlusion", score="probability")
    assert found.score_kind == "probability"
    torch.testing.assert_close(found.raw, known.raw, rtol=1e-3, atol=1e-6)


def test_several_outputs_are_selected_by_name() -> None:
    known = cl.explain(cl.wrap(network(), size=SIZE), photo(), target=0, method="occlusion")
    model = cl.wrap(session(hidden=True), output="logits")
    assert cl.explain(model, photo(), target=0, method="occlusion").score == pytest.approx(known.score, rel=1e-4)
    features = cl.explain(cl.wrap(session(hidden=True), output="features"), photo(), target=60, method="occlusion")
    assert features.index == 60


@pytest.mark.parametrize("key", ["names", "classes"])
@pytest.mark.parametrize("write", [json.dumps, str])
def test_class_names_are_read_from_the_metadata(key: str, write: Any) -> None:
    names = ["ant", "bee", "cat", "dog", "eel"]
    as_dict = dict(enumerate(names))
    for value in (names, as_dict):
        assert cl.wrap(session(metadata={key: write(value)})).labels == tuple(names)
    assert cl.wrap(session(metadata={key: write(names[:3])})).labels == ()
    assert cl.wrap(session(metadata={key: "__import__('os').getcwd()"})).labels == ()


def test_the_assumed_normalisation_is_announced(tmp_path: Path) -> None:
    path = save_onnx(tmp_path / "model.onnx")
    with pytest.warns(
        CheckpointWarning, match=r"model.onnx does not say how images are normalised: .* mean 0.485, 0.4"
    ):
        cl.load(path)
    with pytest.raises(
        ModelError, match="mean= does not apply to an ONNX Runtime session, which takes pixels of 8 bits"
    ):
        cl.load(save_onnx(path, kind="uint8"), **NORMALISED)
    assert cl.load(path).preprocessing.std == (1.0, 1.0, 1.0)


def test_the_identity_is_that_of_the_bytes(tmp_path: Path) -> None:
    first = cl.load(save_onnx(tmp_path / "a.onnx"), **NORMALISED).weights_hash
    assert cl.load(save_onnx(tmp_path / "b.onnx"), **NORMALISED).weights_hash == first
    assert cl.load(save_onnx(tmp_path / "a.onnx", batch=1), **NORMALISED).weights_hash != first
    model = cl.wrap(session())
    assert model.weights_hash == model.weights_hash != cl.wrap(session()).weights_hash


def test_external_data_are_loaded_and_count_for_the_identity(tmp_path: Path) -> None:
    model = onnx_model(network())
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    loaded = cl.load(tmp_path / "m.onnx", **NORMALISED)
    known = cl.wrap(network(), size=SIZE)
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded.network(images), known.network(images).detach(), rtol=1e-4, atol=1e-5)
    weights = bytearray((tmp_path / "weights.bin").read_bytes())
    weights[3] ^= 1
    (tmp_path / "weights.bin").write_bytes(weights)
    assert cl.load(tmp_path / "m.onnx", **NORMALISED).weights_hash != loaded.weights_hash
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"cannot load m.onnx: .*keep files with external data beside it"):
        cl.load(tmp_path / "m.onnx")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x08\x07\x12\x00"])
def test_invalid_files_are_described(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"ONNX Runtime [\d.]+ cannot load m.onnx"):
        cl.load(tmp_path / "m.onnx")


def test_an_unknown_opset_is_described(tmp_path: Path) -> None:
    model = onnx_model(network())
    model.opset_import[0].version = 999
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"cannot load m.onnx: .*opset"):
        cl.load(tmp_path / "m.onnx")


def _identity_graph(*inputs: Any) -> Any:
    from onnx import TensorProto, helper

    nodes = [helper.make_node("ReduceMean", [inputs[0].name], ["y"], axes=[2, 3], keepdims=0)]
    graph = helper.make_graph(nodes, "g", list(inputs), [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_inputs_that_are_no_images_are_described() -> None:
    from onnx import TensorProto, helper

    def value(name: str, *shape: Any, kind: int = TensorProto.FLOAT) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    with pytest.raises(ModelError, match=r"the ONNX model has 2 inputs \(x, mask\)"):
        cl.wrap(_identity_graph(value("x", 1, 3, 8, 8), value("mask", 1)))
    with pytest.raises(ModelError, match=r"in which the channels may be the second or the last axis"):
        cl.wrap(_identity_graph(value("x", "n", 3, "h", 3)))
    with pytest.raises(ModelError, match="takes images of 12 channels: pass mean= and std="):
        cl.wrap(_identity_graph(value("x", "n", 12, 8, 8)))
    with pytest.raises(ModelError, match=r"in which the channels may be the second or the last axis"):
        cl.wrap(_identity_graph(value("x", "n", "c", "h", "w")))  # runs on both


def test_an_input_of_symbols_is_tried() -> None:
    model = cl.wrap(session(size="side"), size=SIZE)
    assert model.network(torch.zeros(1, 3, SIZE, SIZE)).shape == (1, N_CLASSES)


def test_layer_methods_are_refused() -> None:
    with pytest.raises(
        MethodError, match="grad_cam needs the activations of a layer, and the model is an ONNX Runtime"
    ):
        cl.explain(cl.wrap(session()), photo(), method="grad_cam")


def test_a_wrong_size_is_described() -> None:
    with pytest.raises(ModelError, match=r"an ONNX Runtime session cannot run on a batch of 1×3×8×8"):
        cl.attribute(cl.wrap(session()), torch.zeros(1, 3, 8, 8), method="occlusion")


def test_uint8_inputs_receive_the_pixels() -> None:
    model = cl.wrap(session(kind="uint8"))
    seen = []
    inner = model.network._runner.session  # type: ignore[union-attr]

    class Spy:
        def run(self, names: Any, feed: dict[str, Any]) -> Any:
            seen.append(feed["x"])
            return inner.run(names, feed)

    model.network._runner.session = Spy()  # type: ignore[union-attr]
    cl.explain(model, photo(), method="occlusion(window=16, stride=16)")
    pixels = np.moveaxis(photo(), 2, 0)
    assert any(np.array_equal(batch[0], pixels) for batch in seen)
    assert any((row == row[:, :1, :1]).all() for batch in seen for row in batch)  # covered by one colour

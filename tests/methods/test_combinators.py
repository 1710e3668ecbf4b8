"""Do combinators do what they say, to any method, in any company, in as few runs as they can?"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.attribution.attributions import attributions
from camlucida.attribution.request import AttributionRequest
from camlucida.errors import MethodError
from camlucida.methods import Combined, Method, combinators, contrast, eigen_smooth, find, methods, refine
from camlucida.models.model import Model

IMAGES = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(4)).double()


RUNS: list[None] = []
"""One entry per run of the network; an attribute that `forward` reads would count as a change of the network."""


class Counting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        RUNS.append(None)
        return x


class Small(nn.Module):
    """Three stages on two grids."""

    def __init__(self) -> None:
        super().__init__()
        self.counting = Counting()
        self.stage1 = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.stage2 = nn.Sequential(nn.Conv2d(4, 5, 3, stride=2, padding=1), nn.ReLU())
        self.stage3 = nn.Sequential(nn.Conv2d(5, 6, 3, padding=1), nn.Tanh())
        self.head = nn.Linear(6, 4)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))

    def forward(self, x: Tensor) -> Any:
        out: Tensor = self.head(self.stage3(self.stage2(self.stage1(self.counting(x)))).mean((2, 3)))
        return out


class Sides(nn.Module):
    """Which side is brighter: two classes that a mirror exchanges."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1, bias=False)
        nn.init.constant_(self.layer.weight, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        half = y.shape[-1] // 2
        return torch.stack([y[..., :half].mean((1, 2, 3)), y[..., half:].mean((1, 2, 3))], dim=1)


NETWORK = Small().double().eval()


def maps(method: str, images: Tensor = IMAGES, **how: Any) -> Any:
    return attribute(NETWORK, images, method=method, **{"target": 1, "layer": "stage2", "signed": True} | how)


def unit(found: Tensor) -> Tensor:
    """The positive part, divided by its maximum."""
    found = found.relu()
    return found / found.amax((1, 2), keepdim=True)


def large(found: Tensor, size: tuple[int, int] = (16, 24)) -> Tensor:
    return F.interpolate(found[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


class TestParts:
    @pytest.mark.parametrize("method", ["hires_cam", "grad_cam", "ablation_cam"])
    def test_they_add_up_to_the_signed_map(self, method: str) -> None:
        signed = maps(method)
        assert (signed < 0).any()
        assert (signed > 0).any()
        assert_close(maps(f"positive({method})") - maps(f"negative({method})"), signed)
        assert_close(maps(f"positive({method})") + maps(f"negative({method})"), maps(f"absolute({method})"))
        assert_close(maps(f"absolute({method})"), signed.abs())

    def test_nothing_is_cut_off_after_them(self) -> None:
        assert_close(maps("negative(grad_cam)", signed=False), (-maps("grad_cam")).relu())
        assert find("grad_cam").relu
        assert not find("negative(grad_cam)").relu


class TestFusions:
    @pytest.mark.parametrize("name", ["refine", "fuse_max", "fuse_mean"])
    def test_of_one_layer_it_is_the_method_scaled(self, name: str) -> None:
        assert_close(maps(f"{name}(grad_cam)"), unit(maps("grad_cam")))

    def test_against_the_sums_by_hand(self) -> None:
        each = maps("layer_cam", layer="stage?")
        assert list(each) == ["stage1", "stage2", "stage3"]
        a, b, c = (large(unit(found)) for found in each.values())
        assert_close(maps("refine(layer_cam)", layer="stage?"), a * b * c)
        assert_close(maps("fuse_max(layer_cam)", layer="stage?"), torch.maximum(torch.maximum(a, b), c))
        assert_close(maps("fuse_mean(layer_cam)", layer="stage?"), (a + b + c) / 3)

    def test_the_papers_tanh_stands_before_the_upsampling(self) -> None:
        a, c = maps("layer_cam", layer=["stage1", "stage3"]).values()
        wanted = torch.maximum(large((2 * unit(a)).tanh()), large((2 * unit(c)).tanh()))
        assert_close(maps("fuse_max(layer_cam, gamma=2)", layer=["stage1", "stage3"]), wanted)

    def test_no_layer_means_all_candidates(self) -> None:
        assert_close(maps("refine(grad_cam)", layer=None), maps("refine(grad_cam)", layer="all"))
        both = attributions(
            Model(NETWORK, layer="stage2"),
            IMAGES,
            AttributionRequest(
                targets=[0, 1], layers=[None], methods=[(find("grad_cam"), {}), (find("refine(grad_cam)"), {})]
            ),
        )
        assert [[where.name for where in row if where] for row in both.layers] == [
            ["stage2"],
            ["stage1+stage2+stage3"],
        ]
        assert_close(both.maps[0][0][1], maps("grad_cam"))
        assert_close(both.maps[1][0][1], maps("refine(grad_cam)", layer=None))

    def test_an_empty_map_at_one_layer_gives_zeros(self) -> None:
        zero = refine.function([torch.zeros(1, 2, 2), torch.ones(1, 4, 4)])
        assert_close(zero, torch.zeros(1, 4, 4))

    def test_a_fusion_of_one_grid_is_any_number_of_images_and_targets(self) -> None:
        found = maps("refine(grad_cam)", layer="stage?", target=[0, 1, "top2"])
        assert found.shape == (2, 4, 16, 24)
        assert_close(found[:, 1], maps("refine(grad_cam)", layer="stage?"))


class TestViews:
    @pytest.mark.parametrize("method", ["hires_cam", "gradient", "ablation_cam", "eigen_cam"])
    @pytest.mark.parametrize(
        "view", ["smooth({}, noise=0, n=3)", "scales({}, factors=(1,))", "crops({}, share=1)", "smooth({}, noise=0.0)"]
    )
    def test_the_identity_view_is_the_method(self, method: str, view: str) -> None:
        layer = {} if find(method).needs_layer else {"layer": None}
        assert_close(maps(view.format(method), **layer), maps(method, **layer))

    def test_smooth_is_the_mean_over_noisy_images(self) -> None:
        noise = torch.randn((3, 3, 16, 24), generator=torch.Generator().manual_seed(7))
        width = 0.2 * (IMAGES.amax((1, 2, 3)) - IMAGES.amin((1, 2, 3)))
        noisy = [IMAGES + width[:, None, None, None] * one for one in noise]
        wanted = torch.stack([maps("hires_cam", images) for images in noisy]).mean(0)
        assert_close(maps("smooth(hires_cam, n=3, noise=0.2, seed=7)"), wanted)
        assert not torch.allclose(maps("smooth(hires_cam, n=3, noise=0.2, seed=8)"), wanted)

    def test_a_class_stays_the_one_that_was_predicted(self) -> None:
        """A mirror image is always predicted as the other class here, and explained for the first one's."""
        sides = Sides().double()
        predicted = sides(IMAGES).argmax(1)
        assert bool((predicted != sides(IMAGES.flip(-1)).argmax(1)).all())
        found = attribute(sides, IMAGES, method="flips(hires_cam)", layer="layer", signed=True)
        wanted = attribute(sides, IMAGES, target=predicted, method="flips(hires_cam)", layer="layer", signed=True)
        assert_close(found, wanted)

    def test_flips(self) -> None:
        mirrored = maps("grad_cam", IMAGES.flip(-1)).flip(-1)
        assert_close(maps("flips(grad_cam)"), (maps("grad_cam") + mirrored) / 2)

    def test_flips_of_a_symmetric_image_are_symmetric(self) -> None:
        images = IMAGES + IMAGES.flip(-1)
        found = maps("flips(hires_cam)", images, layer="stage1")
        assert_close(found, found.flip(-1))
        assert not torch.allclose(maps("hires_cam", images, layer="stage1"), found)

    def test_scales(self) -> None:
        twice = F.interpolate(IMAGES, size=(32, 48), mode="bilinear", align_corners=False)
        other = large(maps("grad_cam", twice), (8, 12))
        assert_close(maps("scales(grad_cam, factors=(1, 2))"), (maps("grad_cam") + other) / 2)

    def test_crops_lie_where_they_were_cut(self) -> None:
        """With a method that gives the image back, crops of any share give it back too, nearly, edges and all."""
        rows = torch.linspace(0, 1, 16).double()[:, None] + torch.linspace(0, 2, 24).double()
        stripes = rows.expand(1, 3, 16, 24)
        for share in (0.5, 0.75):
            views = list(combinators()["crops"].function(stripes, share=share))
            assert len(views) == 6
            returned = torch.stack([back(seen[:, 0], (16, 24))[0] for seen, back in views])
            covered = ~returned.isnan()
            assert covered[1:5].any(0).all()
            assert_close(covered[5].double().mean(), torch.tensor(share**2).double(), atol=0.05, rtol=0)
            inner = returned[:, 2:-2, 2:-2]
            for one in inner:
                assert_close(one[~one.isnan()], rows[2:-2, 2:-2][~one.isnan()], atol=0.13, rtol=0)

    def test_crops_are_averaged_over_those_that_cover_a_position(self) -> None:
        height, width = maps("grad_cam").shape[-2:]
        views = combinators()["crops"].function(IMAGES, share=0.5)
        restored = torch.stack([back(maps("grad_cam", seen), (height, width)) for seen, back in views])
        assert restored.isnan().any()
        assert_close(maps("crops(grad_cam, share=0.5)"), restored.nanmean(0))

    def test_a_batch_is_its_images(self) -> None:
        for method in ("smooth(grad_cam)", "crops(layer_cam)", "scales(flips(grad_cam))", "refine(smooth(grad_cam))"):
            one_by_one = torch.cat([maps(method, image[None]) for image in IMAGES])
            assert_close(maps(method), one_by_one)


class TestContrast:
    def test_contrast_of_a_linear_map_subtracts_the_mean_of_the_others(self) -> None:
        with torch.no_grad():
            outputs = NETWORK(IMAGES)
        best = outputs.scatter(1, torch.full((2, 1), 1), -torch.inf).topk(2, dim=1).indices

        def score(output: Tensor) -> Tensor:
            return output[:, 1] - output.gather(1, best).mean(1)

        for method in ("grad_cam", "hires_cam", "xgrad_cam"):
            assert_close(maps(f"contrast({method}, n=2)"), maps(method, target=score))

    def test_the_best_scored_others_an_image_each(self) -> None:
        batch = torch.cat([IMAGES, -2 * IMAGES, IMAGES.flip(-1) * 3])
        own = torch.tensor([3, 0, 3, 1, 2, 3])
        best = NETWORK(batch).detach().scatter(1, own[:, None], -torch.inf).argmax(1)
        assert len(best.unique()) > 1
        for method in ("score_cam", "layer_cam"):
            wanted = maps(method, batch, target=own) - maps(method, batch, target=best)
            assert_close(maps(f"contrast({method}, n=1)", batch, target=own), wanted)
            one_by_one = [
                maps(f"contrast({method}, n=1)", x[None], target=int(k)) for x, k in zip(batch, own, strict=True)
            ]
            assert_close(torch.cat(one_by_one), wanted)

    def test_scaled(self) -> None:
        def unit(found: Tensor) -> Tensor:
            return found / found.abs().amax((1, 2), keepdim=True)

        others = [unit(maps("layer_cam", target=k)) for k in (0, 2, 3)]
        wanted = unit(maps("layer_cam")) - sum(others) / 3
        assert_close(maps("contrast(layer_cam, scaled=True)"), wanted)
        zero = contrast.function(torch.zeros(1, 2, 2), [torch.zeros(1, 2, 2)], scaled=True)
        assert_close(zero, torch.zeros(1, 2, 2))

    def test_every_target_has_its_own_competing_classes(self) -> None:
        attribute(NETWORK, IMAGES)
        RUNS.clear()
        found = maps("contrast(grad_cam, n=2)", target=[0, 1, "2 rather than 3"], layer="stage?")
        assert len(RUNS) == 2
        for layer, of_layer in found.items():
            for t, target in enumerate([0, 1, "2 rather than 3"]):
                assert_close(of_layer[:, t], maps("contrast(grad_cam, n=2)", target=target, layer=layer))

    def test_both_signs_are_shown_and_nothing_is_cut_off(self) -> None:
        made = find("contrast(grad_cam)")
        assert made.display.signed
        assert not made.relu
        assert (maps("contrast(grad_cam)", signed=False) < 0).any()
        assert not find("positive(contrast(grad_cam))").display.signed

    @pytest.mark.parametrize("n", [0, -1])
    def test_none_to_compare_with(self, n: int) -> None:
        with pytest.raises(MethodError, match="contrast: n is an integer from 1 to 1000000"):
            maps(f"contrast(grad_cam, n={n})")


class TestEigenSmooth:
    @pytest.mark.parametrize("layer", ["stage1", "stage3"])
    @pytest.mark.parametrize("components", [1, 2, 4])
    def test_against_the_svd(self, layer: str, components: int) -> None:
        """Places are more than channels here, and fewer in the next test."""
        plain = maps("hires_cam", layer=layer)
        found = maps(f"eigen_smooth(hires_cam, components={components})", layer=layer)
        assert_close(found, projected(plain, outputs_of(layer), components))

    def test_against_the_svd_with_more_channels_than_positions(self) -> None:
        activations = torch.randn(2, 9, 2, 3, generator=torch.Generator().manual_seed(1)).double()
        map_ = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(2)).double()
        (found,) = eigen_smooth.function([map_], activations, components=3)
        assert_close(found, projected(map_, activations, 3))
        (found,) = eigen_smooth.function([map_], activations, components=99)
        assert_close(found, map_)

    def test_one_pattern_is_eigen_cam_for_every_method(self) -> None:
        eigen = maps("eigen_cam")
        for method in ("grad_cam", "layer_cam", "ablation_cam"):
            found = maps(f"eigen_smooth({method}, components=1)")
            factor = (found * eigen).sum((1, 2), keepdim=True) / eigen.square().sum((1, 2), keepdim=True)
            assert_close(found, factor * eigen)
        assert_close(maps("eigen_smooth(eigen_cam, components=1)"), eigen)

    def test_twice_is_once(self) -> None:
        assert_close(maps("eigen_smooth(eigen_smooth(hires_cam))"), maps("eigen_smooth(hires_cam)"))

    def test_channels_that_repeat_each_other_and_a_layer_of_zeros(self) -> None:
        one = torch.randn(1, 1, 3, 4, generator=torch.Generator().manual_seed(3)).double()
        map_ = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(4)).double()
        (found,) = eigen_smooth.function([map_], one.expand(1, 5, 3, 4), components=3)
        assert_close(found, one[0] * (one[0] * map_).sum() / one.square().sum())
        (found,) = eigen_smooth.function([map_], torch.zeros(1, 5, 3, 4).double(), components=3)
        assert_close(found, torch.zeros_like(map_))

    def test_composes(self) -> None:
        inner = maps("eigen_smooth(layer_cam)", target=[0, 1, 2, 3])
        wanted = inner[:, 1] - (inner[:, 0] + inner[:, 2] + inner[:, 3]) / 3
        assert_close(maps("contrast(eigen_smooth(layer_cam))"), wanted)
        refined = maps("refine(eigen_smooth(layer_cam))", layer="stage?")
        assert refined.shape == (2, 16, 24)

    def test_what_it_refuses(self) -> None:
        with pytest.raises(MethodError, match=r"compares a map with its layer, but refine.* put it inside"):
            find("eigen_smooth(refine(grad_cam))")
        with pytest.raises(MethodError, match=r"compares .*, and guided_grad_cam maps the network input itself"):
            find("eigen_smooth(guided_grad_cam)")
        with pytest.raises(MethodError, match="components is an integer from 1"):
            maps("eigen_smooth(grad_cam, components=0)")


def outputs_of(layer: str) -> Tensor:
    kept = []
    handle = NETWORK.get_submodule(layer).register_forward_hook(lambda _, __, output: kept.append(output.detach()))
    NETWORK(IMAGES)
    handle.remove()
    found: Tensor = kept[0]
    return found


def projected(map_: Tensor, activations: Tensor, components: int) -> Tensor:
    u = torch.linalg.svd(activations.flatten(2).mT, full_matrices=False).U[..., :components]
    return torch.einsum("bpk,bqk,bq->bp", u, u, map_.flatten(1)).view_as(map_)


class TestProgress:
    @pytest.mark.parametrize(
        ("method", "total"),
        [
            ("smooth(grad_cam, n=5)", 5),
            ("flips(grad_cam)", 2),
            ("scales(grad_cam)", 3),
            ("crops(grad_cam)", 6),
            ("smooth(flips(score_cam), n=2)", 2),
            ("flips(smooth(ablation_cam, n=3))", 2),
            ("refine(smooth(ablation_cam, n=3))", 3),
        ],
    )
    def test_a_step_a_view_of_the_outermost(self, method: str, total: int) -> None:
        reported: list[tuple[int, int]] = []
        maps(method, progress=lambda done, of: reported.append((done, of)))
        assert reported == [(i + 1, total) for i in range(total)]

    def test_muted_only_for_as_long_as_it_lasts(self) -> None:
        reported: list[tuple[int, int]] = []
        asked = ["smooth(ablation_cam, n=2)", "ablation_cam"]
        attributions(
            Model(NETWORK),
            IMAGES,
            AttributionRequest(
                targets=[0],
                layers=["stage1"],
                methods=[(find(name), find(name).with_options({})) for name in asked],
                progress=lambda *far: reported.append(far),
            ),
        )
        assert reported[:2] == [(1, 2), (2, 2)]
        assert len(reported) > 2


class TestRuns:
    @pytest.mark.parametrize(
        ("method", "runs"),
        [
            ("refine(layer_cam)", 1),
            ("positive(hires_cam)", 1),
            ("fuse_mean(absolute(hires_cam))", 1),
            ("flips(grad_cam)", 2),
            ("smooth(grad_cam, n=5)", 6),
            ("refine(smooth(grad_cam, n=5))", 6),
            ("smooth(refine(grad_cam), n=5)", 6),
            ("scales(grad_cam)", 3),
            ("crops(grad_cam)", 6),
            ("smooth(flips(grad_cam), n=2)", 5),
        ],
    )
    def test_as_few_as_can_be_for_all_layers_and_targets(self, method: str, runs: int) -> None:
        def ask() -> None:
            attribute(NETWORK, IMAGES, method=method, target=[0, 1, "top2"], layer="stage?")

        ask()  # surveys of every size are made here
        RUNS.clear()
        ask()
        assert len(RUNS) == runs

    def test_one_run_serves_parts_fusions_and_plain_methods_together(self) -> None:
        names = ["grad_cam", "refine(grad_cam)", "fuse_max(layer_cam)", "negative(hires_cam)"]
        attribute(NETWORK, IMAGES)  # the first run on images of this size also looks the network over
        RUNS.clear()
        attributions(
            Model(NETWORK),
            IMAGES,
            AttributionRequest(targets=[0, 1], layers=["stage1", "stage3"], methods=[(find(n), {}) for n in names]),
        )
        assert len(RUNS) == 1


PLAIN: dict[str, torch.Size | MethodError] = {}
"""The shape of a method's own map, or why it has none."""


class TestComposition:
    def test_inner_first(self) -> None:
        noisy = "smooth({}, n=3, noise=0.5)"
        assert_close(maps(f"positive({noisy.format('hires_cam')})"), maps(noisy.format("hires_cam")).relu())
        after = maps(noisy.format("positive(hires_cam)"))
        assert (after >= maps(f"positive({noisy.format('hires_cam')})") - 1e-12).all()

    @pytest.mark.parametrize("name", list(combinators()))
    @pytest.mark.parametrize("method", list(methods()))
    def test_every_combinator_takes_every_method(self, name: str, method: str) -> None:
        found = find(method)
        refusals = {
            "fusion": (not found.needs_layer, f"{name} fuses layers, and {method} maps the network input itself"),
            "layer": (found.map_size != "layer", f"{name} compares .*, and {method} maps the network input itself"),
            "competing_classes": (
                found.class_free,
                f"{name} compares classes, and {method} returns the same map for all of them",
            ),
        }
        refused, why = refusals.get(combinators()[name].kind, (False, ""))
        if refused:
            with pytest.raises(MethodError, match=why):
                find(f"{name}({method})")
            return
        layers = {"layer": "stage3"} if found.needs_layer else {"layer": None}
        few = {key: min(8, value) for key, value in found.options.items() if key in ("n", "segments", "steps")}
        inner = f"{method}({', '.join(f'{key}={value}' for key, value in few.items())})"
        options = ", n=2" if name == "smooth" else ""
        small, images = Small().eval(), IMAGES[:1].float()
        if method not in PLAIN:
            try:
                PLAIN[method] = attribute(small, images, target=1, method=inner, **layers).shape
            except MethodError as error:
                PLAIN[method] = error
        plain = PLAIN[method]
        if isinstance(plain, MethodError):  # what the method refuses, it refuses in company too
            with pytest.raises(MethodError, match=str(plain)[:20]):
                attribute(small, images, target=1, method=f"{name}({inner}{options})", **layers)
            return
        made = attribute(small, images, target=1, method=f"{name}({inner}{options})", **layers)
        assert made.shape == plain
        assert made.isfinite().all()

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
    def test_precision(self, dtype: torch.dtype) -> None:
        small = Small().eval().to(dtype)
        exact = {m: maps(m) for m in ("crops(grad_cam)", "scales(grad_cam)", "smooth(grad_cam, n=2)")}
        for method, wanted in exact.items():
            found = attribute(small, IMAGES.to(dtype), target=1, layer="stage2", signed=True, method=method)
            assert found.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
            alike = torch.cosine_similarity(found.double().flatten(1), wanted.flatten(1))
            assert_close(alike, torch.ones_like(alike), rtol=0, atol=0.02)

    def test_the_network_is_unmodified(self) -> None:
        network = Small().train()
        before = {key: value.clone() for key, value in network.state_dict().items()}
        attribute(network, IMAGES.float(), method="smooth(refine(grad_cam), n=2)")
        assert network.training
        assert all(p.requires_grad and p.grad is None for p in network.parameters())
        for key, value in network.state_dict().items():
            assert_close(value, before[key], rtol=0, atol=0)


class FixedSize(nn.Module):
    """Takes 16 x 24 only, as a transformer with learned positions does."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 16 * 24, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layer(x).flatten(1))
        return out


def test_a_network_of_one_size_says_so() -> None:
    with pytest.raises(MethodError, match=r"scales runs the network at other sizes, and FixedSize cannot run at 12×18"):
        attribute(FixedSize(), IMAGES.float(), layer="layer", method="scales(grad_cam)")
    assert attribute(FixedSize(), IMAGES.float(), layer="layer", method="flips(grad_cam)").shape == (2, 16, 24)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.small = Small()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        out: Tensor = self.small(a + b)
        return out


def test_views_of_several_inputs_need_to_know_the_image() -> None:
    pair = (IMAGES.float(), IMAGES.float())
    with pytest.raises(MethodError, match="takes several inputs: name the one that is the image"):
        attribute(Two(), pair, method="flips(grad_cam)")
    assert attribute(Two(), pair, method="refine(grad_cam)").shape == (2, 16, 24)


class TestWriting:
    @pytest.mark.parametrize(
        ("written", "name"),
        [
            ("refine(layer_cam)", "refine(layer_cam)"),
            (" refine( LayerCAM ) ", "refine(layer_cam)"),
            ("refine(Grad-CAM++)", "refine(grad_cam_plusplus)"),
            ("refine(grad-cam)", "refine(grad_cam)"),
            ("smooth(positive(hires_cam), n=4)", "smooth(positive(hires_cam), n=4)"),
            ("scales(grad_cam, factors=(0.5, 1))", "scales(grad_cam, factors=(0.5, 1))"),
            ("smooth(ablation_cam(infill=0.5), seed=2, noise=0)", "smooth(ablation_cam(infill=0.5), seed=2, noise=0)"),
            ("ablation_cam(infill=1)", "ablation_cam(infill=1)"),
            ("grad_cam()", "grad_cam"),
        ],
    )
    def test_names_are_read_and_given_back(self, written: str, name: str) -> None:
        found = find(written)
        assert found.name == name
        assert find(found.name) == found
        assert find(found) is found

    @pytest.mark.parametrize(
        ("written", "message"),
        [
            ("refin(grad_cam)", "no combinator or method 'refin'. Did you mean 'refine'"),
            ("refine(grad_kam)", "no method 'grad_kam'. Did you mean 'grad_cam'"),
            ("refine", r"refine requires a method: refine\(grad_cam\)\."),
            ("smooth()", r"smooth requires a method: smooth\(grad_cam, n=8, noise=0.1, seed=0\)"),
            ("positive(refine)", "refine requires a method"),
            ("grad_cam(layer_cam)", "grad_cam takes no method. Combinators do: refine"),
            ("smooth(grad_cam, 4)", "smooth takes one method, not 2; pass options by name"),
            ("smooth(grad_cam, k=3)", "smooth has no option 'k'. Its options: n=8"),
            (
                "ablation_cam(full=3)",
                "ablation_cam has no option 'full'.* Its options: infill=0.0",
            ),
            ("smooth(grad_cam, n='a')", "smooth: n is an integer from 1 to 1000000 .by default 8., not 'a'"),
            ("smooth(grad_cam, n=2.5)", "smooth: n is an integer"),
            ("smooth(grad_cam, noise=True)", "smooth: noise is a number"),
            ("smooth(grad_cam, n=2**99)", "the value of n is not a number"),
            ("smooth(grad_cam, n=print(3))", "the value of n is not a number"),
            ("smooth(grad_cam, **{'n': 3})", "options are passed as name=value"),
            ("smooth(*['grad_cam'])", "expected a method instead of"),
            ("smooth('grad_cam')", "expected a method instead of"),
            ("smooth(lambda: 3)", "no method 'lambda: 3'"),
            ("smooth([f(3)])", "expected a method instead of"),
            ("smooth(-f(3))", "is neither a method nor a combinator of one"),
            ("__import__('os').system('ls')", "no combinator or method"),
            ("refine(refine(grad_cam))", r"refine fuses layers, and refine\(grad_cam\) already fuses them"),
            ("refine(grad_cam", "cannot parse the method 'refine.grad_cam'"),
            ("refine(grad_cam))", "cannot parse the method"),
            ("(" * 400, "cannot parse the method"),
            ("smooth(" * 90 + "grad_cam" + ")" * 90, "the method has"),
        ],
    )
    def test_refusals(self, written: str, message: str) -> None:
        with pytest.raises(MethodError, match=message):
            find(written)

    @pytest.mark.parametrize(
        ("written", "message"),
        [
            ("smooth(grad_cam, n=0)", "smooth: n is an integer from 1"),
            ("smooth(grad_cam, noise=-1)", "smooth: noise is a number of at least 0"),
            ("scales(grad_cam, factors=())", "scales: factors is a list of which each element is a number above 0"),
            ("scales(grad_cam, factors=(0,))", "each element is a number above 0"),
            ("crops(grad_cam, share=0.3)", "crops: share is a number from 0.5 to 1"),
            ("fuse_max(grad_cam, gamma=-1)", "fuse_max: gamma is a number of at least 0"),
        ],
    )
    def test_values_out_of_range(self, written: str, message: str) -> None:
        with pytest.raises(MethodError, match=message):
            maps(written)

    def test_the_record(self) -> None:
        found = find("smooth(ablation_cam(infill=0.5), n=4)")
        assert isinstance(found, Combined)
        assert dict(found.options) == {
            "smooth.n": 4, "smooth.noise": 0.1, "smooth.seed": 0, "smooth.ablation_cam.infill": 0.5,
        }  # fmt: skip
        assert found.paper.startswith("smooth: Smilkov")
        assert "Desai" in found.paper
        with pytest.raises(
            MethodError,
            match=r"options of smooth\(.*\) are part of its expression.* 'infill. cannot be passed",
        ):
            found.with_options({"infill": 1})

    def test_to_callers_it_is_one_more_method(self) -> None:
        plain = find("grad_cam")
        assert isinstance(plain, Method)
        combined = find("smooth(refine(grad_cam))")
        for name in (
            "name",
            "needs",
            "options",
            "paper",
            "deviation",
            "relu",
            "map_size",
            "class_free",
            "needs_layer",
            "fuses_layers",
        ):
            assert type(getattr(combined, name)) is type(getattr(plain, name)) or name == "options"
        assert not plain.fuses_layers
        assert combined.fuses_layers
        assert find("flips(eigen_cam)").class_free

    def test_every_combinator_has_a_docstring(self) -> None:
        assert len(combinators()) == 12
        for entry in combinators().values():
            assert entry.summary.endswith(".")
            assert len(entry.summary) < 120

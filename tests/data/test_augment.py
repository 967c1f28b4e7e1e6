"""Augmentation: every operation against its definition, and none of them in another's way."""

from __future__ import annotations

import shutil
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_dml.compiling import Compiled
from reid_dml.data.pipeline.augment import AugmentSpec, augment, erased_pixels
from reid_dml.data.pipeline.draws import augmentation_draws

SIZE, MEAN, STD = (12, 8), (0.5, 0.4, 0.3), (0.5, 0.25, 0.2)
IDENTITY = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)}  # results in [0, 255]
OPERATIONS = {
    "flip": {"flip": 0.5},
    "crop": {"pad": 2},
    "reflect": {"pad": 2, "pad_mode": "reflect"},
    "brightness": {"brightness": 0.4},
    "contrast": {"contrast": 0.4},
    "saturation": {"saturation": 0.4},
    "erase": {"erase": 0.5},
    "window": {"crop": "inception"},
}


@pytest.fixture
def images(rng):
    return torch.from_numpy(rng.integers(0, 256, (16, 3, *SIZE), dtype=np.uint8))


@pytest.fixture
def draws():
    return torch.from_numpy(augmentation_draws(0, 0, 16, AugmentSpec.num_draws))


def test_an_operation_s_draws_do_not_depend_on_how_many_there_are():
    many = augmentation_draws(3, 7, 16, AugmentSpec.num_draws)
    assert many.shape == (16, AugmentSpec.num_draws)
    for count in range(1, AugmentSpec.num_draws):
        np.testing.assert_array_equal(many[:, :count], augmentation_draws(3, 7, 16, count))
    # What runs that were started before there was more than a flip have drawn.
    np.testing.assert_array_equal(many[:, 0], np.random.default_rng([3, 2, 7]).random((16, 1), np.float32)[:, 0])


def test_the_columns_of_the_operations_are_their_own(images):
    used = {}
    for name, options in OPERATIONS.items():
        spec, used[name] = AugmentSpec(SIZE, MEAN, STD, **options), set()
        base = torch.full((16, AugmentSpec.num_draws), 0.25)
        before = augment(images, base, spec)
        for column in range(AugmentSpec.num_draws):
            changed = base.clone()
            changed[:, column] = 0.75
            if not torch.equal(augment(images, changed, spec), before):
                used[name].add(column)
    assert used["flip"] == {0}
    assert used.pop("reflect") == used["crop"]
    columns = [column for found in used.values() for column in found]
    assert sorted(columns) == list(range(AugmentSpec.num_draws))  # each exactly once


def test_operations_that_are_off_change_no_bit(images, draws):
    plain = AugmentSpec(SIZE, MEAN, STD)
    assert torch.equal(augment(images, draws, plain), augment(images, None, plain))
    # At the stored size, the middle crop is the whole image.
    everything = AugmentSpec(SIZE, MEAN, STD, **{k: v for options in OPERATIONS.values() for k, v in options.items()})
    assert torch.equal(augment(images, None, everything), augment(images, None, plain))
    assert not torch.equal(augment(images, draws, everything), augment(images, None, plain))


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_pad_and_crop_matches_numpy(images, draws, mode):
    spec = AugmentSpec(SIZE, **IDENTITY, pad=3, pad_mode=mode)
    result = augment(images, draws, spec).numpy()
    numpy_mode = {"zeros": "constant", "reflect": "reflect"}[mode]
    offsets = set()
    for number, image in enumerate(images.numpy()):
        padded = np.pad(image, ((0, 0), (3, 3), (3, 3)), mode=numpy_mode)
        top, left = (int(draw * 7) for draw in draws[number, 1:3])
        offsets |= {top, left}
        np.testing.assert_allclose(result[number], padded[:, top : top + 12, left : left + 8], atol=1e-4)
    assert min(offsets) == 0
    assert max(offsets) == 6


def test_every_offset_of_the_cifar_crop_gives_its_window_of_the_reflected_image(rng):
    image = rng.integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
    reflected = np.empty((3, 40, 40), np.uint8)
    for row in range(40):
        for column in range(40):
            # Mirrored about the outermost pixel, which is not repeated.
            y, x = (31 - abs(31 - abs(place - 4)) for place in (row, column))
            reflected[:, row, column] = image[0, :, y, x]
    draws = torch.full((81, AugmentSpec.num_draws), 0.999)  # no flip
    offsets = [(top, left) for top in range(9) for left in range(9)]
    draws[:, 1:3] = (torch.tensor(offsets) + 0.5) / 9
    spec = AugmentSpec((32, 32), **IDENTITY, flip=0.5, pad=4, pad_mode="reflect")
    result = augment(torch.from_numpy(image).expand(81, -1, -1, -1), draws, spec)
    for (top, left), found in zip(offsets, result.numpy(), strict=True):
        np.testing.assert_allclose(found, reflected[:, top : top + 32, left : left + 32], atol=1e-4)


def test_the_offsets_of_the_cifar_crop_are_equally_likely():
    draws = augmentation_draws(0, 0, 81 * 200, AugmentSpec.num_draws)
    counts = np.bincount((draws[:, 1:3] * 9).astype(int) @ [9, 1], minlength=81)
    assert ((counts - 200) ** 2 / 200).sum() < 126  # chi-square with 80 degrees of freedom, 0.1 %


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.booleans())
def test_a_window_is_cut_out_and_resized_on_its_own(seed, shrink):
    stored, size = (24, 20), (9, 11) if shrink else (20, 16)
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.integers(0, 256, (8, 3, *stored), dtype=np.uint8))
    draws = torch.from_numpy(augmentation_draws(seed, 0, 8, AugmentSpec.num_draws))
    result = augment(images, draws, AugmentSpec(size, **IDENTITY, crop="inception", crop_area=(0.2, 1.0)))
    for image, row, found in zip(images, draws.double().numpy(), result, strict=True):
        area = 480 * (0.2 + 0.8 * row[11])
        low, high = max(0.75, area / 400), min(4 / 3, 576 / area)
        aspect = low + row[12] * (high - low)
        rows, columns = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        top, left = int(row[13] * (24 - rows + 1)), int(row[14] * (20 - columns + 1))
        window = image[None, :, top : top + rows, left : left + columns].float()
        expected = torch.nn.functional.interpolate(window, size=size, mode="bilinear", align_corners=False)
        torch.testing.assert_close(found, expected[0], rtol=0, atol=2e-3)


def test_evaluation_takes_the_middle_as_it_is(images):
    spec = AugmentSpec((8, 6), **IDENTITY, crop="inception", flip=0.5)
    assert torch.equal(augment(images, None, spec), images[:, :, 2:10, 1:7].float())


def test_the_middle_crop_is_the_image(images):
    middle, plain = torch.full((16, AugmentSpec.num_draws), 0.5), AugmentSpec(SIZE, MEAN, STD)
    assert torch.equal(augment(images, middle, AugmentSpec(SIZE, MEAN, STD, pad=4)), augment(images, None, plain))


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colour_jitter_matches_torchvision(images, draws, name):
    from torchvision.transforms.v2 import functional as tv

    result = augment(images, draws, AugmentSpec(SIZE, **IDENTITY, **{name: 0.6}))
    column = {"brightness": 3, "contrast": 4, "saturation": 5}[name]
    adjust = getattr(tv, f"adjust_{name}")
    for number, image in enumerate(images):
        factor = float(1 + 0.6 * (2 * draws[number, column] - 1))
        expected = adjust(image.float() / 255, factor) * 255
        # torchvision weighs blue with 0.1140 and red with 0.2989.
        torch.testing.assert_close(result[number], expected, rtol=0, atol=0.05)


def test_a_factor_of_1_leaves_the_colours(images):
    middle = torch.full((16, AugmentSpec.num_draws), 0.5)
    spec = AugmentSpec(SIZE, **IDENTITY, brightness=0.5, contrast=0.5, saturation=0.5)
    torch.testing.assert_close(augment(images, middle, spec), images.float(), rtol=0, atol=1e-4)


@settings(deadline=None)
@given(
    st.tuples(st.integers(8, 40), st.integers(8, 40)),
    st.tuples(st.floats(0.02, 0.3), st.floats(0.3, 1.0)),
    st.tuples(st.floats(0.1, 1.0), st.floats(1.0, 5.0)),
    st.integers(0, 100),
)
def test_the_erased_pixels_are_one_rectangle_of_the_area_drawn(size, area, aspect, seed):
    spec = AugmentSpec(size, MEAN, STD, erase=1.0, erase_area=area, erase_aspect=aspect)
    draws = torch.from_numpy(augmentation_draws(seed, 0, 8, AugmentSpec.num_draws))
    for mask, row in zip(erased_pixels(draws, spec).numpy(), draws.double().numpy(), strict=True):
        rows, columns = mask.any(1).sum(), mask.any(0).sum()
        assert mask.sum() == rows * columns > 0
        assert np.ptp(np.flatnonzero(mask.any(1))) == rows - 1
        assert np.ptp(np.flatnonzero(mask.any(0))) == columns - 1
        # Half a pixel of rounding on each side.
        wanted = size[0] * size[1] * (area[0] + row[7] * (area[1] - area[0]))
        assert (rows - 0.5) * (columns - 0.5) <= wanted * (1 + 1e-6) or rows == 1 or columns == 1
        assert wanted <= (rows + 0.5) * (columns + 0.5)


def test_erasing_matches_a_rectangle_computed_by_hand(images):
    draws = torch.zeros(16, AugmentSpec.num_draws)
    draws[:, 6] = torch.linspace(0, 0.99, 16)
    draws[:, 7:9] = 0.5
    draws[:, 9], draws[:, 10] = 0.5, 0.9
    # Area 0.25 * 96 = 24 pixels at height / width 1.5: 6 rows of 7 places, 4 columns of 5.
    spec = AugmentSpec(SIZE, MEAN, STD, erase=0.5, erase_area=(0.2, 0.3), erase_aspect=(1.0, 2.0))
    expected = augment(images, None, spec)
    chosen = draws[:, 6] < 0.5
    expected[chosen, :, 3:9, 4:8] = 0.0
    assert 0 < chosen.sum() < 16
    assert torch.equal(augment(images, draws, spec), expected)


def test_erasing_is_as_frequent_and_as_large_as_asked():
    spec = AugmentSpec((128, 64), MEAN, STD, erase=0.3)
    masks = erased_pixels(torch.from_numpy(augmentation_draws(0, 0, 4000, AugmentSpec.num_draws)), spec)
    share = masks.double().mean((1, 2))
    erased = share[share > 0]
    assert len(erased) / 4000 == pytest.approx(0.3, abs=0.03)  # four standard deviations
    assert erased.mean().item() == pytest.approx(0.21, abs=0.015)
    assert 0.018 < erased.min() < 0.03
    assert 0.39 < erased.max() < 0.405
    # The place is uniform: the two halves lose as much.
    assert masks[:, :64].sum() / masks[:, 64:].sum() == pytest.approx(1, abs=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_gives_the_same_batch(images, draws):
    options = {k: v for options in OPERATIONS.values() for k, v in options.items()}
    spec = AugmentSpec((24, 16), MEAN, STD, **options)
    torch.testing.assert_close(augment(images.cuda(), draws.cuda(), spec).cpu(), augment(images, draws, spec))
    assert torch.equal(erased_pixels(draws.cuda(), spec).cpu(), erased_pixels(draws, spec))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_it_gives_the_same_images():
    spec = AugmentSpec((12, 8), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), flip=0.5, pad=2)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, 3, 16, 10), dtype=torch.uint8, generator=generator)
    draws = torch.rand(5, spec.num_draws, generator=generator)
    compiled = Compiled(partial(augment, spec=spec), "augmentation")
    torch.testing.assert_close(compiled(images, draws), augment(images, draws, spec), rtol=1e-5, atol=1e-5)
    assert compiled.succeeds

"""Classification data in every form: official archives, .npz, class folders, Tiny-ImageNet, drawn shapes."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import tarfile

import cv2
import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from reid_dml.config import load_config
from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.pipeline.sources import make_source
from reid_dml.data.sets import load_data
from reid_dml.data.sets.synthetic_shapes import CLASSES, draw_shapes
from reid_dml.errors import UserError
from tests.conftest import killed_draft


@pytest.fixture
def load(tmp_path):
    config = tmp_path / "a.yml"
    config.write_text("DATA: {STORED_SIZE: [32, 32]}\nINPUT: {SIZE: [32, 32]}\n")

    def load_from(name, root=tmp_path, *overrides):
        return load_data(load_config(config, ["DATA.NAME", name, "DATA.ROOT", str(root), *overrides]))

    return load_from


def pixels(count, rng):
    return rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


class TestArchives:
    """Small archives in the official layout, with check sums of their own put in place of the official ones."""

    @pytest.fixture(params=[CIFAR10, CIFAR100])
    def archive(self, request, tmp_path, monkeypatch, rng):
        """The archive's class, the images by split, and the labels by split."""
        kind = request.param
        folder = tmp_path / "made" / kind.base_folder
        folder.mkdir(parents=True)
        ten = kind is CIFAR10
        names = ["ant", "bee", "cat"]
        images, labels, sums = {"train": [], "test": []}, {"train": [], "test": []}, {}

        def write(file, content):
            (folder / file).write_bytes(pickle.dumps(content))
            sums[file] = hashlib.md5((folder / file).read_bytes()).hexdigest()

        for split, files in (("train", kind.train_list), ("test", kind.test_list)):
            for file, _ in files:
                batch, rows = pixels(6, rng), rng.permutation([0, 1, 2, 0, 1, 2]).tolist()
                flat = batch.transpose(0, 3, 1, 2).reshape(6, -1)  # rows of red, then green, then blue
                write(file, {"data": flat, "labels" if ten else "fine_labels": rows})
                images[split].append(batch)
                labels[split] += rows
        write(kind.meta["filename"], {kind.meta["key"]: names})
        monkeypatch.setattr(kind, "train_list", [[file, sums[file]] for file, _ in kind.train_list])
        monkeypatch.setattr(kind, "test_list", [[file, sums[file]] for file, _ in kind.test_list])
        monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums[kind.meta["filename"]]})
        with tarfile.open(tmp_path / kind.filename, "w:gz") as file:
            file.add(folder, kind.base_folder)
        shutil.rmtree(tmp_path / "made")
        monkeypatch.setattr(kind, "tgz_md5", hashlib.md5((tmp_path / kind.filename).read_bytes()).hexdigest())
        return kind, {split: np.concatenate(parts) for split, parts in images.items()}, labels

    def test_every_image_and_label_arrives(self, load, archive):
        kind, images, labels = archive
        name = kind.__name__.lower()
        for _ in range(2):  # unpacked now, then found unpacked
            data = load(name)
            assert data.name == name  # the official split
            assert data.original_ids == {1: "ant", 2: "bee", 3: "cat"}
            for split in ("train", "test"):
                records = getattr(data, split)
                np.testing.assert_array_equal([record.pixels for record in records], images[split])
                assert [record.person_id - 1 for record in records] == labels[split]

    def test_what_a_killed_process_left_is_removed(self, load, archive, tmp_path):
        kind, _, _ = archive
        draft = killed_draft(tmp_path / kind.base_folder)
        load(kind.__name__.lower())
        assert not draft.exists()

    def test_batches_hold_the_archive_s_pixels(self, load, archive, tmp_path):
        kind, images, labels = archive
        data = load(kind.__name__.lower())
        for kind_of_source in ("resident", "streaming"):
            cfg = load_config(tmp_path / "a.yml", ["DATA.SOURCE", kind_of_source, "TRAIN.BATCH_SIZE", "4"])
            source = make_source(cfg, data.train, data.class_ids, AugmentSpec.num_draws, "cpu")
            batch, rows = source.batch(0), source.sampler.indices(0)
            np.testing.assert_array_equal(batch.images.permute(0, 2, 3, 1), images["train"][rows])
            assert batch.labels.tolist() == np.array(labels["train"])[rows].tolist()

    def test_damage_is_named(self, load, archive, tmp_path):
        kind, _, _ = archive
        name, path = kind.__name__.lower(), tmp_path / kind.filename
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        with pytest.raises(UserError, match=f"{kind.filename}: damaged, or not the official archive"):
            load(name)
        assert not (tmp_path / kind.base_folder).exists()
        path.write_bytes(whole)
        load(name)
        file = tmp_path / kind.base_folder / kind.test_list[0][0]
        file.write_bytes(pickle.dumps("something else"))
        with pytest.raises(UserError, match=f"{file.name}: missing or damaged"):
            load(name)


def test_without_any_form_the_places_are_named(load, tmp_path):
    with pytest.raises(UserError, match=r"put the official cifar-100-python\.tar\.gz .* or cifar100\.npz, or the fold"):
        load("cifar100")


class TestNpz:
    @pytest.fixture
    def arrays(self, rng):
        labels = np.array([0, 1, 2, 0, 1, 2])
        return {
            "train_images": pixels(6, rng), "train_labels": labels,
            "test_images": pixels(3, rng), "test_labels": labels[:3],
        }  # fmt: skip

    def test_a_file_is_read(self, load, arrays, tmp_path):
        np.savez(tmp_path / "cifar10.npz", **arrays)
        np.savez_compressed(tmp_path / "mine.npz", **arrays, class_names=np.array(["x", "y", "z"]))
        unofficial, mine = load("cifar10"), load("npz", tmp_path / "mine.npz")
        assert (unofficial.name, mine.name) == ("cifar10 (unofficial split)", "mine (own)")
        assert mine.original_ids == {1: "x", 2: "y", 3: "z"}
        assert unofficial.original_ids == {1: "0", 2: "1", 3: "2"}
        np.testing.assert_array_equal([record.pixels for record in mine.test], arrays["test_images"])
        assert [record.person_id for record in mine.train] == [1, 2, 3, 1, 2, 3]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"train_labels": None}, "holds no train_labels"),
            ({"train_labels": np.array([0, 1, 3, 0, 1, 3])}, "class 2 has no image"),
            ({"test_labels": np.array([0, 1, 3])}, "test_labels: row 2 is 3, but the classes are 0 ... 2"),
            ({"test_labels": np.array([0, -1, 2])}, "test_labels: row 1 is -1; labels count from 0"),
            ({"train_labels": np.zeros(6, np.int64)}, "one class only"),
            ({"train_labels": np.arange(5)}, "a whole number for each of 6 images"),
            ({"train_labels": np.ones(6)}, "a whole number for each of 6 images"),
            ({"test_images": np.zeros((3, 3, 32, 32), np.uint8)}, "(N, H, W, 3) uint8 is needed"),
            ({"test_images": np.zeros((3, 32, 32, 3))}, "(N, H, W, 3) uint8 is needed"),
            ({"train_labels": np.array([0, 1, 2, 0, 1, 2**31 - 1])}, "row 5 is 2147483647, more than there are images"),
            ({"class_names": np.array(["a", "b", "a"])}, "class_names: two classes have one name"),
            ({"class_names": np.array("a")}, "(C,) text is needed"),
            ({"class_names": np.array([b"a", b"b", b"c"])}, "(C,) text is needed"),
            ({"class_names": np.array(["a", "b"])}, "train_labels: row 2 is 2, but the classes are 0 ... 1"),
            ({"train_labels": np.array([0, 1, 2, 0, 1, None])}, "not a whole .npz file of plain arrays"),
        ],
    )
    def test_wrong_arrays_are_refused_by_name(self, load, arrays, tmp_path, change, words):
        path = tmp_path / "wrong.npz"
        np.savez(path, **{key: value for key, value in {**arrays, **change}.items() if value is not None})
        with pytest.raises(UserError) as refusal:
            load("npz", path)
        assert words in str(refusal.value)
        assert str(path) in str(refusal.value)

    def test_damaged_files_are_refused(self, load, arrays, tmp_path):
        path = tmp_path / "whole.npz"
        np.savez_compressed(path, **arrays)
        whole = path.read_bytes()
        middle = len(whole) // 3
        np.save(tmp_path / "array.npy", np.zeros(3))
        one = (tmp_path / "array.npy").read_bytes()
        place = whole.index(b"PK\x01\x02")  # of the first entry in the archive's directory
        method, encrypted = (bytes([*whole[:at], 1, *whole[at + 1 :]]) for at in (place + 10, place + 8))
        hole = whole[:middle] + bytes(9) + whole[middle + 9 :]
        for damaged in (whole[: len(whole) // 2], hole, method, encrypted, b"no archive", one):
            path.write_bytes(damaged)
            with pytest.raises(UserError, match=r"not a whole \.npz file"):
                load("npz", path)


class TestFolders:
    def write(self, folder, *names):
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            cv2.imwrite(str(folder / name), np.zeros((8, 8, 3), np.uint8))

    def test_classes_are_numbered_by_name_in_both_splits(self, load, tmp_path):
        for split, names in (("train", ("b", "a", "c")), ("val", ("c", "b"))):
            for name in names:
                self.write(tmp_path / "imagenet" / split / name, "1.png", "2.jpeg")
        data = load("imagenet")
        assert data.original_ids == {1: "a", 2: "b", 3: "c"}
        assert [record.person_id for record in data.train] == [1, 1, 2, 2, 3, 3]
        assert [record.person_id for record in data.test] == [2, 2, 3, 3]
        assert load("class_folders", tmp_path / "imagenet").test == data.test

    def test_a_link_that_leads_nowhere_is_no_image_less(self, load, tmp_path):
        for split in ("train", "val"):
            for name in ("a", "b"):
                self.write(tmp_path / "imagenet" / split / name, "1.png")
        link = tmp_path / "imagenet" / "train" / "b" / "2.png"
        link.symlink_to(tmp_path / "gone.png")
        with pytest.raises(UserError, match=r"2\.png: image is a link to .*gone\.png, which is not there"):
            load("imagenet")

    @pytest.mark.parametrize(("name", "root", "words"), [
        ("cifar10", "cifar10/train", "is not the folder that holds cifar10; set DATA.ROOT to /"),
        ("cifar10", "other", "holds train/ itself; set DATA.ROOT to the folder above"),
        ("cifar100", "nothing", "no such folder"),
        ("cifar100", "file.npz", "a file; DATA.ROOT is the folder of cifar100"),
        ("class_folders", "file.npz", "an .npz is read by DATA.NAME npz"),
    ])  # fmt: skip
    def test_a_wrong_root_is_explained(self, load, tmp_path, name, root, words):
        self.write(tmp_path / "cifar10" / "train" / "a", "1.png")
        if root == "other":
            (tmp_path / "cifar10").rename(tmp_path / "other")
        (tmp_path / "file.npz").write_bytes(b"PK")
        with pytest.raises(UserError) as refusal:
            load(name, tmp_path / root)
        assert words in str(refusal.value)

    def test_tiny_imagenet_s_validation_is_read_from_its_list(self, load, tmp_path):
        root = tmp_path / "tiny-imagenet-200"
        for name in ("n01", "n02"):
            self.write(root / "train" / name / "images", f"{name}_0.JPEG")
        self.write(root / "test" / "images", "test_0.JPEG")  # without labels
        self.write(root / "val" / "images", "val_0.JPEG", "val_1.JPEG")
        table = root / "val" / "val_annotations.txt"
        table.write_text("val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t52\t55\t57\t59\n")
        data = load("tiny_imagenet")
        assert [record.person_id for record in data.train] == [1, 2]
        assert [(record.path[-10:], record.person_id) for record in data.test] == [("val_0.JPEG", 2), ("val_1.JPEG", 1)]
        for text, words in (
            ("val_0.JPEG\tn03\t0\n", "line 1: 'n03' is none of the 2 classes"),
            ("val_9.JPEG\tn01\t0\n", "val_9.JPEG: image not found; line 1"),
            ("\n", "line 1: '' is none"),
            ("val_0.JPEG\t\xe9\n", "is none of the 2 classes"),  # not UTF-8
        ):
            table.write_text(text, encoding="latin-1")
            with pytest.raises(UserError) as refusal:
                load("tiny_imagenet")
            assert words in str(refusal.value)


class TestShapes:
    def test_a_seed_decides_every_pixel(self):
        first, again, other = (draw_shapes(train_per_class=2, test_per_class=1, seed=seed) for seed in (0, 0, 1))
        assert first.keys() == {"train_images", "train_labels", "test_images", "test_labels", "class_names"}
        for key in first:
            np.testing.assert_array_equal(first[key], again[key])
        assert (first["train_images"] != other["train_images"]).any((1, 2, 3)).all()
        # More images of a class leave those before them as they were.
        more = draw_shapes(train_per_class=3, test_per_class=1, seed=0)
        np.testing.assert_array_equal(more["train_images"].reshape(-1, 3, 32, 32, 3)[:, :2].reshape(-1, 32, 32, 3),
                                      first["train_images"])  # fmt: skip

    def test_they_are_drawn_once_and_read_again(self, load, tmp_path):
        small = ("SHAPES.TRAIN_PER_CLASS", "2", "SHAPES.TEST_PER_CLASS", "1")
        data = load("synthetic_shapes", tmp_path / "new", *small)
        assert list(data.original_ids.values()) == CLASSES
        assert (len(data.train), len(data.test)) == (20, 10)
        (file,) = (tmp_path / "new").iterdir()
        before = file.stat().st_mtime_ns
        again = load("synthetic_shapes", tmp_path / "new", *small)
        assert file.stat().st_mtime_ns == before
        assert torch.equal(*(torch.tensor(np.stack([r.pixels for r in found.train])) for found in (data, again)))

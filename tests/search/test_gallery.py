"""An index on disk: found as by brute force, changed as a whole or not at all, refused where it does not fit."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_dml.errors import UserError
from reid_dml.features import FeatureSet
from reid_dml.features.feature_set import normalize
from reid_dml.locks import exclusive
from reid_dml.search import Gallery
from reid_dml.search import build as index_build
from reid_dml.search import gallery as index_gallery
from reid_dml.search import index_folder as index_file
from reid_dml.search.sources import FeatureSets

COLUMNS = ("features", "person_ids", "camera_ids", "paths")
FORGETFUL = ("Flat", "SQfp16", "PQ4", "HNSW8", "IVF4,Flat", "IVF4,PQ4", "OPQ4,IVF4,PQ4", "PCA4,Flat")


def images(rng, count, *, width=8, first=0, model="a" * 32):
    return FeatureSet(
        rng.normal(size=(count, width)).astype(np.float32),
        rng.integers(-1, 9, count),
        rng.integers(1, 4, count),
        [f"folder/{first + row:04d}_c{row % 3}.jpg" for row in range(count)],
        model,
    )


def brute_force(query, vectors, k, metric):
    if metric == "cosine":
        similarity = normalize(query) @ normalize(vectors).T
        order = np.argsort(-similarity, 1)[:, :k]
        return order, np.take_along_axis(similarity, order, 1)
    distances = np.sqrt(((query[:, None].astype(float) - vectors[None]) ** 2).sum(2))
    order = np.argsort(distances, 1)[:, :k]
    return order, np.take_along_axis(distances, order, 1)


def test_images_without_names_go_by_file_and_row(rng, tmp_path):
    for name, count in (("a", 3), ("b", 2)):
        found = images(rng, count)
        np.savez(
            tmp_path / f"{name}.npz", features=found.features, person_ids=found.person_ids, camera_ids=found.camera_ids
        )
    files = [tmp_path / "a.npz", tmp_path / "b.npz"]
    gallery = Gallery.build(tmp_path / "both", files, factory="Flat")
    assert gallery.table["path"].to_pylist() == [
        "a.npz row 0",
        "a.npz row 1",
        "a.npz row 2",
        "b.npz row 0",
        "b.npz row 1",
    ]
    assert Gallery.build(tmp_path / "one", files[:1], factory="Flat").table["path"][0].as_py() == "row 0"


@pytest.mark.parametrize(
    "file", ["building/plans.txt", "generation_z/art.png", "generation_1/art.png", "notes.txt", ".env"]
)
def test_a_folder_of_somebody_else_s_files_is_not_made_an_index(rng, tmp_path, file):
    (tmp_path / "i" / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "i" / file).touch()
    with pytest.raises(UserError, match="holds other files than an index; name a new folder"):
        Gallery.build(tmp_path / "i", images(rng, 20))
    assert (tmp_path / "i" / file).exists()


def test_a_folder_with_a_colon_in_its_name_holds_an_index(rng, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Gallery.build("s3:b", images(rng, 20))
    assert len(Gallery.open("s3:b")) == 20


def test_files_of_one_name_go_by_their_paths(rng, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/gallery", "b/gallery", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        found = images(rng, 1)
        np.savez(f"{name}.npz", features=found.features, person_ids=found.person_ids, camera_ids=found.camera_ids)
    gallery = Gallery.build("all", ["a/gallery.npz", "b/gallery.npz", "c.npz"], factory="Flat")
    assert gallery.table["path"].to_pylist() == ["a/gallery.npz row 0", "b/gallery.npz row 0", "c.npz row 0"]
    with pytest.raises(UserError, match=r"1 images are named more than once, first c\.npz row 0"):
        Gallery.build("twice", ["c.npz", tmp_path / "c.npz"], factory="Flat")


class TestSearch:
    @settings(max_examples=25, deadline=None)
    @given(
        st.integers(0, 10**6),
        st.integers(1, 60),
        st.integers(1, 9),
        st.sampled_from(["cosine", "euclidean"]),
        st.data(),
    )
    def test_it_finds_what_brute_force_finds(self, tmp_path_factory, seed, count, queries, metric, data):
        rng, path = np.random.default_rng(seed), tmp_path_factory.mktemp("g") / "index"
        here, query = images(rng, count), images(rng, queries)
        gallery = Gallery.build(path, here, metric=metric)
        k = data.draw(st.integers(1, count))
        for opened in (gallery, Gallery.open(path, mapped=True)):
            ids, scores = opened.search(query, k)
            order, expected = brute_force(query.features, here.features, k, metric)
            np.testing.assert_array_equal(ids, order)
            np.testing.assert_allclose(scores, expected, atol=2e-4 if metric == "euclidean" else 1e-5)
        found = gallery.images(ids[0])
        assert [image.path for image in found] == here.paths[order[0]].tolist()
        assert [image[1:3] for image in found] == list(
            zip(here.person_ids[order[0]], here.camera_ids[order[0]], strict=True)
        )

    @pytest.mark.parametrize("factory", ["SQfp16", "HNSW16", "IVF8,Flat", "IVF8,SQfp16"])
    def test_careful_approximate_searches_find_nearly_all(self, rng, tmp_path, factory):
        here, query = images(rng, 400), images(rng, 50)
        exact = brute_force(query.features, here.features, 10, "cosine")[0]
        parameters = {"H": "efSearch=200", "I": "nprobe=8"}.get(factory[0], "")
        found = Gallery.build(tmp_path / "i", here, factory=factory, parameters=parameters).search(query, 10).ids
        assert np.mean([len({*a} & {*b}) / 10 for a, b in zip(exact, found, strict=True)]) > 0.98

    def test_an_approximate_search_may_find_fewer(self, rng, tmp_path):
        with pytest.warns(UserWarning, match="100 vectors are few to train 8 cells; .* of 312 images or more"):
            gallery = Gallery.build(tmp_path / "i", images(rng, 100), factory="IVF8,Flat", parameters="nprobe=1")
        ids, scores = gallery.search(images(rng, 20), 100)
        assert ((ids < 0) == np.isnan(scores)).all()
        assert (ids < 0).any()
        assert (Gallery.open(tmp_path / "i", parameters="nprobe=8").search(images(rng, 20), 100).ids >= 0).all()

    def test_what_cannot_be_searched_is_refused(self, rng, tmp_path):
        gallery = Gallery.build(tmp_path / "i", images(rng, 10))
        query = images(rng, 3)
        cases = [
            (replace(query, model="b" * 32), "model bbbbbbbbbbbb, but .* model aaaaaaaaaaaa: they cannot be compared"),
            (replace(query, model=""), "an unknown model, but"),
            (images(rng, 3, width=5), "features are 5-d, those of .* are 8-d"),
            (query.select(np.array([], int)), "query: holds no features"),
            (query.with_features(np.full((3, 8), np.nan, np.float32)), "3 of 3 features are NaN or infinite"),
            (query.with_features(np.diag([1, 0, 1]).astype(np.float32) @ query.features), "1 of 3 .* all 0.* rows 1"),
            (np.zeros((1, 8), np.float32), r"all 0, which .* rows 0 \(row 0\)"),
        ]
        for wrong, words in cases:
            with pytest.raises(UserError, match=words):
                gallery.search(wrong, 2)
        for k in (0, 11):
            with pytest.raises(UserError, match=f"{k} neighbours were asked for, .* holds 10 images; ask for 1 to 10"):
                gallery.search(query, k)
        with pytest.raises(UserError, match="too large for Euclidean"):
            Gallery.build(tmp_path / "e", images(rng, 4), metric="euclidean").search(
                query.with_features(np.full((3, 8), 1e30, np.float32)), 1
            )
        with pytest.raises(ValueError, match="no image of the gallery has"):
            gallery.images([3, 10])

    def test_wrong_calls_are_refused(self, rng, tmp_path):
        gallery = Gallery.build(tmp_path / "i", images(rng, 20))
        for call, words in (
            (lambda: gallery.find(5), "paths: must be a list of str, got int"),
            (lambda: gallery.find("a.jpg"), "paths: must be a list of str, got str"),
            (lambda: gallery.called([5]), "names: must be a list of str, got one of int"),
            (lambda: gallery.some("x"), "count: must be a whole number of at least 0, got 'x'"),
            (lambda: gallery.remove(5), "names: must be a list of str, got int"),
            (lambda: gallery.remove("*"), "names: must be a list of str, got str"),
            (lambda: Gallery.open(tmp_path / "i", parameters=5), "parameters: must be a text, got int"),
        ):
            with pytest.raises(ValueError, match=words):
                call()
        assert len(Gallery.open(tmp_path / "i")) == 20
        assert list(gallery.find(np.array(["folder/0000_c0.jpg"]))) == ["folder/0000_c0.jpg"]


class TestChange:
    @pytest.mark.parametrize(
        ("exact", "others"),
        [
            ("p/img[1].jpg", ["p/img1.jpg"]),
            ("cam[1]/0001.jpg", ["cam1/0001.jpg"]),
            ("a*.jpg", ["ab.jpg", "a.jpg"]),
            ("what?.jpg", ["whats.jpg"]),
            ("[!x].jpg", ["y.jpg"]),
        ],
    )
    def test_an_exact_name_is_that_image_only(self, rng, tmp_path, exact, others):
        here = replace(images(rng, len(others) + 1), paths=[exact, *others])
        gallery = Gallery.build(tmp_path / "i", here)
        shown = []
        assert index_build.remove_images(tmp_path / "i", [exact], show=shown.append) == 1
        assert shown == [[exact]]
        gallery = Gallery.open(tmp_path / "i")
        left = gallery.search(here, len(others)).ids
        assert {image.path for image in gallery.images(left[0])} == set(others)
        # Without an image of that name it is a pattern.
        assert gallery.remove([exact]) == len(others)

    @pytest.mark.filterwarnings("ignore:.*are few to train.*")
    @pytest.mark.parametrize("factory", FORGETFUL)
    def test_adding_and_removing_is_as_if_it_had_always_been_so(self, rng, tmp_path, factory):
        first, second, query = images(rng, 300), images(rng, 40, first=300), images(rng, 30)
        options = {"factory": factory, "parameters": "nprobe=4" if "IVF" in factory else ""}
        gallery = Gallery.build(tmp_path / "i", first, **options)
        before = gallery.search(query, 300)
        reached = [gallery.images(row[row >= 0]) for row in before.ids]
        assert gallery.remove(["folder/0007_c1.jpg", "*_c2.jpg"]) == 101
        gone = {"folder/0007_c1.jpg", *(path for path in first.paths if path.endswith("_c2.jpg"))}
        after = gallery.search(query, 199)
        for row, (found, old) in enumerate(zip(after.ids, reached, strict=True)):
            left = [image.path for image in old if image.path not in gone]
            now = [image.path for image in gallery.images(found[found >= 0])]
            if factory != "HNSW8":  # a new graph is another approximation
                assert now == left
            assert not gone & set(now)
            kept = ~np.isin(before.ids[row], [i for i, path in enumerate(first.paths) if path in gone])
            np.testing.assert_allclose(after.scores[row][:5], before.scores[row][kept][:5], atol=1e-5)
        assert gallery.add(second) == 40
        assert len(gallery) == len(Gallery.open(tmp_path / "i")) == 239
        if factory in ("Flat", "IVF4,Flat"):
            ids, scores = gallery.search(second, 1)
            np.testing.assert_array_equal(ids[:, 0], 300 + np.arange(40))
            np.testing.assert_allclose(scores, 1, atol=1e-5)
        assert [image.path for image in gallery.images([300, 339])] == second.paths[[0, 39]].tolist()

    @pytest.mark.filterwarnings("ignore:.*are few to train.*")
    @settings(max_examples=15, deadline=None)
    @given(st.data())
    def test_any_sequence_of_changes_keeps_vectors_and_images_together(self, tmp_path_factory, data):
        path = tmp_path_factory.mktemp("g") / "index"
        rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
        present = images(rng, data.draw(st.integers(1, 12)))
        gallery, made = Gallery.build(path, present, factory=data.draw(st.sampled_from(["Flat", "IVF1,Flat"]))), 12
        for _ in range(data.draw(st.integers(1, 5))):
            if len(present) and data.draw(st.booleans()):
                names = data.draw(st.lists(st.sampled_from(present.paths.tolist()), min_size=1, unique=True))
                assert gallery.remove(names) == len(names)
                present = present.select(~np.isin(present.paths, names))
            else:
                new = images(rng, data.draw(st.integers(1, 5)), first=made)
                made += len(new)
                gallery.add(new)
                both = (present, new)
                present = FeatureSet(
                    *(np.concatenate([getattr(side, name) for side in both]) for name in COLUMNS), new.model
                )
            assert len(gallery) == len(present)
            if len(present):
                found = gallery.search(present, 1)
                assert [image.path for image in gallery.images(found.ids[:, 0])] == present.paths.tolist()

    def test_a_search_ends_on_the_index_it_began_on(self, rng, tmp_path, monkeypatch):
        here, query = images(rng, 30), images(rng, 2)
        gallery = Gallery.build(tmp_path / "i", here)
        before = gallery.search(query, 30)

        check = index_gallery.check_query

        def change_meanwhile(*arguments, **options):  # as another thread may
            monkeypatch.undo()
            gallery.remove(here.paths[1:].tolist())
            return check(*arguments, **options)

        monkeypatch.setattr(index_gallery, "check_query", change_meanwhile)
        np.testing.assert_array_equal(gallery.search(query, 30).ids, before.ids)
        assert len(gallery) == 1
        with pytest.raises(ValueError, match="no image of the gallery has"):
            gallery.images(before.ids[0])

    def test_an_empty_gallery_says_so_and_can_be_filled_again(self, rng, tmp_path):
        gallery = Gallery.build(tmp_path / "i", images(rng, 5))
        gallery.remove(["*"])
        with pytest.raises(UserError, match="holds no images; add some"):
            gallery.search(images(rng, 1), 1)
        gallery.add(images(rng, 5))
        assert gallery.search(images(rng, 1), 5).ids.min() == 5  # ids are never used twice

    def test_what_does_not_fit_is_refused_and_changes_nothing(self, rng, tmp_path):
        gallery = Gallery.build(tmp_path / "i", images(rng, 10))
        cases = [
            (lambda: gallery.add(images(rng, 3)), "3 of these 3 images are in the index already, first folder/0000_c0"),
            (
                lambda: gallery.add(images(rng, 3, first=50, model="")),
                "an unknown model, but the index is of model aaa",
            ),
            (lambda: gallery.add(images(rng, 3, first=50, width=4)), "4-d, those of the index are 8-d"),
            (lambda: gallery.remove(["folder/0001_c1.jpg", "folder/x"]), "no image folder/x; nothing was removed"),
            (
                lambda: Gallery.build(tmp_path / "i", images(rng, 3)),
                r"holds an index; add to it \(--add\), replace it \(--overwrite\)",
            ),
        ]
        for change, words in cases:
            with pytest.raises(UserError, match=words):
                change()
        assert len(Gallery.open(tmp_path / "i")) == len(gallery) == 10
        Gallery.build(tmp_path / "i", images(rng, 3), overwrite=True)
        assert len(Gallery.open(tmp_path / "i")) == 3
        with pytest.raises(UserError, match="no such index"):
            index_build.remove_images(tmp_path / "gone", ["*"])
        assert not (tmp_path / "gone").exists()


class TestBuild:
    @pytest.mark.parametrize(
        ("factory", "words"),
        [
            ("Flatt", "index type 'Flatt': FAISS cannot make it for 8-d features"),
            ("PQ3", "should be a multiple"),
            ("IVF64,Flat", r"cannot train it on 10 vectors .* at least as large as number of clusters \(64\)"),
            ("IDMap,Flat", "leave out IDMap"),
            ("IVF0,Flat", "index type 'IVF0,Flat': a number in it is 0"),
            ("HNSW0", "a number in it is 0"),
            ("IVF4,PQ4x0", "a number in it is 0"),
            ("HNSW1", "a graph needs 2 neighbours or more"),
            ("NSG16", "a graph that cannot be filled in batches"),
        ],
    )
    def test_a_type_that_cannot_be_is_refused(self, rng, tmp_path, factory, words):
        with pytest.raises(UserError, match=words):
            Gallery.build(tmp_path / "i", images(rng, 10), factory=factory)
        with pytest.raises(UserError, match="its building has not ended"):
            Gallery.open(tmp_path / "i")
        assert len(Gallery.build(tmp_path / "i", images(rng, 10))) == 10

    def test_features_that_cannot_be_compared_are_refused(self, rng, tmp_path):
        images(rng, 5).save(tmp_path / "a.npz")
        images(rng, 5, model="b").save(tmp_path / "b.npz")
        images(rng, 5, width=3).save(tmp_path / "narrow.npz")
        zero = images(rng, 5)
        zero.features[3] = 0
        zero.save(tmp_path / "zero.npz")
        for name, words in (
            ("b", "b.npz: features of model b, but .*a.npz is of model aaa"),
            ("narrow", "narrow.npz: features are 3-d, those of .*a.npz are 8-d"),
            ("zero", r"zero.npz: 1 of 5 features are all 0.*first rows 3 \(folder/0003_c0.jpg\)"),
        ):
            with pytest.raises(UserError, match=words):
                Gallery.build(tmp_path / "i", [tmp_path / "a.npz", tmp_path / f"{name}.npz"])
        with pytest.raises(UserError, match="search parameters 'nprobe=3': not understood"):
            Gallery.build(tmp_path / "i", [tmp_path / "a.npz"], parameters="nprobe=3")
        for value in ("0", "-3", "0.5", "inf", ""):
            with pytest.raises(UserError, match=f"'nprobe={value}': nprobe must be a whole number of at least 1"):
                Gallery.build(tmp_path / "i", [tmp_path / "a.npz"], parameters=f"nprobe={value}")
        with pytest.raises(UserError, match=r"5 images are named more than once, first folder/0000_c0\.jpg"):
            Gallery.build(tmp_path / "i", [tmp_path / "a.npz"] * 2)
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("x")
        with pytest.raises(UserError, match="holds other files than an index"):
            Gallery.build(tmp_path / "mine", images(rng, 5))

    @pytest.mark.parametrize("factory", ["Flat", "IVF4,PQ4"])
    def test_an_interrupted_build_goes_on_and_gives_the_same(self, rng, tmp_path, monkeypatch, factory):
        parts = [images(rng, 200, first=200 * number) for number in range(3)]
        for number, part in enumerate(parts):
            part.save(tmp_path / f"{number}.npz")
        files = [tmp_path / f"{number}.npz" for number in range(3)]
        monkeypatch.setattr(index_build, "_BATCH", 64)
        whole = Gallery.build(tmp_path / "whole", files, factory=factory)
        monkeypatch.setattr(index_build, "_SAVE_SECONDS", -1)
        calls = 0

        def save_and_die(*arguments):
            nonlocal calls
            index_file.write_index(*arguments)
            if (calls := calls + 1) == 6:
                raise KeyboardInterrupt

        monkeypatch.setattr(index_build, "write_index", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            Gallery.build(tmp_path / "i", files, factory=factory)
        started = []
        monkeypatch.setattr(index_build, "write_index", index_file.write_index)
        monkeypatch.setattr(index_build, "train_index", lambda *_: started.append("trained again"))
        gallery = Gallery.build(tmp_path / "i", files, factory=factory)
        query = images(rng, 20)
        for mine, theirs in zip(gallery.search(query, 30), whole.search(query, 30), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert not started
        assert not (tmp_path / "i" / "building").exists()

    def test_the_rest_of_another_build_is_not_used(self, rng, tmp_path):
        with pytest.raises(UserError):
            Gallery.build(tmp_path / "i", images(rng, 10), factory="IVF64,Flat")
        other = images(rng, 10)
        (tmp_path / "i" / "building" / "filled.faiss").write_bytes(b"of another build")
        gallery = Gallery.build(tmp_path / "i", other)
        np.testing.assert_array_equal(gallery.search(other, 1).ids[:, 0], np.arange(10))


class TestDisk:
    def test_a_crash_at_any_moment_of_a_change_leaves_the_old_index_or_the_new(self, rng, tmp_path, monkeypatch):
        Gallery.build(tmp_path / "start", images(rng, 20))
        steps = ("write_index", "pq.write_table", "sync", "write_json", "remove_folder")
        for step in steps:
            for when in ("before", "after"):
                path = tmp_path / f"{step}_{when}"
                shutil.copytree(tmp_path / "start", path)
                with monkeypatch.context() as patch:
                    owner = getattr(index_file, step.split(".")[0]) if "." in step else index_file
                    real = getattr(owner, step.split(".")[-1])

                    def die(*arguments, real=real, when=when, **options):
                        if when == "after":
                            real(*arguments, **options)
                        raise KeyboardInterrupt

                    patch.setattr(owner, step.split(".")[-1], die)
                    with pytest.raises(KeyboardInterrupt):
                        index_build.remove_images(path, ["folder/0000_c0.jpg"])
                gallery = Gallery.open(path)
                committed = (step, when) in (
                    ("write_json", "after"),
                    ("remove_folder", "before"),
                    ("remove_folder", "after"),
                )
                assert len(gallery) == (19 if committed else 20), (step, when)
                gallery.remove(["folder/0005_c2.jpg"])
                assert len(Gallery.open(path)) == (18 if committed else 19)
                assert len(list(path.glob("generation_*"))) == 1

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (lambda p: (p / "manifest.json").unlink(), "is not an index \\(no manifest.json\\)"),
            (lambda p: (p / "manifest.json").write_text("{"), "damaged, or not of an index"),
            (lambda p: (p / "manifest.json").write_text('{"format": "x"}'), "damaged, or not of an index"),
            (lambda p: (p / "manifest.json").write_text("[1]"), "damaged, or not of an index"),
            (lambda p: edit(p, parameters=True), "damaged, or not of an index"),
            (lambda p: edit(p, model=True), "damaged, or not of an index"),
            (lambda p: edit(p, metric="x"), "damaged, or not of an index"),
            (lambda p: edit(p, next_id=None), "damaged, or not of an index"),
            (lambda p: edit(p, next_id=10**30), "damaged, or not of an index"),
            (lambda p: edit(p, generation=True), "damaged, or not of an index"),
            (lambda p: edit(p, bytes={"index.faiss": "570", "images.parquet": 1}), "damaged, or not of an index"),
            (lambda p: edit(p, digests={"index.faiss": 1, "images.parquet": "2"}), "damaged, or not of an index"),
            (lambda p: edit_images(p, lambda t: t.drop_columns(["id"])), "images.parquet: damaged .not the columns id"),
            (lambda p: edit_images(p, lambda t: t.drop_columns(["path"])), "damaged .not the columns id, path"),
            (lambda p: edit_images(p, lambda t: emptied(t, "path")), "images.parquet: damaged .empty entries of path"),
            (lambda p: edit_images(p, lambda t: t.take(list(range(19, -1, -1)))), "damaged .ids that do not rise"),
            (lambda p: edit(p, format_version=2), "written by a newer version"),
            (lambda p: edit(p, count=7), "do not belong to"),
            (lambda p: edit(p, dimension=7), "do not belong to"),
            (
                lambda p: next(p.glob("*/index.faiss")).unlink(),
                "index.faiss: not found, though .*manifest.json names it",
            ),
            (lambda p: cut(next(p.glob("*/index.faiss"))), "bytes, not the"),
            (lambda p: cut(next(p.glob("*/images.parquet"))), "bytes, not the"),
            (lambda p: scramble(next(p.glob("*/index.faiss"))), "index.faiss: damaged"),
            (lambda p: flip_generation(p), "damaged, or not of an index"),
            (lambda p: scramble(next(p.glob("*/images.parquet"))), "images.parquet: damaged"),
        ],
    )
    def test_a_damaged_or_foreign_index_is_refused_by_name(self, rng, tmp_path, damage, words):
        Gallery.build(tmp_path / "i", images(rng, 20))
        damage(tmp_path / "i")
        with pytest.raises(UserError, match=words):
            Gallery.open(tmp_path / "i")

    def test_what_is_no_index_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("x")
        (tmp_path / "folder").mkdir()
        for name, words in (("file", "is a file, not the folder"), ("folder", "is not an index"), ("gone", "no such")):
            with pytest.raises(UserError, match=words):
                Gallery.open(tmp_path / name)

    def test_two_writers_do_not_meet(self, rng, tmp_path):
        gallery = Gallery.build(tmp_path / "i", images(rng, 5))
        with (
            exclusive(tmp_path / "i" / ".lock", "taken"),
            pytest.raises(UserError, match="another process is changing"),
        ):
            gallery.add(images(rng, 5, first=5))

    def test_readers_see_whole_indexes_while_a_writer_works(self, rng, tmp_path):
        gallery = Gallery.build(tmp_path / "i", images(rng, 30))
        writer = multiprocessing.get_context("fork").Process(target=_add_some, args=(tmp_path / "i",))
        old = Gallery.open(tmp_path / "i", mapped=True)
        writer.start()
        seen = set()
        while writer.is_alive():
            now = Gallery.open(tmp_path / "i", mapped=len(seen) % 2 == 0)
            seen.add(len(now))
            assert now.search(images(rng, 1), len(now)).ids.max() == len(now) - 1
        writer.join()
        assert writer.exitcode == 0
        assert len(Gallery.open(tmp_path / "i")) == 50
        assert len(seen) > 1
        np.testing.assert_array_equal(old.search(images(rng, 1), 30).ids.max(), 29)
        assert len(gallery) == 30


def _add_some(path):
    rng = np.random.default_rng(1)
    for number in range(20):
        index_build.add_images(path, FeatureSets([images(rng, 1, first=30 + number)]))


def edit(path, **changes):
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["sha256"]  # as in earlier versions
    (path / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def edit_images(path, change):
    file = next(path.glob("*/images.parquet"))
    pq.write_table(change(pq.read_table(file)), file)
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["sha256"], manifest["digests"]  # as in earlier versions
    manifest["bytes"]["images.parquet"] = file.stat().st_size
    (path / "manifest.json").write_text(json.dumps(manifest))


def emptied(table, name):
    place = table.column_names.index(name)
    return table.set_column(place, name, pa.nulls(len(table), table.schema.field(name).type))


def flip_generation(path):
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text.replace('"metric": "cosine"', '"metric": "cosinf"'))


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def scramble(path):
    path.write_bytes(b"?" * path.stat().st_size)


class TestLeftovers:
    def test_a_flipped_bit_of_a_vector_is_refused(self, rng, tmp_path):
        part = images(rng, 20)
        Gallery.build(tmp_path / "i", part)
        file = next(tmp_path.glob("i/*/index.faiss"))
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(bytes(data))
        with pytest.raises(UserError, match=r"index\.faiss: damaged, or exchanged"):
            Gallery.open(tmp_path / "i")

    def test_an_index_of_before_digests_is_read(self, rng, tmp_path):
        Gallery.build(tmp_path / "i", images(rng, 20))
        manifest = json.loads((tmp_path / "i" / "manifest.json").read_text())
        old = {key: value for key, value in manifest.items() if key not in ("sha256", "digests")}
        (tmp_path / "i" / "manifest.json").write_text(json.dumps(old))
        assert len(Gallery.open(tmp_path / "i")) == 20

    def test_the_work_of_an_ended_build_goes_with_the_next_change(self, rng, tmp_path, monkeypatch):
        with monkeypatch.context() as patch:
            write = index_file.IndexFolder.write  # killed behind the switch
            patch.setattr(index_file.IndexFolder, "write", lambda *arguments: write(*arguments) or 1 / 0)
            with pytest.raises(ZeroDivisionError):
                Gallery.build(tmp_path / "i", images(rng, 20))
        (tmp_path / "i" / ".manifest.json.reid_dml-1-2.tmp").write_text("{")
        assert (tmp_path / "i" / "building").exists()
        index_build.remove_images(tmp_path / "i", ["folder/0000_c0.jpg"])
        assert sorted(path.name for path in (tmp_path / "i").iterdir()) == [".lock", "generation_2", "manifest.json"]

    def test_a_damaged_half_filled_index_or_plan_is_made_anew(self, rng, tmp_path, monkeypatch):
        part = images(rng, 200)
        part.save(tmp_path / "a.npz")
        monkeypatch.setattr(index_build, "_BATCH", 64)
        monkeypatch.setattr(index_build, "_SAVE_SECONDS", -1)
        for damaged in ("filled.faiss", "filled.json", "plan.json"):
            with monkeypatch.context() as patch:
                patch.setattr(index_file.IndexFolder, "write", lambda *_: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    Gallery.build(tmp_path / damaged, [tmp_path / "a.npz"])
            file = tmp_path / damaged / "building" / damaged
            file.write_bytes(file.read_bytes()[:-40] + b"\xff" * 40)
            assert len(Gallery.build(tmp_path / damaged, [tmp_path / "a.npz"])) == 200

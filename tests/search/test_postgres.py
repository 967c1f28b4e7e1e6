"""Galleries in PostgreSQL: found as FAISS finds, changed as a whole or not at all, back after the server was killed."""

from __future__ import annotations

import json
import re
import threading
import time
import zlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from reid_dml.data.sets import load_data
from reid_dml.errors import BusyError, UnavailableError, UserError
from reid_dml.features import FeatureSet
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.features.feature_set import normalize
from reid_dml.features.names import Names
from reid_dml.files import user_cache
from reid_dml.ranking.ranked_list import search_lists
from reid_dml.search import Gallery, open_gallery, sources
from reid_dml.search.engines import engine_of
from reid_dml.search.filters import ImageFilter
from reid_dml.search.interface import GoneError
from reid_dml.search.postgres import changes, schema
from reid_dml.search.postgres.gallery import search_by_graph, statements
from reid_dml.search.sources import FeatureSets


@pytest.fixture
def place(server, request, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"{server.url}#g{zlib.crc32(request.node.name.encode())}"


def images(rng, count, *, width=8, first=0, model="a" * 32):
    return FeatureSet(
        rng.normal(size=(count, width)).astype(np.float32),
        rng.integers(-1, 9, count),
        rng.integers(1, 4, count),
        [f"folder/{first + row:04d}_c{row % 3}.jpg" for row in range(count)],
        model,
        [f"2026-01-{1 + row % 28:02d}T12:00:00" if row % 5 else "" for row in range(count)],
    )


def build(place, features, **options):
    options = {"factory": "Flat", "metric": "cosine"} | options
    engine_of(place).build_gallery(place, FeatureSets([features]), **options)
    return open_gallery(place)


def test_some_images_are_spread_over_those_that_are_left(rng, place):
    gallery = build(place, images(rng, 100))
    assert len(gallery.some(24)) == 24
    gallery.remove([f"folder/{row:04d}_c{row % 3}.jpg" for row in range(100) if row % 4 == 0 or row % 3 == 0])
    left = [row for row in range(100) if row % 4 and row % 3]
    found = gallery.some(24)
    assert set(found) <= set(left)
    assert found == sorted(set(found))
    assert (len(found) >= 20, found[0] < 10, found[-1] > 90) == (True, True, True)
    assert gallery.some(60) == left


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("width", [8, 512, 2048])
def test_exact_search_is_that_of_faiss(rng, tmp_path, place, metric, width):
    here, query = images(rng, 300, width=width), images(rng, 20, width=width)
    ours, faiss = build(place, here, metric=metric), Gallery.build(tmp_path / "i", here, metric=metric)
    found, expected = ours.search(query, 30), faiss.search(query, 30)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-6)
    assert ours.images(found.ids[0]) == faiss.images(expected.ids[0])
    assert (len(ours), ours.spec, ours.names) == (len(faiss), faiss.spec, faiss.names)
    assert ours.table.equals(faiss.table)


@pytest.mark.parametrize(
    ("count", "width", "factory"),
    [(1200, 32, "HNSW16"), (400, 2048, "HNSW8"), (1200, 32, "HNSW16,SQfp16"), (400, 2048, "HNSW8,SQfp16")],
)
def test_a_graph_is_used_and_finds_nearly_all(rng, place, count, width, factory):
    here, query = images(rng, count, width=width), images(rng, 30, width=width)
    gallery = build(place, here, factory=factory, parameters="efSearch=200")
    with gallery._reading() as (connection, head):
        from pgvector import Vector

        search_by_graph(connection, 200)
        plan = connection.execute(
            "EXPLAIN " + statements(head.layout, "true")[1], {"query": Vector(query.features[0]), "offered": 10}
        ).fetchall()
    assert "Index Scan using images_feature_idx" in str(plan) or "Index Scan using images_expr_idx" in str(plan)
    exact = open_gallery(place, parameters="exact=1").search(query, 10)
    found = gallery.search(query, 10)
    assert np.mean([len({*a} & {*b}) / 10 for a, b in zip(exact.ids, found.ids, strict=True)]) > 0.9
    truth = (normalize(query.features) @ normalize(here.features).T).argsort(1)[:, ::-1][:, :10]
    assert np.mean([len({*a} & {*b}) / 10 for a, b in zip(exact.ids, truth, strict=True)]) > 0.97
    # As many as are asked for, though the graph gives up before.
    few = gallery.search(query, 7, only=np.array([3, 5, 390]))
    assert (np.sort(few.ids, 1) == [[-1, -1, -1, -1, 3, 5, 390]] * 30).all()
    assert np.isnan(few.scores[:, 3:]).all()
    assert (gallery.search(query, count).ids >= 0).all()


def test_a_filter_costs_a_graph_no_recall(rng, place):
    here, query = images(rng, 12_000, width=32), images(rng, 30, width=32)
    gallery = build(place, here, factory="HNSW8", parameters="efSearch=40")
    only = ImageFilter(cameras=[1])  # a third of them: a graph is worth it
    found = gallery.search(query, 10, only=only)
    expected = open_gallery(place, parameters="exact=1").search(query, 10, only=only).ids
    # The first ten that pass of forty candidates: 0.72.
    assert np.mean([len({*a} & {*b}) / 10 for a, b in zip(expected, found.ids, strict=True)]) > 0.85
    assert (here.camera_ids[found.ids] == 1).all()


class TestFilters:
    CASES = (
        ImageFilter(cameras=[1, 3]),
        ImageFilter(not_cameras=["hall"]),
        ImageFilter(cameras=["hall"], since=datetime(2026, 1, 5), until=datetime(2026, 1, 20)),
        ImageFilter(until=datetime(2026, 1, 3), time_pattern="%Y%m%d"),
        ImageFilter(since=datetime(2026, 3, 1), time_pattern="%Y%m%d", not_cameras=[1]),
    )

    @pytest.mark.parametrize("only", CASES)
    def test_they_pass_what_they_pass_in_an_index_folder(self, rng, tmp_path, place, only):
        here, query = self.named(rng), images(rng, 4)
        ours, faiss = build(place, here), Gallery.build(tmp_path / "i", here)
        lists = [search_lists(gallery, query, 9, only=only) for gallery in (ours, faiss)]
        assert [[image.path for image in entry.images] for entry in lists[0]] == [
            [image.path for image in entry.images] for entry in lists[1]
        ]
        everything = ours.search(query, 120, only=ours.passing(only)).ids
        assert (np.sort(everything[everything >= 0].reshape(4, -1)) == faiss.passing(only)).all()

    def test_ids_may_stand_in_a_list_and_other_things_are_named(self, rng, tmp_path, place):
        here, query = images(rng, 30), images(rng, 4)
        for gallery in (build(place, here), Gallery.build(tmp_path / "i", here)):
            assert (np.sort(gallery.search(query, 2, only=[3, 5]).ids) == [3, 5]).all()
            for wrong in ({3, 5}, "3", [0.5]):
                with pytest.raises(ValueError, match=r"^only: must be an array \(n,\) of whole numbers, got"):
                    gallery.search(query, 2, only=wrong)

    def test_one_that_nothing_passes_says_why(self, rng, tmp_path, place):
        ours = build(place, self.named(rng))
        faiss = Gallery.build(tmp_path / "i", self.named(rng))
        for only in (
            ImageFilter(cameras=[9]),
            ImageFilter(cameras=["attic"]),
            ImageFilter(since=datetime(2027, 1, 1)),
        ):
            words = []
            for gallery in (ours, faiss):
                with pytest.raises(UserError) as refused:
                    gallery.passing(only)
                words.append(str(refused.value).removeprefix(str(gallery.path)))
            assert words[0] == words[1]

    def named(self, rng):
        here = images(rng, 120)
        paths = [f"p/{row}_2026{1 + row % 12:02d}05.jpg" for row in range(120)]
        return replace(here, paths=paths, names=Names({1: "anna"}, {2: "hall"}))


class TestChange:
    def test_adding_and_removing_is_as_in_an_index_folder(self, rng, tmp_path, place):
        first, second = images(rng, 60), images(rng, 20, first=60)
        second = replace(second, paths=[*second.paths[:-1], "odd \udce9\\x41.jpg"])
        galleries = build(place, first), Gallery.build(tmp_path / "i", first)
        for gallery in galleries:
            assert gallery.remove(["folder/0007_c1.jpg", "*_c2.jpg"]) == 21
            assert gallery.add(second) == 20
            assert gallery.remove([second.paths[-1]]) == 1
            assert gallery.add(second.select([19])) == 1
        ours, faiss = galleries
        assert len(ours) == len(faiss) == 59
        assert ours.table.equals(faiss.table)
        assert ours.spec == faiss.spec
        np.testing.assert_array_equal(ours.search(second, 59).ids, faiss.search(second, 59).ids)
        assert ours.images(ours.table["id"].to_numpy()[-1:])[0].path == second.paths[-1]
        for gallery in galleries:
            gallery.remove(["*"])
            with pytest.raises(UserError, match="holds no images; add some"):
                gallery.search(second, 1)
            gallery.add(second)
            assert gallery.search(second, 1).ids.min() == 81  # ids are never used twice

    def test_names_go_with_the_last_image(self, rng, place):
        here = replace(images(rng, 3), person_ids=[5, 5, 6], names=Names({5: "anna", 6: "ben"}, {}))
        gallery = build(place, here)
        assert gallery.images([0])[0].person == "anna"
        gallery.remove([here.paths[0]])
        assert gallery.names.persons == {5: "anna", 6: "ben"}
        gallery.remove([here.paths[1]])
        assert gallery.names.persons == {6: "ben"}
        with pytest.raises(GoneError, match="no image of the gallery has"):
            gallery.images([0, 2])
        other = replace(images(rng, 1, first=9), person_ids=[7], names=Names({7: "ben"}, {}))
        with pytest.raises(UserError, match="person 'ben' is 6, but 7"):
            gallery.add(other)

    def test_what_does_not_fit_is_refused_and_changes_nothing(self, rng, place):
        gallery = build(place, images(rng, 10))
        twice = images(rng, 2, first=50)
        cases = [
            (lambda: gallery.add(images(rng, 3)), "3 of these 3 images are in the index already, first folder/0000_c0"),
            (lambda: gallery.add(replace(twice, paths=["a", "a"])), "1 images are named more than once, first a"),
            (lambda: gallery.add(images(rng, 3, first=50, model="")), "an unknown model, but the index is of model aa"),
            (lambda: gallery.add(images(rng, 3, first=50, width=4)), "4-d, those of the index are 8-d"),
            (lambda: gallery.remove(["folder/0001_c1.jpg", "folder/x"]), "no image folder/x; nothing was removed"),
            (lambda: build(place, images(rng, 3)), r"holds an index; add to it \(--add\), replace it \(--overwrite\)"),
            (lambda: build(place, images(rng, 3), factory="IVF4,Flat", overwrite=True), "PostgreSQL has Flat"),
            (lambda: build(place, images(rng, 3), parameters="efSearch=9", overwrite=True), "exact types have none"),
            (
                lambda: build(place, images(rng, 3, width=4001), factory="HNSW8", overwrite=True),
                "at most 4,000 dimensions for it, these features have 4,001",
            ),
            (lambda: gallery.search(images(rng, 1, model="b" * 32), 2), "they cannot be compared"),
            (lambda: gallery.search(images(rng, 1, width=5), 2), "features are 5-d"),
            (lambda: gallery.search(images(rng, 1), 11), "11 neighbours were asked for, .* holds 10 images"),
            (lambda: open_gallery(place, parameters="nprobe=8"), "graphs .* have efSearch=N"),
        ]
        for change, words in cases:
            with pytest.raises(UserError, match=words):
                change()
        assert len(open_gallery(place)) == len(gallery) == 10

    def test_another_schema_is_left_alone(self, rng, place, server):
        import psycopg

        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS mine; CREATE TABLE IF NOT EXISTS mine.gallery (n int)")
        other = server.url + "#mine"
        for act in (lambda: build(other, images(rng, 3), overwrite=True), lambda: open_gallery(other)):
            with pytest.raises(UserError, match=r"holds other things than a gallery|holds no gallery mine"):
                act()

    @pytest.mark.parametrize(
        "thing",
        [
            "FUNCTION other.f() RETURNS int LANGUAGE sql AS 'select 1'",
            "SEQUENCE other.f",
            "MATERIALIZED VIEW other.f AS SELECT 1 AS a",
            "TYPE other.f AS ENUM ('a')",
            "TYPE other.f AS (a int)",
            "DOMAIN other.f AS int",
            'COLLATION other.f FROM pg_catalog."C"',
            "TABLE other.gallery (n int); CREATE TABLE other.images (n int); CREATE TABLE other.names (n int)",
        ],
    )
    @pytest.mark.parametrize("overwrite", [False, True])
    def test_what_is_not_ours_is_never_dropped(self, rng, server, place, thing, overwrite):
        import psycopg

        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA other; CREATE {thing}")
            with pytest.raises(UserError, match=r"other holds other things than|other things depend on it"):
                build(server.url + "#other", images(rng, 3), overwrite=overwrite)
            connection.execute(f"DROP {re.sub(' (AS|RETURNS|FROM).*| [(]n int[)]|; CREATE .*', '', thing)}")
            connection.execute("DROP SCHEMA other CASCADE")

    def test_a_view_of_the_images_outlives_a_refused_replacement(self, rng, place, server):
        import psycopg

        build(place, images(rng, 10))
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE VIEW public.mine AS SELECT path FROM {place.partition('#')[2]}.images")
            with pytest.raises(UserError, match=r"not replaced, because .* \(view mine depends on table"):
                build(place, images(rng, 3), overwrite=True)
            assert connection.execute("SELECT count(*) FROM public.mine").fetchone() == (10,)
            connection.execute("DROP VIEW public.mine")
        assert len(build(place, images(rng, 3), overwrite=True)) == 3

    def test_an_empty_schema_and_a_name_that_ends_in_new_do_no_harm(self, rng, place, server):
        import psycopg

        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {place.partition('#')[2]}")
        assert len(build(place + "__new", images(rng, 4))) == 4
        assert len(build(place, images(rng, 3))) == 3
        assert len(open_gallery(place + "__new")) == 4

    def test_who_may_read_only_searches_and_is_told_that_no_more_is_permitted(self, rng, place, server):
        import psycopg

        here, name = images(rng, 10), place.partition("#")[2]
        build(place, here)
        with psycopg.connect(server.url) as connection:
            connection.execute("DROP ROLE IF EXISTS reader")
            connection.execute(f"CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA {name} TO reader")
            connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO reader")
        gallery = open_gallery(place.replace("postgres@", "reader@"))
        assert gallery.search(here, 3).ids[:, 0].tolist() == list(range(10))
        for change in (lambda: gallery.remove(["*"]), lambda: gallery.add(images(rng, 2, first=50))):
            with pytest.raises(UserError, match=r"not permitted .permission denied for table"):
                change()
        assert len(gallery) == 10
        with psycopg.connect(server.url) as connection:
            connection.execute("DROP OWNED BY reader; DROP ROLE reader")

    def test_a_server_without_pgvector_is_told_apart_from_one_without_a_gallery(self, rng, server):
        import psycopg

        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS bare")
            connection.execute("CREATE DATABASE bare")
        bare = server.url.replace("/postgres?", "/bare?")
        with pytest.raises(UserError, match="the database holds no gallery gallery"):
            open_gallery(bare)
        with pytest.raises(UserError, match="the server has no pgvector; install it there"):
            build(bare + "&options=-cextension_control_path%3D/nowhere", images(rng, 3))
        assert len(build(bare, images(rng, 3))) == 3

    def test_a_gallery_that_is_replaced_is_picked_up_or_refused(self, rng, place):
        gallery = build(place, images(rng, 10))
        build(place, images(rng, 30), overwrite=True)
        assert len(gallery) == 30
        assert gallery.search(images(rng, 1), 30).ids.max() == 29
        build(place, images(rng, 20, model="b" * 32, width=4), overwrite=True)
        with pytest.raises(UserError, match="features are 8-d"):
            gallery.search(images(rng, 1), 3)

    def test_a_search_amid_a_replacement_finds_the_old_or_the_new(self, rng, place):
        sets = [images(rng, 30), images(rng, 30)]
        gallery = build(place, sets[0])
        query, answers, wrong, stop = images(rng, 3), [], [], threading.Event()
        expected = []
        for here in (sets[1], sets[0]):
            expected.append(build(place, here, overwrite=True).search(query, 5).scores)

        def search():
            while not stop.is_set():
                try:
                    answers.append(gallery.search(query, 5).scores)
                except Exception as error:
                    wrong.append(error)

        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        for turn in range(12):
            build(place, sets[turn % 2], overwrite=True)
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong
        assert answers
        assert all(any(np.allclose(found, one) for one in expected) for found in answers)

    def test_threads_and_openings_that_add_at_once_lose_nothing(self, rng, place):
        build(place, images(rng, 10))
        sets = [images(rng, 5, first=100 * n) for n in range(1, 9)]

        def add(part):
            open_gallery(place).add(part)

        shared = open_gallery(place)
        threads = [threading.Thread(target=add, args=(part,)) for part in sets[:4]]
        threads += [threading.Thread(target=shared.add, args=(part,)) for part in sets[4:]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(shared) == 50
        assert shared.table["id"].to_pylist() == list(range(50))
        assert {*shared.table["path"].to_pylist()} >= {path for part in sets for path in part.paths}

    def test_the_same_images_are_brought_in_by_one_at_a_time(self, rng, place, monkeypatch):
        """Or the first to end would remove the features that the other has extracted."""
        gallery, more = build(place, images(rng, 3)), images(rng, 3, first=50)
        summarise, refused = changes.summarise, []

        def and_again(*arguments):
            try:
                monkeypatch.setattr(changes, "summarise", summarise)
                open_gallery(place).add(more)
            except BusyError as error:
                refused.append(str(error))
            return summarise(*arguments)

        monkeypatch.setattr(changes, "summarise", and_again)
        assert gallery.add(more) == 3
        assert len(refused) == 1
        assert refused[0].endswith("another process is bringing in the same images; wait for it")
        assert not list((user_cache() / "galleries").iterdir())

    def test_one_of_an_earlier_version_is_brought_up_to_date_and_of_a_newer_refused(self, rng, place, monkeypatch):
        gallery = build(place, images(rng, 3))
        monkeypatch.setattr(schema, "MIGRATIONS", ("ALTER TABLE images ADD note text DEFAULT 'new'",))
        open_gallery(place)
        open_gallery(place)
        with gallery._reading() as (connection, head):
            assert connection.execute("SELECT note FROM images").fetchall() == [("new",)] * 3
            assert head.version == 2
        monkeypatch.undo()
        with pytest.raises(UserError, match="newer version of reid_dml"):
            gallery.search(images(rng, 1), 1)


class TestFaults:
    def test_a_killed_server_is_said_and_found_again(self, rng, place, server):
        here = images(rng, 40)
        gallery = build(place, here)
        expected = gallery.search(here, 5).ids
        server.kill()
        for _ in range(2):
            with pytest.raises(UnavailableError, match="the database does not answer"):
                gallery.search(here, 5)
        with pytest.raises(UnavailableError, match="the database does not answer"):
            open_gallery(place)
        server.start()
        np.testing.assert_array_equal(gallery.search(here, 5).ids, expected)

    def test_a_server_that_is_restarted_between_two_calls_is_not_noticed(self, rng, place, server):
        gallery = build(place, images(rng, 5))
        server.kill()
        server.start()
        assert gallery.add(images(rng, 5, first=50)) == 5
        assert len(gallery) == 10

    def test_a_server_killed_amid_an_addition_leaves_the_gallery_as_it_was(self, rng, place, server, monkeypatch):
        gallery = build(place, images(rng, 5))
        rows = changes._rows

        def kill_amid(*arguments):
            for number, row in enumerate(rows(*arguments)):
                if number == 1000:
                    server.kill()
                yield row

        monkeypatch.setattr(changes, "_rows", kill_amid)
        more = images(rng, 20_000, first=50)
        with pytest.raises(UnavailableError):
            gallery.add(more)
        server.start()
        monkeypatch.undo()
        assert len(gallery) == len(gallery.table) == 5
        assert gallery.add(more) == 20_000

    def test_under_load_searches_fail_with_the_one_error_and_recover(self, rng, place, server):
        here = images(rng, 40)
        gallery = build(place, here)
        expected, stop = gallery.search(here, 5).ids, threading.Event()
        right, refused, wrong = [], [], []

        def search():
            while not stop.is_set():
                try:
                    right.append((gallery.search(here, 5).ids == expected).all())
                except UnavailableError as error:
                    refused.append(str(error))
                except Exception as error:
                    wrong.append(error)

        threads = [threading.Thread(target=search) for _ in range(4)]
        for thread in threads:
            thread.start()
        server.kill()
        server.start()
        gallery.search(here, 5)
        before = len(right)
        deadline = time.monotonic() + 20
        while len(right) < before + 8 and time.monotonic() < deadline:
            time.sleep(0.01)
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong
        assert refused
        assert all(right)
        assert len(right) >= before + 8

    def test_a_server_lost_at_the_commit_is_said_to_be_so(self, rng, place, server, monkeypatch):
        import psycopg

        gallery = build(place, images(rng, 5))

        commit = psycopg.Connection.commit

        def lose(connection):
            if connection.read_only:
                return commit(connection)
            raise psycopg.OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(psycopg.Connection, "commit", lose)
        with pytest.raises(UnavailableError, match=r"while it kept the change .* look whether the images are there"):
            gallery.add(images(rng, 5, first=50))
        monkeypatch.undo()
        assert len(gallery) == 5

    def test_an_interrupted_build_leaves_nothing(self, rng, place, monkeypatch):
        def stop(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(changes, "create_indexes", stop)
        with pytest.raises(KeyboardInterrupt):
            build(place, images(rng, 5))
        monkeypatch.undo()
        with pytest.raises(UserError, match="holds no gallery"):
            open_gallery(place)
        assert len(build(place, images(rng, 5))) == 5


class TestCommands:
    def test_building_searching_adding_and_removing(self, rng, place, command, tmp_path):
        for name, features in (("g", images(rng, 30)), ("m", images(rng, 5, first=50)), ("q", images(rng, 2))):
            features.save(tmp_path / f"{name}.npz")
        assert "no gallery" in command("search_gallery", "--index", place, "--query", tmp_path / "q.npz").error
        built = command("build_index", "--index", place, "--features", tmp_path / "g.npz", "--type", "HNSW16")
        assert "30 images, 8-d, cosine, type HNSW16, searched with efSearch=64" in built.out, built.err
        assert "holds an index" in command("build_index", "--index", place, "--features", tmp_path / "g.npz").error
        added = command("build_index", "--index", place, "--add", "--features", tmp_path / "m.npz")
        assert "5 images added" in added.out, added.err
        found = command("search_gallery", "--index", place, "--query", tmp_path / "q.npz", "--camera", 2, "--json",
                        tmp_path / "f.json", "--k", 3, "--since", "2026-01-02")  # fmt: skip
        assert found.code == 0, found.err
        answer = json.loads((tmp_path / "f.json").read_text())["answers"][1]
        assert [image["camera_id"] for image in answer["images"]] == [2, 2, 2]
        removed = command("build_index", "--index", place, "--remove", "folder/0050_c0.jpg")
        assert "removing folder/0050_c0.jpg" in removed.out
        assert "1 images removed" in removed.out

    def test_extracted_features_are_kept_until_the_gallery_is_whole(
        self, place, command, tiny_run, make_config, monkeypatch
    ):
        monkeypatch.setattr(sources, "_PART", 8)
        root = Path(load_data(make_config()).root)
        index = ("build_index", "--index", place, "--images", root / "bounding_box_test", "--run", tiny_run)
        kept = user_cache() / "galleries"

        def stop(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(changes, "create_indexes", stop)
        assert command(*index).code == 130
        count = len(list(kept.glob("*/*.npz")))
        assert count > 1
        monkeypatch.undo()
        monkeypatch.setenv("XDG_CACHE_HOME", str(kept.parents[1]))
        monkeypatch.setattr(sources, "_PART", 8)
        monkeypatch.setattr(FeatureExtractor, "extract", stop)  # nothing is left to be extracted
        built = command(*index)
        assert "512-d, cosine, type Flat" in built.out, built.err
        assert not list(kept.iterdir())
        monkeypatch.undo()
        query = sorted((root / "query").iterdir())[0]
        found = command("search_gallery", "--index", place, "--query", query, "--run", tiny_run, "--k", 2)
        assert found.code == 0, found.err


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("postgresql://me:secret@127.0.0.1:1/db", "postgresql://me@127.0.0.1:1/db: the database does not answer"),
        ("postgresql://127.0.0.1/db?nonsense=1", 'not an URL of a database .*invalid URI query parameter: "nonsense"'),
        ("postgresql://127.0.0.1/db#Not/Mine", "'Not/Mine' is no name of a gallery"),
        ("postgresql://127.0.0.1/db#public", "a gallery has a schema of its own, and public holds other things"),
        ("postgresql://127.0.0.1/db#information_schema", "and information_schema holds other things"),
        ("postgresql://127.0.0.1/db#pg_catalog", "'pg_catalog' is no name of a gallery"),
        ("postgresql://[::1/db#g", "not an address of a database: Invalid IPv6 URL"),
        ("mysql://127.0.0.1/db", "no engine for mysql://"),
    ],
)
def test_a_place_that_is_none_is_one_line(command, tmp_path, rng, place, words):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    images(rng, 2).save(tmp_path / "q.npz")
    error = command("search_gallery", "--index", place, "--query", tmp_path / "q.npz").error
    assert re.search(words, error)
    assert "secret" not in error


def test_psycopg_that_is_missing_is_named(command, tmp_path, rng, monkeypatch):
    monkeypatch.setattr("reid_dml.extras.find_spec", lambda name: None)
    images(rng, 2).save(tmp_path / "q.npz")
    result = command("search_gallery", "--index", "postgresql://h/d", "--query", tmp_path / "q.npz")
    assert (
        "postgresql://h/d: needs the package psycopg, which is not installed: pip install 'reid_dml[db]'"
        in result.error
    )

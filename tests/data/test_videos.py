"""Frames of videos and of folders as images."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from reid_dml.data.image_paths import folder_records, image_records
from reid_dml.data.images import BrokenImage, read_image
from reid_dml.data.listing import walk_images
from reid_dml.data.records import ImageRecord
from reid_dml.data.stored import ImageFiles, read_all
from reid_dml.errors import UserError


@pytest.fixture
def video(tmp_path):
    """60 frames of 128 x 64 whose grey level is four times their number."""
    path = tmp_path / "photos" / "walk.avi"
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 128))
    for number in range(60):
        writer.write(np.full((128, 64, 3), 4 * number, np.uint8))
    writer.release()
    return path


def test_every_frame_is_a_record_with_the_video_s_ids(video):
    assert [record.path for record in image_records([video])] == [f"{video}#{n:06d}" for n in range(60)]
    named = video.rename(video.with_name("0007_c3_walk.avi"))
    assert image_records([named], frame_step=25) == [ImageRecord(f"{named}#{n:06d}", 7, 3) for n in (0, 25, 50)]


def test_a_frame_is_read_in_any_order_and_by_any_thread(video):
    records = image_records([video], frame_step=7)
    for record in (*records, *records[::-1]):
        number = int(record.path[-6:])
        assert abs(float(read_image(record.path).mean()) - 4 * number) < 3
    images = read_all(ImageFiles(records, (8, 4)), workers=4)
    np.testing.assert_allclose(images.mean((1, 2, 3)), [28 * n for n in range(len(records))], atol=3)
    with pytest.raises(BrokenImage, match="behind the end"):
        read_image(f"{video}#000060")
    with pytest.raises(BrokenImage, match=r"too large \(64 x 128"):
        read_image(f"{video}#000000", 100)


def test_a_folder_gives_its_videos_with_a_step_only(video):
    for number in (1, 2, 10, 11, 20):
        cv2.imwrite(str(video.parent / f"frame_{number}.png"), np.zeros((8, 4, 3), np.uint8))
    with pytest.warns(UserWarning, match=r"1 videos .*--frame-step N\), first .*walk\.avi"):
        assert len(folder_records(video.parent)) == 5
    names = [os.path.basename(record.path) for record in folder_records(video.parent, 2)]
    assert names[:3] == ["frame_1.png", "frame_10.png", "frame_20.png"]
    assert names[3:] == [f"walk.avi#{n:06d}" for n in range(0, 60, 2)]
    assert walk_images(video.parent, videos=True)[-1] == "walk.avi"


@pytest.mark.filterwarnings("ignore:.*images are passed over")
def test_a_folder_per_person_gives_its_frames_with_their_ids(video):
    photos = video.parent
    for camera in ("door", "yard"):
        (photos / "ada" / camera).mkdir(parents=True)
        for number in (1, 2, 10, 11, 20):
            cv2.imwrite(str(photos / "ada" / camera / f"frame_{number}.png"), np.zeros((8, 4, 3), np.uint8))
    walk = video.rename(photos / "ada" / "yard" / "walk.avi")
    read = {step: image_records([photos], labels="folder", frame_step=step) for step in (0, 2, 20)}
    assert [len(records) for records in read.values()] == [10, 3 + 3 + 30, 1 + 1 + 3]
    assert {record.person for record in read[2]} == {"ada"}
    assert len({record.person_id for record in read[2]}) == 1
    assert [(os.path.relpath(record.path, photos), record.camera) for record in read[20]] == [
        ("ada/door/frame_1.png", "door"),
        ("ada/yard/frame_1.png", "yard"),
        *((f"ada/yard/walk.avi#{number:06d}", "yard") for number in (0, 20, 40)),
    ]
    by_name = image_records([photos], labels="folder", camera_pattern=r"(?P<camera>[fw])[ar]", frame_step=60)
    assert [record.camera for record in by_name] == ["f", "f", "w"]
    walk.rename(photos / "walk.avi")
    with pytest.raises(UserError, match=r"walk\.avi: 1 images beside the persons' folders"):
        image_records([photos], labels="folder", frame_step=2)


def test_a_list_with_persons_may_name_videos(video, tmp_path):
    (tmp_path / "list.csv").write_text("path,person_id,camera_id\nphotos/walk.avi,7,3\n")
    records = image_records([tmp_path / "list.csv"], frame_step=25)
    assert [(record.path[-6:], record.person_id, record.camera_id) for record in records] == [
        ("000000", 7, 3),
        ("000025", 7, 3),
        ("000050", 7, 3),
    ]


def test_what_opencv_cannot_open_is_refused_in_one_line(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match=r"a\.mp4: not a video that OpenCV can open; convert it"):
        image_records([tmp_path / "a.mp4"])


def test_commands_take_videos(video, command, tiny_config, tiny_run, tmp_path):
    arguments = ("--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run, "--images", video, "--frame-step", 20)
    done = command("extract_features", *arguments, "--output", tmp_path / "f.npz")
    assert done.code == 0, done.err
    names = [f"{video}#000000", f"{video}#000020", f"{video}#000040"]
    assert np.load(tmp_path / "f.npz")["paths"].tolist() == names
    index = ("--index", tmp_path / "index", "--run", tiny_run, "--frame-step", 20)
    assert command("build_index", "--images", video, *index).code == 0
    found = command("search_gallery", "--query", video, *index, "--k", 1, "--picture", tmp_path / "p.png")
    assert found.code == 0, found.err
    assert f"1  {names[2]}" in found.out
    assert (tmp_path / "p.png").is_file()
    assert "--frame-step" in command("build_index", "--images", video, *index[:-1], "-1").error

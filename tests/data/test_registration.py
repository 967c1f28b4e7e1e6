"""What a data set says of itself beside its reader, also from outside of the library."""

from __future__ import annotations

import pytest

from reid_dml.config import load_config, warn_of_idle_options
from reid_dml.data.records import ImageRecord, ReIDData
from reid_dml.data.sets import DATA_SETS, alone, register_data, registered_as
from reid_dml.data.sets.protocol import SECTION, ProtocolOptions, with_protocol
from reid_dml.options import options_of


@pytest.fixture
def outside(monkeypatch):
    """A data set of somebody else's module."""
    monkeypatch.setattr(DATA_SETS, "_entries", dict(DATA_SETS.entries()))

    @register_data(
        "elsewhere",
        task="retrieval",
        section=SECTION,
        options=ProtocolOptions,
        protocol=("SPLIT",),
        own_root=True,
        terms="Ask Anna.",
        research_only=True,
    )
    def load(cfg):
        images = [ImageRecord(f"{person}.png", person, 1) for person in (1, 2)]
        return ReIDData("elsewhere", cfg.DATA.ROOT, images, images, images)

    return "elsewhere"


def test_one_from_outside_is_known_to_all(outside, tmp_path):
    path = tmp_path / "c.yml"
    path.write_text(f"DATA: {{NAME: {outside}, ROOT: {tmp_path}, TEST: [viper]}}\nPROTOCOL: {{SPLIT: 3, CLOTHES: any}}")
    cfg = load_config(path)
    # Its root is the data set itself: no other one lies there.
    assert [alone(cfg, name).DATA.ROOT for name in (outside, "viper")] == [str(tmp_path), "datasets"]
    with pytest.warns(UserWarning, match="PROTOCOL.CLOTHES: 'any': has no effect on elsewhere, viper") as said:
        warn_of_idle_options(cfg)
    assert len(said) == 1
    assert with_protocol(outside, {"split": 3, "clothes": "any"}) == "elsewhere (split 3)"
    assert (registered_as(outside).terms, registered_as(outside).research_only) == ("Ask Anna.", True)


def test_options_of_the_protocol_are_of_sets_that_have_the_section():
    named = set()
    for name, entry in DATA_SETS.entries().items():
        assert bool(entry.protocol) == (entry.section == SECTION), name
        named |= set(entry.protocol)
    assert named == options_of(ProtocolOptions).keys()


@pytest.mark.parametrize(
    ("recorded", "name"),
    [
        ("msmt17_v2", "msmt17_v2"),
        ("market1501_500k", "market1501_500k"),
        ("market1501_upcolour", "market1501"),
        ("cifar100 (unofficial split)", "cifar100"),
        ("market1501 (own)", None),
        ("cifar1000", None),
        ("", None),
    ],
)
def test_names_of_records_lead_to_their_set(recorded, name):
    assert registered_as(recorded) == (DATA_SETS.get(name) if name else None)

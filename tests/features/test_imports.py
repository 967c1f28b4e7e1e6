"""What may be imported without torch, and what `import reid_dml` costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import reid_dml


def in_new_process(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "module",
    [
        "reid_dml.features",
        "reid_dml.features.ensemble",
        "reid_dml.features.feature_set",
        "reid_dml.features.formats",
        "reid_dml.features.part_store",
        "reid_dml.search.sources",
    ],
)
def test_feature_files_need_no_torch(module):
    assert in_new_process(f"import sys, {module}; print('torch' in sys.modules)") == "False"


def test_the_library_itself_imports_nothing_heavy():
    script = """
import sys, time
started = time.perf_counter()
import reid_dml
print(time.perf_counter() - started < 0.1, *{"torch", "numpy", "faiss", "cv2", "yacs"} & set(sys.modules))
"""
    assert in_new_process(script) == "True"


def test_public_names_are_those_of_their_rooms():
    from reid_dml.features import FeatureSet
    from reid_dml.features.extractor import FeatureExtractor
    from reid_dml.mutual.losses import mutual_losses, student_loss
    from reid_dml.ranking.metrics import evaluate_distances, evaluate_rankings
    from reid_dml.ranking.multi_query import pool_multi_query
    from reid_dml.ranking.rerank import k_reciprocal_distances

    named = (FeatureExtractor, FeatureSet, evaluate_distances, evaluate_rankings, k_reciprocal_distances,
             mutual_losses, pool_multi_query, student_loss)  # fmt: skip
    names = [thing.__name__ for thing in named]
    assert [getattr(reid_dml, name) for name in names] == list(named)
    assert {*names, "__version__"} == set(reid_dml.__all__)
    listed = in_new_process("import reid_dml; print(*dir(reid_dml))").split()  # before any is used
    assert set(names) <= set(listed)
    with pytest.raises(AttributeError, match="no attribute 'student_los'"):
        _ = reid_dml.student_los

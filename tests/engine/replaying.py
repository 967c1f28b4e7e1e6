"""A graph capture that needs no GPU, for tests of what is around a CUDA graph."""

from __future__ import annotations

import torch

from reid_dml.engine.step import CaptureFailed


class Replaying:
    """As a CUDA graph does: work is captured on fixed tensors without being done, and each replay does it on them."""

    def __init__(self, waits: str = "", breaks_off: str = "") -> None:
        self.waits, self.breaks_off, self.runs, self.replays = waits, breaks_off, 0, 0
        self.cohort = None

    def warm_up(self, work):
        self.runs += 1
        report = work()
        self.like = report
        return report, self.waits

    def capture(self, work):
        if self.breaks_off:
            for member in self.cohort.members:  # what was captured up to there has gradients that nobody computed
                for parameter in member.network.parameters():
                    parameter.grad = torch.full_like(parameter, torch.nan)
            raise CaptureFailed(self.breaks_off)
        report = torch.full_like(self.like, torch.nan)

        def replay():
            self.replays += 1
            report.copy_(work())

        return replay, report

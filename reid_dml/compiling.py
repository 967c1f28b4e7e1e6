"""Functions through torch.compile, which go on as they are where that fails."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from reid_dml.files import user_cache
from reid_dml.processes import rank

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
_said: set[str] = set()


class Compiled(Generic[Result]):
    """A function through torch.compile, from its first call on. Where it cannot be compiled, one line says so."""

    def __init__(self, function: Callable[..., Result], what: str) -> None:
        """Compile nothing yet.

        Args:
            function: of tensors of fixed shapes.
            what: goes on without torch.compile where that fails, for the message.
        """
        import torch
        import torch._dynamo.config as limits  # takes a second to import: only where it is needed

        _keep_compiled_code()
        limits.recompile_limit = max(limits.recompile_limit, 64)  # every network of a cohort counts
        self.function, self.what = function, what
        self._compiled: Callable[..., Result] | None = torch.compile(function, dynamic=False)

    @property
    def succeeds(self) -> bool:
        """Whether it has not failed so far."""
        return self._compiled is not None

    def __call__(self, *arguments: Any) -> Result:
        if self._compiled is None:
            return self.function(*arguments)
        from torch._dynamo.exc import TorchDynamoException
        from torch._inductor.exc import InductorError

        try:
            return self._compiled(*arguments)
        except (TorchDynamoException, InductorError) as failure:
            self._compiled = None
            reason = " ".join(str(failure).split("Set TORCHDYNAMO")[0].split())[:200]
            if rank() == 0 and (line := f"{self.what} goes on without torch.compile: {reason}") not in _said:
                _said.add(line)
                logger.warning("%s", line)
            return self.function(*arguments)


def _keep_compiled_code() -> None:
    """Let torch keep compiled code where it outlives the machine's temporary files: the next run starts at once."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(user_cache() / "inductor"))

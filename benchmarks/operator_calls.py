"""What one call asks of a device: operators of torch, and kernels that Inductor has generated."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

_IDLE = re.compile(r"aten\.(empty|new_empty|_unsafe_view|promote_types)|profiler\.")  # these start no kernel
_GENERATED = re.compile(r"^\s+(?:cpp_fused\w*|triton_\w+\.run)\(", re.MULTILINE)


def counts_of(run: Callable[[], object]) -> dict[str, Any]:
    """Operators and generated kernels of one call: `operators`, `kernels`, and the `calls` of each operator."""
    from torch.utils._python_dispatch import TorchDispatchMode

    found: Counter[str] = Counter()

    class Counting(TorchDispatchMode):
        @classmethod
        def ignore_compile_internals(cls) -> bool:
            return True  # what is compiled stays so; the operators that it calls are counted

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if not func.is_view and not _IDLE.match(str(func)):
                found[str(func.overloadpacket).removeprefix("aten.")] += 1
            return func(*args, **(kwargs or {}))

    with _generated_kernels() as kernels, Counting():
        run()
    return {"operators": found.total(), "kernels": sum(kernels), "calls": found}


@contextmanager
def _generated_kernels() -> Iterator[list[int]]:
    """While it lasts, every run of a compiled graph adds the number of kernels that its code calls to the list."""
    from torch._inductor.output_code import CompiledFxGraph

    kernels: list[int] = []
    original = CompiledFxGraph.__call__

    def counting(graph: CompiledFxGraph, inputs: Sequence[Any]) -> Any:
        kernels.append(len(_GENERATED.findall(graph.source_code)))
        return original(graph, inputs)

    CompiledFxGraph.__call__ = counting  # type: ignore[assignment, method-assign]
    try:
        yield kernels
    finally:
        CompiledFxGraph.__call__ = original  # type: ignore[method-assign]

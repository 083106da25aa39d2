"""A decoding step that is recorded as a CUDA graph and replayed.

Entry point: `RecordedStep`. One token through a small model is about a thousand kernels, each shorter than its launch
from Python. A replayed graph launches all of them at once. The step must do the same work in the same places every time
(`reckon.models.prefix.shared.FixedReadPrefix`), and only its input may change.

Where a model cannot be recorded, a warning says so once and the step runs as it is. On a CPU nothing is recorded.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

log = logging.getLogger(__name__)
Step = Callable[[Tensor], Tensor]


class RecordedStep:
    """Runs a step on token ids [N, 1]: the first call as it is, the second is recorded, all others replay it."""

    failed = False
    """Whether recording failed once in this process; a model that cannot be recorded is not tried again."""

    def __init__(self) -> None:
        self._warm = False  # libraries choose and allocate in a first call, which cannot be recorded
        self._graph: torch.cuda.CUDAGraph | None = None
        self._ids = self._hidden = torch.empty(0)  # where the graph reads and writes

    def __call__(self, step: Step, ids: Tensor) -> Tensor:
        """`step(ids)`. Returns a tensor that later calls do not change."""
        if not ids.is_cuda or ids.shape[1] != 1 or RecordedStep.failed or torch.is_grad_enabled():
            return step(ids)
        if not self._warm:
            self._warm = True
            return step(ids)
        if self._graph is None:
            try:
                self._graph = self._record(step, ids)
            except RuntimeError as error:
                RecordedStep.failed = True
                log.warning("decoding is not recorded as a CUDA graph, so it is slower: %s", str(error).split("\n")[0])
                return step(ids)
        self._ids.copy_(ids)
        self._graph.replay()
        return self._hidden.clone()

    def _record(self, step: Step, ids: Tensor) -> torch.cuda.CUDAGraph:
        """The graph of one step. Recording computes nothing: the step's state stays as it was."""
        self._ids = ids.clone()
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                self._hidden = step(self._ids)
            finally:
                graph.capture_end()
        torch.cuda.current_stream().wait_stream(stream)
        return graph

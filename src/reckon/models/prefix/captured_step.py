"""A decoding step that is captured as a CUDA graph and replayed.

Entry point: `CapturedStep`. One token through a small model is many kernels, each shorter than its launch from Python.
A replayed graph launches all of them at once. The step must do the same work in the same places every time
(`reckon.models.prefix.shared.StaticReadPrefix`), and only its input may change. On a CPU nothing is captured.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

log = logging.getLogger(__name__)
Step = Callable[[Tensor], Tensor]


class CapturedStep:
    """Runs a step on token ids [N, 1]: the first call as it is, the second is captured, all others replay it."""

    failed = False
    """Whether the step could not be captured; a warning has said so, and the step runs as it is."""

    def __init__(self) -> None:
        self._warm = False  # libraries choose and allocate in a first call, which cannot be captured
        self._graph: torch.cuda.CUDAGraph | None = None
        self._ids = self._hidden = torch.empty(0)  # where the graph reads and writes

    def __call__(self, step: Step, ids: Tensor) -> Tensor:
        """`step(ids)` for token ids [N, T], which gives hidden states [N, T, D]; later calls do not change the
        result."""
        if not ids.is_cuda or ids.shape[1] != 1 or self.failed or torch.is_grad_enabled():
            return step(ids)
        if not self._warm:
            self._warm = True
            return step(ids)
        if self._graph is None:
            try:
                self._graph = self._capture(step, ids)
            except RuntimeError as error:
                self.failed = True
                log.warning("decoding is not captured as a CUDA graph, so it is slower: %s", str(error).split("\n")[0])
                return step(ids)
        self._ids.copy_(ids)
        self._graph.replay()
        return self._hidden.clone()

    def _capture(self, step: Step, ids: Tensor) -> torch.cuda.CUDAGraph:
        """The graph of one step. Capturing computes nothing: the step's state stays as it was."""
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

"""An ONNX file as a backend: scores and named outputs, no gradients.

On a CPU it is mostly the quicker of the two (`docs/evidence/bench.md`); which one answers is measured at load.
"""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from rakinglight.queries import Scores


class OnnxBackend:
    """A session on CUDA where the runtime has it, else on the CPU.

    The graph takes normalised pixels [n, C, H, W] as its only input. Its first output is the logits; the others are
    layers, by their names.

    graph  the file, or what is in it
    """

    def __init__(
        self,
        graph: Path | bytes,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        *,
        threads: int = 0,
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # CUDA first, for a GPU build of the runtime; a CPU build does not name it.
        offered = onnxruntime.get_available_providers()
        providers = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in offered]
        self.session = onnxruntime.InferenceSession(graph, options, providers=providers)
        provider = self.session.get_providers()[0].removesuffix("ExecutionProvider").lower()
        self.name = f"onnxruntime {onnxruntime.__version__} on {provider}"
        self.input = self.session.get_inputs()[0].name
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.mean = torch.tensor(mean).view(-1, 1, 1)
        self.std = torch.tensor(std).view(-1, 1, 1)

    def __repr__(self) -> str:
        return f"<OnnxBackend {self.name}>"

    def forward(self, rows: Tensor, layers: tuple[str, ...] = ()) -> Scores:
        x = ((rows.detach().cpu().float() - self.mean) / self.std).contiguous()
        logits, *heard = self.session.run([self.outputs[0], *layers], {self.input: x.numpy()})
        return Scores(
            torch.from_numpy(logits).to(rows),
            {layer: torch.from_numpy(h).to(rows) for layer, h in zip(layers, heard, strict=True)},
        )

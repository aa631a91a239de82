"""`torch_model.py DIR`: DIR/bundle, DIR/exported and DIR/two of PyTorch models."""

import sys
from pathlib import Path

import numpy as np
import torch

from millrace.models.frameworks import CannotBundle, bundle_torch
from millrace.models.frameworks.bundling import bundle_file

place = Path(sys.argv[1])
torch.manual_seed(0)


class Classifier(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.ReLU(), torch.nn.Linear(8, 3)
        )

    def forward(self, flower: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.layers(flower), -1)


class Two(torch.nn.Module):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return left + right, (left * right).sum(1)


model = Classifier()
rows = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
bundle = bundle_torch(model, rows, place / "bundle", outputs=["probabilities"])
others = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
with torch.no_grad():
    np.savez(place / "others.npz", flower=others, probabilities=model(torch.from_numpy(others)).numpy())

free = {"flower": {0: torch.export.Dim("N", min=1)}}
torch.export.save(torch.export.export(model, (torch.from_numpy(rows),), dynamic_shapes=free), place / "m.pt2")
np.save(place / "rows.npy", rows)
bundle_file(place / "m.pt2", place / "rows.npy", place / "exported")
bundle_torch(Two(), {"left": rows, "right": rows[::-1].copy()}, place / "two", outputs=["sum", "dot"])
try:
    bundle_torch(model, rows.astype(np.float64), place / "doubles")
except CannotBundle as error:
    print(error)
print(bundle.manifest.framework)

"""Milliseconds of one training step of a full-size MDN in PyTorch, printed as one number.

Usage: python mdn_training.py THREADS [cpu|cuda]

The same work as benches/mdn_training.rs: draw 256 windows of 8 frames of 512 values, forward through the network of the peer
(hidden 1024, 2 layers, 8 components, clamp on ln sigma), mixture likelihood, backward, clip to norm 1, AdamW. Needs torch only.
"""

import math
import sys
import time

import torch
from torch import nn

DIM, WINDOW, HIDDEN, COMPONENTS, BATCH, FRAMES = 512, 8, 1024, 8, 256, 2000
BLOCKS, STEPS_PER_BLOCK = 4, 20


class Mdn(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(WINDOW * DIM, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU())
        self.pi_head = nn.Linear(HIDDEN, COMPONENTS)
        self.mu_head = nn.Linear(HIDDEN, COMPONENTS * DIM)
        self.log_sigma_head = nn.Linear(HIDDEN, COMPONENTS * DIM)

    def nll(self, windows, deltas):
        features = self.backbone(windows)
        log_weights = torch.log_softmax(self.pi_head(features), dim=1)
        means = self.mu_head(features).view(-1, COMPONENTS, DIM)
        log_sigmas = self.log_sigma_head(features).view(-1, COMPONENTS, DIM).clamp(-7.0, 2.0)
        z = (deltas.unsqueeze(1) - means) * torch.exp(-log_sigmas)
        log_p = (-0.5 * z * z - log_sigmas).sum(dim=2) - 0.5 * DIM * math.log(2 * math.pi)
        return -torch.logsumexp(log_weights + log_p, dim=1)


def main():
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(1)
    device = sys.argv[2] if len(sys.argv) > 2 else "cpu"
    frames = torch.rand(FRAMES, DIM, device=device) * 2 - 1
    offsets = torch.arange(WINDOW, device=device)
    model = Mdn().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)

    def step():
        t = torch.randint(WINDOW, FRAMES, (BATCH,), device=device)
        windows = frames[t.unsqueeze(1) - WINDOW + offsets].reshape(BATCH, -1)
        deltas = frames[t] - frames[t - 1]
        loss = model.nll(windows, deltas).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    step()
    best = math.inf
    for _ in range(BLOCKS):
        begin = time.perf_counter()
        for _ in range(STEPS_PER_BLOCK):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - begin) * 1e3 / STEPS_PER_BLOCK)
    print(best)


main()

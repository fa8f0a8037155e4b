"""Injection at a given size in PyTorch, two ways: as the peer's protocol describes it, and fully batched.

Usage: python injection_peer_way.py FOLDER THREADS [cpu|cuda]

FOLDER holds model.safetensors (an MDN with the peer's key names) and data.safetensors (x [utterances, frames, dim] float32,
starts [utterances, segments] int64, baseline_mean and baseline_variance [dim] float32). Prints one JSON object: seconds of both
ways and the means of both per mode, so that the caller can check that the same thing was computed.

Also milliseconds of a live rollout (one start in five modes, 16 steps; on CUDA as one graph) and of likelihood and mean of 2,048 windows
that come from the host and go back to it.

The peer's way: mode by mode, utterance by utterance, one batch of that utterance's segments, two forwards a step (likelihood,
then expected mean). It needs torch and nothing else.
"""

import json
import math
import sys
import time
from pathlib import Path

import torch
from torch import nn

N_STEPS = 16
MODES = {"A_teacher": None, "B_periodic": {4, 8, 12}, "C_one_shot": {1}, "D_rollout": set()}
LOG_2PI = math.log(2 * math.pi)
METRICS = ("nll", "nll_baseline", "cos", "mag_ratio", "state_err")


def read_safetensors(path):
    raw = Path(path).read_bytes()
    header_len = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + header_len])
    metadata = header.pop("__metadata__", {})
    body = bytearray(raw[8 + header_len :])
    dtypes = {"F32": torch.float32, "I64": torch.int64}
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        count = (end - begin) // (4 if entry["dtype"] == "F32" else 8)
        flat = torch.frombuffer(body, dtype=dtypes[entry["dtype"]], count=count, offset=begin)
        tensors[name] = flat.reshape(entry["shape"]).clone()
    return tensors, metadata


class Mdn(nn.Module):
    def __init__(self, input_dim, output_dim, n_components, hidden_dim):
        super().__init__()
        self.output_dim, self.n_components = output_dim, n_components
        self.backbone = nn.Sequential(nn.Linear(input_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, hidden_dim), nn.GELU())
        self.pi_head = nn.Linear(hidden_dim, n_components)
        self.mu_head = nn.Linear(hidden_dim, n_components * output_dim)
        self.log_sigma_head = nn.Linear(hidden_dim, n_components * output_dim)

    def forward(self, context):
        hidden = self.backbone(context)
        shape = (-1, self.n_components, self.output_dim)
        log_pi = torch.log_softmax(self.pi_head(hidden), dim=-1)
        return log_pi, self.mu_head(hidden).view(shape), self.log_sigma_head(hidden).view(shape).clamp(-7.0, 2.0)


def mixture_nll(parameters, delta):
    log_pi, mu, log_sigma = parameters
    z = (delta.unsqueeze(1) - mu) / log_sigma.exp()
    log_prob = (-0.5 * z * z - log_sigma).sum(-1) - 0.5 * delta.shape[-1] * LOG_2PI
    return -torch.logsumexp(log_pi + log_prob, dim=-1)


def mixture_mean(parameters):
    log_pi, mu, _ = parameters
    return (log_pi.exp().unsqueeze(-1) * mu).sum(1)


def baseline_nll(delta, mean, variance):
    return 0.5 * ((delta - mean) ** 2 / variance + variance.log() + LOG_2PI).sum(-1)


def metrics(nll, mean, delta, state, before, data):
    size, true_size = mean.norm(dim=-1).clamp_min(1e-8), delta.norm(dim=-1).clamp_min(1e-8)
    return torch.stack(
        [
            nll,
            baseline_nll(delta, data["baseline_mean"], data["baseline_variance"]),
            (mean * delta).sum(-1) / (size * true_size),
            size / true_size,
            (state - before).norm(dim=-1),
        ],
        dim=-1,
    )


def windows_at(x, starts, window, offset):
    """Frames starts + offset - window ... starts + offset - 1, flattened, oldest first."""
    index = starts.unsqueeze(1) + torch.arange(offset - window, offset, device=starts.device)
    return x[index].flatten(1)


def peer_way(model, data, window):
    sums = {}
    for mode, injected in MODES.items():
        rows = []
        for x, starts in zip(data["x"], data["starts"]):
            context = windows_at(x, starts, window, 0)
            state = x[starts - 1]
            for step in range(1, N_STEPS + 1):
                before, now = x[starts + step - 2], x[starts + step - 1]
                delta = now - before
                nll = mixture_nll(model(context), delta)
                mean = mixture_mean(model(context))
                rows.append(metrics(nll, mean, delta, state, before, data))
                state = now if injected is None or step in injected else state + mean
                context = torch.cat([context[:, x.shape[-1] :], state], dim=-1)
        sums[mode] = torch.cat(rows).double().mean(0)
    return sums


def batched(model, data, window):
    x, starts = data["x"], data["starts"]
    n_utterances, n_frames, dim = x.shape
    flat = x.reshape(-1, dim)
    first = (starts + torch.arange(n_utterances, device=starts.device).unsqueeze(1) * n_frames).flatten()
    sums = {}
    contexts = torch.cat([windows_at(flat, first, window, step) for step in range(N_STEPS)])
    before = torch.cat([flat[first + step - 1] for step in range(N_STEPS)])
    delta = torch.cat([flat[first + step] for step in range(N_STEPS)]) - before
    parameters = model(contexts)
    sums["A_teacher"] = metrics(mixture_nll(parameters, delta), mixture_mean(parameters), delta, before, before, data).double().mean(0)
    modes = [m for m in MODES if MODES[m] is not None]
    n = len(first)
    context = windows_at(flat, first, window, 0).repeat(len(modes), 1)
    state = flat[first - 1].repeat(len(modes), 1)
    rows = []
    for step in range(1, N_STEPS + 1):
        before, now = flat[first + step - 2].repeat(len(modes), 1), flat[first + step - 1].repeat(len(modes), 1)
        delta = now - before
        parameters = model(context)
        mean = mixture_mean(parameters)
        rows.append(metrics(mixture_nll(parameters, delta), mean, delta, state, before, data))
        state = state + mean
        for i, mode in enumerate(modes):
            if step in MODES[mode]:
                state[i * n : (i + 1) * n] = now[i * n : (i + 1) * n]
        context = torch.cat([context[:, dim:], state], dim=-1)
    table = torch.stack(rows)
    for i, mode in enumerate(modes):
        sums[mode] = table[:, i * n : (i + 1) * n].double().mean((0, 1))
    return sums


def live_rollout(model, window, state, context, truth):
    """One start in five modes: rows that share their first window. truth [steps, dim]; returns what the window draws of each step."""
    injected = [set(range(1, N_STEPS + 1)), {4, 8, 12}, {1}, set(), {6, 11}]
    keep = torch.tensor([[step in steps for steps in injected] for step in range(1, N_STEPS + 1)], device=state.device).unsqueeze(-1)
    rows = []
    before = state
    for step in range(N_STEPS):
        delta = (truth[step] - before[0]).expand_as(state)
        parameters = model(context)
        mean = mixture_mean(parameters)
        state = torch.where(keep[step], truth[step], state + mean)
        rows.append(torch.cat([mixture_nll(parameters, delta).unsqueeze(-1), (state - truth[step]).norm(dim=-1, keepdim=True), state], -1))
        context = torch.cat([context[:, state.shape[-1] :], state], dim=-1)
        before = truth[step].expand_as(state)
    return torch.stack(rows)


def live(model, data, window, device, repeats=20):
    x = data["x"][0]
    t0 = int(data["starts"][0][0])
    context = x[t0 - window : t0].flatten().expand(5, -1).contiguous()
    state, truth = x[t0 - 1].expand(5, -1).contiguous(), x[t0 : t0 + N_STEPS].contiguous()
    work = lambda: live_rollout(model, window, state, context, truth)
    if device == "cuda":
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            rows = work()
        work = lambda: (graph.replay(), rows)[1]
    return fastest(lambda: work().cpu(), repeats)


def reading(model, input_dim, output_dim, device, repeats=4):
    windows, deltas = torch.randn(2048, input_dim), torch.randn(2048, output_dim)

    def work():
        parameters = model(windows.to(device))
        return mixture_nll(parameters, deltas.to(device)).cpu(), mixture_mean(parameters).cpu()

    return fastest(work, repeats)


def fastest(work, repeats):
    best = math.inf
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return {"milliseconds": best * 1e3}


def timed(work, *args, repeats=1):
    best, result = math.inf, None
    for _ in range(repeats):
        begin = time.perf_counter()
        result = {mode: values.cpu() for mode, values in work(*args).items()}
        best = min(best, time.perf_counter() - begin)
    return best, {mode: dict(zip(METRICS, values.tolist())) for mode, values in result.items()}


def main():
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    device = sys.argv[3] if len(sys.argv) > 3 else "cpu"
    torch.set_num_threads(threads)
    weights, metadata = read_safetensors(folder / "model.safetensors")
    data, _ = read_safetensors(folder / "data.safetensors")
    kwargs = json.loads(metadata["model_kwargs"])
    model = Mdn(kwargs["input_dim"], kwargs["output_dim"], kwargs["n_components"], kwargs["hidden_dim"])
    model.load_state_dict(weights)
    model.to(device).eval()
    data = {name: values.to(device) for name, values in data.items()}
    window = int(metadata["window_size"])
    with torch.no_grad():
        model(torch.zeros(8, kwargs["input_dim"], device=device))
        live_milliseconds = live(model, data, window, device)
        reading_milliseconds = reading(model, kwargs["input_dim"], kwargs["output_dim"], device)
        batched_seconds, batched_means = timed(batched, model, data, window, repeats=3)
        peer_seconds, peer_means = timed(peer_way, model, data, window)
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "live": live_milliseconds,
                "reading": reading_milliseconds,
                "peer_way": {"seconds": peer_seconds, "modes": peer_means},
                "batched": {"seconds": batched_seconds, "modes": batched_means},
            }
        )
    )


main()

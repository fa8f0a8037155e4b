"""Mimi, EnCodec 24 kHz and CALM's VAE by their reference packages, at full size with random weights.

Usage: python codecs.py make FOLDER                  writes FOLDER/{mimi,encodec,calm}/model.safetensors (and config.json)
       python codecs.py time FOLDER THREADS NAME...  prints one JSON object of the named codecs' seconds for FOLDER/audio.safetensors
                                                     (samples [n] float32, 24 kHz)

`time` also writes FOLDER/CODEC/reference.safetensors (latents [frames, dim], audio [samples]), so that the caller can check that the
same thing was computed. Needs torch, safetensors, transformers and pocket-tts; moshi, if it is there, gives Mimi's streaming times,
since transformers cannot decode in steps. Rows that a package does not offer are null.
"""

import json
import math
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

FRAME = 1920
REPEATS = 7


def randomize(model, seed):
    """Random weights under which no stage vanishes or overflows."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim < 2:
                continue
            transposed = isinstance(module, nn.ConvTranspose1d)
            fan_in = parameter.shape[0] // module.groups * 2 if transposed else parameter[0].numel()
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 1.2 / math.sqrt(fan_in))
        if module.__class__.__name__.endswith("LayerScale"):
            module.scale.data.fill_(0.5)
    return model.eval()


def mimi():
    from transformers import MimiConfig, MimiModel

    return randomize(MimiModel(MimiConfig(attn_implementation="sdpa")), 1)


def encodec():
    from transformers import EncodecConfig, EncodecModel

    model = EncodecModel(EncodecConfig()).eval()
    generator = torch.Generator().manual_seed(2)
    # Weight-normed: directions are random already; the lengths are set so that a row has the gain above.
    for name, parameter in model.named_parameters():
        if name.endswith("original0"):
            parameter.data.copy_(1.2 * (0.8 + 0.4 * torch.rand(parameter.shape, generator=generator)))
    return model


CALM = {
    "dtype": "float32",
    "sample_rate": 24000,
    "inner_dim": 32,
    "outer_dim": 512,
    "channels": 1,
    "frame_rate": 12.5,
    "seanet": {
        "dimension": 512, "channels": 1, "n_filters": 64, "n_residual_layers": 1, "ratios": [6, 5, 4], "kernel_size": 7,
        "residual_kernel_size": 3, "last_kernel_size": 3, "dilation_base": 2, "pad_mode": "constant", "compress": 2,
    },
    "transformer": {
        "d_model": 512, "num_heads": 8, "num_layers": 2, "layer_scale": 0.01, "context": 250, "dim_feedforward": 2048,
        "input_dimension": 512, "output_dimensions": [512],
    },
    "quantizer": {"dimension": 32, "output_dimension": 512},
}


def calm():
    import pocket_tts.models.mimi as pocket
    from pocket_tts.modules.stateful_module import StatefulModule
    from pocket_tts.utils.config import MimiConfig

    model = randomize(pocket.build_mimi(MimiConfig(**CALM)), 3)
    for name, module in model.named_modules():
        if isinstance(module, StatefulModule):
            module._module_absolute_name = name
    return model


def make(folder):
    mimi().save_pretrained(folder / "mimi")
    encodec().save_pretrained(folder / "encodec")
    (folder / "calm").mkdir(parents=True, exist_ok=True)
    tensors = {f"mimi.{key}": value.contiguous().clone() for key, value in calm().state_dict().items()}
    tensors["flow_lm.emb_mean"] = torch.zeros(32)
    tensors["flow_lm.emb_std"] = torch.ones(32)
    save_file(tensors, folder / "calm" / "model.safetensors")
    (folder / "calm" / "config.json").write_text(json.dumps(CALM))


def best(work):
    """Seconds of the fastest of some repetitions, after one that is not counted; and what the work gave."""
    result, fastest = work(), math.inf
    for _ in range(REPEATS):
        begin = time.perf_counter()
        result = work()
        fastest = min(fastest, time.perf_counter() - begin)
    return fastest, result


def flops(work):
    """Floating point operations of matrix products and convolutions; an LSTM is not counted by torch, so it is added where there is one."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def row(encode, decode, encode_steps, decode_steps, encode_flops=None, decode_flops=None):
    return {
        "encode": encode, "decode": decode, "encode_steps": encode_steps, "decode_steps": decode_steps,
        "encode_flops": encode_flops, "decode_flops": decode_flops,
    }


def keep(folder, latents, audio):
    save_file({"latents": latents[0].T.contiguous(), "audio": audio.reshape(-1).contiguous()}, folder / "reference.safetensors")


def time_mimi(folder, audio):
    from transformers import MimiModel

    model = MimiModel.from_pretrained(folder, attn_implementation="sdpa").eval()
    encode, latents = best(lambda: model.encoder(audio).latents)
    decode, decoded = best(lambda: model.decoder(latents).audio_values)
    keep(folder, latents, decoded)

    def encode_steps():
        convs, keys = None, None
        for at in range(0, audio.shape[-1], FRAME):
            out = model.encoder(audio[..., at : at + FRAME], padding_cache=convs, past_key_values=keys, use_streaming=True)
            convs, keys = out.padding_cache, out.past_key_values

    counts = flops(lambda: model.encoder(audio)), flops(lambda: model.decoder(latents))
    return row(encode, decode, best(encode_steps)[0], None, *counts)


def time_moshi(folder, audio):
    try:
        from moshi.models import loaders
    except ImportError:
        return None
    # Its own random weights: only the time is taken, the result is checked against transformers'.
    model = randomize(loaders.get_mimi(None, device="cpu"), 4)
    encode, latents = best(lambda: model.encode_to_latent(audio, quantize=False))
    decode, _ = best(lambda: unquantized(model, latents))

    def encode_steps():
        with model.streaming(1):
            for at in range(0, audio.shape[-1], FRAME):
                model.encode_to_latent(audio[..., at : at + FRAME], quantize=False)

    def decode_steps():
        with model.streaming(1):
            for frame in range(latents.shape[-1]):
                unquantized(model, latents[..., frame : frame + 1])

    return row(encode, decode, best(encode_steps)[0], best(decode_steps)[0])


def unquantized(model, latents):
    """Moshi's decoder after its quantizer."""
    up = model._to_encoder_framerate(latents)
    (up,) = model.decoder_transformer(up)
    return model.decoder(up)


def time_encodec(folder, audio):
    from transformers import EncodecModel

    model = EncodecModel.from_pretrained(folder).eval()
    encode, latents = best(lambda: model.encoder(audio))
    decode, decoded = best(lambda: model.decoder(latents))
    keep(folder, latents, decoded)
    # Two layers of 512 units: eight 512 × 512 products a layer and frame.
    lstm = 2 * 2 * 8 * 512 * 512 * latents.shape[-1]
    counts = flops(lambda: model.encoder(audio)) + lstm, flops(lambda: model.decoder(latents)) + lstm
    return row(encode, decode, None, None, *counts)


def time_calm(folder, audio):
    from pocket_tts.modules.stateful_module import increment_steps, init_states

    model = calm()
    tensors = load_file(folder / "model.safetensors")
    model.load_state_dict({key.removeprefix("mimi."): value for key, value in tensors.items() if key.startswith("mimi.")})
    frames = audio.shape[-1] // FRAME
    encode, latents = best(lambda: model.encode_to_latent(audio))

    def one_shot():
        return model.decode_from_latent(latents, init_states(model, 1, frames * 16))

    def decode_steps():
        state = init_states(model, 1, frames * 16)
        for frame in range(frames):
            model.decode_from_latent(latents[:, frame : frame + 1], state)
            increment_steps(model, state, 16)

    decode, decoded = best(one_shot)
    keep(folder, latents.transpose(1, 2), decoded)
    counts = flops(lambda: model.encode_to_latent(audio)), flops(one_shot)
    return row(encode, decode, None, best(decode_steps)[0], *counts)


def main():
    torch.set_grad_enabled(False)
    folder = Path(sys.argv[2])
    if sys.argv[1] == "make":
        make(folder)
        return
    torch.set_num_threads(int(sys.argv[3]))
    audio = load_file(folder / "audio.safetensors")["samples"].view(1, 1, -1)
    timings = {
        "mimi": lambda: {"mimi": time_mimi(folder / "mimi", audio), "moshi": time_moshi(folder, audio)},
        "encodec": lambda: {"encodec": time_encodec(folder / "encodec", audio)},
        "calm": lambda: {"calm": time_calm(folder / "calm", audio)},
    }
    report = {"torch": torch.__version__}
    for name in sys.argv[4:]:
        report.update(timings[name]())
    print(json.dumps(report))


if __name__ == "__main__":
    main()

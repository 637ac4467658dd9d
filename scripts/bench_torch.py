#!/usr/bin/python3
"""The same U-Net in PyTorch (eager, float32), timed beside Equipoise: one command for the comparison.

    scripts/bench_torch.py [--model models/portraits] [--batch 32] [--threads 2] [--seconds 5] [--channels-last]
                           [--bench build/bench/bench_unet]

Reads unet/config.json of a diffusers folder (UNet2DModel; plain and attention blocks) and its safetensors, builds the
network as diffusers writes it, and takes the fastest of some sampling passes (no gradients) and training steps
(forward, mean squared error, backward, AdamW). Then runs bench_unet on the same folder with the same batch and threads
in float32 and bfloat16. Needs Debian's python3-torch and nothing else; `ninja -C build bench_unet` makes the other half.
"""
import argparse
import json
import math
import os
import struct
import subprocess
import time

import torch
from torch import nn
from torch.nn import functional as F


def attend(q, k, v, heads):
    """q: [n, positions, c], k and v: [n, keys, c]"""
    n, positions, channels = q.shape
    q, k, v = (x.view(n, -1, heads, channels // heads).transpose(1, 2).flatten(0, 1) for x in (q, k, v))
    scores = torch.baddbmm(q.new_empty(q.shape[0], positions, k.shape[1]), q, k.transpose(1, 2), beta=0,
                           alpha=1 / math.sqrt(channels / heads))
    y = torch.bmm(scores.softmax(-1), v)
    return y.view(n, heads, positions, channels // heads).transpose(1, 2).reshape(n, positions, channels)


class Resnet(nn.Module):
    def __init__(self, ci, co, c):
        super().__init__()
        self.norm1 = nn.GroupNorm(c["norm_num_groups"], ci, c["norm_eps"])
        self.conv1 = nn.Conv2d(ci, co, 3, padding=1)
        self.time_emb_proj = nn.Linear(4 * c["block_out_channels"][0], co)
        self.norm2 = nn.GroupNorm(c["norm_num_groups"], co, c["norm_eps"])
        self.conv2 = nn.Conv2d(co, co, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(ci, co, 1) if ci != co else None

    def forward(self, x, emb):
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time_emb_proj(F.silu(emb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.conv_shortcut(x) if self.conv_shortcut else x)


class Attention(nn.Module):
    def __init__(self, channels, c):
        super().__init__()
        self.heads = channels // c["attention_head_dim"] if c["attention_head_dim"] else 1
        self.group_norm = nn.GroupNorm(c["norm_num_groups"], channels, c["norm_eps"])
        self.query, self.key, self.value, self.proj_attn = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x):
        n, channels, height, width = x.shape
        tokens = self.group_norm(x).view(n, channels, height * width).transpose(1, 2)
        y = self.proj_attn(attend(self.query(tokens), self.key(tokens), self.value(tokens), self.heads))
        return y.transpose(1, 2).reshape(n, channels, height, width) + x


class Conv(nn.Module):  # the samplers' convolutions are called "conv"
    def __init__(self, channels, **settings):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, **settings)


class Downsampler(Conv):
    def __init__(self, channels, padding):
        super().__init__(channels, stride=2, padding=padding)

    def forward(self, x):
        return self.conv(x if self.conv.padding[0] else F.pad(x, (0, 1, 0, 1)))


class Upsampler(Conv):
    def __init__(self, channels):
        super().__init__(channels, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Block(nn.Module):
    """Residual blocks, each with its attention, and a change of size at the end (of the middle: none)."""

    def __init__(self, resnets, attentions, **sampler):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        if attentions:
            self.attentions = nn.ModuleList(attentions)
        for name, module in sampler.items():
            setattr(self, name, nn.ModuleList([module]))


class TimeEmbedding(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.linear_1 = nn.Linear(channels, 4 * channels)
        self.linear_2 = nn.Linear(4 * channels, 4 * channels)

    def forward(self, x):
        return self.linear_2(F.silu(self.linear_1(x)))


class UNet(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.config = c
        channels, layers, last = c["block_out_channels"], c["layers_per_block"], len(c["block_out_channels"]) - 1
        self.conv_in = nn.Conv2d(c["in_channels"], channels[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(channels[0])
        self.down_blocks, skips, current = nn.ModuleList(), [channels[0]], channels[0]
        for level, width in enumerate(channels):
            resnets = [Resnet(current if i == 0 else width, width, c) for i in range(layers)]
            attends = c["down_block_types"][level] == "AttnDownBlock2D"
            sampler = {"downsamplers": Downsampler(width, c["downsample_padding"])} if level < last else {}
            self.down_blocks.append(Block(resnets, [Attention(width, c) for _ in resnets if attends], **sampler))
            skips += [width] * (layers + (level < last))
            current = width
        self.mid_block = Block([Resnet(current, current, c) for _ in range(2)],
                               [Attention(current, c)] if c["add_attention"] else [])
        self.up_blocks = nn.ModuleList()
        for index, width in enumerate(reversed(channels)):
            resnets = [Resnet((current if i == 0 else width) + skips.pop(), width, c) for i in range(layers + 1)]
            attends = c["up_block_types"][index] == "AttnUpBlock2D"
            sampler = {"upsamplers": Upsampler(width)} if index < last else {}
            self.up_blocks.append(Block(resnets, [Attention(width, c) for _ in resnets if attends], **sampler))
            current = width
        self.conv_norm_out = nn.GroupNorm(c["norm_num_groups"], channels[0], c["norm_eps"])
        self.conv_out = nn.Conv2d(channels[0], c["out_channels"], 3, padding=1)

    def sinusoids(self, t):
        half = self.config["block_out_channels"][0] // 2
        exponent = -math.log(10000) * torch.arange(half, dtype=torch.float32) / (half - self.config["freq_shift"])
        angles = t[:, None].float() * exponent.exp()[None]
        pair = [angles.cos(), angles.sin()] if self.config["flip_sin_to_cos"] else [angles.sin(), angles.cos()]
        return torch.cat(pair, 1)

    def forward(self, x, t):
        emb = self.time_embedding(self.sinusoids(t))
        x = self.conv_in(2 * x - 1 if self.config["center_input_sample"] else x)
        skips = [x]
        for block in self.down_blocks:
            for i, resnet in enumerate(block.resnets):
                x = resnet(x, emb)
                if hasattr(block, "attentions"):
                    x = block.attentions[i](x)
                skips.append(x)
            if hasattr(block, "downsamplers"):
                x = block.downsamplers[0](x)
                skips.append(x)
        x = self.mid_block.resnets[0](x, emb)
        if hasattr(self.mid_block, "attentions"):
            x = self.mid_block.attentions[0](x)
        x = self.mid_block.resnets[1](x, emb)
        for block in self.up_blocks:
            for i, resnet in enumerate(block.resnets):
                x = resnet(torch.cat([x, skips.pop()], 1), emb)
                if hasattr(block, "attentions"):
                    x = block.attentions[i](x)
            if hasattr(block, "upsamplers"):
                x = block.upsamplers[0](x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


def read_safetensors(path):
    """name -> float32 tensor"""
    dtypes = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    return {name: torch.frombuffer(data, dtype=dtypes[t["dtype"]], offset=t["data_offsets"][0],
                                   count=math.prod(t["shape"])).reshape(t["shape"]).float()
            for name, t in header.items()}


def read_model(folder):
    with open(os.path.join(folder, "unet/config.json")) as file:
        config = json.load(file)
    known = {"DownBlock2D", "AttnDownBlock2D", "UpBlock2D", "AttnUpBlock2D"}
    if config.get("_class_name") != "UNet2DModel" or set(config["down_block_types"] + config["up_block_types"]) - known:
        raise SystemExit(f"{folder}: a UNet2DModel of plain and attention blocks is what this script can build")
    if config.get("resnet_time_scale_shift", "default") != "default" or config.get("mid_block_scale_factor", 1) != 1:
        raise SystemExit(f"{folder}: scale-shift norms and a mid_block_scale_factor are not in this script's network")
    net = UNet(config)
    weights = os.path.join(folder, "unet/diffusion_pytorch_model.safetensors")
    if os.path.exists(weights):
        net.load_state_dict(read_safetensors(weights))
    return net


def fastest(seconds, step):
    step()
    best, runs, end = math.inf, 0, time.perf_counter() + seconds
    while runs < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        best, runs = min(best, time.perf_counter() - start), runs + 1
    return best


def time_torch(options):
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    net = read_model(options.model)
    size, batch = net.config["sample_size"], options.batch
    x, target = torch.randn(2, batch, net.config["in_channels"], size, size)
    t = torch.randint(0, 1000, (batch,))
    if options.channels_last:
        net = net.to(memory_format=torch.channels_last)
        x, target = (v.contiguous(memory_format=torch.channels_last) for v in (x, target))
    optimiser = torch.optim.AdamW(net.parameters(), 1e-6)

    def sample():
        with torch.inference_mode():
            net(x, t)

    def train():
        optimiser.zero_grad(set_to_none=True)
        F.mse_loss(net(x, t), target).backward()
        optimiser.step()

    return fastest(options.seconds, sample), fastest(options.seconds, train)


def time_ours(options, dtype, *more):
    command = [options.bench, "--model", options.model, "--batch", str(options.batch), "--seconds",
               str(options.seconds), "--dtype", dtype, "--json", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    return json.loads(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)["seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="models/portraits")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5, help="time for each of the measurements")
    parser.add_argument("--channels-last", action="store_true", help="PyTorch's tensors in that memory format")
    parser.add_argument("--bench", default="build/bench/bench_unet")
    options = parser.parse_args()
    layout = ", channels last" if options.channels_last else ""
    rows = [(f"PyTorch {torch.__version__} eager, f32{layout}", *time_torch(options))]
    for dtype in "f32", "bf16":
        rows.append((f"Equipoise {dtype}", time_ours(options, dtype), time_ours(options, dtype, "--train")))
    print(f"{options.model}, batch {options.batch}, {options.threads} threads; fastest step, seconds")
    print(f"{'':44} {'sampling':>9} {'':>7} {'training':>9}")
    for name, sample, train in rows:
        print(f"{name:44} {sample:9.3f} {rows[0][1] / sample:6.2f}x {train:9.3f} {rows[0][2] / train:6.2f}x")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Full-size networks in PyTorch (eager, float32, random weights), timed beside Equipoise: one command a network.

    scripts/bench_torch_large.py sd15|p2|vae [--batch N] [--threads 2] [--seconds 5] [--bench build/bench]

sd15: the U-Net of Stable Diffusion 1.5 at 512x512, by default two rows, a step of classifier-free guidance. p2: the
CelebA-HQ 256x256 network of P2-weighting. vae: Stable Diffusion's decoder, one picture of 512x512. The fastest of some
passes without gradients counts. Then bench_unet or bench_vae on the same network in float32 and bfloat16; that both have
the same number of parameters is checked. Needs Debian's python3-torch and nothing else; `ninja -C build bench_unet
bench_vae` makes the other half.
"""
import argparse
import json
import math
import os
import re
import subprocess

import torch
from torch import nn
from torch.nn import functional as F

from bench_torch import TimeEmbedding, attend, fastest

GROUPS = 32


class Resnet(nn.Module):
    """emb: width of the timestep's embedding, 0 for none. scale_shift: it scales the norm, too. resample halves or
    doubles the sides of both branches."""

    def __init__(self, ci, co, emb=0, scale_shift=False, resample=None):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, ci), nn.Conv2d(ci, co, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, co), nn.Conv2d(co, co, 3, padding=1)
        self.emb = nn.Linear(emb, co * (1 + scale_shift)) if emb else None
        self.shortcut = nn.Conv2d(ci, co, 1) if ci != co else nn.Identity()
        self.scale_shift, self.resample = scale_shift, resample or nn.Identity()

    def forward(self, x, emb=None):
        h = self.conv1(self.resample(F.silu(self.norm1(x))))
        shift = self.emb(F.silu(emb))[:, :, None, None] if self.emb else 0
        if self.scale_shift:
            scale, shift = shift.chunk(2, 1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + shift)
        return self.shortcut(self.resample(x)) + self.conv2(F.silu(h))


class SelfAttention(nn.Module):
    """Of pixels: P2's and the autoencoder's."""

    def __init__(self, channels, heads):
        super().__init__()
        self.heads, self.norm = heads, nn.GroupNorm(GROUPS, channels)
        self.qkv, self.proj = nn.Conv1d(channels, 3 * channels, 1), nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        n, channels, height, width = x.shape
        q, k, v = self.qkv(self.norm(x).flatten(2)).transpose(1, 2).chunk(3, 2)
        return x + self.proj(attend(q, k, v, self.heads).transpose(1, 2)).view(n, channels, height, width)


class CrossAttention(nn.Module):
    def __init__(self, channels, context, heads):
        super().__init__()
        self.heads, self.q = heads, nn.Linear(channels, channels, bias=False)
        self.k, self.v = (nn.Linear(context, channels, bias=False) for _ in range(2))
        self.out = nn.Linear(channels, channels)

    def forward(self, x, context):
        return self.out(attend(self.q(x), self.k(context), self.v(context), self.heads))


class Transformer(nn.Module):
    """Of Stable Diffusion 1.x: 1x1 convolutions around self-attention, cross-attention and a gated network."""

    def __init__(self, channels, context, heads):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, 1e-6)
        self.proj_in, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(2))
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.attn1 = CrossAttention(channels, channels, heads)
        self.attn2 = CrossAttention(channels, context, heads)
        self.gate, self.out = nn.Linear(channels, 8 * channels), nn.Linear(4 * channels, channels)

    def forward(self, x, context):
        n, channels, height, width = x.shape
        y = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        h = self.norm1(y)
        y = y + self.attn1(h, h)
        y = y + self.attn2(self.norm2(y), context)
        value, gate = self.gate(self.norm3(y)).chunk(2, 2)
        y = y + self.out(value * F.gelu(gate))
        return x + self.proj_out(y.transpose(1, 2).reshape(n, channels, height, width))


class UNet(nn.Module):
    """channels, layers a level; attends: levels with attention, whose module make_attention(channels) makes; resnet(ci,
    co, **how) makes blocks; down(channels) and up(channels) what changes the sides."""

    def __init__(self, shape, channels, layers, attends, make_attention, resnet, down, up):
        super().__init__()
        self.conv_in = nn.Conv2d(shape[0], channels[0], 3, padding=1)
        self.time, self.width = TimeEmbedding(channels[0]), channels[0]
        self.downs, self.ups, skips, current = nn.ModuleList(), nn.ModuleList(), [channels[0]], channels[0]
        for level, width in enumerate(channels):
            for _ in range(layers):
                self.downs.append(nn.ModuleList([resnet(current, width)] + [make_attention(width)] * attends[level]))
                current = width
                skips.append(width)
            if level + 1 < len(channels):
                self.downs.append(nn.ModuleList([down(width)]))
                skips.append(width)
        self.middle = nn.ModuleList([resnet(current, current), make_attention(current), resnet(current, current)])
        for level, width in reversed(list(enumerate(channels))):
            for i in range(layers + 1):
                stage = [resnet(current + skips.pop(), width)] + [make_attention(width)] * attends[level]
                current = width
                self.ups.append(nn.ModuleList(stage + [up(width)] * (i == layers and level > 0)))
        self.norm_out = nn.GroupNorm(GROUPS, current)
        self.conv_out = nn.Conv2d(current, shape[1], 3, padding=1)

    def run(self, stage, x, emb, context):
        for module in stage:
            if isinstance(module, Resnet):
                x = module(x, emb)
            else:
                x = module(x, context) if isinstance(module, Transformer) else module(x)
        return x

    def forward(self, x, t, context=None):
        half = self.width // 2
        angles = t[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / half)
        emb = self.time(torch.cat([angles.cos(), angles.sin()], 1))
        x = self.conv_in(x)
        skips = [x]
        for stage in self.downs:
            x = self.run(stage, x, emb, context)
            skips.append(x)
        x = self.run(self.middle, x, emb, context)
        for stage in self.ups:
            x = self.run(stage, torch.cat([x, skips.pop()], 1), emb, context)
        return self.conv_out(F.silu(self.norm_out(x)))


def stable_diffusion(batch):
    channels, context = [320, 640, 1280, 1280], 768
    net = UNet((4, 4), channels, 2, [1, 1, 1, 0], lambda c: Transformer(c, context, 8),
               lambda ci, co: Resnet(ci, co, 4 * channels[0]),
               lambda c: nn.Conv2d(c, c, 3, stride=2, padding=1),
               lambda c: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(c, c, 3, padding=1)))
    return net, (torch.randn(batch, 4, 64, 64), torch.full((batch,), 500.0), torch.randn(batch, 77, context))


def p2(batch):
    channels = [128, 128, 256, 256, 512, 512]

    def resnet(ci, co, resample=None):
        return Resnet(ci, co, 4 * channels[0], True, resample)

    net = UNet((3, 6), channels, 1, [0, 0, 0, 0, 1, 0], lambda c: SelfAttention(c, c // 64), resnet,
               lambda c: resnet(c, c, nn.AvgPool2d(2)), lambda c: resnet(c, c, nn.Upsample(scale_factor=2)))
    return net, (torch.randn(batch, 3, 256, 256), torch.full((batch,), 500.0))


def decoder(batch):
    """With the 1x1 convolution before it, and no more."""
    net = [nn.Conv2d(4, 4, 1), nn.Conv2d(4, 512, 3, padding=1), Resnet(512, 512), SelfAttention(512, 1),
           Resnet(512, 512)]
    current = 512
    for level, width in enumerate([512, 512, 256, 128]):
        net += [Resnet(current if i == 0 else width, width) for i in range(3)]
        if level < 3:
            net += [nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1)]
        current = width
    net += [nn.GroupNorm(GROUPS, 128), nn.SiLU(), nn.Conv2d(128, 3, 3, padding=1)]
    return nn.Sequential(*net), (torch.randn(batch, 4, 64, 64),)


def time_torch(options):
    """Seconds of the fastest pass, and parameters."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    net, inputs = NETWORKS[options.network](options.batch)

    def step():
        with torch.inference_mode():
            net(*inputs)

    return fastest(options.seconds, step), sum(p.numel() for p in net.parameters())


def time_ours(options, dtype, parameters):
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    if options.network == "vae":
        command = [f"{options.bench}/bench_vae", "--size", "512", "--dtype", dtype]
        text = subprocess.run(command, check=True, capture_output=True, env=environment, text=True).stdout
        return float(re.search(r"([\d.]+) s,", text)[1])
    command = [f"{options.bench}/bench_unet", "--config", options.network, "--batch", str(options.batch), "--dtype",
               dtype, "--seconds", str(options.seconds), "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)
    if dtype == "f32" and found["weight_bytes"] != 4 * parameters:
        raise SystemExit(f"{options.network}: {parameters} parameters here, {found['weight_bytes'] / 4:.0f} there")
    return found["seconds"]


NETWORKS = {"sd15": stable_diffusion, "p2": p2, "vae": decoder}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--batch", type=int, default=0, help="rows; 0: two for sd15, else one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5, help="time for each of the measurements")
    parser.add_argument("--bench", default="build/bench", help="folder of bench_unet and bench_vae")
    options = parser.parse_args()
    if options.network == "vae" and options.batch > 1:
        parser.error("bench_vae decodes one picture")
    options.batch = options.batch or (2 if options.network == "sd15" else 1)
    seconds, parameters = time_torch(options)
    rows = [(f"PyTorch {torch.__version__} eager, f32", seconds)]
    rows += [(f"Equipoise {dtype}", time_ours(options, dtype, parameters)) for dtype in ("f32", "bf16")]
    print(f"{options.network}, {parameters / 1e6:.1f}M parameters, batch {options.batch}, {options.threads} threads; "
          "fastest pass, seconds")
    for name, each in rows:
        print(f"{name:34} {each:9.3f} {seconds / each:6.2f}x")


if __name__ == "__main__":
    main()

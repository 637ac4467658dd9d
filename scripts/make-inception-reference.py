#!/usr/bin/env python3
"""Makes tests/data/inception: Inception-v3 as pytorch-fid has it with a sixteenth of its channels and random weights,
and what PyTorch computes with it for two images. Needs Debian's python3-torch, python3-torchvision and python3-numpy.

    scripts/make-inception-reference.py [FOLDER]

Everything follows from fixed seeds: running it again writes the same numbers."""

import json
import os
import struct
import sys

import numpy
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import inception

OUT = sys.argv[1] if len(sys.argv) > 1 else "tests/data/inception"
PARTS = 16


def write_safetensors(path, tensors):
    header, blobs, offset = {}, [], 0
    for name, tensor in tensors.items():
        array = tensor.detach().contiguous().numpy()
        dtype = {"float32": "F32", "float16": "F16", "uint8": "U8", "int64": "I64"}[str(array.dtype)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        blobs.append(array.tobytes())
        offset += array.nbytes
    text = json.dumps(header, sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


class NarrowConv(inception.BasicConv2d):
    """A convolution of torchvision's network with a sixteenth of the channels; the image keeps its three."""

    def __init__(self, in_channels, out_channels, **settings):
        super().__init__(in_channels if in_channels == 3 else in_channels // PARTS, out_channels // PARTS, **settings)


class Pools:
    """Stands in for torch.nn.functional in torchvision's module: averages leave the padding out, and where `maximum` is
    set there is none."""

    maximum = False

    def __getattr__(self, name):
        return getattr(F, name)

    def avg_pool2d(self, x, kernel_size, stride, padding):
        if self.maximum:
            return F.max_pool2d(x, kernel_size, stride, padding)
        return F.avg_pool2d(x, kernel_size, stride, padding, count_include_pad=False)


def build():
    network = inception.Inception3(
        num_classes=1008, aux_logits=False, init_weights=False,
        inception_blocks=[NarrowConv, inception.InceptionA, inception.InceptionB, inception.InceptionC,
                          inception.InceptionD, inception.InceptionE, inception.InceptionAux])
    network.fc = nn.Linear(2048 // PARTS, 3)
    return network.eval()


def randomise(network):
    """Weights that keep the size of what passes through; stored in 16 bits, and used as stored."""
    generator = torch.Generator().manual_seed(11)
    state = network.state_dict()
    for name, tensor in state.items():
        if name.endswith("running_var") or name.endswith("bn.weight"):
            tensor.copy_(0.6 + 0.8 * torch.rand(tensor.shape, generator=generator))
        elif tensor.dim() == 4:
            fan_in = tensor[0].numel()
            tensor.copy_((2 / fan_in) ** 0.5 * torch.randn(tensor.shape, generator=generator))
        elif tensor.dtype.is_floating_point:
            tensor.copy_(0.2 * torch.randn(tensor.shape, generator=generator))
        if tensor.dtype.is_floating_point:
            tensor.copy_(tensor.half().float())
    return state


def photo(height, width, seed):
    """Waves and some noise, [height, width, 3] bytes."""
    generator = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width]
    waves = [numpy.sin(x * a / 7 + c) * numpy.cos(y * b / 5 - c) for a, b, c in generator.uniform(0.2, 2, (3, 3))]
    image = 128 + 90 * numpy.stack(waves, axis=-1) + generator.normal(0, 12, (height, width, 3))
    return image.clip(0, 255).round().astype(numpy.uint8)


def prepare(image):
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    return 2 * F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False) - 1


def features(network, x):
    for name in ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3",
                 "maxpool2", "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d",
                 "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c"]:
        inception.F.maximum = name == "Mixed_7c"
        x = getattr(network, name)(x)
    return x.mean(dim=(2, 3))


def main():
    os.makedirs(OUT, exist_ok=True)
    # InceptionA to E name BasicConv2d only where no block is given to them.
    inception.BasicConv2d = NarrowConv
    inception.F = Pools()
    network = build()
    state = randomise(network)
    network.load_state_dict(state)
    write_safetensors(f"{OUT}/narrow.safetensors",
                      {name: tensor.half() if tensor.dtype.is_floating_point else tensor
                       for name, tensor in state.items() if not name.endswith("num_batches_tracked")})
    expected = {}
    for name, image in {"wide": photo(20, 330, 1), "tall": photo(48, 36, 2)}.items():
        with torch.no_grad():
            x = prepare(image)
            expected[name] = torch.from_numpy(image)
            # Every 13th pixel in either direction, beginning with the corner.
            expected[f"{name}.prepared"] = x[0, :, ::13, ::13].permute(1, 2, 0)
            expected[f"{name}.features"] = features(network, x)[0]
    write_safetensors(f"{OUT}/expected.safetensors", expected)


main()

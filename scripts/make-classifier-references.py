#!/usr/bin/env python3
"""Makes tests/data/classifiers: small random networks with what PyTorch computes with them, and images as Pillow and
torchvision prepare them. Needs Debian's python3-torch, python3-torchvision, python3-numpy and python3-pil.

    scripts/make-classifier-references.py [FOLDER]

Everything follows from fixed seeds: running it again writes the same numbers."""

import json
import os
import shutil
import struct
import sys

import numpy
import torch
from PIL import Image
from torch import nn
from torchvision import transforms
from torchvision.models import resnet

OUT = sys.argv[1] if len(sys.argv) > 1 else "tests/data/classifiers"

# The vocabulary of the tests' tokenizer (tests/unit/tiny_tokenizer.h): "abc", "ab", single letters.
VOCABULARY = {"!": 0, "a": 1, "b": 2, "c": 3, "a</w>": 4, "b</w>": 5, "c</w>": 6, "ab": 7, "ab</w>": 8, "abc</w>": 9,
              "!</w>": 10, "<|startoftext|>": 11, "<|endoftext|>": 12}
MERGES = "#version: 0.2\na b\na b</w>\nab c</w>\n"
TOKENS = {"abc": [9], "ab": [8], "a b": [4, 5], "c": [6], "abc c": [9, 6], "b !": [5, 10]}


def write_safetensors(path, tensors):
    header, blobs, offset = {}, [], 0
    for name, tensor in tensors.items():
        array = tensor.detach().contiguous().numpy()
        dtype = {"float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "uint8": "U8"}[str(array.dtype)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        blobs.append(array.tobytes())
        offset += array.nbytes
    text = json.dumps(header, sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def write_json(path, value):
    with open(path, "w") as file:
        json.dump(value, file, indent=1)
        file.write("\n")


# --- residual networks -----------------------------------------------------------------------------------------------

def narrow_resnet(block, blocks, width, **settings):
    """torchvision's ResNet with `width` channels where it has 64."""

    class Narrow(resnet.ResNet):
        def __init__(self):
            nn.Module.__init__(self)
            self._norm_layer = nn.BatchNorm2d
            self.inplanes, self.dilation, self.groups = width, 1, 1
            self.base_width = settings.get("width_per_group", 64)
            self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.relu = nn.ReLU(inplace=True)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
            for i in range(4):
                layer = self._make_layer(block, width * (1, 1, 2, 2)[i], blocks[i], stride=1 if i == 0 else 2)
                setattr(self, f"layer{i + 1}", layer)
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Identity()
            self.outputs = width * 2 * block.expansion

    return Narrow()


def randomise(module, seed):
    """Weights of trained magnitude, and running statistics as if there had been training."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.fill_(1234)
        elif name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif name.endswith("running_mean"):
            tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
        elif tensor.dim() == 1 and name.endswith("weight"):
            tensor.copy_(0.75 + 0.5 * torch.rand(tensor.shape, generator=generator))
        elif tensor.dim() == 1:
            tensor.copy_(0.2 * torch.randn(tensor.shape, generator=generator))
        else:
            fan_in = tensor[0].numel()
            tensor.copy_((1.6 / fan_in) ** 0.5 * torch.randn(tensor.shape, generator=generator))
    return module.eval()


class Nested(nn.Module):
    """A network whose own fc is the hidden layer, inside a module with the last one: resnet.fc, then fc."""

    def __init__(self, inner, hidden, classes):
        super().__init__()
        self.resnet, self.relu, self.dropout = inner, nn.ReLU(), nn.Dropout(0.5)
        self.resnet.fc = nn.Linear(inner.outputs, hidden)
        self.fc = nn.Linear(hidden, classes)

    def forward(self, x):
        return self.fc(self.dropout(self.relu(self.resnet(x))))


def with_head(inner, head):
    inner.fc = head(inner.outputs)
    return inner


def make_resnets():
    def sequence(d):
        return nn.Sequential(nn.Linear(d, 6), nn.ReLU(), nn.Dropout(0.4), nn.Linear(6, 2))

    basic, bottleneck = resnet.BasicBlock, resnet.Bottleneck
    networks = {
        "basic": with_head(narrow_resnet(basic, (2, 1, 1, 1), 4), lambda d: nn.Linear(d, 3)),
        "bottleneck": with_head(narrow_resnet(bottleneck, (1, 2, 1, 1), 2), sequence),
        "nested": Nested(narrow_resnet(basic, (1, 1, 1, 1), 3), 5, 2),
        "fairface": with_head(narrow_resnet(basic, (3, 4, 6, 3), 2), lambda d: nn.Linear(d, 18)),
        "fairface15": with_head(narrow_resnet(basic, (1, 1, 1, 1), 2), lambda d: nn.Linear(d, 15)),
    }
    generator = torch.Generator().manual_seed(1)
    half = torch.randn((2, 3, 40, 40), generator=generator).half()
    x, expected = half.float(), {"x": half}
    for seed, (name, network) in enumerate(networks.items()):
        randomise(network, 10 + seed)
        with torch.no_grad():
            expected[name] = network(x)
        if name == "nested":
            # As training scripts save it: wrapped, and as a parallel module.
            state = {"module." + key: value for key, value in network.state_dict().items()}
            torch.save({"model": state, "epoch": 7}, f"{OUT}/{name}.pth")
        else:
            write_safetensors(f"{OUT}/{name}.safetensors", network.state_dict())
    write_safetensors(f"{OUT}/resnets.expected", expected)


# --- preparation -----------------------------------------------------------------------------------------------------

def photo(width, height, seed):
    """Smooth shapes with sharp edges and some noise."""
    generator = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width]
    image = numpy.stack([127 + 120 * numpy.sin(x / (5 + c) + y / (9 - c) + c) for c in range(3)], axis=2)
    image[(x // 7 + y // 11) % 5 == 0] = (250, 5, 120)
    image += generator.normal(0, 12, image.shape)
    return Image.fromarray(image.clip(0, 255).astype(numpy.uint8))


MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def make_images():
    tensors = {}
    for name, (width, height) in {"wide": (53, 41), "tall": (26, 61), "small": (17, 13)}.items():
        image = photo(width, height, len(name))
        tensors[name] = torch.from_numpy(numpy.array(image))
        for filter_name, mode in {"bilinear": transforms.InterpolationMode.BILINEAR,
                                  "bicubic": transforms.InterpolationMode.BICUBIC}.items():
            crop = transforms.Compose([transforms.Resize(23, mode), transforms.CenterCrop(20)])
            squash = transforms.Resize((20, 20), mode)
            tensors[f"{name}.crop.{filter_name}"] = torch.from_numpy(numpy.array(crop(image)))
            tensors[f"{name}.squash.{filter_name}"] = torch.from_numpy(numpy.array(squash(image)))
    normalise = transforms.Compose([transforms.Resize(23), transforms.CenterCrop(20), transforms.ToTensor(),
                                    transforms.Normalize(MEAN, STD)])
    tensors["wide.normalised"] = normalise(photo(53, 41, 4)).permute(1, 2, 0)
    write_safetensors(f"{OUT}/images.expected", tensors)


# --- CLIP ------------------------------------------------------------------------------------------------------------

class Block(nn.Module):
    def __init__(self, width, heads, hidden=16):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Module()
        self.mlp.c_fc, self.mlp.c_proj = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x, mask):
        h = self.ln_1(x)
        x = x + self.attn(h, h, h, need_weights=False, attn_mask=mask)[0]
        h = self.mlp.c_fc(self.ln_2(x))
        return x + self.mlp.c_proj(h * torch.sigmoid(1.702 * h))


class Transformer(nn.Module):
    def __init__(self, width, heads, layers):
        super().__init__()
        self.resblocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])

    def forward(self, x, mask=None):  # x: [length, n, width]
        for block in self.resblocks:
            x = block(x, mask)
        return x


class Vision(nn.Module):
    def __init__(self, size, patch, width, heads, layers, shared):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros((size // patch) ** 2 + 1, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Transformer(width, heads, layers)
        self.proj = nn.Parameter(torch.zeros(width, shared))

    def forward(self, x):
        x = self.conv1(x).flatten(2).permute(0, 2, 1)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1) + self.positional_embedding
        x = self.transformer(self.ln_pre(x).permute(1, 0, 2))
        return self.ln_post(x[0]) @ self.proj


class Clip(nn.Module):
    """OpenAI's CLIP with its names, after section 2.4 of its paper."""

    def __init__(self, width, heads, layers, length=8, shared=12):
        super().__init__()
        self.visual = Vision(32, 8, width, heads, layers, shared)
        self.transformer = Transformer(width, heads, layers)
        self.token_embedding = nn.Embedding(len(VOCABULARY), width)
        self.positional_embedding = nn.Parameter(torch.zeros(length, width))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, shared))
        self.logit_scale = nn.Parameter(torch.tensor(0.0))

    def encode_text(self, prompt):
        length = len(self.positional_embedding)
        ids = [VOCABULARY["<|startoftext|>"], *TOKENS[prompt], VOCABULARY["<|endoftext|>"]]
        end = len(ids) - 1
        x = self.token_embedding(torch.tensor([ids + [0] * (length - len(ids))])) + self.positional_embedding
        mask = torch.full((length, length), float("-inf")).triu(1)
        x = self.ln_final(self.transformer(x.permute(1, 0, 2), mask).permute(1, 0, 2))
        return x[0, end] @ self.text_projection


PROMPTS = {"gender": {"female": ["abc", "a b"], "male": ["ab"]}, "glasses": {"no": "c", "yes": ["abc c", "b !"]}}


def transformers_name(name):
    """OpenAI's name -> transformers'; in_proj and the projections apart."""
    tower = "vision_model." if name.startswith("visual.") else "text_model."
    for theirs, ours in {"visual.": "", "transformer.resblocks.": "encoder.layers.", "ln_1": "layer_norm1",
                         "ln_2": "layer_norm2", "c_fc": "fc1", "c_proj": "fc2", "attn.out_proj": "self_attn.out_proj",
                         "ln_pre": "pre_layrnorm", "ln_post": "post_layernorm", "ln_final": "final_layer_norm",
                         "conv1": "embeddings.patch_embedding", "class_embedding": "embeddings.class_embedding",
                         "token_embedding": "embeddings.token_embedding",
                         "positional_embedding": "embeddings.position_embedding.weight"}.items():
        name = name.replace(theirs, ours)
    return tower + name


def transformers_state(state):
    out = {}
    for name, tensor in state.items():
        if name == "logit_scale":
            out[name] = tensor
        elif name == "text_projection":
            out["text_projection.weight"] = tensor.T
        elif name == "visual.proj":
            out["visual_projection.weight"] = tensor.T
        elif "in_proj" in name:
            for part, rows in zip("qkv", tensor.chunk(3)):
                out[transformers_name(name).replace("attn.in_proj_", f"self_attn.{part}_proj.")] = rows
        else:
            out[transformers_name(name)] = tensor
    out["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    return out


def write_folder(folder):
    os.makedirs(folder, exist_ok=True)
    write_json(f"{folder}/vocab.json", VOCABULARY)
    with open(f"{folder}/merges.txt", "w") as file:
        file.write(MERGES)
    write_json(f"{folder}/zero_shot.json", PROMPTS)


def random_clip(seed, *shape):
    """Numbers that half precision holds, so that files are small."""
    generator = torch.Generator().manual_seed(seed)
    network = Clip(*shape).eval()
    for name, tensor in network.state_dict().items():
        norm = ".ln_" in "." + name and name.endswith("weight")
        noise = torch.randn(tensor.shape, generator=generator)
        tensor.copy_((1 + 0.2 * noise if norm else 0.25 * noise).half().float())
    with torch.no_grad():
        network.logit_scale.fill_(2.0)
    return network


# What images are scored by.
SCORED = ["ab", "abc c", "a b"]


def classify(network, images):
    prepare = transforms.Compose([transforms.Resize(32, transforms.InterpolationMode.BICUBIC),
                                  transforms.CenterCrop(32), transforms.ToTensor(),
                                  transforms.Normalize(CLIP_MEAN, CLIP_STD)])
    features = network.visual(torch.stack([prepare(image) for image in images]))
    unit, out = features / features.norm(dim=1, keepdim=True), {"features": features}
    for attribute, classes in PROMPTS.items():
        vectors = []
        for prompts in classes.values():
            prompts = [prompts] if isinstance(prompts, str) else prompts
            texts = torch.stack([network.encode_text(prompt) for prompt in prompts])
            middle = (texts / texts.norm(dim=1, keepdim=True)).mean(0)
            vectors.append(middle / middle.norm())
        out[attribute] = (network.logit_scale.exp() * unit @ torch.stack(vectors).T).softmax(1)
    texts = torch.stack([network.encode_text(prompt) for prompt in SCORED])
    out["scores"] = 100 * (unit @ (texts / texts.norm(dim=1, keepdim=True)).T).clamp(min=0)  # [images, prompts]
    return out


def make_clip():
    # OpenAI's heads have 64 channels; transformers' configuration says how many there are.
    openai, transformers = random_clip(5, 64, 1, 1), random_clip(6, 16, 2, 2)
    write_folder(f"{OUT}/clip-openai")
    torch.save({name: tensor.half() for name, tensor in openai.state_dict().items()}, f"{OUT}/clip-openai/model.pt")
    write_folder(f"{OUT}/clip-transformers")
    write_safetensors(f"{OUT}/clip-transformers/model.safetensors", transformers_state(
        {name: tensor.half() for name, tensor in transformers.state_dict().items()}))
    common = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    write_json(f"{OUT}/clip-transformers/config.json", {
        "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 12,
        "text_config": {**common, "vocab_size": len(VOCABULARY), "max_position_embeddings": 8},
        "vision_config": {**common, "image_size": 32, "patch_size": 8}})
    write_json(f"{OUT}/clip-transformers/preprocessor_config.json", {
        "crop_size": {"height": 32, "width": 32}, "do_center_crop": True, "do_resize": True, "resample": 3,
        "size": {"shortest_edge": 32}, "image_mean": CLIP_MEAN, "image_std": CLIP_STD})

    # Margins that are even: there the two layouts' preparations agree.
    images = [photo(80, 40, 20), photo(36, 72, 21)]
    expected = {f"image{i}": torch.from_numpy(numpy.array(image)) for i, image in enumerate(images)}
    with torch.no_grad():
        for name, network in {"clip-openai": openai, "clip-transformers": transformers}.items():
            expected.update({f"{name}.{key}": tensor for key, tensor in classify(network, images).items()})
    write_safetensors(f"{OUT}/clip.expected", expected)


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    torch.manual_seed(0)
    make_resnets()
    make_images()
    make_clip()

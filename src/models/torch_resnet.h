/* torchvision's residual networks (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; the stride of
 * a bottleneck lies in its 3 x 3 convolution), as classifiers are commonly published. All there is to know follows from
 * the names and shapes of a state dictionary's tensors. Batch norms are folded into the convolutions before them. */
#ifndef EQ_MODELS_TORCH_RESNET_H
#define EQ_MODELS_TORCH_RESNET_H

#include "io/tensor_file.h"
#include "models/layers.h"

enum { EQ_TORCH_RESNET_STAGES = 4, EQ_TORCH_RESNET_LINEARS = 4 };

typedef struct eq_torch_resnet_config {
    char prefix[96]; /* before the trunk's names: "", "module.", "resnet.", ... */
    bool bottleneck; /* blocks of three convolutions, not two */
    int stem;        /* channels of the first convolution */
    int blocks[EQ_TORCH_RESNET_STAGES];
    int inner[EQ_TORCH_RESNET_STAGES];    /* channels within blocks */
    int channels[EQ_TORCH_RESNET_STAGES]; /* channels between blocks */
    /* The head: linear layers, ReLU between them. Dropout, which training may have had there, is none by now. */
    int linears;
    eq_prefix linear[EQ_TORCH_RESNET_LINEARS]; /* names in the file, without ".weight" */
    int widths[EQ_TORCH_RESNET_LINEARS];       /* outputs of each; the last are the logits */
} eq_torch_resnet_config;

/* Whether the file's names are those of such a network, under any prefix. */
bool eq_torch_resnet_is(const eq_tensor_file *file);

/* EQ_BAD_INPUT names what is missing or not understood. The head is `fc`, one layer or a sequence of them by number
 * (fc.0, fc.3), followed by another `fc` further out where the network is a part of a larger module (resnet.fc, fc). */
eq_status eq_torch_resnet_recognise(eq_context *ctx, const eq_tensor_file *file, eq_torch_resnet_config *out);

/* Writes "ResNet-50", or for other depths "ResNet of 1+1+1+1 blocks", and the head where it has more than one layer.
 */
void eq_torch_resnet_describe(const eq_torch_resnet_config *config, char *text, size_t size);

/* x: [n, size, size, 3] -> features [n, d] and logits [n, outputs]; size 32 or more. */
void eq_torch_resnet_build(const eq_builder *b, const eq_torch_resnet_config *config, eq_value x, eq_value *features,
                           eq_value *logits);

/* Declares the parameters into an empty list, and fills it, norms folded, in float32: the file may be closed. */
eq_status eq_torch_resnet_load(eq_context *ctx, const eq_tensor_file *file, const eq_torch_resnet_config *config,
                               eq_params *params);

#endif

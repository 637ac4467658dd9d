/* Inception-v3 (Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016) up to its 2048
 * pooled features, in the form in which the Frechet inception distance is commonly taken: the network of 2015-12-05 as
 * the PyTorch ports of TensorFlow's FID keep it (pt_inception-2015-12-05). It differs from torchvision's in the weights
 * and in its pools: padding counts in no average, and the last block has a maximum where others have an average. */
#ifndef EQ_MODELS_INCEPTION_H
#define EQ_MODELS_INCEPTION_H

#include "io/image.h"
#include "io/tensor_file.h"
#include "models/layers.h"

enum { EQ_INCEPTION_SIZE = 299, EQ_INCEPTION_CONVOLUTIONS = 94 };

/* Output channels of the convolutions in the order in which they are built; a file's shapes say. */
typedef struct eq_inception_config {
    int channels[EQ_INCEPTION_CONVOLUTIONS];
} eq_inception_config;

/* Reads the channels, declares the parameters into an empty list, and fills it, norms folded, in float32: the file may
 * be closed. EQ_BAD_INPUT names what is missing, or is there without a place in this network; the classifier at its end
 * (fc, AuxLogits) is not read. */
eq_status eq_inception_load(eq_context *ctx, const eq_tensor_file *file, eq_inception_config *config,
                            eq_params *params);

/* x: [n, 299, 299, 3] in [-1, 1] -> features [n, 2048] */
eq_value eq_inception_build(const eq_builder *b, const eq_inception_config *config, eq_value x);

/* The whole image stretched to 299 x 299 by linear interpolation between pixel centres, without antialiasing, as
 * PyTorch's interpolate does it (align_corners off); then from [0, 1] to [-1, 1]. x: [299, 299, 3] */
void eq_inception_prepare(const eq_image *image, float *x);

#endif

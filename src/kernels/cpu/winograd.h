/* Convolutions of 3x3 with a stride of 1 in float32 by Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray 2016,
 * "Fast algorithms for convolutional neural networks"): 36 products per 4x4 outputs and pair of channels where the sum
 * as it stands takes 144. Between the transforms stand 36 matrix products, over channels, of tiles and weights.
 *
 * For processors with AVX2 and FMA; elsewhere it is not offered. */
#ifndef EQ_KERNELS_CPU_WINOGRAD_H
#define EQ_KERNELS_CPU_WINOGRAD_H

#include "kernels/kernel.h"

typedef struct eq_winograd {
    int64_t n, h, w, ci, ho, wo, co; /* x: [n, h, w, ci], y: [n, ho, wo, co] */
    int64_t pad_top, pad_left;
    eq_activation activation;
    bool turned; /* the weights are those of the convolution whose gradient this is: [ci, co, 3, 3], taps turned */

    int64_t down, across; /* tiles of 4x4 outputs in an image; those at the edges may reach over */
    int64_t panels;       /* of EQ_WINOGRAD_PANEL output channels */
    int64_t block;        /* tiles that go through the steps together, so that what lies between stays in cache */
    int threads;
} eq_winograd;

enum { EQ_WINOGRAD_PANEL = 16 };

/* Describes a convolution of x with `weight` to y, and plans it. False where another kernel should take it: it is none
 * of 3x3 with a stride of 1 in float32, channels are no multiples of 8, the processor lacks the instructions, or the
 * transformed weights (four times their size) would take too much memory for what a picture is. The number of pictures
 * has no say, so that it does not change results. */
bool eq_winograd_plan(const eq_attr *attr, const eq_value_info *x, const eq_shape *weight, const eq_shape *y,
                      eq_winograd *conv);

/* Numbers in the transformed weights. */
int64_t eq_winograd_weight_count(const eq_winograd *conv);
/* weight: [co, ci, 3, 3] (turned: [ci, co, 3, 3]); u: [36, panels, ci, EQ_WINOGRAD_PANEL] */
void eq_winograd_transform_weights(const eq_winograd *conv, const float *weight, float *u);

size_t eq_winograd_scratch_bytes(const eq_winograd *conv);
/* y = activation(x * weight + bias) + residual. bias: [co] or NULL; residual: like y (it may be y) or NULL; scratch: 64
 * byte aligned. Results do not depend on the number of threads, nor on what else is in the batch. */
void eq_winograd_run(const eq_winograd *conv, const float *x, const float *u, const float *bias, const float *residual,
                     float *y, void *scratch);

#endif

/* Builders: each appends one operation to the graph and returns its result. Shapes are channels last; `n` is the batch.
 * Optional inputs are EQ_NONE where they are not there. Activations carry the graph's dtype, parameters their file's.
 * Faults (shapes that do not fit) stay in the graph, see tensor/graph.h. */
#ifndef EQ_OPS_OPS_H
#define EQ_OPS_OPS_H

#include "tensor/graph.h"

/* --- heavy --- */

typedef struct eq_conv {
    int stride;                                   /* 1 or more */
    int pad_top, pad_left, pad_bottom, pad_right; /* zeros around the input */
} eq_conv;

/* x: [n, h, w, ci]; weight: [co, ci, kh, kw]; bias: [co], optional; residual: [n, ho, wo, co], optional, added last.
 * -> [n, ho, wo, co] */
eq_value eq_conv2d(eq_graph *g, eq_value x, eq_value weight, eq_value bias, eq_value residual, eq_conv conv);

/* x: [..., ci]; weight: [co, ci]; bias: [co], optional; residual: [..., co], optional, added last. -> [..., co] */
eq_value eq_linear(eq_graph *g, eq_value x, eq_value weight, eq_value bias, eq_value residual);

/* a: [b, m, k] ([b, k, m] when transpose_a); b: [b, k, n] ([b, n, k] when transpose_b). -> [b, m, n] */
eq_value eq_matmul(eq_graph *g, eq_value a, eq_value b, bool transpose_a, bool transpose_b);

/* q: [n, lq, c]; k, v: [n, lk, c]; c = heads * head size. softmax(scale * q k^T) v per head; causal: query i sees keys
 * 0..i. -> [n, lq, c]. Never holds more than a tile of the [lq, lk] matrix. */
eq_value eq_attention(eq_graph *g, eq_value q, eq_value k, eq_value v, int heads, float scale, bool causal);

/* --- norms (statistics in float32) --- */

/* x: [n, h, w, c] or [n, l, c]; gamma, beta: [c]; shift: [n, c], optional: added to x before it is normalised (the
 * timestep embedding of a residual block). activation: EQ_ACT_NONE or EQ_ACT_SILU, applied last. -> like x */
eq_value eq_group_norm(eq_graph *g, eq_value x, eq_value gamma, eq_value beta, eq_value shift, int groups,
                       float epsilon, eq_activation activation);
/* The same for x [n, h, w, c] that is a tile of a larger picture. Of x itself only `window`, [4] i32: top, left,
 * bottom, right, within x and not empty, counts for the statistics, which are the second output: [n, groups, 2] f32,
 * mean and 1 / std. `stats`, like these, optional, is used in their place. Not differentiable. */
eq_value eq_group_norm_tile(eq_graph *g, eq_value x, eq_value gamma, eq_value beta, eq_value shift, eq_value stats,
                            eq_value window, int groups, float epsilon, eq_activation activation);

/* x: [..., c]; gamma, beta: [c]. -> like x */
eq_value eq_layer_norm(eq_graph *g, eq_value x, eq_value gamma, eq_value beta, float epsilon);

/* --- elementwise --- */

eq_value eq_activate(eq_graph *g, eq_value x, eq_activation activation);
/* Softmax over the last axis. */
eq_value eq_softmax(eq_graph *g, eq_value x);
/* Either operand may have dimensions of 1 where the other is larger (same rank); the result has the larger shape. */
eq_value eq_add(eq_graph *g, eq_value a, eq_value b);
eq_value eq_multiply(eq_graph *g, eq_value a, eq_value b);
/* x * factor */
eq_value eq_scale(eq_graph *g, eq_value x, float factor);
/* x: [n, ..., c]; scale, shift: [n, c]. x * (1 + scale) + shift. -> like x */
eq_value eq_scale_shift(eq_graph *g, eq_value x, eq_value scale, eq_value shift);
eq_value eq_cast(eq_graph *g, eq_value x, eq_dtype dtype);
/* A float32 tensor full of one number. */
eq_value eq_constant(eq_graph *g, eq_shape shape, float value);
/* Sums x over the dimensions in which `shape` is 1 (same rank). */
eq_value eq_sum_to(eq_graph *g, eq_value x, eq_shape shape);

/* --- moving and resampling --- */

/* Joins along the last axis. count in 1..EQ_MAX_INPUTS */
eq_value eq_concat(eq_graph *g, int count, const eq_value *x);
/* x[..., offset : offset + length] along `axis`. */
eq_value eq_slice(eq_graph *g, eq_value x, int axis, int64_t offset, int64_t length);
eq_value eq_reshape(eq_graph *g, eq_value x, eq_shape shape);
/* Output dimension i is input dimension perm[i]. */
eq_value eq_permute(eq_graph *g, eq_value x, const int *perm);
/* Nearest, by two. [n, h, w, c] -> [n, 2h, 2w, c] */
eq_value eq_upsample(eq_graph *g, eq_value x);
/* Windows of kernel x kernel; zeros of padding count in no average. [n, h, w, c] -> [n, ho, wo, c] */
eq_value eq_average_pool(eq_graph *g, eq_value x, int kernel, int stride, int pad);
eq_value eq_max_pool(eq_graph *g, eq_value x, int kernel, int stride, int pad);

/* --- inputs of networks --- */

/* ids: [n, l] i32, each in 0..v-1; table: [v, c]. -> [n, l, c] */
eq_value eq_embedding(eq_graph *g, eq_value ids, eq_value table);
/* t: [n] f32. Sinusoids of dim/2 frequencies exp(-ln(max_period) i / (dim/2 - frequency_shift)); sines first, or
 * cosines when flip_sin_to_cos. -> [n, dim], f32 */
eq_value eq_timestep_embedding(eq_graph *g, eq_value t, int dim, bool flip_sin_to_cos, float frequency_shift,
                               float max_period);

/* --- losses (float32 scalars) --- */

/* logits: [n, k] f32; labels: [n] i32, rows with a negative label do not count. Mean over the counted rows. -> [1] */
eq_value eq_cross_entropy(eq_graph *g, eq_value logits, eq_value labels);
/* prediction, target: like shapes, f32; weight: [n], optional. mean over all elements of weight[n] (p - t)^2. -> [1] */
eq_value eq_mse(eq_graph *g, eq_value prediction, eq_value target, eq_value weight);

/* The op table; for tests and benchmarks. */
const eq_op *const *eq_op_table(int *count);

#endif

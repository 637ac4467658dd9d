/* The oneDNN backend, as the rest sees it. Only files in this folder include oneDNN. */
#ifndef EQ_KERNELS_ONEDNN_ONEDNN_H
#define EQ_KERNELS_ONEDNN_ONEDNN_H

#include "kernels/kernel.h"

/* Engine and stream of one program. */
eq_status eq_onednn_open(eq_context *ctx, void **backend);
void eq_onednn_close(void *backend);

/* Whether the processor has bfloat16 instructions that oneDNN uses; without them bfloat16 is emulated. */
bool eq_onednn_bf16_is_fast(void);

extern const eq_kernel eq_onednn_conv2d;
extern const eq_kernel eq_onednn_conv2d_grad_input;
extern const eq_kernel eq_onednn_conv2d_grad_weight;
extern const eq_kernel eq_onednn_linear;
extern const eq_kernel eq_onednn_linear_grad_input;
extern const eq_kernel eq_onednn_linear_grad_weight;
extern const eq_kernel eq_onednn_matmul;
extern const eq_kernel eq_onednn_attention;
extern const eq_kernel eq_onednn_attention_grad;

#endif

/* Attention in bfloat16 for processors with its dot products (AVX512-BF16), without oneDNN: at heads of a few dozen
 * channels its products of a tile with all keys run at half their rate, and write and read scores that no cache near
 * the core holds. Here keys are taken block by block, with the softmax's largest score and sum kept up (Dao et al.,
 * "FlashAttention", algorithm 1), so scores never leave the first cache. */
#ifndef EQ_KERNELS_ONEDNN_ATTENTION_DIRECT_H
#define EQ_KERNELS_ONEDNN_ATTENTION_DIRECT_H

#include "kernels/onednn/attention.h"

/* Whether it can compute this, here, and is the faster way. */
bool eq_attention_direct_offered(const eq_attention *a);

/* Scratch for that many threads. */
size_t eq_attention_direct_scratch(const eq_attention *a, int threads);

/* q, y: [n, lq, c]; k, v: [n, lk, c], all bfloat16 */
void eq_attention_direct_run(const eq_attention *a, int threads, const uint16_t *q, const uint16_t *k,
                             const uint16_t *v, uint16_t *y, void *scratch);

#endif

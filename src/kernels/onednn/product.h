/* y = a b, small and in float32, run by one thread of many: what attention is made of. */
#ifndef EQ_KERNELS_ONEDNN_PRODUCT_H
#define EQ_KERNELS_ONEDNN_PRODUCT_H

#include "kernels/onednn/backend.h"

typedef struct eq_product_shape {
    int64_t m, k, n;
    dnnl_data_type_t dtype; /* of a and b */
    bool transpose_a;       /* a is stored [k, m] */
    bool accumulate;        /* y += a b */
    /* Where b comes from. Strides of 0: dense, [k, n]. Otherwise element (i, j) of a larger tensor lies at
     * i b_row + j b_column; it is packed once and serves many runs. */
    int64_t b_row, b_column;
} eq_product_shape;

typedef struct eq_product {
    eq_call call, pack;
    bool packs;
    size_t packed_at;
} eq_product;

/* stream: the thread's own, borrowed. A zeroed product may be freed. */
eq_status eq_product_make(const eq_kernel_env *env, const eq_node *node, const eq_product_shape *shape,
                          dnnl_stream_t stream, size_t *scratch_bytes, eq_product *product);
void eq_product_free(eq_product *product);

/* Packs b from its place in a larger tensor. */
dnnl_status_t eq_product_pack(const eq_product *product, const void *b, void *scratch);
/* a: [m, k] or [k, m]; b: [k, n], not read when it was packed; y: [m, n] float32 */
dnnl_status_t eq_product_run(const eq_product *product, const void *a, const void *b, float *y, void *scratch);

/* Primitives divide their work among the threads there are when they are made: products are made between these two, so
 * that the thread which runs one computes all of it. The first returns what the second wants. */
int eq_product_one_thread(void);
void eq_product_all_threads(int threads);

/* Whether oneDNN computes with this dtype here. */
bool eq_product_offered(dnnl_data_type_t dtype);

#endif

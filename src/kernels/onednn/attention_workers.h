/* The threads of attention and its gradient: each has primitives and a part of the scratch of its own. */
#ifndef EQ_KERNELS_ONEDNN_ATTENTION_WORKERS_H
#define EQ_KERNELS_ONEDNN_ATTENTION_WORKERS_H

#include "kernels/onednn/attention.h"
#include "kernels/onednn/onednn.h"
#include "kernels/onednn/product.h"

/* What a kernel's worker begins with. */
typedef struct eq_attention_worker {
    dnnl_stream_t stream;
} eq_attention_worker;

typedef struct eq_attention_workers {
    eq_attention shape;
    size_t scratch_bytes; /* of each */
    int count;
    size_t size;   /* of a worker */
    void *workers; /* [count] */
    void (*release)(void *worker);
} eq_attention_workers;

/* What a kernel's workers are: structs that begin with an eq_attention_worker. prepare makes one's primitives on its
 * stream and takes its scratch from *bytes; release gives the primitives up, also half prepared. */
typedef struct eq_attention_worker_kind {
    size_t size;
    eq_status (*prepare)(const eq_kernel_env *env, const eq_node *node, const eq_attention *shape, void *worker,
                         size_t *bytes);
    void (*release)(void *worker);
} eq_attention_worker_kind;

/* A kernel's prepare and release. kept becomes an eq_attention_workers. */
eq_status eq_attention_workers_prepare(const eq_kernel_env *env, const eq_node *node,
                                       const eq_attention_worker_kind *kind, void **kept, size_t *scratch_bytes);
void eq_attention_workers_release(void *kept);

/* The calling thread's worker, and its part of the scratch. */
const void *eq_attention_worker_own(const eq_attention_workers *workers);
void *eq_attention_scratch_own(const eq_attention_workers *workers, void *scratch);

/* Whether oneDNN offers the products for the node's type. */
bool eq_attention_supports(const eq_graph *graph, const eq_node *node);

#endif

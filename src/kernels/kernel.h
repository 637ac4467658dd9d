/* The kernel table: who computes an op. A program asks the backends in the table's order and takes the first kernel
 * that supports the node; the reference backend, last, supports everything. */
#ifndef EQ_KERNELS_KERNEL_H
#define EQ_KERNELS_KERNEL_H

#include "tensor/graph.h"

/* What kernels share within one program. */
typedef struct eq_kernel_env {
    eq_context *ctx;
    const eq_graph *graph;
    bool frozen;  /* parameters never change after prepare: pack them once */
    void *onednn; /* engine and stream, owned by the program; NULL when that backend is not used */
} eq_kernel_env;

typedef struct eq_kernel {
    const char *op;      /* name of the op it computes */
    const char *backend; /* "onednn", "cpu", "ref" */
    /* NULL: everything. A kernel with `any_dtype` unset is given only f32 buffers: the program converts around it. */
    bool (*supports)(const eq_graph *graph, const eq_node *node);
    /* Optional. Makes what runs reuse (primitives, packed weights) and says how much scratch a run needs. */
    eq_status (*prepare)(const eq_kernel_env *env, const eq_node *node, void **state, size_t *scratch_bytes);
    /* in[i] and out[i] are the buffers of node->in[i] and node->out[i] (NULL for EQ_NONE), 64-byte aligned; for
     * parameters in[i] is their storage. Allocates nothing. */
    eq_status (*run)(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in, void *const *out,
                     void *scratch);
    void (*release)(void *state);
    /* Bytes that prepare keeps (packed weights), for the memory report; NULL: none. */
    size_t (*kept_bytes)(const void *state);
    bool any_dtype; /* reads and writes the graph's dtypes itself */
} eq_kernel;

/* The best kernel for a node. `backend` restricts the choice to one ("ref"), NULL takes the first in the table's
 * order. NULL when there is none. */
const eq_kernel *eq_kernel_find(const char *backend, const eq_graph *graph, const eq_node *node);

/* All rows, for tests and benchmarks. */
const eq_kernel *const *eq_kernel_table(int *count);

#endif

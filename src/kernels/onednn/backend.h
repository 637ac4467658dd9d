/* Inside the oneDNN backend: a primitive with its arguments, parameters in the layout that a primitive wants. */
#ifndef EQ_KERNELS_ONEDNN_BACKEND_H
#define EQ_KERNELS_ONEDNN_BACKEND_H

#include "kernels/kernel.h"
#include "kernels/onednn/compat.h"

/* What eq_kernel_env.onednn points to. */
typedef struct eq_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} eq_onednn;

/* Reserves aligned room in a kernel's scratch and returns its offset. */
size_t eq_scratch_take(size_t *scratch_bytes, size_t bytes);
void *eq_scratch_at(void *scratch, size_t offset);

/* dnnl_data_type_undef for dtypes that oneDNN does not compute with here (all but f32 and bf16). */
dnnl_data_type_t eq_onednn_dtype(eq_dtype dtype);

/* Says which op oneDNN refused, and returns EQ_FAILED (EQ_NO_MEMORY where that was the reason). */
eq_status eq_onednn_fail(const eq_kernel_env *env, const eq_node *node, dnnl_status_t status);

/* Whether oneDNN accepts a node's primitive on this processor: which dtypes it computes with depends on it. */
typedef dnnl_status_t eq_pd_maker(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_graph *graph,
                                  const eq_node *node);
bool eq_onednn_offers(eq_pd_maker *make, const eq_graph *graph, const eq_node *node);

/* An attribute that makes primitives work in scratch that the caller gives; freed with dnnl_primitive_attr_destroy. */
dnnl_status_t eq_scratch_attr(dnnl_primitive_attr_t *attr);

enum { EQ_CALL_ARGUMENTS = 6 };

/* A primitive, its memory objects and its scratchpad. A zeroed one may be freed. */
typedef struct eq_call {
    dnnl_primitive_t primitive; /* NULL: nothing to run */
    dnnl_stream_t stream;       /* borrowed; the program's unless set otherwise */
    dnnl_exec_arg_t args[EQ_CALL_ARGUMENTS + 1];
    int arguments;        /* given at each run */
    int count;            /* the scratchpad included */
    size_t scratchpad_at; /* offset in the kernel's scratch */
} eq_call;

/* Makes the primitive that `pd` describes; arguments: [count] DNNL_ARG_... in the order eq_call_run gets their data. */
eq_status eq_call_make(const eq_kernel_env *env, const eq_node *node, const_dnnl_primitive_desc_t pd, int count,
                       const int *arguments, size_t *scratch_bytes, eq_call *call);
/* data: [count] */
eq_status eq_call_run(const eq_kernel_env *env, const eq_node *node, const eq_call *call, void *const *data,
                      void *scratch);
/* Copies from one layout and dtype to another; data: from, to. */
eq_status eq_reorder_make(const eq_kernel_env *env, const eq_node *node, eq_md_ref from, eq_md_ref to,
                          size_t *scratch_bytes, eq_call *call);
/* The same from within a parallel region, where the message cannot be set. */
dnnl_status_t eq_call_execute(const eq_call *call, void *const *data, void *scratch);
void eq_call_free(eq_call *call);

/* A parameter in another dtype and layout: converted once when parameters are frozen, at each run otherwise. */
typedef struct eq_packed {
    eq_call reorder;   /* without a primitive: the stored layout is the wanted one */
    void *kept;        /* frozen: the converted parameter, owned */
    size_t bytes;      /* of the converted parameter */
    size_t at;         /* its place in scratch when it is not kept */
    eq_tensor widened; /* f16 is first made f32, at this place in scratch; rank 0 otherwise */
    size_t widened_at;
} eq_packed;

/* value: the parameter (row-major, `dims`); wanted: borrowed during the call. */
eq_status eq_packed_make(const eq_kernel_env *env, const eq_node *node, eq_value value, int rank,
                         const dnnl_dims_t dims, eq_md_ref wanted, size_t *scratch_bytes, eq_packed *packed);
/* The converted parameter, valid until scratch is used for something else. */
eq_status eq_packed_get(const eq_kernel_env *env, const eq_node *node, const eq_packed *packed, void *stored,
                        void *scratch, void **data);
void eq_packed_free(eq_packed *packed);

#endif

/* What differs between oneDNN 2.x and 3.x: memory descriptors (structs, then opaque handles), operation descriptors
 * (gone in 3.x) and a few argument lists. */
#ifndef EQ_KERNELS_ONEDNN_COMPAT_H
#define EQ_KERNELS_ONEDNN_COMPAT_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stddef.h>

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t eq_md;
typedef const_dnnl_memory_desc_t eq_md_ref;
#else
typedef dnnl_memory_desc_t eq_md;
typedef const dnnl_memory_desc_t *eq_md_ref;
#endif

/* Owned descriptors, freed with eq_md_free; a zeroed one may be freed. */
dnnl_status_t eq_md_strided(eq_md *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t dtype,
                            const dnnl_dims_t strides);
/* Row-major. */
dnnl_status_t eq_md_plain(eq_md *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t dtype);
/* dims: [n, c] or [n, c, h, w], stored channels last. */
dnnl_status_t eq_activation_md(eq_md *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t dtype);
/* The primitive chooses the layout. */
dnnl_status_t eq_md_any(eq_md *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t dtype);
void eq_md_free(eq_md *md);

eq_md_ref eq_md_borrow(const eq_md *md);
size_t eq_md_bytes(eq_md_ref md);
bool eq_md_equal(eq_md_ref a, eq_md_ref b);
/* The descriptor of an argument (DNNL_ARG_...) of a primitive, owned by `pd`. */
eq_md_ref eq_pd_argument(const_dnnl_primitive_desc_t pd, int argument);

dnnl_status_t eq_memory_create(dnnl_memory_t *memory, eq_md_ref md, dnnl_engine_t engine);
dnnl_status_t eq_post_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t algorithm, float alpha);
/* Adds what the result held before. */
dnnl_status_t eq_post_sum(dnnl_post_ops_t ops);
dnnl_status_t eq_reorder_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, eq_md_ref from, eq_md_ref to,
                            const_dnnl_primitive_attr_t attr);

/* A convolution (rank 4: x: [n, ci, h, w] kept channels last, weight: [co, ci, kh, kw]) or an inner product (rank 2:
 * x: [n, ci], weight: [co, ci]). Weights and their gradient are laid out as the primitive likes. Bias and parameter
 * gradients are float32. */
typedef struct eq_layer {
    int rank;
    dnnl_dims_t x, weight, y;
    dnnl_dims_t stride, pad_before, pad_after; /* rank 4 only */
    dnnl_data_type_t dtype;                    /* of x, y and the weights */
    bool bias;
} eq_layer;

dnnl_status_t eq_layer_forward_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_layer *layer,
                                  const_dnnl_primitive_attr_t attr);
dnnl_status_t eq_layer_grad_input_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_layer *layer,
                                     const_dnnl_primitive_attr_t attr);
dnnl_status_t eq_layer_grad_weight_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_layer *layer,
                                      const_dnnl_primitive_attr_t attr);

dnnl_status_t eq_matmul_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, eq_md_ref a, eq_md_ref b, eq_md_ref y,
                           const_dnnl_primitive_attr_t attr);

#endif

#include "kernels/onednn/compat.h"

#include <string.h>

#if DNNL_VERSION_MAJOR >= 3

dnnl_status_t eq_md_strided(eq_md *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t dtype,
                            const dnnl_dims_t strides)
{
    return dnnl_memory_desc_create_with_strides(md, rank, dims, dtype, strides);
}

dnnl_status_t eq_md_any(eq_md *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t dtype)
{
    return dnnl_memory_desc_create_with_tag(md, rank, dims, dtype, dnnl_format_tag_any);
}

void eq_md_free(eq_md *md)
{
    if (*md)
        dnnl_memory_desc_destroy(*md);
    *md = NULL;
}

eq_md_ref eq_md_borrow(const eq_md *md)
{
    return *md;
}

dnnl_status_t eq_post_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t algorithm, float alpha)
{
    return dnnl_post_ops_append_eltwise(ops, algorithm, alpha, 0);
}

dnnl_status_t eq_post_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef);
}

#else

dnnl_status_t eq_md_strided(eq_md *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t dtype,
                            const dnnl_dims_t strides)
{
    return dnnl_memory_desc_init_by_strides(md, rank, dims, dtype, strides);
}

dnnl_status_t eq_md_any(eq_md *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t dtype)
{
    return dnnl_memory_desc_init_by_tag(md, rank, dims, dtype, dnnl_format_tag_any);
}

void eq_md_free(eq_md *md)
{
    memset(md, 0, sizeof *md);
}

eq_md_ref eq_md_borrow(const eq_md *md)
{
    return md;
}

dnnl_status_t eq_post_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t algorithm, float alpha)
{
    return dnnl_post_ops_append_eltwise(ops, 1, algorithm, alpha, 0);
}

dnnl_status_t eq_post_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1);
}

#endif

dnnl_status_t eq_memory_create(dnnl_memory_t *memory, eq_md_ref md, dnnl_engine_t engine)
{
    return dnnl_memory_create(memory, md, engine, DNNL_MEMORY_NONE);
}

dnnl_status_t eq_md_plain(eq_md *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t dtype)
{
    dnnl_dims_t strides;
    dnnl_dim_t step = 1;
    for (int d = rank; d-- > 0;) {
        strides[d] = step;
        step *= dims[d];
    }
    return eq_md_strided(md, rank, dims, dtype, strides);
}

size_t eq_md_bytes(eq_md_ref md)
{
    return md ? dnnl_memory_desc_get_size(md) : 0;
}

bool eq_md_equal(eq_md_ref a, eq_md_ref b)
{
    return dnnl_memory_desc_equal(a, b) != 0;
}

eq_md_ref eq_pd_argument(const_dnnl_primitive_desc_t pd, int argument)
{
    return dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, argument);
}

dnnl_status_t eq_reorder_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, eq_md_ref from, eq_md_ref to,
                            const_dnnl_primitive_attr_t attr)
{
    return dnnl_reorder_primitive_desc_create(pd, from, engine, to, engine, attr);
}

dnnl_status_t eq_matmul_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, eq_md_ref a, eq_md_ref b, eq_md_ref y,
                           const_dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(pd, engine, a, b, NULL, y, attr);
#else
    dnnl_matmul_desc_t desc;
    dnnl_status_t status = dnnl_matmul_desc_init(&desc, a, b, NULL, y);
    return status ? status : dnnl_primitive_desc_create(pd, &desc, attr, engine, NULL);
#endif
}

/* Descriptors of a layer's tensors. */
typedef struct layer_mds {
    eq_md x, weight, bias, y;
} layer_mds;

static void free_mds(layer_mds *mds)
{
    eq_md_free(&mds->x);
    eq_md_free(&mds->weight);
    eq_md_free(&mds->bias);
    eq_md_free(&mds->y);
}

dnnl_status_t eq_activation_md(eq_md *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t dtype)
{
    if (rank == 2)
        return eq_md_plain(md, rank, dims, dtype);
    dnnl_dim_t c = dims[1], h = dims[2], w = dims[3];
    return eq_md_strided(md, rank, dims, dtype, (dnnl_dims_t){h * w * c, 1, w * c, c});
}

static dnnl_status_t make_mds(layer_mds *mds, const eq_layer *layer, dnnl_data_type_t weight_dtype)
{
    memset(mds, 0, sizeof *mds);
    dnnl_status_t status = eq_activation_md(&mds->x, layer->rank, layer->x, layer->dtype);
    if (!status)
        status = eq_activation_md(&mds->y, layer->rank, layer->y, layer->dtype);
    if (!status)
        status = eq_md_any(&mds->weight, layer->rank, layer->weight, weight_dtype);
    if (!status && layer->bias)
        status = eq_md_plain(&mds->bias, 1, (dnnl_dims_t){layer->weight[0]}, dnnl_f32);
    if (status)
        free_mds(mds);
    return status;
}

static dnnl_status_t forward_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_layer *layer,
                                const layer_mds *mds, const_dnnl_primitive_attr_t attr)
{
    eq_md_ref x = eq_md_borrow(&mds->x), weight = eq_md_borrow(&mds->weight), y = eq_md_borrow(&mds->y);
    eq_md_ref bias = layer->bias ? eq_md_borrow(&mds->bias) : NULL;
#if DNNL_VERSION_MAJOR >= 3
    if (layer->rank == 2)
        return dnnl_inner_product_forward_primitive_desc_create(pd, engine, dnnl_forward_training, x, weight, bias, y,
                                                                attr);
    return dnnl_convolution_forward_primitive_desc_create(pd, engine, dnnl_forward_training, dnnl_convolution_direct, x,
                                                          weight, bias, y, layer->stride, NULL, layer->pad_before,
                                                          layer->pad_after, attr);
#else
    dnnl_convolution_desc_t conv;
    dnnl_inner_product_desc_t product;
    const_dnnl_op_desc_t desc = layer->rank == 2 ? (const_dnnl_op_desc_t)&product : (const_dnnl_op_desc_t)&conv;
    dnnl_status_t status =
        layer->rank == 2
            ? dnnl_inner_product_forward_desc_init(&product, dnnl_forward_training, x, weight, bias, y)
            : dnnl_convolution_forward_desc_init(&conv, dnnl_forward_training, dnnl_convolution_direct, x, weight, bias,
                                                 y, layer->stride, layer->pad_before, layer->pad_after);
    return status ? status : dnnl_primitive_desc_create(pd, desc, attr, engine, NULL);
#endif
}

static dnnl_status_t grad_input_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_layer *layer,
                                   const layer_mds *mds, dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr)
{
    eq_md_ref x = eq_md_borrow(&mds->x), weight = eq_md_borrow(&mds->weight), y = eq_md_borrow(&mds->y);
#if DNNL_VERSION_MAJOR >= 3
    if (layer->rank == 2)
        return dnnl_inner_product_backward_data_primitive_desc_create(pd, engine, x, weight, y, hint, attr);
    return dnnl_convolution_backward_data_primitive_desc_create(pd, engine, dnnl_convolution_direct, x, weight, y,
                                                                layer->stride, NULL, layer->pad_before,
                                                                layer->pad_after, hint, attr);
#else
    dnnl_convolution_desc_t conv;
    dnnl_inner_product_desc_t product;
    const_dnnl_op_desc_t desc = layer->rank == 2 ? (const_dnnl_op_desc_t)&product : (const_dnnl_op_desc_t)&conv;
    dnnl_status_t status =
        layer->rank == 2 ? dnnl_inner_product_backward_data_desc_init(&product, x, weight, y)
                         : dnnl_convolution_backward_data_desc_init(&conv, dnnl_convolution_direct, x, weight, y,
                                                                    layer->stride, layer->pad_before, layer->pad_after);
    return status ? status : dnnl_primitive_desc_create(pd, desc, attr, engine, hint);
#endif
}

static dnnl_status_t grad_weight_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_layer *layer,
                                    const layer_mds *mds, dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr)
{
    eq_md_ref x = eq_md_borrow(&mds->x), weight = eq_md_borrow(&mds->weight), y = eq_md_borrow(&mds->y);
    eq_md_ref bias = layer->bias ? eq_md_borrow(&mds->bias) : NULL;
#if DNNL_VERSION_MAJOR >= 3
    if (layer->rank == 2)
        return dnnl_inner_product_backward_weights_primitive_desc_create(pd, engine, x, weight, bias, y, hint, attr);
    return dnnl_convolution_backward_weights_primitive_desc_create(pd, engine, dnnl_convolution_direct, x, weight, bias,
                                                                   y, layer->stride, NULL, layer->pad_before,
                                                                   layer->pad_after, hint, attr);
#else
    dnnl_convolution_desc_t conv;
    dnnl_inner_product_desc_t product;
    const_dnnl_op_desc_t desc = layer->rank == 2 ? (const_dnnl_op_desc_t)&product : (const_dnnl_op_desc_t)&conv;
    dnnl_status_t status =
        layer->rank == 2
            ? dnnl_inner_product_backward_weights_desc_init(&product, x, weight, bias, y)
            : dnnl_convolution_backward_weights_desc_init(&conv, dnnl_convolution_direct, x, weight, bias, y,
                                                          layer->stride, layer->pad_before, layer->pad_after);
    return status ? status : dnnl_primitive_desc_create(pd, desc, attr, engine, hint);
#endif
}

dnnl_status_t eq_layer_forward_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_layer *layer,
                                  const_dnnl_primitive_attr_t attr)
{
    layer_mds mds;
    dnnl_status_t status = make_mds(&mds, layer, layer->dtype);
    if (status)
        return status;
    status = forward_pd(pd, engine, layer, &mds, attr);
    free_mds(&mds);
    return status;
}

typedef dnnl_status_t gradient_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_layer *layer,
                                  const layer_mds *mds, dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr);

/* Gradients want the forward primitive's descriptor as a hint. */
static dnnl_status_t with_hint(gradient_pd *make, dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                               const eq_layer *layer, dnnl_data_type_t weight_dtype, const_dnnl_primitive_attr_t attr)
{
    dnnl_primitive_desc_t hint;
    dnnl_status_t status = eq_layer_forward_pd(&hint, engine, layer, NULL);
    if (status)
        return status;
    layer_mds mds;
    status = make_mds(&mds, layer, weight_dtype);
    if (!status) {
        status = make(pd, engine, layer, &mds, hint, attr);
        free_mds(&mds);
    }
    dnnl_primitive_desc_destroy(hint);
    return status;
}

dnnl_status_t eq_layer_grad_input_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_layer *layer,
                                     const_dnnl_primitive_attr_t attr)
{
    return with_hint(grad_input_pd, pd, engine, layer, layer->dtype, attr);
}

dnnl_status_t eq_layer_grad_weight_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_layer *layer,
                                      const_dnnl_primitive_attr_t attr)
{
    return with_hint(grad_weight_pd, pd, engine, layer, dnnl_f32, attr);
}

#include "kernels/onednn/product.h"

#include <omp.h>

static dnnl_status_t describe_a(eq_md *md, const eq_product_shape *shape)
{
    dnnl_dims_t dims = {shape->m, shape->k};
    return eq_md_strided(md, 2, dims, shape->dtype,
                         shape->transpose_a ? (dnnl_dims_t){1, shape->m} : (dnnl_dims_t){shape->k, 1});
}

static dnnl_status_t describe_b(eq_md *md, const eq_product_shape *shape)
{
    dnnl_dims_t dims = {shape->k, shape->n};
    return shape->b_row ? eq_md_any(md, 2, dims, shape->dtype) : eq_md_plain(md, 2, dims, shape->dtype);
}

static dnnl_status_t make_attr(dnnl_primitive_attr_t *attr, bool accumulate)
{
    dnnl_post_ops_t ops;
    dnnl_status_t status = eq_scratch_attr(attr);
    if (status || !accumulate)
        return status;
    status = dnnl_post_ops_create(&ops);
    if (!status) {
        status = eq_post_sum(ops);
        if (!status)
            status = dnnl_primitive_attr_set_post_ops(*attr, ops);
        dnnl_post_ops_destroy(ops);
    }
    if (status)
        dnnl_primitive_attr_destroy(*attr);
    return status;
}

static dnnl_status_t make_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const eq_product_shape *shape)
{
    eq_md a, b, y;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    memset(&y, 0, sizeof y);
    dnnl_primitive_attr_t attr;
    dnnl_status_t status = make_attr(&attr, shape->accumulate);
    if (status)
        return status;
    status = describe_a(&a, shape);
    if (!status)
        status = describe_b(&b, shape);
    if (!status)
        status = eq_md_plain(&y, 2, (dnnl_dims_t){shape->m, shape->n}, dnnl_f32);
    if (!status)
        status = eq_matmul_pd(pd, engine, eq_md_borrow(&a), eq_md_borrow(&b), eq_md_borrow(&y), attr);
    eq_md_free(&a);
    eq_md_free(&b);
    eq_md_free(&y);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

/* The copy from a larger tensor into the layout that the matmul chose. */
static eq_status make_pack(const eq_kernel_env *env, const eq_node *node, const eq_product_shape *shape,
                           const_dnnl_primitive_desc_t pd, size_t *scratch_bytes, eq_product *product)
{
    eq_md from;
    eq_md_ref to = eq_pd_argument(pd, DNNL_ARG_WEIGHTS);
    dnnl_status_t made = eq_md_strided(&from, 2, (dnnl_dims_t){shape->k, shape->n}, shape->dtype,
                                       (dnnl_dims_t){shape->b_row, shape->b_column});
    if (made)
        return eq_onednn_fail(env, node, made);
    product->packs = true;
    product->packed_at = eq_scratch_take(scratch_bytes, eq_md_bytes(to));
    eq_status status = eq_reorder_make(env, node, eq_md_borrow(&from), to, scratch_bytes, &product->pack);
    eq_md_free(&from);
    return status;
}

eq_status eq_product_make(const eq_kernel_env *env, const eq_node *node, const eq_product_shape *shape,
                          dnnl_stream_t stream, size_t *scratch_bytes, eq_product *product)
{
    memset(product, 0, sizeof *product);
    dnnl_primitive_desc_t pd;
    dnnl_status_t made = make_pd(&pd, ((eq_onednn *)env->onednn)->engine, shape);
    if (made)
        return eq_onednn_fail(env, node, made);
    eq_status status = eq_call_make(env, node, pd, 3, (int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
                                    scratch_bytes, &product->call);
    if (status == EQ_OK && shape->b_row)
        status = make_pack(env, node, shape, pd, scratch_bytes, product);
    dnnl_primitive_desc_destroy(pd);
    product->call.stream = product->pack.stream = stream;
    return status;
}

void eq_product_free(eq_product *product)
{
    eq_call_free(&product->call);
    eq_call_free(&product->pack);
}

dnnl_status_t eq_product_pack(const eq_product *product, const void *b, void *scratch)
{
    void *packed = eq_scratch_at(scratch, product->packed_at);
    return eq_call_execute(&product->pack, (void *[]){(void *)b, packed}, scratch);
}

dnnl_status_t eq_product_run(const eq_product *product, const void *a, const void *b, float *y, void *scratch)
{
    const void *right = product->packs ? eq_scratch_at(scratch, product->packed_at) : b;
    return eq_call_execute(&product->call, (void *[]){(void *)a, (void *)right, y}, scratch);
}

int eq_product_one_thread(void)
{
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    return threads;
}

void eq_product_all_threads(int threads)
{
    omp_set_num_threads(threads);
}

bool eq_product_offered(dnnl_data_type_t dtype)
{
    dnnl_engine_t engine;
    dnnl_primitive_desc_t pd;
    if (dtype == dnnl_data_type_undef || dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success)
        return false;
    eq_product_shape shape = {.m = 16, .k = 16, .n = 16, .dtype = dtype};
    bool offered = make_pd(&pd, engine, &shape) == dnnl_success;
    if (offered)
        dnnl_primitive_desc_destroy(pd);
    dnnl_engine_destroy(engine);
    return offered;
}

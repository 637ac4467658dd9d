#include "kernels/ref/ref.h"

static eq_status check_ids(const eq_kernel_env *env, const eq_node *node, const int32_t *ids, int64_t count,
                           int64_t rows)
{
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= rows)
            return eq_fail(env->ctx, EQ_BAD_USAGE, "%s: id %d is not in 0..%lld, the rows of the table", node->op->name,
                           (int)ids[i], (long long)rows - 1);
    return EQ_OK;
}

/* in: ids: [count], table: [v, c]; out: y: [count, c]. Converts the rows it reads, not the whole table. */
static eq_status run_embedding(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                               void *const *out, void *scratch)
{
    const int32_t *ids = in[0];
    const eq_value_info *table = eq_info(env->graph, node->in[1]), *y = eq_info(env->graph, node->out[0]);
    int64_t c = table->shape.dim[1], count = eq_shape_count(eq_shape_at(env->graph, node->in[0]));
    EQ_TRY(check_ids(env, node, ids, count, table->shape.dim[0]));
    for (int64_t i = 0; i < count; i++) {
        char *from = (char *)in[1] + (size_t)(ids[i] * c) * eq_dtype_size(table->dtype);
        eq_tensor row = {table->dtype, eq_shape_of(c), from};
        float *to = y->dtype == EQ_F32 ? (float *)out[0] + i * c : scratch;
        eq_tensor_to_f32(&row, to);
        for (int64_t j = 0; y->dtype == EQ_BF16 && j < c; j++)
            ((uint16_t *)out[0])[i * c + j] = eq_f32_to_bf16(to[j]);
    }
    return EQ_OK;
}

/* A row in float32. */
static eq_status prepare_embedding(const eq_kernel_env *env, const eq_node *node, void **state, size_t *scratch_bytes)
{
    *scratch_bytes = (size_t)eq_shape_at(env->graph, node->in[1])->dim[1] * sizeof(float);
    return EQ_OK;
}

/* in: ids: [count], dy: [count, c]; out: dtable: [v, c] */
static eq_status run_embedding_grad(const eq_kernel_env *env, const eq_node *node, void *state, void *const *in,
                                    void *const *out, void *scratch)
{
    const int32_t *ids = in[0];
    const float *dy = in[1];
    float *dtable = out[0];
    int64_t rows = node->attr.shape.dim[0], c = node->attr.shape.dim[1];
    int64_t count = eq_shape_count(eq_shape_at(env->graph, node->in[0]));
    EQ_TRY(check_ids(env, node, ids, count, rows));
    memset(dtable, 0, (size_t)(rows * c) * sizeof *dtable);
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < c; j++)
            dtable[ids[i] * c + j] += dy[i * c + j];
    return EQ_OK;
}

const eq_kernel eq_ref_embedding = {
    .op = "embedding", .backend = "ref", .prepare = prepare_embedding, .run = run_embedding, .any_dtype = true};
const eq_kernel eq_ref_embedding_grad = {.op = "embedding_grad", .backend = "ref", .run = run_embedding_grad};

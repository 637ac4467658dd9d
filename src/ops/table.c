#include "ops/table.h"

#include "ops/ops.h"

static const eq_op *const table[] = {
    /* clang-format off */
    &eq_op_activation,
    &eq_op_activation_grad,
    &eq_op_add,
    &eq_op_constant,
    &eq_op_sum_to,
    &eq_op_broadcast_to,
    &eq_op_cast,
    &eq_op_scale,
    &eq_op_concat,
    &eq_op_slice,
    &eq_op_slice_grad,
    &eq_op_permute,
    &eq_op_upsample,
    &eq_op_upsample_grad,
    &eq_op_reshape,
    &eq_op_scale_shift,
    &eq_op_scale_shift_grad,
    &eq_op_conv2d,
    &eq_op_conv2d_grad_input,
    &eq_op_conv2d_grad_weight,
    &eq_op_linear,
    &eq_op_linear_grad_input,
    &eq_op_linear_grad_weight,
    &eq_op_group_norm,
    &eq_op_group_norm_grad,
    &eq_op_timestep_embedding,
    &eq_op_mse,
    &eq_op_mse_grad,
    &eq_op_mae,
    &eq_op_mae_grad,
    &eq_op_gaussian_sample,
    &eq_op_gaussian_sample_grad,
    &eq_op_gaussian_kl,
    &eq_op_gaussian_kl_grad,
    &eq_op_matmul,
    &eq_op_attention,
    &eq_op_attention_grad,
    &eq_op_layer_norm,
    &eq_op_layer_norm_grad,
    &eq_op_embedding,
    &eq_op_embedding_grad,
    &eq_op_cross_entropy,
    &eq_op_cross_entropy_grad,
    &eq_op_multiply,
    &eq_op_softmax,
    &eq_op_softmax_grad,
    &eq_op_average_pool,
    &eq_op_average_pool_grad,
    &eq_op_max_pool,
    &eq_op_max_pool_grad,
    /* clang-format on */
};

const eq_op *const *eq_op_table(int *count)
{
    *count = (int)(sizeof table / sizeof table[0]);
    return table;
}

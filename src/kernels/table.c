/* One row a kernel, the fastest backends first. */
#include "kernels/kernel.h"

#include "kernels/cpu/cpu.h"
#include "kernels/onednn/onednn.h"
#include "kernels/ref/ref.h"

static const eq_kernel *const table[] = {
    /* clang-format off */
    &eq_cpu_conv2d,
    &eq_onednn_conv2d,
    &eq_cpu_conv2d_grad_input,
    &eq_onednn_conv2d_grad_input,
    &eq_cpu_conv2d_grad_weight,
    &eq_onednn_conv2d_grad_weight,
    &eq_onednn_linear,
    &eq_onednn_linear_grad_input,
    &eq_onednn_linear_grad_weight,
    &eq_onednn_matmul,
    &eq_onednn_attention,
    &eq_onednn_attention_grad,
    &eq_cpu_activation,
    &eq_cpu_activation_grad,
    &eq_cpu_add,
    &eq_cpu_multiply,
    &eq_cpu_scale,
    &eq_cpu_cast,
    &eq_cpu_concat,
    &eq_cpu_slice,
    &eq_cpu_slice_grad,
    &eq_cpu_broadcast_to,
    &eq_cpu_permute,
    &eq_cpu_sum_to,
    &eq_cpu_average_pool,
    &eq_cpu_average_pool_grad,
    &eq_cpu_halve,
    &eq_cpu_halve_grad,
    &eq_cpu_upsample,
    &eq_cpu_upsample_grad,
    &eq_cpu_group_norm,
    &eq_cpu_group_norm_grad,
    &eq_cpu_layer_norm,
    &eq_cpu_layer_norm_grad,
    &eq_cpu_softmax,
    &eq_cpu_softmax_grad,
    &eq_cpu_scale_shift,
    &eq_cpu_scale_shift_grad,
    &eq_ref_activation,
    &eq_ref_activation_grad,
    &eq_ref_add,
    &eq_ref_constant,
    &eq_ref_sum_to,
    &eq_ref_broadcast_to,
    &eq_ref_cast,
    &eq_ref_scale,
    &eq_ref_scale_shift,
    &eq_ref_scale_shift_grad,
    &eq_ref_concat,
    &eq_ref_slice,
    &eq_ref_slice_grad,
    &eq_ref_reshape,
    &eq_ref_permute,
    &eq_ref_upsample,
    &eq_ref_upsample_grad,
    &eq_ref_conv2d,
    &eq_ref_conv2d_grad_input,
    &eq_ref_conv2d_grad_weight,
    &eq_ref_linear,
    &eq_ref_linear_grad_input,
    &eq_ref_linear_grad_weight,
    &eq_ref_group_norm,
    &eq_ref_group_norm_grad,
    &eq_ref_timestep_embedding,
    &eq_ref_mse,
    &eq_ref_mse_grad,
    &eq_ref_mae,
    &eq_ref_mae_grad,
    &eq_ref_gaussian_sample,
    &eq_ref_gaussian_sample_grad,
    &eq_ref_gaussian_kl,
    &eq_ref_gaussian_kl_grad,
    &eq_ref_matmul,
    &eq_ref_attention,
    &eq_ref_attention_grad,
    &eq_ref_layer_norm,
    &eq_ref_layer_norm_grad,
    &eq_ref_embedding,
    &eq_ref_embedding_grad,
    &eq_ref_cross_entropy,
    &eq_ref_cross_entropy_grad,
    &eq_ref_multiply,
    &eq_ref_softmax,
    &eq_ref_softmax_grad,
    &eq_ref_average_pool,
    &eq_ref_average_pool_grad,
    &eq_ref_max_pool,
    &eq_ref_max_pool_grad,
    /* clang-format on */
};

const eq_kernel *const *eq_kernel_table(int *count)
{
    *count = (int)(sizeof table / sizeof table[0]);
    return table;
}

const eq_kernel *eq_kernel_find(const char *backend, const eq_graph *graph, const eq_node *node)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const eq_kernel *kernel = table[i];
        if (strcmp(kernel->op, node->op->name) != 0 || (backend && strcmp(kernel->backend, backend) != 0))
            continue;
        if (!kernel->supports || kernel->supports(graph, node))
            return kernel;
    }
    return NULL;
}

#include "models/batch_norm.h"

#include <math.h>
#include <stdlib.h>

#include "models/layers.h"

eq_status eq_weights_take(eq_context *ctx, const eq_tensor_file *file, const char *name, eq_shape shape, float **out)
{
    eq_tensor tensor;
    EQ_TRY(eq_tensor_file_get(ctx, file, name, shape, &tensor));
    if (tensor.dtype != EQ_F32 && tensor.dtype != EQ_F16 && tensor.dtype != EQ_BF16)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s is %s; weights must be f32, bf16 or f16", file->path, name,
                       eq_dtype_name(tensor.dtype));
    *out = malloc((size_t)eq_shape_count(&shape) * sizeof **out + 1);
    if (!*out)
        return eq_fail_memory(ctx, "the network's parameters");
    eq_tensor_to_f32(&tensor, *out);
    return EQ_OK;
}

eq_status eq_batch_norm_fold(eq_context *ctx, const eq_tensor_file *file, const char *norm, double epsilon,
                             const eq_param *weight, eq_param *bias)
{
    static const char *const parts[4] = {"weight", "bias", "running_mean", "running_var"};
    float *part[4] = {0}, *w = weight->tensor.data, *offset = bias->tensor.data;
    int64_t channels = weight->tensor.shape.dim[0], row = eq_shape_count(&weight->tensor.shape) / channels;
    eq_status status = EQ_OK;
    for (int i = 0; i < 4 && status == EQ_OK; i++)
        status =
            eq_weights_take(ctx, file, eq_prefix_format("%s.%s", norm, parts[i]).text, eq_shape_of(channels), &part[i]);
    for (int64_t c = 0; status == EQ_OK && c < channels; c++) {
        if (!(part[3][c] >= 0)) {
            status = eq_fail(ctx, EQ_BAD_INPUT, "%s: %s.running_var: a negative variance", file->path, norm);
            break;
        }
        double scale = part[0][c] / sqrt(part[3][c] + epsilon);
        for (int64_t k = 0; k < row; k++)
            w[c * row + k] = (float)(scale * w[c * row + k]);
        offset[c] = (float)(part[1][c] - scale * part[2][c]);
    }
    for (int i = 0; i < 4; i++)
        free(part[i]);
    return status;
}

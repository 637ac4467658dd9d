#include "run/compute_dtype.h"

#include <string.h>

#include "base/error.h"
#include "equipoise/generate.h"

eq_dtype eq_compute_dtype(eq_context *ctx, const char *dtype)
{
    if (strcmp(dtype, "f32") == 0)
        return EQ_F32;
    if (eq_bf16_is_fast())
        return EQ_BF16;
    if (strcmp(dtype, "bf16") == 0)
        eq_log(ctx, EQ_LOG_WARNING,
               "this processor has no instructions for bfloat16, which would take a hundred times as long: computing "
               "in float32");
    return EQ_F32;
}

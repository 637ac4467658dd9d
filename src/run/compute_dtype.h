/* Which numbers a network is computed in. */
#ifndef EQ_RUN_COMPUTE_DTYPE_H
#define EQ_RUN_COMPUTE_DTYPE_H

#include "tensor/tensor.h"

/* dtype: "f32", "bf16" or "auto" (bf16 where that is faster). bf16 on a processor without instructions for it would
 * take a hundred times as long: a warning says so, and the answer is EQ_F32. */
eq_dtype eq_compute_dtype(eq_context *ctx, const char *dtype);

#endif

/* Parameters to and from tensor files. */
#ifndef EQ_MODELS_WEIGHTS_H
#define EQ_MODELS_WEIGHTS_H

#include "io/tensor_file.h"
#include "tensor/params.h"

/* Another spelling of a part of parameter names, e.g. ".query." for ".to_q.". Ends with a NULL row. */
typedef struct eq_name_alias {
    const char *ours, *theirs;
} eq_name_alias;

/* Points every declared parameter at its tensor in the file, which must stay open as long as they are used (until
 * eq_params_allocate has copied them). Trailing dimensions of 1 may be there or not. EQ_BAD_INPUT lists the first
 * parameters that are missing, of another shape, or in the file without being wanted. */
eq_status eq_weights_load(eq_context *ctx, eq_params *params, const eq_tensor_file *file, const eq_name_alias *aliases);

/* Writes all parameters as safetensors in `dtype` (EQ_F32, EQ_BF16 or EQ_F16), under a temporary name, then renames. */
eq_status eq_weights_save(eq_context *ctx, const eq_params *params, const char *path, eq_dtype dtype,
                          const eq_metadata *metadata, size_t metadata_count);

#endif

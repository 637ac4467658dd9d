/* Parameters to and from tensor files. */
#ifndef EQ_MODELS_WEIGHTS_H
#define EQ_MODELS_WEIGHTS_H

#include "io/tensor_file.h"
#include "tensor/params.h"

/* Rows (first dimension) of a tensor that hold a parameter: blocks of `block` rows, the first at row `offset`, each
 * `stride` rows after the one before. block 0: the whole tensor. E.g. the queries of h heads of d channels in a fused
 * weight of [h * 3 * d, c]: {0, d, 3 * d}. Or, where `transposed`, the whole of a matrix that the file holds
 * transposed. */
typedef struct eq_weight_part {
    int64_t offset, block, stride;
    bool transposed;
} eq_weight_part;

/* How another format names our parameters. */
typedef struct eq_name_map {
    /* Writes the file's name for the parameter `ours` into theirs[size]; `part` comes zeroed: the whole tensor. False
     * where the format has no name for it (a fault, unless the file has it under our name). */
    bool (*name)(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part);
    const void *user;
    /* The network's tensors begin with this; others in the file belong to other networks. NULL: all are its own. */
    const char *prefix;
} eq_name_map;

/* Points every declared parameter at its tensor in the file, which must stay open as long as they are used (until
 * eq_params_allocate has copied them). Each is looked for under our name, then under that of `names` (NULL: our names
 * only). Parts that are not in one piece are copied; the copies belong to `params`. Trailing dimensions of 1 may be
 * there or not. EQ_BAD_INPUT names parameters that are missing or of another shape, and tensors that none wanted; these
 * are left out with a warning where eq_set_allow_unused allows it. */
eq_status eq_weights_load(eq_context *ctx, eq_params *params, const eq_tensor_file *file, const eq_name_map *names);

/* Before memory is taken for the parameters, which are declared: the file must have as many numbers, whatever a few of
 * its shapes ask for. */
eq_status eq_weights_check_total(eq_context *ctx, const eq_tensor_file *file, const eq_params *params);

/* Writes all parameters as safetensors in `dtype` (EQ_F32, EQ_BF16 or EQ_F16), under a temporary name, then renames. */
eq_status eq_weights_save(eq_context *ctx, const eq_params *params, const char *path, eq_dtype dtype,
                          const eq_metadata *metadata, size_t metadata_count);

#endif

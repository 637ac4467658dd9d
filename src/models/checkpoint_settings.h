/* What a checkpoint without a configuration says about its own network: the shapes of its tensors, and the settings in
 * a model_config.json beside it. Shapes decide; settings add what they cannot tell, and must not contradict them. */
#ifndef EQ_MODELS_CHECKPOINT_SETTINGS_H
#define EQ_MODELS_CHECKPOINT_SETTINGS_H

#include "io/json.h"
#include "io/tensor_file.h"
#include "models/unet.h"

/* settings: the object is NULL where there is no such file. */
typedef struct eq_checkpoint_source {
    const eq_tensor_file *weights;
    eq_json settings;
} eq_checkpoint_source;

/* Opens the model_config.json in the folder of the weights' file, if there is one. */
eq_status eq_checkpoint_source_open(eq_context *ctx, const eq_tensor_file *weights, eq_checkpoint_source *out);
void eq_checkpoint_source_close(eq_checkpoint_source *source);

/* Whether a tensor of that name (printf style) is there. */
bool eq_checkpoint_has(const eq_checkpoint_source *source, const char *name, ...) EQ_PRINTF(2, 3);
/* The size of its dimension number `dim`; 0 where there is no such tensor or dimension. */
int eq_checkpoint_size(const eq_checkpoint_source *source, int dim, const char *name, ...) EQ_PRINTF(3, 4);

/* Whether the settings have that key, and not as null. */
bool eq_checkpoint_says(const eq_checkpoint_source *source, const char *key);

/* The setting, or `usual` where it is not given. */
eq_status eq_checkpoint_int(eq_context *ctx, const eq_checkpoint_source *source, const char *key, int usual, int low,
                            int high, int *out);
eq_status eq_checkpoint_bool(eq_context *ctx, const eq_checkpoint_source *source, const char *key, bool usual,
                             bool *out);

/* EQ_BAD_INPUT where the settings give another value than the weights show; names both. */
eq_status eq_checkpoint_agree(eq_context *ctx, const eq_checkpoint_source *source, const char *key, int found);
eq_status eq_checkpoint_agree_bool(eq_context *ctx, const eq_checkpoint_source *source, const char *key, bool found);

/* The same for channels of the levels as multiples of `base`. */
eq_status eq_checkpoint_agree_channels(eq_context *ctx, const eq_checkpoint_source *source, const char *key,
                                       const double *multiple, int count, int base, const eq_unet_config *unet);
/* The same for image sides at which there is attention; only where image_size is given, too. */
eq_status eq_checkpoint_agree_attention(eq_context *ctx, const eq_checkpoint_source *source, const char *key,
                                        const eq_unet_config *unet);

/* Numbers written as an array, or as guided-diffusion writes them: "16,8". None where the key is missing. */
eq_status eq_checkpoint_numbers(eq_context *ctx, const eq_checkpoint_source *source, const char *key, int capacity,
                                double *out, int *count);

#endif

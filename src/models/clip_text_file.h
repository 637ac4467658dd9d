/* The text transformer's weights: a folder in transformers' format, or part of a single-file checkpoint. */
#ifndef EQ_MODELS_CLIP_TEXT_FILE_H
#define EQ_MODELS_CLIP_TEXT_FILE_H

#include "io/tensor_file.h"
#include "models/clip_text.h"

typedef struct eq_clip_text_file {
    eq_clip_text_config config;
    eq_params *params;      /* views of `weights`, or of the checkpoint */
    eq_tensor_file weights; /* of a folder */
    bool pads_with_zero;    /* of a checkpoint, where no tokenizer says so: texts are padded with token 0, as OpenCLIP
                               does it */
} eq_clip_text_file;

/* Opens "config.json" and "model.safetensors" (or its shards, or "pytorch_model.bin") of a folder. Freed with
 * eq_clip_text_file_close. EQ_BAD_INPUT names the file and the fault. */
eq_status eq_clip_text_file_open(eq_context *ctx, const char *folder, eq_clip_text_file *out);

/* Text transformers in a single-file Stable Diffusion checkpoint: 1 of 1.x and 2.x, 2 of XL. */
int eq_clip_text_count(const eq_tensor_file *checkpoint);

/* The text transformer `number`, from 0, of such a checkpoint, which must stay open; the configuration comes from the
 * shapes of the weights. Of 2.x's the last block is left out: these models take the states before it. EQ_BAD_INPUT
 * where there is none inside. */
eq_status eq_clip_text_file_from_checkpoint(eq_context *ctx, const eq_tensor_file *checkpoint, int number,
                                            eq_clip_text_file *out);
void eq_clip_text_file_close(eq_clip_text_file *file);

/* Writes such a folder. bos, eos, pad: the tokenizer's ids. */
eq_status eq_clip_text_file_save(eq_context *ctx, const char *folder, const eq_clip_text_config *config,
                                 const eq_params *params, eq_dtype dtype, int bos, int eos, int pad);

#endif

/* The whole of CLIP, both towers: a folder in transformers' layout (config.json of a CLIPModel), or OpenAI's state
 * dictionary in a folder, whose shapes say everything. */
#ifndef EQ_MODELS_CLIP_MODEL_H
#define EQ_MODELS_CLIP_MODEL_H

#include "models/clip_text.h"
#include "models/clip_vision.h"
#include "models/preparation.h"
#include "models/weights.h"

typedef struct eq_clip_model {
    eq_clip_text_config text; /* with a projection */
    eq_clip_vision_config vision;
    eq_params *text_params, *vision_params; /* views of `weights` */
    float logit_scale;                      /* what products of unit vectors are multiplied by */
    bool transformers;                      /* the layout */
    char *path;                             /* the weights' file; owned */
    eq_tensor_file weights;
} eq_clip_model;

/* The weights are the first there is of model.safetensors, its index, pytorch_model.bin, model.pt, clip.pt, and
 * OpenAI's ViT-B-32.pt, ViT-B-16.pt, ViT-L-14.pt, ViT-L-14-336px.pt. EQ_BAD_INPUT names the file and the fault. */
eq_status eq_clip_model_open(eq_context *ctx, const char *folder, eq_clip_model *out);
void eq_clip_model_close(eq_clip_model *model);

/* How the model's images are prepared, by its layout and the folder's preprocessor_config.json where there is one. */
eq_status eq_clip_model_preparation(eq_context *ctx, const char *folder, const eq_clip_model *model,
                                    eq_preparation *out);

/* OpenAI's names of both towers' parameters. The maps read the model, which must stay as long as they are used. */
eq_name_map eq_names_openai_text(const eq_clip_model *model);
eq_name_map eq_names_openai_vision(const eq_clip_model *model);

#endif

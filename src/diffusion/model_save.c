/* Models as diffusers folders. In each, the index comes last: where it stands, the folder is complete. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "diffusion/model.h"
#include "models/clip_text_file.h"
#include "models/diffusers_unet.h"
#include "models/weights.h"

/* What is copied into a text model's folder; the first two files of each part must be there. */
enum { NEEDED_FILES = 2, LARGEST_FILE = 1 << 30 };
static const char *const vae_files[] = {"config.json", "diffusion_pytorch_model.safetensors", NULL};
static const char *const tokenizer_files[] = {"vocab.json", "merges.txt", "tokenizer_config.json",
                                              "special_tokens_map.json", NULL};

static eq_status save_unet(eq_context *ctx, const char *folder, const eq_unet_config *unet, const eq_params *params,
                           eq_dtype dtype)
{
    char *part = eq_path_join(folder, "unet"), *config = eq_path_join(folder, "unet/config.json");
    char *weights = eq_path_join(folder, "unet/diffusion_pytorch_model.safetensors");
    eq_status status = part && config && weights ? eq_make_folders(ctx, part) : eq_fail_memory(ctx, "paths");
    if (status == EQ_OK)
        status = eq_weights_save(ctx, params, weights, dtype, &(eq_metadata){"format", "pt"}, 1);
    if (status == EQ_OK)
        status = eq_unet_config_write(ctx, config, unet);
    free(part);
    free(config);
    free(weights);
    return status;
}

static eq_status save_schedule(eq_context *ctx, const char *folder, const eq_schedule *schedule)
{
    char *part = eq_path_join(folder, "scheduler"), *config = eq_path_join(folder, "scheduler/scheduler_config.json");
    eq_status status = part && config ? eq_make_folders(ctx, part) : eq_fail_memory(ctx, "paths");
    if (status == EQ_OK)
        status = eq_schedule_write(ctx, config, schedule);
    free(part);
    free(config);
    return status;
}

static eq_status save_index(eq_context *ctx, const char *folder, const char *text)
{
    char *path = eq_path_join(folder, "model_index.json");
    eq_status status = path && text ? eq_file_write(ctx, path, text, strlen(text)) : eq_fail_memory(ctx, "an index");
    free(path);
    return status;
}

eq_status eq_model_save(eq_context *ctx, const char *folder, const eq_unet_config *unet, const eq_params *params,
                        const eq_schedule *schedule, eq_dtype dtype)
{
    char *index = eq_format("{\n"
                            "  \"_class_name\": \"DDIMPipeline\",\n"
                            "  \"_diffusers_version\": \"0.14.0\",\n"
                            "  \"unet\": [\"diffusers\", \"UNet2DModel\"],\n"
                            "  \"scheduler\": [\"diffusers\", \"%s\"]\n"
                            "}\n",
                            schedule->config.scheduler);
    eq_status status = save_unet(ctx, folder, unet, params, dtype);
    if (status == EQ_OK)
        status = save_schedule(ctx, folder, schedule);
    if (status == EQ_OK)
        status = save_index(ctx, folder, index);
    free(index);
    return status;
}

/* --- models of latents and text --- */

eq_status eq_vae_save(eq_context *ctx, const char *folder, const eq_vae_config *config, const eq_params *params,
                      int sample_size, eq_dtype dtype)
{
    char *json = eq_path_join(folder, "config.json");
    char *weights = eq_path_join(folder, "diffusion_pytorch_model.safetensors");
    eq_status status = json && weights ? EQ_OK : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK)
        status = eq_weights_save(ctx, params, weights, dtype, &(eq_metadata){"format", "pt"}, 1);
    if (status == EQ_OK)
        status = eq_vae_config_write(ctx, json, config, sample_size);
    free(json);
    free(weights);
    return status;
}

static eq_status copy_file(eq_context *ctx, const char *from, const char *to)
{
    uint8_t *bytes = NULL;
    size_t size;
    eq_status status = eq_file_read(ctx, from, LARGEST_FILE, &bytes, &size);
    if (status == EQ_OK)
        status = eq_file_write(ctx, to, bytes, size);
    free(bytes);
    return status;
}

/* Copies those of `files` that are in `source`. */
static eq_status copy_part(eq_context *ctx, const char *source, const char *folder, const char *name,
                           const char *const *files)
{
    char *part = eq_path_join(folder, name);
    eq_status status = part ? eq_make_folders(ctx, part) : eq_fail_memory(ctx, "a path");
    for (int i = 0; status == EQ_OK && files[i]; i++) {
        char *from = eq_path_join(source, files[i]), *to = eq_path_join(part, files[i]);
        if (!from || !to)
            status = eq_fail_memory(ctx, "a path");
        else if (i < NEEDED_FILES || eq_path_exists(from))
            status = copy_file(ctx, from, to);
        free(from);
        free(to);
    }
    free(part);
    return status;
}

static eq_status save_text(eq_context *ctx, const char *folder, const eq_text_model *model, eq_dtype dtype)
{
    char *part = eq_path_join(folder, "text_encoder");
    eq_status status = part ? EQ_OK : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK)
        status = eq_clip_text_file_save(ctx, part, model->text, model->text_params, dtype, model->bos, model->eos,
                                        model->pad);
    free(part);
    return status;
}

eq_status eq_text_model_save(eq_context *ctx, const char *folder, const eq_text_model *model, eq_dtype dtype)
{
    char *index = eq_format("{\n"
                            "  \"_class_name\": \"StableDiffusionPipeline\",\n"
                            "  \"_diffusers_version\": \"0.14.0\",\n"
                            "  \"feature_extractor\": [null, null],\n"
                            "  \"requires_safety_checker\": false,\n"
                            "  \"safety_checker\": [null, null],\n"
                            "  \"scheduler\": [\"diffusers\", \"%s\"],\n"
                            "  \"text_encoder\": [\"transformers\", \"CLIPTextModel\"],\n"
                            "  \"tokenizer\": [\"transformers\", \"CLIPTokenizer\"],\n"
                            "  \"unet\": [\"diffusers\", \"UNet2DConditionModel\"],\n"
                            "  \"vae\": [\"diffusers\", \"AutoencoderKL\"]\n"
                            "}\n",
                            model->schedule->config.scheduler);
    eq_status status = save_unet(ctx, folder, model->unet, model->unet_params, dtype);
    if (status == EQ_OK)
        status = save_text(ctx, folder, model, dtype);
    if (status == EQ_OK)
        status = copy_part(ctx, model->vae, folder, "vae", vae_files);
    if (status == EQ_OK)
        status = copy_part(ctx, model->tokenizer, folder, "tokenizer", tokenizer_files);
    if (status == EQ_OK)
        status = save_schedule(ctx, folder, model->schedule);
    if (status == EQ_OK)
        status = save_index(ctx, folder, index);
    free(index);
    return status;
}

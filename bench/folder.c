/* A model folder in Stable Diffusion 1.5's layout and size with random weights, for measuring whole processes:
 *
 *   bench_folder FOLDER TOKENIZER [--dtype f32|bf16|f16]
 *   /usr/bin/time -v equipoise generate --model FOLDER --prompt "a portrait" --count 1 --steps 2 --dtype bf16 --out RUN
 *
 * TOKENIZER: a folder with CLIP's vocab.json and merges.txt, which are copied. --dtype: of the weights in the files. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/path.h"
#include "models/clip_text.h"
#include "models/diffusers_unet.h"
#include "models/weights.h"
#include "stable_diffusion.h"

enum { BOS = 49406, EOS = 49407, MOST_VOCABULARY = 1 << 24 };

static const eq_clip_text_config text = {.vocab_size = 49408,
                                         .hidden_size = 768,
                                         .intermediate_size = 3072,
                                         .num_hidden_layers = 12,
                                         .num_attention_heads = 12,
                                         .max_position_embeddings = 77,
                                         .hidden_act = EQ_ACT_QUICK_GELU,
                                         .layer_norm_eps = 1e-5f};

static const char vae_json[] =
    "{\"_class_name\": \"AutoencoderKL\", \"in_channels\": 3, \"out_channels\": 3, \"latent_channels\": 4,\n"
    " \"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\", \"DownEncoderBlock2D\", "
    "\"DownEncoderBlock2D\"],\n"
    " \"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\", \"UpDecoderBlock2D\", \"UpDecoderBlock2D\"],\n"
    " \"block_out_channels\": [128, 256, 512, 512], \"layers_per_block\": 2, \"norm_num_groups\": 32,\n"
    " \"act_fn\": \"silu\", \"scaling_factor\": 0.18215, \"sample_size\": 512}\n";
static const char scheduler_json[] =
    "{\"_class_name\": \"PNDMScheduler\", \"num_train_timesteps\": 1000, \"beta_start\": 0.00085, \"beta_end\": 0.012,\n"
    " \"beta_schedule\": \"scaled_linear\", \"skip_prk_steps\": true, \"set_alpha_to_one\": false, \"steps_offset\": "
    "1}\n";
static const char index_json[] =
    "{\"_class_name\": \"StableDiffusionPipeline\", \"unet\": [\"diffusers\", \"UNet2DConditionModel\"],\n"
    " \"vae\": [\"diffusers\", \"AutoencoderKL\"], \"text_encoder\": [\"transformers\", \"CLIPTextModel\"],\n"
    " \"tokenizer\": [\"transformers\", \"CLIPTokenizer\"], \"scheduler\": [\"diffusers\", \"PNDMScheduler\"]}\n";

static eq_status declare_unet(eq_params *params)
{
    return eq_unet_declare(params, &bench_sd15);
}

static eq_status declare_vae(eq_params *params)
{
    return eq_vae_declare(params, &bench_sd15_vae);
}

static eq_status declare_text(eq_params *params)
{
    return eq_clip_text_declare(params, &text);
}

/* Random values of the size that training leaves; none is zero. */
static eq_status write_weights(eq_context *ctx, const char *path, eq_status (*declare)(eq_params *), eq_dtype dtype)
{
    eq_params *params = eq_params_new(ctx);
    eq_status status = params ? declare(params) : eq_fail_memory(ctx, "parameters");
    if (status == EQ_OK)
        status = eq_params_allocate(params);
    if (status == EQ_OK) {
        for (int i = 0; i < params->count; i++)
            if (params->items[i].init == EQ_INIT_ZEROS)
                params->items[i].init = EQ_INIT_NORMAL;
        eq_params_initialise(params, 1);
        status = eq_weights_save(ctx, params, path, dtype, NULL, 0);
    }
    eq_params_free(params);
    return status;
}

static eq_status write_text(eq_context *ctx, const char *path, const char *json)
{
    return eq_file_write(ctx, path, json, strlen(json));
}

static eq_status copy_file(eq_context *ctx, const char *from, const char *to)
{
    uint8_t *bytes;
    size_t size;
    EQ_TRY(eq_file_read(ctx, from, MOST_VOCABULARY, &bytes, &size));
    eq_status status = eq_file_write(ctx, to, bytes, size);
    free(bytes);
    return status;
}

/* "<folder>/<name>", valid until the next call. */
static const char *in(const char *folder, const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static eq_status write_folder(eq_context *ctx, const char *folder, const char *tokenizer, eq_dtype dtype)
{
    static const char *const parts[] = {"unet", "vae", "text_encoder", "tokenizer", "scheduler"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        EQ_TRY(eq_make_folders(ctx, in(folder, parts[i])));
    EQ_TRY(write_weights(ctx, in(folder, "unet/diffusion_pytorch_model.safetensors"), declare_unet, dtype));
    EQ_TRY(write_weights(ctx, in(folder, "vae/diffusion_pytorch_model.safetensors"), declare_vae, dtype));
    EQ_TRY(write_weights(ctx, in(folder, "text_encoder/model.safetensors"), declare_text, dtype));
    EQ_TRY(eq_unet_config_write(ctx, in(folder, "unet/config.json"), &bench_sd15));
    EQ_TRY(write_text(ctx, in(folder, "vae/config.json"), vae_json));
    EQ_TRY(eq_clip_text_config_write(ctx, in(folder, "text_encoder/config.json"), &text, BOS, EOS, EOS));
    EQ_TRY(write_text(ctx, in(folder, "scheduler/scheduler_config.json"), scheduler_json));
    for (int i = 0; i < 2; i++) {
        static const char *const names[] = {"vocab.json", "merges.txt"};
        char from[4096];
        snprintf(from, sizeof from, "%s/%s", tokenizer, names[i]);
        EQ_TRY(copy_file(ctx, from, in(folder, i ? "tokenizer/merges.txt" : "tokenizer/vocab.json")));
    }
    return write_text(ctx, in(folder, "model_index.json"), index_json);
}

int main(int argc, char **argv)
{
    eq_dtype dtype = EQ_BF16;
    if (argc == 5 && strcmp(argv[3], "--dtype") == 0)
        dtype = strcmp(argv[4], "f32") == 0 ? EQ_F32 : strcmp(argv[4], "f16") == 0 ? EQ_F16 : EQ_BF16;
    else if (argc != 3) {
        fprintf(stderr, "bench_folder FOLDER TOKENIZER [--dtype f32|bf16|f16]\n");
        return 2;
    }
    eq_context *ctx = eq_context_new();
    eq_status status = ctx ? write_folder(ctx, argv[1], argv[2], dtype) : EQ_NO_MEMORY;
    if (status != EQ_OK)
        fprintf(stderr, "bench_folder: %s\n", ctx ? eq_last_error(ctx) : "out of memory");
    eq_context_free(ctx);
    return status != EQ_OK;
}

/* Stable Diffusion XL in small, with random weights: a diffusers folder, and a single file that holds the same under
 * the published names, must be one model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diffusion/prompt.h"
#include "models/diffusers_unet.h"
#include "models/names_clip.h"
#include "models/names_ldm.h"
#include "models/names_ldm_vae.h"
#include "run/pipeline.h"
#include "temporary.h"
#include "unit/checkpoint_file.h"
#include "unit/tiny.h"
#include "unit/tiny_text.h"

enum { L = 77, FIRST = 64, SECOND = 128, POOLED = 128, LATENT_SIDE = 128 };

static eq_context *ctx;

static const char unet_text[] =
    "{\"_class_name\": \"UNet2DConditionModel\", \"in_channels\": 4, \"out_channels\": 4, \"sample_size\": 128, "
    "\"down_block_types\": [\"DownBlock2D\", \"CrossAttnDownBlock2D\"], "
    "\"up_block_types\": [\"CrossAttnUpBlock2D\", \"UpBlock2D\"], \"block_out_channels\": [64, 64], "
    "\"layers_per_block\": 1, \"attention_head_dim\": [1, 1], \"transformer_layers_per_block\": [1, 2], "
    "\"cross_attention_dim\": 192, \"use_linear_projection\": true, \"addition_embed_type\": \"text_time\", "
    "\"addition_time_embed_dim\": 256, \"projection_class_embeddings_input_dim\": 1664}";
static const char vae_text[] = "{\"_class_name\": \"AutoencoderKL\", \"block_out_channels\": [32, 32], "
                               "\"layers_per_block\": 1, \"scaling_factor\": 0.13025}";
static const char scheduler_text[] =
    "{\"_class_name\": \"EulerDiscreteScheduler\", \"beta_schedule\": \"scaled_linear\", \"beta_start\": 0.00085, "
    "\"beta_end\": 0.012, \"steps_offset\": 1, \"prediction_type\": \"epsilon\", \"clip_sample\": false, "
    "\"set_alpha_to_one\": false}";

/* The model's parts, and both texts models' configurations. */
typedef struct parts {
    eq_unet_config unet;
    eq_vae_config vae;
    eq_clip_text_config text[2];
    eq_params *unet_params, *vae_params, *text_params[2];
} parts;

static parts make_parts(void)
{
    parts p = {.text = {tiny_text_config(FIRST, 0), tiny_text_config(SECOND, POOLED)}};
    assert_ok(eq_unet_config_parse(ctx, unet_text, strlen(unet_text), "unet", &p.unet));
    assert_ok(eq_vae_config_parse(ctx, vae_text, strlen(vae_text), "vae", &p.vae));
    p.unet_params = tiny_params(ctx, &p.unet, 1);
    p.vae_params = eq_params_new(ctx);
    assert_ok(eq_vae_declare(p.vae_params, &p.vae));
    assert_ok(eq_params_allocate(p.vae_params));
    eq_params_initialise(p.vae_params, 2);
    for (int i = 0; i < 2; i++) {
        p.text[i].max_position_embeddings = L;
        p.text[i].num_attention_heads = p.text[i].hidden_size / 64; /* as in all published ones */
        p.text_params[i] = tiny_text_params(ctx, &p.text[i], 3 + (uint64_t)i);
        assert_non_null(p.text_params[i]);
    }
    return p;
}

static void free_parts(parts *p)
{
    eq_params_free(p->unet_params);
    eq_params_free(p->vae_params);
    eq_params_free(p->text_params[0]);
    eq_params_free(p->text_params[1]);
}

static void save_weights(const char *folder, const eq_params *params)
{
    char *path = eq_path_join(folder, "diffusion_pytorch_model.safetensors");
    assert_ok(eq_weights_save(ctx, params, path, EQ_F32, NULL, 0));
    free(path);
}

static void write_folder(const char *folder, const parts *p)
{
    char path[600];
    const char *const second[] = {"", "_2"};
    assert_ok(tiny_write(ctx, folder, "model_index.json",
                         "{\"_class_name\": \"StableDiffusionXLPipeline\", \"force_zeros_for_empty_prompt\": true}"));
    snprintf(path, sizeof path, "%s/unet", folder);
    assert_ok(tiny_write(ctx, path, "config.json", unet_text));
    save_weights(path, p->unet_params);
    snprintf(path, sizeof path, "%s/vae", folder);
    assert_ok(tiny_write(ctx, path, "config.json", vae_text));
    save_weights(path, p->vae_params);
    snprintf(path, sizeof path, "%s/scheduler", folder);
    assert_ok(tiny_write(ctx, path, "scheduler_config.json", scheduler_text));
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/text_encoder%s", folder, second[i]);
        assert_ok(eq_clip_text_file_save(ctx, path, &p->text[i], p->text_params[i], EQ_F32, TINY_BOS, TINY_EOS, 0));
        snprintf(path, sizeof path, "%s/tokenizer%s", folder, second[i]);
        assert_ok(tiny_tokenizer_write(ctx, path));
    }
    assert_ok(tiny_write(ctx, path, "special_tokens_map.json", "{\"pad_token\": \"!\"}"));
}

/* base: the base model, or else the refiner, which has the second text model alone. */
static void write_single(const char *path, const parts *p, bool base)
{
    eq_ldm_names unet = {&p->unet, EQ_LDM_UNET_PREFIX};
    eq_open_clip_names second = {&p->text[1], base ? EQ_OPEN_CLIP_PREFIX_XL : "conditioner.embedders.0.model."};
    eq_name_map unet_map = eq_ldm_name_map(&unet), vae_map = eq_ldm_vae_names(&p->vae);
    eq_name_map second_map = eq_names_open_clip(&second);
    file_maker *file = calloc(1, sizeof *file);
    for (int i = 0; i < p->unet_params->count; i++)
        add_param(file, &unet_map, &p->unet_params->items[i], false);
    for (int i = 0; i < p->vae_params->count; i++)
        add_param(file, &vae_map, &p->vae_params->items[i], false);
    for (int i = 0; base && i < p->text_params[0]->count; i++)
        add_param(file, &eq_names_clip_xl, &p->text_params[0]->items[i], false);
    for (int i = 0; i < p->text_params[1]->count; i++)
        add_open_clip_param(file, &second_map, &p->text_params[1]->items[i]);
    /* What lies beside them. */
    add_tensor(file, "conditioner.embedders.0.transformer.text_model.embeddings.position_ids", eq_shape_of(1, L));
    add_tensor(file, "conditioner.embedders.1.model.logit_scale", eq_shape_of(1));
    add_tensor(file, "denoiser.sigmas", eq_shape_of(1000));
    assert_ok(eq_safetensors_write(ctx, path, file->tensors, file->count, NULL, 0));
    free_maker(file);
}

static void assert_same_params(const eq_params *a, const eq_params *b)
{
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        const eq_param *other = eq_params_find(b, a->items[i].name);
        assert_non_null(other);
        assert_memory_equal(a->items[i].tensor.data, other->tensor.data, eq_tensor_bytes(&other->tensor));
    }
}

static void one_model_in_both_forms(void **state)
{
    char folder[600], single[600], tokenizer[640];
    snprintf(folder, sizeof folder, "%s/folder", (char *)*state);
    snprintf(single, sizeof single, "%s/xl.safetensors", (char *)*state);
    snprintf(tokenizer, sizeof tokenizer, "%s/tokenizer", folder);
    parts p = make_parts();
    write_folder(folder, &p);
    write_single(single, &p, true);
    eq_model a, b;
    assert_ok(eq_model_open(ctx, folder, &a));
    assert_ok(eq_model_open(ctx, single, &b));
    assert_true(eq_model_prompted(&b) && b.latent);
    assert_memory_equal(&a.unet, &b.unet, sizeof a.unet);
    assert_memory_equal(&a.vae, &b.vae, sizeof a.vae);
    assert_same_params(a.params, b.params);
    assert_same_params(a.params, p.unet_params);
    assert_same_params(a.vae_params, b.vae_params);
    assert_memory_equal(a.schedule.betas, b.schedule.betas, 1000 * sizeof *a.schedule.betas);
    eq_shape h = eq_shape_of(LATENT_SIDE / 2, LATENT_SIDE / 2, 64);
    assert_true(eq_shape_equal(&a.h_shape, &h) && eq_shape_equal(&b.h_shape, &h));

    /* Both towers' states, the second padded with zeros, and what is pooled. */
    eq_prompt_encoder *of_folder, *of_file;
    eq_prompt_options options = {.tokenizer = tokenizer, .dtype = EQ_F32};
    assert_ok(eq_prompt_encoder_open(ctx, folder, &(eq_prompt_options){.dtype = EQ_F32}, &of_folder));
    assert_ok(eq_prompt_encoder_open_checkpoint(ctx, &b.weights, &options, &of_file));
    assert_int_equal(eq_prompt_width(of_file), FIRST + SECOND);
    assert_int_equal(eq_prompt_pooled_width(of_file), POOLED);
    static float context[2][L * (FIRST + SECOND)], pooled[2][POOLED];
    static const char *const prompts[] = {"abc a!", "", NULL};
    for (int i = 0; i < 3; i++) {
        assert_ok(eq_prompt_encode(ctx, of_folder, prompts[i], context[0], pooled[0], NULL));
        assert_ok(eq_prompt_encode(ctx, of_file, prompts[i], context[1], pooled[1], NULL));
        assert_memory_equal(context[0], context[1], sizeof context[0]);
        assert_memory_equal(pooled[0], pooled[1], sizeof pooled[0]);
    }
    eq_prompt_encoder_close(of_folder);
    eq_prompt_encoder_close(of_file);
    eq_model_close(&a);
    eq_model_close(&b);
    free_parts(&p);
}

/* A picture of one step, from the single file. */
static void pictures_come_out(void **state)
{
    char folder[600], single[600], tokenizer[640];
    snprintf(folder, sizeof folder, "%s/folder", (char *)*state);
    snprintf(single, sizeof single, "%s/xl.safetensors", (char *)*state);
    snprintf(tokenizer, sizeof tokenizer, "%s/tokenizer", folder);
    parts p = make_parts();
    write_folder(folder, &p);
    write_single(single, &p, true);
    const char *prompt = "abc";
    uint8_t *kept = NULL;
    for (int i = 0; i < 2; i++) {
        eq_generate_options options = {.count = 1,
                                       .steps = 1,
                                       .seed = 5,
                                       .prompts = &prompt,
                                       .prompt_count = 1,
                                       .tokenizer = i ? tokenizer : NULL};
        eq_pipeline *pipeline;
        eq_generation out;
        assert_ok(eq_pipeline_open(ctx, i ? single : folder, &pipeline));
        assert_ok(eq_generate(pipeline, &options, &(eq_targets){0}, &out));
        assert_int_equal(out.width, 2 * LATENT_SIDE);
        size_t bytes = (size_t)out.width * (size_t)out.height * 3;
        if (i == 0)
            kept = memcpy(malloc(bytes), out.pixels, bytes);
        else
            assert_memory_equal(kept, out.pixels, bytes);
        eq_generation_free(&out);
        eq_pipeline_close(pipeline);
    }
    free(kept);
    free_parts(&p);
}

/* --- autoencoders by themselves, on this model's latents --- */

static eq_params *vae_params(const eq_vae_config *config, uint64_t seed)
{
    eq_params *params = eq_params_new(ctx);
    assert_ok(eq_vae_declare(params, config));
    assert_ok(eq_params_allocate(params));
    eq_params_initialise(params, seed);
    return params;
}

static void write_vae(const char *path, const eq_vae_config *config, uint64_t seed, bool bare)
{
    eq_params *params = vae_params(config, seed);
    eq_name_map map = bare ? eq_ldm_vae_bare_names(config) : eq_ldm_vae_names(config);
    file_maker *file = calloc(1, sizeof *file);
    for (int i = 0; i < params->count; i++)
        add_param(file, &map, &params->items[i], false);
    assert_ok(eq_safetensors_write(ctx, path, file->tensors, file->count, NULL, 0));
    free_maker(file);
    eq_params_free(params);
}

static void check_vae(const char *model_path, const char *path, const eq_vae_config *config, uint64_t seed)
{
    eq_model model;
    eq_params *params = vae_params(config, seed);
    assert_ok(eq_model_open(ctx, model_path, &model));
    assert_ok(eq_model_use_vae(ctx, &model, path));
    assert_string_equal(model.vae_path, path);
    assert_memory_equal(&model.vae, config, sizeof *config); /* the scaling factor, too */
    assert_same_params(params, model.vae_params);
    eq_model_close(&model);
    eq_params_free(params);
}

static void other_autoencoders_take_their_place(void **state)
{
    char model_path[600], path[700];
    parts p = make_parts();
    snprintf(model_path, sizeof model_path, "%s/folder", (char *)*state);
    write_folder(model_path, &p);
    for (int bare = 0; bare < 2; bare++) {
        snprintf(path, sizeof path, "%s/vae.ckpt", (char *)*state);
        write_vae(path, &p.vae, 20, bare);
        check_vae(model_path, path, &p.vae, 20);
    }
    char other[600];
    eq_params *params = vae_params(&p.vae, 21);
    snprintf(other, sizeof other, "%s/vae", (char *)*state);
    assert_ok(tiny_write(ctx, other, "config.json", vae_text));
    save_weights(other, params);
    check_vae(model_path, other, &p.vae, 21);
    eq_params_free(params);

    /* What is of other latents, or needs its folder; the model keeps its own. */
    eq_model model;
    eq_vae_config deeper = p.vae;
    deeper.levels = 3;
    deeper.block_out_channels[2] = 32;
    assert_ok(eq_model_open(ctx, model_path, &model));
    write_vae(path, &deeper, 22, true);
    assert_fails(eq_model_use_vae(ctx, &model, path), EQ_BAD_INPUT, "codes 4 x 4 pixels into 4 numbers");
    assert_ok(tiny_write(ctx, other, "config.json",
                         "{\"block_out_channels\": [32, 32], \"layers_per_block\": 1, \"scaling_factor\": 0.5}"));
    assert_fails(eq_model_use_vae(ctx, &model, other), EQ_BAD_INPUT, "its scaling_factor is 0.5");
    snprintf(path, sizeof path, "%s/vae/diffusion_pytorch_model.safetensors", (char *)*state);
    assert_fails(eq_model_use_vae(ctx, &model, path), EQ_BAD_INPUT, "give their folder");
    snprintf(path, sizeof path, "%s/unet/diffusion_pytorch_model.safetensors", model_path);
    assert_fails(eq_model_use_vae(ctx, &model, path), EQ_BAD_INPUT, "no autoencoder under first_stage_model.");
    assert_null(model.vae_path);
    assert_same_params(p.vae_params, model.vae_params);
    eq_model_close(&model);
    free_parts(&p);
}

static void refiners_are_refused(void **state)
{
    char path[600], other[600];
    eq_model model;
    parts p = make_parts();
    snprintf(path, sizeof path, "%s/refiner.safetensors", (char *)*state);
    write_single(path, &p, false);
    assert_fails(eq_model_open(ctx, path, &model), EQ_BAD_INPUT, "this is Stable Diffusion XL's refiner");
    assert_fails(eq_model_open(ctx, path, &model), EQ_BAD_INPUT, "give the base model");
    snprintf(path, sizeof path, "%s/folder", (char *)*state);
    write_folder(path, &p);
    snprintf(path, sizeof path, "%s/folder/text_encoder", (char *)*state);
    snprintf(other, sizeof other, "%s/elsewhere", (char *)*state);
    assert_int_equal(rename(path, other), 0);
    snprintf(path, sizeof path, "%s/folder", (char *)*state);
    assert_fails(eq_model_open(ctx, path, &model), EQ_BAD_INPUT, "refiner (text_encoder_2 without text_encoder)");
    free_parts(&p);
}

int main(void)
{
#define in_folder(test) cmocka_unit_test_setup_teardown(test, temporary_setup, temporary_teardown)
    const struct CMUnitTest tests[] = {
        in_folder(one_model_in_both_forms),
        in_folder(pictures_come_out),
        in_folder(refiners_are_refused),
        in_folder(other_autoencoders_take_their_place),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}

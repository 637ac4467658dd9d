/* Model folders: configurations, what is refused and how it is said; pipelines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <omp.h>

#include "base/file.h"
#include "equipoise/generate.h"
#include "guidance/adp_file.h"
#include "temporary.h"
#include "unit/tiny.h"

static eq_context *ctx;

/* --- model folders --- */

/* Saves a model and opens it again; the caller closes it. */
static eq_model save_and_open(const char *folder, const eq_unet_config *unet, eq_dtype dtype)
{
    eq_params *params = tiny_params(ctx, unet, 9);
    eq_schedule_config config = eq_schedule_config_default();
    eq_schedule schedule;
    eq_model model;
    config.beta_kind = EQ_BETA_COSINE;
    config.prediction = EQ_PREDICT_V;
    config.num_train_timesteps = 500;
    assert_ok(eq_schedule_new(ctx, &config, NULL, &schedule));
    assert_ok(eq_model_save(ctx, folder, unet, params, &schedule, dtype));
    assert_ok(eq_model_open(ctx, folder, &model));
    assert_memory_equal(model.schedule.betas, schedule.betas, 500 * sizeof(double));
    assert_int_equal(model.schedule.config.prediction, EQ_PREDICT_V);
    assert_int_equal(model.params->count, params->count);
    for (int i = 0; i < params->count; i++) {
        const eq_param *saved = &params->items[i], *read = eq_params_find(model.params, saved->name);
        int64_t count = eq_shape_count(&saved->tensor.shape);
        float *numbers = malloc((size_t)count * sizeof *numbers);
        eq_tensor_to_f32(&read->tensor, numbers);
        for (int64_t k = 0; k < count; k++) {
            float value = ((float *)saved->tensor.data)[k];
            if (dtype == EQ_BF16)
                value = eq_bf16_to_f32(eq_f32_to_bf16(value));
            if (dtype == EQ_F16)
                value = eq_f16_to_f32(eq_f32_to_f16(value));
            assert_true(numbers[k] == value);
        }
        free(numbers);
    }
    eq_schedule_free(&schedule);
    eq_params_free(params);
    return model;
}

static void assert_same_unet(const eq_unet_config *a, const eq_unet_config *b)
{
    assert_int_equal(a->sample_size, b->sample_size);
    assert_int_equal(a->in_channels, b->in_channels);
    assert_int_equal(a->out_channels, b->out_channels);
    assert_int_equal(a->levels, b->levels);
    for (int i = 0; i < a->levels; i++) {
        assert_int_equal(a->block_out_channels[i], b->block_out_channels[i]);
        assert_int_equal(a->down_attention[i], b->down_attention[i]);
        assert_int_equal(a->up_attention[i], b->up_attention[i]);
        assert_int_equal(a->heads[i], b->heads[i]);
    }
    assert_int_equal(a->mid_attention, b->mid_attention);
    assert_int_equal(a->layers_per_block, b->layers_per_block);
    assert_int_equal(a->norm_num_groups, b->norm_num_groups);
    assert_true(a->norm_eps == b->norm_eps && a->freq_shift == b->freq_shift);
    assert_int_equal(a->flip_sin_to_cos, b->flip_sin_to_cos);
    assert_int_equal(a->downsample_padding, b->downsample_padding);
    assert_true(a->mid_block_scale_factor == b->mid_block_scale_factor);
    assert_int_equal(a->scale_shift_norm, b->scale_shift_norm);
    assert_int_equal(a->center_input_sample, b->center_input_sample);
}

static void saved_models_open(void **state)
{
    static const eq_dtype dtypes[] = {EQ_F32, EQ_BF16, EQ_F16};
    char hash[65] = "";
    for (int i = 0; i < 3; i++) {
        eq_unet_config unet = tiny_unet();
        eq_model model = save_and_open(*state, &unet, dtypes[i]);
        assert_same_unet(&model.unet, &unet);
        eq_shape h = eq_shape_of(8, 8, 16);
        assert_true(eq_shape_equal(&model.h_shape, &h));
        const char *found;
        assert_string_equal(model.known_hash, ""); /* not before it is needed */
        assert_ok(eq_model_hash(ctx, &model, &found));
        assert_int_equal(strlen(found), 64);
        assert_string_not_equal(found, hash);
        memcpy(hash, found, sizeof hash);
        eq_model_close(&model);
    }
}

static void every_setting_survives(void **state)
{
    eq_unet_config unet = {.sample_size = 24,
                           .in_channels = 3,
                           .out_channels = 6,
                           .levels = 3,
                           .block_out_channels = {6, 12, 12},
                           .down_attention = {true, false, true},
                           .up_attention = {false, false, true},
                           .mid_attention = false,
                           .layers_per_block = 2,
                           .heads = {1, 1, 1},
                           .norm_num_groups = 3,
                           .norm_eps = 1e-6f,
                           .flip_sin_to_cos = false,
                           .freq_shift = 1,
                           .downsample_padding = 0,
                           .mid_block_scale_factor = 2,
                           .scale_shift_norm = true,
                           .center_input_sample = true};
    eq_model model = save_and_open(*state, &unet, EQ_F32);
    assert_same_unet(&model.unet, &unet);
    eq_model_close(&model);
}

/* Replaces `from` in a text file by `to`. */
static void edit(const char *folder, const char *name, const char *from, const char *to)
{
    char *path = eq_path_join(folder, name);
    uint8_t *bytes;
    size_t size;
    assert_ok(eq_file_read(ctx, path, 1 << 20, &bytes, &size));
    char *at = strstr((char *)bytes, from);
    if (!at)
        fail_msg("%s has no %s", name, from);
    char *text = eq_format("%.*s%s%s", (int)(at - (char *)bytes), (char *)bytes, to, at + strlen(from));
    assert_ok(eq_file_write(ctx, path, text, strlen(text)));
    free(text);
    free(bytes);
    free(path);
}

static void wrong_configurations(void **state)
{
    static const struct {
        const char *from, *to, *message;
    } cases[] = {
        {"\"block_out_channels\": [\n    8,\n    16\n  ]", "\"block_out_channels\": []", "1 to 8 levels"},
        {"\"block_out_channels\": [\n    8,\n    16\n  ]", "\"block_out_channels\": [8, 14]", "multiples of norm_num"},
        {"\"block_out_channels\": [\n    8,\n    16\n  ]", "\"block_out_channels\": [8, 16, 16]", "names 2 blocks"},
        {"\"block_out_channels\": [\n    8,\n    16\n  ]", "\"block_out_channels\": [8, \"x\"]", "block_out_channels"},
        {"\"AttnDownBlock2D\"", "\"SkipDownBlock2D\"", "SkipDownBlock2D"},
        {"\"UNet2DModel\"", "\"UNet3DModel\"", "UNet3DModel"},
        {"\"sample_size\": 16", "\"sample_size\": 17", "sample_size"},
        {"\"attention_head_dim\": 8", "\"attention_head_dim\": 3", "attention_head_dim"},
        {"\"norm_num_groups\": 4", "\"norm_num_groups\": 0", "norm_num_groups"},
        {"\"norm_num_groups\": 4", "\"norm_num_groups\": null", "norm_num_groups"}, /* the default, 32, does not fit */
        {"\"layers_per_block\": 1", "\"layers_per_block\": 9", "layers_per_block"},
        {"\"layers_per_block\": 1", "\"layers_per_block\": 2", "no tensor down_blocks.0.resnets.1"},
        {"\"act_fn\": \"silu\"", "\"act_fn\": \"gelu\"", "act_fn is \"gelu\""},
        {"\"resnet_time_scale_shift\": \"default\"", "\"resnet_time_scale_shift\": \"ada\"", "default and scale_shift"},
        {"\"class_embed_type\": null", "\"class_embed_type\": \"timestep\"", "class embeddings"},
        {"{", "", "config.json"},
    };
    eq_unet_config unet = tiny_unet();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        eq_model model = save_and_open(*state, &unet, EQ_F32);
        eq_model_close(&model);
        edit(*state, "unet/config.json", cases[i].from, cases[i].to);
        assert_fails(eq_model_open(ctx, *state, &model), EQ_BAD_INPUT, cases[i].message);
        assert_null(model.params);
    }
}

static void missing_parts(void **state)
{
    static const char *const parts[] = {"unet/config.json", "scheduler/scheduler_config.json",
                                        "unet/diffusion_pytorch_model.safetensors"};
    eq_unet_config unet = tiny_unet();
    eq_model model;
    for (int i = 0; i < 3; i++) {
        model = save_and_open(*state, &unet, EQ_F32);
        eq_model_close(&model);
        char *path = eq_path_join(*state, parts[i]);
        assert_int_equal(remove(path), 0);
        assert_fails(eq_model_open(ctx, *state, &model), EQ_BAD_INPUT, parts[i]);
        free(path);
    }
    assert_fails(eq_model_open(ctx, "/nowhere/model", &model), EQ_BAD_INPUT, "/nowhere/model: no such model folder");
}

/* --- pipelines --- */

static void pipelines_take_rgb_models(void **state)
{
    eq_unet_config unet = tiny_unet();
    eq_pipeline *pipeline;
    static const int channels[][2] = {{4, 4}, {3, 4}, {3, 6}, {3, 3}};
    for (int i = 0; i < 4; i++) {
        unet.in_channels = channels[i][0];
        unet.out_channels = channels[i][1];
        assert_ok(tiny_model(ctx, *state, &unet, 1));
        if (i >= 2)
            assert_ok(eq_pipeline_open(ctx, *state, &pipeline));
        else
            assert_fails(eq_pipeline_open(ctx, *state, &pipeline), EQ_BAD_INPUT, "4 out");
        if (i < 2)
            assert_null(pipeline);
        eq_pipeline_close(pipeline);
    }
}

/* An image of a model that predicts a variance too. */
static void learned_variance(void **state)
{
    eq_unet_config unet = tiny_unet();
    eq_pipeline *pipeline;
    eq_generation g;
    eq_targets none = {0};
    static const char *const samplers[] = {"ddim", "ddpm"};
    unet.out_channels = 6;
    assert_ok(tiny_model(ctx, *state, &unet, 1));
    assert_ok(eq_pipeline_open(ctx, *state, &pipeline));
    for (int i = 0; i < 2; i++) {
        eq_generate_options options = {.count = 3, .steps = 4, .sampler = samplers[i], .micro_batch = 2};
        assert_ok(eq_generate(pipeline, &options, &none, &g));
        eq_generation_free(&g);
    }
    eq_pipeline_close(pipeline);
}

static void predictors_come_along(void **state)
{
    eq_unet_config unet = tiny_unet();
    eq_attribute gender = tiny_gender(), age = tiny_age();
    eq_pipeline *pipeline;
    eq_adp adp;
    int count;
    char *folder = eq_path_join(*state, "adp"), *one = eq_path_join(folder, "a.safetensors");
    char *two = eq_path_join(folder, "b.safetensors"), *other = eq_path_join(*state, "other.safetensors");
    assert_ok(tiny_model(ctx, *state, &unet, 1));
    assert_ok(eq_pipeline_open(ctx, *state, &pipeline)); /* no folder, no predictors */
    eq_pipeline_attributes(pipeline, &count);
    assert_int_equal(count, 0);
    eq_pipeline_close(pipeline);

    assert_ok(eq_make_folders(ctx, folder));
    assert_ok(tiny_adp(ctx, &gender, 2, 0, 0, eq_shape_of(8, 8, 16), 1, 1, &adp));
    assert_ok(eq_adp_write(ctx, one, &adp));
    eq_adp_free(&adp);
    assert_ok(tiny_adp(ctx, &age, 2, 0, 0, eq_shape_of(8, 8, 16), 1, 1, &adp));
    assert_ok(eq_adp_write(ctx, two, &adp));
    eq_adp_free(&adp);
    assert_ok(eq_pipeline_open(ctx, *state, &pipeline));
    const eq_attribute *known = eq_pipeline_attributes(pipeline, &count);
    assert_int_equal(count, 2);
    assert_string_equal(known[0].name, "gender");
    assert_string_equal(known[1].name, "age");

    /* One for the same attribute takes the place; one of another h or model is refused and changes nothing. */
    assert_ok(tiny_adp(ctx, &gender, 7, 0, 0, eq_shape_of(8, 8, 16), 1, 2, &adp));
    assert_ok(eq_adp_write(ctx, other, &adp));
    assert_ok(eq_pipeline_add_predictor(pipeline, other));
    snprintf(adp.model_hash, sizeof adp.model_hash, "0000");
    assert_ok(eq_adp_write(ctx, other, &adp));
    eq_adp_free(&adp);
    assert_fails(eq_pipeline_add_predictor(pipeline, other), EQ_BAD_INPUT, "other.safetensors");
    assert_ok(tiny_adp(ctx, &gender, 2, 0, 0, eq_shape_of(4, 4, 16), 1, 1, &adp));
    assert_ok(eq_adp_write(ctx, other, &adp));
    eq_adp_free(&adp);
    assert_fails(eq_pipeline_add_predictor(pipeline, other), EQ_BAD_INPUT, "[4, 4, 16], this model's is [8, 8, 16]");
    known = eq_pipeline_attributes(pipeline, &count);
    assert_int_equal(count, 2);
    assert_string_equal(known[0].name, "gender");
    eq_pipeline_close(pipeline);

    assert_ok(eq_file_write(ctx, two, "broken", 6));
    assert_fails(eq_pipeline_open(ctx, *state, &pipeline), EQ_BAD_INPUT, "b.safetensors");
    free(folder);
    free(one);
    free(two);
    free(other);
}

static void not_too_many_predictors(void **state)
{
    eq_unet_config unet = tiny_unet();
    eq_pipeline *pipeline;
    char *path = eq_path_join(*state, "one.safetensors");
    assert_ok(tiny_model(ctx, *state, &unet, 1));
    assert_ok(eq_pipeline_open(ctx, *state, &pipeline));
    static const char *const classes[] = {"no", "yes"};
    for (int i = 0; i < 9; i++) {
        char name[16];
        eq_adp adp;
        snprintf(name, sizeof name, "a%d", i);
        assert_ok(tiny_adp(ctx, &(eq_attribute){name, 2, classes}, 1, 0, 0, eq_shape_of(8, 8, 16), 1, 1, &adp));
        assert_ok(eq_adp_write(ctx, path, &adp));
        eq_adp_free(&adp);
        if (i < 8)
            assert_ok(eq_pipeline_add_predictor(pipeline, path));
        else
            assert_fails(eq_pipeline_add_predictor(pipeline, path), EQ_BAD_USAGE, "more than 8");
    }
    eq_pipeline_close(pipeline);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(saved_models_open, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(every_setting_survives, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(wrong_configurations, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(missing_parts, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(pipelines_take_rgb_models, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(learned_variance, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(predictors_come_along, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(not_too_many_predictors, temporary_setup, temporary_teardown),
    };
    ctx = eq_context_new();
    omp_set_num_threads(1); /* the networks are tiny: threads would mostly wait for each other */
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}

/* Networks in one file: written here under guided-diffusion's and SDEdit's names, with fused attention in both orders,
 * they must come back as the configuration and the parameters that they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diffusion/checkpoint.h"
#include "diffusion/denoiser.h"
#include "kernels/program.h"
#include "models/names_adm.h"
#include "models/names_ddpm.h"
#include "temporary.h"
#include "unit/checkpoint_file.h"
#include "unit/tiny.h"

static eq_context *ctx;

/* Three levels, the lower two with attention in heads of 16 channels. */
static eq_unet_config adm_config(void)
{
    return (eq_unet_config){.sample_size = 16,
                            .in_channels = 3,
                            .out_channels = 6,
                            .levels = 3,
                            .block_out_channels = {32, 64, 64},
                            .down_attention = {false, true, true},
                            .up_attention = {true, true, false},
                            .mid_attention = true,
                            .layers_per_block = 1,
                            .heads = {2, 4, 4},
                            .norm_num_groups = 32,
                            .norm_eps = 1e-5f,
                            .flip_sin_to_cos = true,
                            .downsample_padding = 1,
                            .mid_block_scale_factor = 1,
                            .scale_shift_norm = true,
                            .resample_blocks = true,
                            .conv_in_channels = 32,
                            .time_channels = 64};
}
static const char adm_settings[] = "{\"image_size\": 16, \"num_head_channels\": 16}";

static eq_unet_config ddpm_config(void)
{
    return (eq_unet_config){.sample_size = 16,
                            .in_channels = 3,
                            .out_channels = 3,
                            .levels = 2,
                            .block_out_channels = {64, 32},
                            .down_attention = {true, false},
                            .up_attention = {false, true},
                            .mid_attention = true,
                            .layers_per_block = 2,
                            .heads = {1, 1},
                            .norm_num_groups = 32,
                            .norm_eps = 1e-6f,
                            .freq_shift = 1,
                            .mid_block_scale_factor = 1,
                            .conv_in_channels = 32,
                            .time_channels = 32};
}

static const char *write_adm(const char *folder, const eq_unet_config *unet, const eq_params *params, bool new_order,
                             const char *settings)
{
    eq_adm_names names = {unet, new_order};
    eq_name_map map = eq_adm_name_map(&names);
    return write_checkpoint(ctx, folder, params, &map, new_order, settings);
}

typedef struct loaded {
    eq_tensor_file file;
    eq_unet_config unet;
    eq_params *params;
    eq_schedule schedule;
} loaded;

static eq_status load(const char *path, loaded *out)
{
    *out = (loaded){.params = eq_params_new(ctx)};
    const eq_family *family;
    EQ_TRY(eq_tensor_file_open(ctx, path, &out->file));
    EQ_TRY(eq_checkpoint_family(ctx, &out->file, &family));
    return eq_checkpoint_load(ctx, family, &out->file, &out->unet, out->params, &out->schedule);
}

static void unload(loaded *l)
{
    eq_params_free(l->params);
    eq_schedule_free(&l->schedule);
    eq_tensor_file_close(&l->file);
}

static bool same_params(const eq_params *a, const eq_params *b)
{
    bool same = a->count == b->count;
    for (int i = 0; same && i < a->count; i++) {
        const eq_param *other = eq_params_find(b, a->items[i].name);
        same = other && eq_shape_equal(&a->items[i].tensor.shape, &other->tensor.shape) &&
               memcmp(a->items[i].tensor.data, other->tensor.data, eq_tensor_bytes(&other->tensor)) == 0;
    }
    return same;
}

static void check_same(const eq_unet_config *found, const eq_unet_config *expected)
{
    assert_int_equal(found->sample_size, expected->sample_size);
    assert_int_equal(found->in_channels, expected->in_channels);
    assert_int_equal(found->out_channels, expected->out_channels);
    assert_int_equal(found->levels, expected->levels);
    for (int i = 0; i < expected->levels; i++) {
        assert_int_equal(found->block_out_channels[i], expected->block_out_channels[i]);
        assert_int_equal(found->down_attention[i], expected->down_attention[i]);
        assert_int_equal(found->up_attention[i], expected->up_attention[i]);
        if (expected->down_attention[i])
            assert_int_equal(found->heads[i], expected->heads[i]);
    }
    assert_int_equal(found->layers_per_block, expected->layers_per_block);
    assert_int_equal(found->mid_attention, expected->mid_attention);
    assert_true(found->norm_eps == expected->norm_eps && found->freq_shift == expected->freq_shift);
    assert_int_equal(found->flip_sin_to_cos, expected->flip_sin_to_cos);
    assert_int_equal(found->downsample_padding, expected->downsample_padding);
    assert_int_equal(found->scale_shift_norm, expected->scale_shift_norm);
    assert_int_equal(found->resample_blocks, expected->resample_blocks);
    assert_int_equal(found->conv_in_channels, expected->conv_in_channels);
    assert_int_equal(found->time_channels, expected->time_channels);
    assert_int_equal(found->num_class_embeds, expected->num_class_embeds);
}

/* --- guided-diffusion --- */

static void adm_comes_back(void **state)
{
    for (int variant = 0; variant < 8; variant++) {
        eq_unet_config unet = adm_config();
        unet.resample_blocks = variant & 1;
        unet.scale_shift_norm = variant & 2;
        unet.num_class_embeds = variant & 4 ? 10 : 0;
        eq_params *params = tiny_params(ctx, &unet, 1);
        loaded l;
        assert_ok(load(write_adm(*state, &unet, params, false, adm_settings), &l));
        check_same(&l.unet, &unet);
        assert_true(same_params(l.params, params));
        assert_int_equal(l.schedule.config.num_train_timesteps, 1000);
        assert_int_equal(l.schedule.config.beta_kind, EQ_BETA_LINEAR);
        unload(&l);
        eq_params_free(params);
    }
}

static void adm_names_are_the_originals(void **state)
{
    static const char *const names[][2] = {
        {"conv_in.weight", "input_blocks.0.0.weight"},
        {"time_embedding.linear_2.bias", "time_embed.2.bias"},
        {"class_embedding.weight", "label_emb.weight"},
        {"down_blocks.0.resnets.0.norm1.weight", "input_blocks.1.0.in_layers.0.weight"},
        {"down_blocks.0.downsamplers.0.conv2.weight", "input_blocks.2.0.out_layers.3.weight"},
        {"down_blocks.1.resnets.0.conv_shortcut.bias", "input_blocks.3.0.skip_connection.bias"},
        {"down_blocks.1.attentions.0.group_norm.weight", "input_blocks.3.1.norm.weight"},
        {"mid_block.resnets.1.time_emb_proj.weight", "middle_block.2.emb_layers.1.weight"},
        {"mid_block.attentions.0.proj_attn.weight", "middle_block.1.proj_out.weight"},
        {"up_blocks.0.upsamplers.0.norm2.weight", "output_blocks.1.2.out_layers.0.weight"},
        {"up_blocks.2.resnets.1.conv1.weight", "output_blocks.5.0.in_layers.2.weight"},
        {"conv_norm_out.bias", "out.0.bias"},
        {"conv_out.weight", "out.2.weight"},
    };
    eq_unet_config unet = adm_config();
    eq_adm_names adm = {.unet = &unet};
    eq_name_map map = eq_adm_name_map(&adm);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char theirs[256];
        eq_weight_part part = {0};
        assert_true(map.name(map.user, names[i][0], theirs, sizeof theirs, &part));
        assert_string_equal(theirs, names[i][1]);
    }
}

/* Predictions of two images; labels: [2], NULL where the network has no classes. Malloc'ed. */
static float *predict(const eq_unet_config *unet, eq_params *params, const int32_t *labels)
{
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_unet network;
    assert_ok(eq_unet_build(&(eq_builder){graph, params}, unet, 2, 16, 16, &network));
    eq_program *program;
    assert_ok(eq_program_compile(graph, &(eq_program_options){.frozen_params = true}, &program));
    float *x = tiny_normals(3, 2 * TINY_PIXELS), *timesteps = eq_program_data(program, network.timestep);
    memcpy(eq_program_data(program, network.sample), x, 2 * TINY_PIXELS * sizeof *x);
    timesteps[0] = 10;
    timesteps[1] = 700;
    if (labels)
        memcpy(eq_program_data(program, network.class_label), labels, 2 * sizeof *labels);
    assert_ok(eq_program_run(program));
    size_t bytes = 4 * TINY_PIXELS * sizeof(float);
    float *out = malloc(bytes);
    memcpy(out, eq_program_data(program, network.prediction), bytes);
    eq_program_free(program);
    free(x);
    return out;
}

/* One network written in both orders is one network; read in the wrong order it is another. */
static void attention_orders_agree(void **state)
{
    static const char *const settings[] = {
        "{\"image_size\": 16, \"num_head_channels\": 16, \"use_new_attention_order\": false}",
        "{\"image_size\": 16, \"num_head_channels\": 16, \"use_new_attention_order\": true}",
    };
    eq_unet_config unet = adm_config();
    eq_params *params = tiny_params(ctx, &unet, 2);
    float *expected = predict(&unet, params, NULL);
    for (int written = 0; written < 2; written++)
        for (int read = 0; read < 2; read++) {
            loaded l;
            assert_ok(load(write_adm(*state, &unet, params, written, settings[read]), &l));
            assert_int_equal(same_params(l.params, params), written == read);
            float *found = predict(&l.unet, l.params, NULL);
            double error = tiny_relative_error(found, expected, 4 * TINY_PIXELS);
            assert_true(written == read ? error == 0 : error > 0.01);
            free(found);
            unload(&l);
        }
    free(expected);
    eq_params_free(params);
}

/* A class is a row added to the timestep's embedding: without classes, and with that row in the bias, the network says
 * the same. */
static void classes_shift_the_embedding(void **state)
{
    eq_unet_config with = adm_config(), without = adm_config();
    with.num_class_embeds = 5;
    eq_params *params = tiny_params(ctx, &with, 4);
    float *both[2];
    both[0] = predict(&with, params, (int32_t[]){3, 3});
    both[1] = predict(&with, params, (int32_t[]){0, 3});
    assert_true(tiny_relative_error(both[0], both[1], 2 * TINY_PIXELS) > 1e-3);
    assert_true(tiny_relative_error(both[0] + 2 * TINY_PIXELS, both[1] + 2 * TINY_PIXELS, 2 * TINY_PIXELS) < 1e-6);

    const eq_param *table = eq_params_find(params, "class_embedding.weight");
    float *bias = eq_params_find(params, "time_embedding.linear_2.bias")->tensor.data;
    for (int64_t i = 0; i < table->tensor.shape.dim[1]; i++)
        bias[i] += ((const float *)table->tensor.data)[3 * table->tensor.shape.dim[1] + i];
    float *shifted = predict(&without, params, NULL);
    assert_true(tiny_relative_error(shifted, both[0], 4 * TINY_PIXELS) < 1e-5);
    free(shifted);
    free(both[0]);
    free(both[1]);
    eq_params_free(params);
}

/* The denoiser hands each image its own label, however the images are cut into micro-batches. */
static void classes_in_the_denoiser(void **state)
{
    enum { IMAGES = 5 };
    static const int32_t labels[IMAGES] = {4, 0, 1, 3, 2};
    eq_unet_config unet = adm_config();
    unet.num_class_embeds = 5;
    eq_params *params = tiny_params(ctx, &unet, 4);
    float *x = tiny_normals(5, IMAGES * TINY_PIXELS), *found[2];
    for (int cut = 0; cut < 2; cut++) {
        eq_condition known = {.class_labels = labels};
        eq_denoiser_options options = {
            .count = IMAGES, .micro_batch = cut ? 2 : 0, .height = 16, .width = 16, .condition = &known};
        eq_denoiser *denoiser;
        assert_ok(eq_denoiser_new(ctx, &unet, params, &options, &denoiser));
        found[cut] = calloc(2 * IMAGES * TINY_PIXELS, sizeof(float));
        assert_ok(eq_denoiser_run(denoiser, x, 300, found[cut]));
        eq_denoiser_free(denoiser);
    }
    assert_true(tiny_relative_error(found[0], found[1], 2 * IMAGES * TINY_PIXELS) < 1e-5);
    for (int i = 0; i < IMAGES; i++) {
        eq_condition one = {.class_labels = &labels[i]};
        eq_denoiser_options options = {.count = 1, .height = 16, .width = 16, .condition = &one};
        eq_denoiser *denoiser;
        float alone[2 * TINY_PIXELS];
        assert_ok(eq_denoiser_new(ctx, &unet, params, &options, &denoiser));
        assert_ok(eq_denoiser_run(denoiser, x + i * TINY_PIXELS, 300, alone));
        assert_true(tiny_relative_error(found[0] + 2 * i * TINY_PIXELS, alone, 2 * TINY_PIXELS) < 1e-5);
        eq_denoiser_free(denoiser);
    }
    free(found[0]);
    free(found[1]);
    free(x);
    eq_params_free(params);
}

static void heads_by_number(void **state)
{
    eq_unet_config unet = adm_config();
    eq_params *params = tiny_params(ctx, &unet, 5);
    loaded l;
    assert_ok(load(write_adm(*state, &unet, params, false, "{\"image_size\": 16, \"num_heads\": 4}"), &l));
    check_same(&l.unet, &unet);
    assert_true(same_params(l.params, params));
    unload(&l);
    eq_params_free(params);
}

/* Settings say what shapes do not, and may not say otherwise than they do. */
static void settings_must_agree(void **state)
{
    static const struct {
        const char *settings, *message; /* NULL: fine */
    } cases[] = {
        {"{\"image_size\": 16, \"num_channels\": 64, \"num_res_blocks\": 1, \"channel_mult\": \"0.5,1,1\", "
         "\"attention_resolutions\": \"8,4\", \"num_head_channels\": 16, \"resblock_updown\": true, "
         "\"use_scale_shift_norm\": true, \"learn_sigma\": true, \"class_cond\": false}",
         NULL},
        {"{\"image_size\": 16, \"channel_mult\": [0.5, 1, 1], \"attention_resolutions\": [8, 4]}", NULL},
        {NULL, NULL},
        {"{\"num_channels\": 32}", "num_channels is 32, but by the weights"},
        {"{\"num_res_blocks\": 2}", "num_res_blocks is 2"},
        {"{\"channel_mult\": \"1,1,1\"}", "channel_mult does not go with the weights"},
        {"{\"channel_mult\": \"0.5,1\"}", "channel_mult does not go with the weights"},
        {"{\"channel_mult\": \"0.5,,1\"}", "channel_mult: expected at most 8 numbers"},
        {"{\"channel_mult\": \"1,2,3,4,5,6,7,8,9\"}", "channel_mult: expected at most 8 numbers"},
        {"{\"channel_mult\": {}}", "channel_mult: expected at most 8 numbers"},
        {"{\"image_size\": 64, \"channel_mult\": \"\"}", "channel_mult does not go with the weights"},
        {"{\"image_size\": 16, \"attention_resolutions\": \"8\"}", "no attention at 4 pixels"},
        {"{\"image_size\": 16, \"attention_resolutions\": \"16,8,4\"}", "an attention at 16 pixels"},
        {"{\"resblock_updown\": false}", "resblock_updown is false"},
        {"{\"use_scale_shift_norm\": false}", "use_scale_shift_norm is false"},
        {"{\"learn_sigma\": false}", "learn_sigma is false"},
        {"{\"class_cond\": true}", "class_cond is true"},
        {"{\"image_size\": 18}", "sample_size"},
        {"{\"num_head_channels\": 48}", "cannot be cut into heads of 48"},
        {"{\"num_heads\": 3}", "cannot be cut into a number of heads, 3"},
        {"{\"noise_schedule\": \"sigmoid\"}", "noise_schedule is \"sigmoid\""},
        {"{\"use_new_attention_order\": 1}", "use_new_attention_order"},
        {"{\"beta_start\": 0.0}", "beta at timestep 0"},
        {"[]", "JSON object"},
    };
    eq_unet_config unet = adm_config();
    eq_params *params = tiny_params(ctx, &unet, 6);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = write_adm(*state, &unet, params, false, cases[i].settings);
        loaded l;
        if (cases[i].message)
            assert_fails(load(path, &l), EQ_BAD_INPUT, cases[i].message);
        else
            assert_ok(load(path, &l));
        unload(&l);
    }
    eq_params_free(params);
}

/* An empty channel_mult means guided-diffusion's own choice for the image size. */
static void usual_multiples(void **state)
{
    eq_unet_config unet = adm_config();
    unet.sample_size = 64;
    unet.levels = 4;
    for (int i = 0; i < 4; i++) {
        unet.block_out_channels[i] = 32 * (i + 1);
        unet.heads[i] = 2 * (i + 1);
        unet.down_attention[i] = unet.up_attention[i] = false;
    }
    unet.time_channels = 32;
    eq_params *params = tiny_params(ctx, &unet, 7);
    loaded l;
    assert_ok(load(write_adm(*state, &unet, params, false,
                             "{\"image_size\": 64, \"channel_mult\": \"\", \"num_head_channels\": 16}"),
                   &l));
    check_same(&l.unet, &unet);
    unload(&l);
    eq_params_free(params);
}

static void schedules(void **state)
{
    eq_unet_config unet = adm_config();
    eq_params *params = tiny_params(ctx, &unet, 8);
    loaded l;
    assert_ok(load(
        write_adm(*state, &unet, params, false, "{\"noise_schedule\": \"cosine\", \"diffusion_steps\": 4000}"), &l));
    assert_int_equal(l.schedule.config.beta_kind, EQ_BETA_COSINE);
    assert_int_equal(l.schedule.config.num_train_timesteps, 4000);
    unload(&l);
    /* Linear betas are scaled so that 2000 steps end at the noise of 1000. */
    assert_ok(
        load(write_adm(*state, &unet, params, false, "{\"diffusion_steps\": 2000, \"predict_xstart\": true}"), &l));
    assert_near(l.schedule.betas[0], 0.00005, 1e-12);
    assert_near(l.schedule.betas[1999], 0.01, 1e-12);
    assert_int_equal(l.schedule.config.prediction, EQ_PREDICT_SAMPLE);
    unload(&l);
    assert_ok(load(write_adm(*state, &unet, params, false, "{\"beta_schedule\": \"linear\", \"beta_end\": 0.03}"), &l));
    assert_near(l.schedule.betas[999], 0.03, 1e-12);
    unload(&l);
    eq_params_free(params);
}

/* --- SDEdit's DDPM --- */

static void ddpm_comes_back(void **state)
{
    eq_unet_config unet = ddpm_config();
    eq_name_map map = eq_ddpm_name_map(&unet);
    for (int variant = 0; variant < 2; variant++) {
        unet.mid_attention = variant == 0;
        eq_params *params = tiny_params(ctx, &unet, 9);
        loaded l;
        assert_ok(load(
            write_checkpoint(ctx, *state, params, &map, false, "{\"image_size\": 16, \"ch\": 32, \"ch_mult\": [2, 1]}"),
            &l));
        check_same(&l.unet, &unet);
        assert_true(same_params(l.params, params));
        unload(&l);
        assert_fails(load(write_checkpoint(ctx, *state, params, &map, false, "{\"ch_mult\": [1, 2]}"), &l),
                     EQ_BAD_INPUT, "ch_mult does not go with the weights");
        unload(&l);
        eq_params_free(params);
    }
    char theirs[256];
    eq_weight_part part = {0};
    assert_true(map.name(map.user, "up_blocks.0.resnets.2.conv_shortcut.weight", theirs, sizeof theirs, &part));
    assert_string_equal(theirs, "up.1.block.2.nin_shortcut.weight");
    assert_true(map.name(map.user, "mid_block.attentions.0.key.bias", theirs, sizeof theirs, &part));
    assert_string_equal(theirs, "mid.attn_1.k.bias");
}

/* Whatever tensor is missing, or has another shape, loading fails and says so. */
static void damaged_files_are_refused(void **state)
{
    eq_unet_config unet = adm_config();
    eq_params *params = tiny_params(ctx, &unet, 10);
    loaded whole;
    assert_ok(load(write_adm(*state, &unet, params, false, adm_settings), &whole));
    for (size_t damaged = 0; damaged < whole.file.count; damaged++)
        for (int kind = 0; kind < 2; kind++) {
            loaded l = {.params = eq_params_new(ctx)};
            assert_ok(eq_tensor_file_start(ctx, whole.file.path, &l.file));
            for (size_t i = 0; i < whole.file.count; i++) {
                eq_tensor tensor = whole.file.entries[i].tensor;
                if (i == damaged && kind == 0)
                    continue;
                if (i == damaged)
                    tensor.shape = eq_shape_of(1);
                assert_ok(eq_tensor_file_add(ctx, &l.file, whole.file.entries[i].name, &tensor));
            }
            assert_ok(eq_tensor_file_finish(ctx, &l.file));
            assert_int_equal(eq_checkpoint_load(ctx, eq_family_at(0), &l.file, &l.unet, l.params, &l.schedule),
                             EQ_BAD_INPUT);
            unload(&l);
        }
    unload(&whole);
    eq_params_free(params);
}

int main(void)
{
#define in_folder(test) cmocka_unit_test_setup_teardown(test, temporary_setup, temporary_teardown)
    const struct CMUnitTest tests[] = {
        in_folder(adm_comes_back),
        cmocka_unit_test(adm_names_are_the_originals),
        in_folder(attention_orders_agree),
        cmocka_unit_test(classes_shift_the_embedding),
        cmocka_unit_test(classes_in_the_denoiser),
        in_folder(heads_by_number),
        in_folder(settings_must_agree),
        in_folder(usual_multiples),
        in_folder(schedules),
        in_folder(ddpm_comes_back),
        in_folder(damaged_files_are_refused),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}

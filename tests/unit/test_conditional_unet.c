/* Text-conditional U-Nets: the published configurations of Stable Diffusion 1, 2 and XL give networks of the published
 * sizes, single files of them are recognised by their shapes alone, and conditions reach the output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "diffusion/denoiser.h"
#include "kernels/program.h"
#include "models/diffusers_unet.h"
#include "models/ldm_unet.h"
#include "models/names_ldm.h"
#include "temporary.h"
#include "unit/tiny.h"

static eq_context *ctx;

#define CLASS                                                                                                          \
    "{\"_class_name\": \"UNet2DConditionModel\", \"act_fn\": \"silu\", \"in_channels\": 4, \"out_channels\": 4, "
#define FOUR_LEVELS                                                                                                    \
    "\"down_block_types\": [\"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", "            \
    "\"DownBlock2D\"], \"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", "           \
    "\"CrossAttnUpBlock2D\"], \"block_out_channels\": [320, 640, 1280, 1280], \"sample_size\": 64, "

static const char sd1_text[] = CLASS FOUR_LEVELS "\"attention_head_dim\": 8, \"cross_attention_dim\": 768}";
static const char sd2_text[] = CLASS FOUR_LEVELS "\"attention_head_dim\": [5, 10, 20, 20], "
                                                 "\"cross_attention_dim\": 1024, \"use_linear_projection\": true, "
                                                 "\"only_cross_attention\": false, \"upcast_attention\": true}";
static const char xl_text[] =
    CLASS "\"down_block_types\": [\"DownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\"], "
          "\"up_block_types\": [\"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", \"UpBlock2D\"], "
          "\"block_out_channels\": [320, 640, 1280], \"sample_size\": 128, \"attention_head_dim\": [5, 10, 20], "
          "\"num_attention_heads\": null, \"transformer_layers_per_block\": [1, 2, 10], "
          "\"cross_attention_dim\": 2048, \"use_linear_projection\": true, \"addition_embed_type\": \"text_time\", "
          "\"addition_time_embed_dim\": 256, \"projection_class_embeddings_input_dim\": 2816, "
          "\"addition_embed_type_num_heads\": 64, \"time_cond_proj_dim\": null}";

static const struct published {
    const char *name, *text;
    int64_t parameters;
    int h[3];
} published[] = {
    {"1", sd1_text, 859520964, {8, 8, 1280}},
    {"2", sd2_text, 865910724, {8, 8, 1280}},
    {"XL", xl_text, 2567463684, {32, 32, 1280}},
};
enum { PUBLISHED = sizeof published / sizeof published[0] };

static eq_unet_config parse(const char *text)
{
    eq_unet_config config;
    assert_ok(eq_unet_config_parse(ctx, text, strlen(text), "config.json", &config));
    return config;
}

static void sizes_are_the_published_ones(void **state)
{
    for (int i = 0; i < PUBLISHED; i++) {
        eq_unet_config config = parse(published[i].text);
        eq_params *params = eq_params_new(ctx);
        assert_ok(eq_unet_declare(params, &config));
        assert_int_equal(params->total, published[i].parameters);

        eq_graph *graph = eq_graph_new(ctx, EQ_BF16);
        eq_unet unet;
        int side = config.sample_size;
        assert_ok(eq_unet_build(&(eq_builder){graph, params}, &config, 2, side, side, &unet));
        eq_shape h = eq_shape_of(2, published[i].h[0], published[i].h[1], published[i].h[2]);
        assert_true(eq_shape_equal(eq_shape_at(graph, unet.h), &h));
        eq_shape context = eq_shape_of(2, 77, config.cross_attention_dim);
        assert_true(eq_shape_equal(eq_shape_at(graph, unet.context), &context));
        assert_int_equal(unet.text == EQ_NONE, config.addition_time_dim == 0);
        eq_graph_free(graph);
        eq_params_free(params);
    }
}

static void configurations_survive(void **state)
{
    char *path = eq_path_join(*state, "config.json");
    for (int i = 0; i < PUBLISHED; i++) {
        eq_unet_config config = parse(published[i].text), again;
        assert_ok(eq_unet_config_write(ctx, path, &config));
        assert_ok(eq_unet_config_read(ctx, path, &again));
        assert_memory_equal(&again, &config, sizeof config);
    }
    free(path);
}

/* Networks that diffusers' classes cannot be are not written as something else. */
static void what_cannot_be_written(void **state)
{
    char *path = eq_path_join(*state, "config.json");
    eq_unet_config config = parse(sd1_text);
    config.time_channels = 128;
    assert_fails(eq_unet_config_write(ctx, path, &config), EQ_BAD_USAGE, "begins with the channels");
    config.time_channels = config.conv_in_channels = config.block_out_channels[0];
    assert_ok(eq_unet_config_write(ctx, path, &config));
    config.resample_blocks = true;
    assert_fails(eq_unet_config_write(ctx, path, &config), EQ_BAD_USAGE, "residual blocks that change the size");
    config = tiny_unet();
    config.down_attention[0] = true; /* one head of 8 channels beside two of 8: the same size */
    assert_ok(eq_unet_config_write(ctx, path, &config));
    config.heads[0] = 2;
    assert_fails(eq_unet_config_write(ctx, path, &config), EQ_BAD_USAGE, "heads of the same size");
    free(path);
}

/* A file that has the network's tensors under latent diffusion's names; their numbers are never read. */
static void make_single_file(const eq_params *params, const eq_name_map *map, eq_tensor_file *file)
{
    static float nothing;
    assert_ok(eq_tensor_file_start(ctx, "single.safetensors", file));
    for (int i = 0; i < params->count; i++) {
        char name[256];
        eq_weight_part part = {0};
        assert_true(map->name(map->user, params->items[i].name, name, sizeof name, &part));
        assert_int_equal(part.block, 0);
        eq_tensor tensor = {EQ_F32, params->items[i].tensor.shape, &nothing};
        assert_ok(eq_tensor_file_add(ctx, file, name, &tensor));
    }
    eq_tensor other = {EQ_F32, eq_shape_of(1), &nothing};
    assert_ok(eq_tensor_file_add(ctx, file, "first_stage_model.decoder.conv_in.bias", &other));
    assert_ok(eq_tensor_file_finish(ctx, file)); /* refuses repeated names */
}

static void single_files_are_recognised(void **state)
{
    for (int i = 0; i < PUBLISHED; i++) {
        eq_unet_config config = parse(published[i].text), found;
        eq_params *params = eq_params_new(ctx), *again = eq_params_new(ctx);
        assert_ok(eq_unet_declare(params, &config));
        eq_ldm_names names = {&config, EQ_LDM_UNET_PREFIX};
        eq_name_map map = eq_ldm_name_map(&names);
        eq_tensor_file file;
        make_single_file(params, &map, &file);
        assert_ok(eq_ldm_unet_config(ctx, &file, EQ_LDM_UNET_PREFIX, &found));
        assert_memory_equal(&found, &config, sizeof config);
        assert_ok(eq_unet_declare(again, &found));
        assert_ok(eq_weights_load(ctx, again, &file, &map));
        eq_tensor_file_close(&file);
        eq_params_free(again);
        eq_params_free(params);
    }
}

/* Names as they stand in the published files. */
static void names_of_single_files(void **state)
{
    static const char *const pairs[][3] = {
        /* ours, Stable Diffusion 1's, XL's where it differs */
        {"conv_in.weight", "input_blocks.0.0.weight"},
        {"time_embedding.linear_2.bias", "time_embed.2.bias"},
        {"down_blocks.1.resnets.1.conv_shortcut.weight", "input_blocks.5.0.skip_connection.weight"},
        {"down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight",
         "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"},
        {"down_blocks.0.downsamplers.0.conv.bias", "input_blocks.3.0.op.bias"},
        {"mid_block.attentions.0.norm.weight", "middle_block.1.norm.weight"},
        {"mid_block.resnets.1.time_emb_proj.weight", "middle_block.2.emb_layers.1.weight"},
        {"up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight", "output_blocks.2.2.conv.weight"},
        {"up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"},
        {"conv_norm_out.weight", "out.0.weight"},
    };
    eq_unet_config sd1 = parse(sd1_text), xl = parse(xl_text);
    eq_ldm_names first = {&sd1, ""}, second = {&xl, ""};
    eq_name_map sd1_map = eq_ldm_name_map(&first), xl_map = eq_ldm_name_map(&second);
    eq_weight_part part = {0};
    char name[256];
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_true(sd1_map.name(sd1_map.user, pairs[i][0], name, sizeof name, &part));
        assert_string_equal(name, pairs[i][1]);
        assert_true(xl_map.name(xl_map.user, pairs[i][0], name, sizeof name, &part));
        assert_string_equal(name, pairs[i][2] ? pairs[i][2] : pairs[i][1]);
    }
    assert_true(xl_map.name(xl_map.user, "add_embedding.linear_1.weight", name, sizeof name, &part));
    assert_string_equal(name, "label_emb.0.0.weight");
    assert_false(xl_map.name(xl_map.user, "no.such.part", name, sizeof name, &part));
}

/* What is changed in XL's configuration, and what the message must say. */
static void wrong_configurations(void **state)
{
    static const struct {
        const char *from, *to, *message;
    } cases[] = {
        {"\"text_time\"", "\"image\"", "addition_embed_type"},
        {"2816", "1536", "projection_class_embeddings_input_dim"},
        {"\"addition_time_embed_dim\": 256, ", "", "addition_time_embed_dim"},
        {"[1, 2, 10]", "[1, 2]", "transformer_layers_per_block has 2 numbers for 3 levels"},
        {"[1, 2, 10]", "[1, 2, [3]]", "transformer_layers_per_block"},
        {"[1, 2, 10]", "[1, 2, 17]", "transformer_layers_per_block"},
        {"[5, 10, 20]", "[5, 10, 21]", "attention_head_dim"},
        {"\"num_attention_heads\": null", "\"num_attention_heads\": [5, 11, 20]", "attention_head_dim"},
        {"\"cross_attention_dim\": 2048", "\"cross_attention_dim\": [2048, 2048, 1024]", "cross_attention_dim"},
        {"\"cross_attention_dim\": 2048", "\"cross_attention_dim\": 0", "cross_attention_dim"},
        {"\"time_cond_proj_dim\": null", "\"time_cond_proj_dim\": 256", "time_cond_proj_dim"},
        {"\"time_cond_proj_dim\": null", "\"only_cross_attention\": [true, true, false]", "only_cross_attention"},
        {"\"time_cond_proj_dim\": null", "\"conv_in_kernel\": 1", "conv_in_kernel"},
        {"\"time_cond_proj_dim\": null", "\"mid_block_type\": \"UNetMidBlock2DSimpleCrossAttn\"", "mid_block_type"},
        {"\"CrossAttnDownBlock2D\"", "\"AttnDownBlock2D\"", "AttnDownBlock2D"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        eq_unet_config config;
        char text[2048];
        const char *at = strstr(xl_text, cases[i].from);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - xl_text), xl_text, cases[i].to, at + strlen(cases[i].from));
        assert_fails(eq_unet_config_parse(ctx, text, strlen(text), "config.json", &config), EQ_BAD_INPUT,
                     cases[i].message);
    }
}

/* --- a small XL --- */

enum { N = 2, SIDE = 8, TOKENS = 5, TEXT = 12, SAMPLE = SIDE * SIDE * 4 };

static eq_unet_config tiny_xl(void)
{
    eq_unet_config config = parse(xl_text);
    config.sample_size = SIDE;
    config.norm_num_groups = 4;
    config.cross_attention_dim = 10;
    config.context_length = TOKENS;
    config.addition_time_dim = 6;
    config.addition_input_dim = TEXT + EQ_UNET_TIME_IDS * 6;
    for (int i = 0; i < config.levels; i++) {
        config.block_out_channels[i] = 8 << i;
        config.heads[i] = 1 << i;
        config.transformer_layers[i] = i;
    }
    return config;
}

/* Inputs of a call; a test changes one of them. */
typedef struct inputs {
    float sample[N * SAMPLE], timestep[N], context[N * TOKENS * 10], text[N * TEXT], time_ids[N * EQ_UNET_TIME_IDS];
} inputs;

static inputs random_inputs(void)
{
    inputs in = {.timestep = {700, 20}};
    eq_rng rng = eq_rng_make(5, 0, 0);
    eq_rng_normals(&rng, in.sample, N * SAMPLE);
    eq_rng_normals(&rng, in.context, N * TOKENS * 10);
    eq_rng_normals(&rng, in.text, N * TEXT);
    for (int i = 0; i < N * EQ_UNET_TIME_IDS; i++)
        in.time_ids[i] = (float)(64 * (i % 5));
    return in;
}

static eq_program *compile_xl(eq_params *params, const char *backend, eq_dtype dtype, eq_unet *unet)
{
    eq_unet_config config = tiny_xl();
    eq_graph *graph = eq_graph_new(ctx, dtype);
    eq_program *program;
    assert_ok(eq_unet_build(&(eq_builder){graph, params}, &config, N, SIDE, SIDE, unet));
    eq_program_options options = {.frozen_params = true, .backend = backend};
    assert_ok(eq_program_compile(graph, &options, &program));
    return program;
}

static void run_xl(eq_program *program, const eq_unet *unet, const inputs *in, float *prediction)
{
    memcpy(eq_program_data(program, unet->sample), in->sample, sizeof in->sample);
    memcpy(eq_program_data(program, unet->timestep), in->timestep, sizeof in->timestep);
    memcpy(eq_program_data(program, unet->context), in->context, sizeof in->context);
    memcpy(eq_program_data(program, unet->text), in->text, sizeof in->text);
    memcpy(eq_program_data(program, unet->time_ids), in->time_ids, sizeof in->time_ids);
    assert_ok(eq_program_run_stage(program, EQ_UNET_CONTEXT));
    assert_ok(eq_program_run_stage(program, EQ_UNET_ENCODE));
    assert_ok(eq_program_run_stage(program, EQ_UNET_DECODE));
    memcpy(prediction, eq_program_data(program, unet->prediction), N * SAMPLE * sizeof(float));
}

static void backends_agree(void **state)
{
    static const struct {
        const char *backend;
        eq_dtype dtype;
        double limit;
    } others[] = {{NULL, EQ_F32, 1e-5}, {NULL, EQ_BF16, 2e-2}};
    eq_unet_config config = tiny_xl();
    eq_params *params = tiny_params(ctx, &config, 3);
    assert_non_null(params);
    inputs in = random_inputs();
    eq_unet unet;
    float expected[N * SAMPLE], found[N * SAMPLE];
    eq_program *program = compile_xl(params, "ref", EQ_F32, &unet);
    run_xl(program, &unet, &in, expected);
    eq_program_free(program);
    for (int i = 0; i < 2; i++) {
        program = compile_xl(params, others[i].backend, others[i].dtype, &unet);
        run_xl(program, &unet, &in, found);
        eq_program_free(program);
        double error = tiny_relative_error(found, expected, N * SAMPLE);
        print_message("%s: relative error %.2e\n", eq_dtype_name(others[i].dtype), error);
        assert_true(error < others[i].limit); /* false for NaN */
    }
    eq_params_free(params);
}

/* Each condition changes the image that it belongs to, and no other. */
static void conditions_reach_the_output(void **state)
{
    eq_unet_config config = tiny_xl();
    eq_params *params = tiny_params(ctx, &config, 3);
    inputs in = random_inputs();
    float *const conditions[] = {in.timestep + 1, in.context + TOKENS * 10, in.text + TEXT,
                                 in.time_ids + EQ_UNET_TIME_IDS};
    eq_unet unet;
    float expected[N * SAMPLE], found[N * SAMPLE];
    eq_program *program = compile_xl(params, NULL, EQ_F32, &unet);
    run_xl(program, &unet, &in, expected);
    for (int i = 0; i < 4; i++) {
        float before = *conditions[i];
        *conditions[i] += 3;
        run_xl(program, &unet, &in, found);
        *conditions[i] = before;
        assert_true(tiny_relative_error(found, expected, SAMPLE) < 1e-6);
        assert_true(tiny_relative_error(found + SAMPLE, expected + SAMPLE, SAMPLE) > 1e-4);
    }
    eq_program_free(program);
    eq_params_free(params);
}

/* Both stages read the context: what lies between them holds for every micro-batch on its own. */
static void carries_keep_conditions(void **state)
{
    eq_unet_config config = tiny_xl();
    eq_params *params = tiny_params(ctx, &config, 3);
    inputs first = random_inputs(), second = random_inputs();
    second.context[3] += 2;
    second.text[1] -= 1;
    eq_unet unet;
    float expected[N * SAMPLE];
    eq_program *program = compile_xl(params, NULL, EQ_F32, &unet);
    run_xl(program, &unet, &first, expected);

    float unused[N * SAMPLE];
    size_t bytes = (eq_program_memory_use(program).carry_bytes + 63) / 64 * 64;
    void *carry = aligned_alloc(64, bytes);
    assert_non_null(carry);
    eq_program_set_carry(program, carry); /* the first batch's lies in the program's own */
    run_xl(program, &unet, &second, unused);
    eq_program_set_carry(program, NULL);
    assert_ok(eq_program_run_stage(program, EQ_UNET_DECODE));
    assert_memory_equal(eq_program_data(program, unet.prediction), expected, sizeof expected);
    assert_memory_not_equal(unused, expected, sizeof expected);
    free(carry);
    eq_program_free(program);
    eq_params_free(params);
}

/* Five rows in micro-batches of two, three of them of one prompt, twice through: prompts are read when a run starts,
 * and not again, whether all encoder's results are kept or none. */
static void contexts_are_read_once(void **state)
{
    enum { ROWS = 5 };
    eq_unet_config config = tiny_xl();
    eq_params *params = tiny_params(ctx, &config, 3);
    inputs in = random_inputs();
    float *x = tiny_normals(8, ROWS * SAMPLE), prediction[3][ROWS * SAMPLE], whole[ROWS * SAMPLE];
    int prompt_of[ROWS] = {1, 0, 0, 1, 0};
    eq_condition condition = {.context = in.context, .text = in.text, .prompt_of = prompt_of};
    eq_denoiser_options options = {.count = ROWS, .height = SIDE, .width = SIDE, .condition = &condition};
    eq_denoiser *d;
    assert_ok(eq_denoiser_new(ctx, &config, params, &options, &d)); /* all at a time */
    assert_ok(eq_denoiser_run(d, x, 300, whole));
    eq_denoiser_free(d);
    static const size_t memory[] = {0, 1};
    for (int k = 0; k < 2; k++) {
        inputs changed = in;
        condition.context = changed.context;
        options.micro_batch = 2;
        options.memory_bytes = memory[k];
        assert_ok(eq_denoiser_new(ctx, &config, params, &options, &d));
        assert_int_equal(eq_denoiser_carry_bytes(d) > 0, k == 0);
        assert_ok(eq_denoiser_run(d, x, 300, prediction[0]));
        assert_true(tiny_relative_error(prediction[0], whole, ROWS * SAMPLE) < 1e-5);
        for (int i = 0; i < N * TOKENS * 10; i++)
            changed.context[i] += 1;
        assert_ok(eq_denoiser_run(d, x, 300, prediction[1]));
        if (k == 0) /* where there is room, it is not even looked at */
            assert_memory_equal(prediction[1], prediction[0], sizeof prediction[0]);
        assert_ok(eq_denoiser_restart(d, &options));
        assert_ok(eq_denoiser_run(d, x, 300, prediction[2]));
        assert_true(tiny_relative_error(prediction[2], whole, ROWS * SAMPLE) > 1e-3);
        eq_denoiser_free(d);
        condition.context = in.context;
    }
    free(x);
    eq_params_free(params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_the_published_ones),
        cmocka_unit_test_setup_teardown(configurations_survive, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_written, temporary_setup, temporary_teardown),
        cmocka_unit_test(single_files_are_recognised),
        cmocka_unit_test(names_of_single_files),
        cmocka_unit_test(wrong_configurations),
        cmocka_unit_test(backends_agree),
        cmocka_unit_test(conditions_reach_the_output),
        cmocka_unit_test(carries_keep_conditions),
        cmocka_unit_test(contexts_are_read_once),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}

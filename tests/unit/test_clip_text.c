/* The text transformer: what its outputs are, agreement of the kernels, its folder, and single-file checkpoints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "io/safetensors.h"
#include "models/names_clip.h"
#include "temporary.h"
#include "unit/tiny_text.h"

enum { N = 2, L = 9, C = 24, P = 10 };

static eq_context *ctx;
static const int32_t ids[N * L] = {TINY_BOS, 1, 7, 3, TINY_EOS, 0, 0,        0,        0,
                                   TINY_BOS, 9, 9, 4, 12,       6, TINY_EOS, TINY_EOS, TINY_EOS};
static const int ends[N] = {4, 6};

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

static eq_program *run_text(const eq_clip_text_config *config, eq_params *params, const int32_t *tokens, eq_dtype dtype,
                            const char *backend, eq_clip_text *text)
{
    eq_program *program = tiny_text_run(ctx, config, params, tokens, N, L, dtype, backend, text);
    if (!program)
        fail_msg("%s", eq_last_error(ctx));
    return program;
}

/* --- the network --- */

static void kernels_agree(void **state)
{
    eq_clip_text_config config = tiny_text_config(C, P);
    eq_params *params = tiny_text_params(ctx, &config, 1);
    eq_clip_text a, b, c;
    eq_program *reference = run_text(&config, params, ids, EQ_F32, "ref", &a);
    eq_program *best = run_text(&config, params, ids, EQ_F32, NULL, &b);
    eq_program *narrow = run_text(&config, params, ids, EQ_BF16, NULL, &c);
    const eq_graph *graph = eq_program_graph(best);
    eq_shape states = eq_shape_of(N, L, C), pooled = eq_shape_of(N, P);
    assert_true(eq_shape_equal(eq_shape_at(graph, b.last), &states));
    assert_true(eq_shape_equal(eq_shape_at(graph, b.penultimate), &states));
    assert_true(eq_shape_equal(eq_shape_at(graph, b.pooled), &pooled));
    const eq_value values[][3] = {
        {a.last, b.last, c.last}, {a.penultimate, b.penultimate, c.penultimate}, {a.pooled, b.pooled, c.pooled}};
    for (int i = 0; i < 3; i++) {
        const float *expected = eq_program_data(reference, values[i][0]);
        int64_t count = eq_shape_count(eq_shape_at(graph, values[i][1]));
        assert_true(tiny_text_error(eq_program_data(best, values[i][1]), expected, count) < 1e-5);
        assert_true(tiny_text_error(eq_program_data(narrow, values[i][2]), expected, count) < 3e-2);
    }
    eq_program_free(reference);
    eq_program_free(best);
    eq_program_free(narrow);
    eq_params_free(params);
}

/* A token changes the states from its place on, and none before. */
static void states_are_causal(void **state)
{
    enum { CHANGED = 5 };
    eq_clip_text_config config = tiny_text_config(C, 0);
    eq_params *params = tiny_text_params(ctx, &config, 2);
    int32_t other[N * L];
    memcpy(other, ids, sizeof ids);
    other[CHANGED] = 8;
    eq_clip_text a, b;
    eq_program *first = run_text(&config, params, ids, EQ_F32, "ref", &a);
    eq_program *second = run_text(&config, params, other, EQ_F32, "ref", &b);
    assert_int_equal(a.pooled, EQ_NONE);
    const float *x = eq_program_data(first, a.last), *y = eq_program_data(second, b.last);
    for (int i = 0; i < N * L; i++) {
        bool same = memcmp(x + i * C, y + i * C, C * sizeof *x) == 0;
        assert_int_equal(same, i < CHANGED || i >= L);
    }
    eq_program_free(first);
    eq_program_free(second);
    eq_params_free(params);
}

static const float *values_of(const eq_params *params, const char *name)
{
    const eq_param *param = eq_params_find(params, name);
    assert_non_null(param);
    return param->tensor.data;
}

static void pooled_is_the_projected_end(void **state)
{
    eq_clip_text_config config = tiny_text_config(C, P);
    eq_params *params = tiny_text_params(ctx, &config, 3);
    eq_clip_text text;
    eq_program *program = run_text(&config, params, ids, EQ_F32, "ref", &text);
    const float *weight = values_of(params, "text_projection.weight"); /* [P, C] */
    const float *last = eq_program_data(program, text.last), *pooled = eq_program_data(program, text.pooled);
    float expected[N * P];
    for (int n = 0; n < N; n++)
        for (int p = 0; p < P; p++) {
            double sum = 0;
            for (int c = 0; c < C; c++)
                sum += (double)weight[p * C + c] * last[(n * L + ends[n]) * C + c];
            expected[n * P + p] = (float)sum;
        }
    assert_true(tiny_text_error(pooled, expected, N * P) < 1e-6);
    eq_program_free(program);
    eq_params_free(params);
}

static void clear(const eq_params *params, const char *name)
{
    eq_param *param = eq_params_find(params, name);
    assert_non_null(param);
    memset(param->tensor.data, 0, eq_tensor_bytes(&param->tensor));
}

/* With a last block that adds nothing, the last states are the penultimate ones, normalised. */
static void penultimate_precedes_the_last_block(void **state)
{
    eq_clip_text_config config = tiny_text_config(C, 0);
    eq_params *params = tiny_text_params(ctx, &config, 4);
    clear(params, "text_model.encoder.layers.2.self_attn.out_proj.weight");
    clear(params, "text_model.encoder.layers.2.self_attn.out_proj.bias");
    clear(params, "text_model.encoder.layers.2.mlp.fc2.weight");
    clear(params, "text_model.encoder.layers.2.mlp.fc2.bias");
    eq_clip_text text;
    eq_program *program = run_text(&config, params, ids, EQ_F32, "ref", &text);
    const float *gamma = values_of(params, "text_model.final_layer_norm.weight");
    const float *beta = values_of(params, "text_model.final_layer_norm.bias");
    const float *from = eq_program_data(program, text.penultimate);
    float expected[N * L * C];
    for (int row = 0; row < N * L; row++) {
        double mean = 0, variance = 0;
        for (int c = 0; c < C; c++)
            mean += from[row * C + c] / (double)C;
        for (int c = 0; c < C; c++)
            variance += (from[row * C + c] - mean) * (from[row * C + c] - mean) / C;
        for (int c = 0; c < C; c++)
            expected[row * C + c] = (float)(gamma[c] * (from[row * C + c] - mean) / sqrt(variance + 1e-5) + beta[c]);
    }
    assert_true(tiny_text_error(eq_program_data(program, text.last), expected, N * L * C) < 1e-6);
    eq_program_free(program);
    eq_params_free(params);
}

/* --- folders --- */

static void assert_same_params(const eq_params *a, const eq_params *b)
{
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        const eq_param *x = &a->items[i], *y = eq_params_find(b, x->name);
        assert_non_null(y);
        assert_true(eq_shape_equal(&x->tensor.shape, &y->tensor.shape));
        assert_memory_equal(x->tensor.data, y->tensor.data, eq_tensor_bytes(&x->tensor));
    }
}

static void folder_round_trip(void **state)
{
    for (int projection = 0; projection <= P; projection += P) {
        eq_clip_text_config config = tiny_text_config(C, projection);
        eq_params *params = tiny_text_params(ctx, &config, 5);
        eq_clip_text_file file;
        assert_ok(eq_clip_text_file_save(ctx, *state, &config, params, EQ_F32, TINY_BOS, TINY_EOS, 0));
        assert_ok(eq_clip_text_file_open(ctx, *state, &file));
        assert_memory_equal(&file.config, &config, sizeof config);
        assert_same_params(file.params, params);
        eq_clip_text_file_close(&file);
        eq_params_free(params);
    }
}

/* Writes params as safetensors, one of them left out (NULL: none), with `extra` [1] beside them (NULL: nothing). */
static void write_weights(const char *folder, const eq_params *params, const char *without, const char *extra)
{
    eq_named_tensor tensors[128];
    int64_t number = 7;
    size_t count = 0;
    for (int i = 0; i < params->count; i++)
        if (!without || strcmp(params->items[i].name, without) != 0)
            tensors[count++] = (eq_named_tensor){params->items[i].name, params->items[i].tensor};
    if (extra)
        tensors[count++] = (eq_named_tensor){extra, {EQ_I64, eq_shape_of(1), &number}};
    char *path = eq_path_join(folder, "model.safetensors");
    assert_ok(eq_safetensors_write(ctx, path, tensors, count, NULL, 0));
    free(path);
}

static void weights_that_do_not_fit(void **state)
{
    eq_clip_text_config config = tiny_text_config(C, 0);
    eq_params *params = tiny_text_params(ctx, &config, 6);
    eq_clip_text_file file;
    assert_ok(eq_clip_text_file_save(ctx, *state, &config, params, EQ_F32, TINY_BOS, TINY_EOS, 0));
    write_weights(*state, params, NULL, "text_model.embeddings.position_ids"); /* beside the weights in old files */
    assert_ok(eq_clip_text_file_open(ctx, *state, &file));
    eq_clip_text_file_close(&file);
    write_weights(*state, params, "text_model.final_layer_norm.bias", NULL);
    assert_int_equal(eq_clip_text_file_open(ctx, *state, &file), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "no tensor text_model.final_layer_norm.bias"));
    write_weights(*state, params, NULL, "text_model.encoder.layers.3.layer_norm1.bias");
    assert_int_equal(eq_clip_text_file_open(ctx, *state, &file), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "layers.3.layer_norm1.bias"));
    eq_params_free(params);
}

static void configurations_that_are_refused(void **state)
{
#define START "{\"vocab_size\": 16, \"hidden_size\": 24, \"intermediate_size\": 40, \"num_hidden_layers\": 2, "
#define HEADS "\"num_attention_heads\": 4, \"max_position_embeddings\": 9, "
    static const char *const cases[][2] = {
        {"{}", "\"vocab_size\" is missing"},
        {START HEADS "\"hidden_act\": \"relu\"}", "hidden_act is \"relu\""},
        {START "\"num_attention_heads\": 5, \"max_position_embeddings\": 9}", "num_attention_heads: a divisor"},
        {START "\"num_attention_heads\": 0, \"max_position_embeddings\": 9}", "num_attention_heads: a divisor"},
        {START "\"num_attention_heads\": 4, \"max_position_embeddings\": 1}", "max_position_embeddings: 2 to"},
        {START HEADS "\"layer_norm_eps\": -1}", "layer_norm_eps"},
        {START HEADS "\"architectures\": [\"BertModel\"]}", "found BertModel"},
        {START HEADS "\"architectures\": [\"CLIPTextModelWithProjection\"]}", "\"projection_dim\" is missing"},
        {START HEADS "\"architectures\": [\"CLIPTextModelWithProjection\"], \"projection_dim\": 0}",
         "projection_dim: exp"},
    };
    eq_clip_text_config config;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(eq_clip_text_config_parse(ctx, cases[i][0], strlen(cases[i][0]), "file", &config),
                         EQ_BAD_INPUT);
        if (!strstr(eq_last_error(ctx), cases[i][1]))
            fail_msg("expected \"%s\" in \"%s\"", cases[i][1], eq_last_error(ctx));
    }
    static const char good[] = START HEADS "\"projection_dim\": 512}";
    assert_ok(eq_clip_text_config_parse(ctx, good, strlen(good), "file", &config));
    assert_true(config.projection_dim == 0 && config.hidden_act == EQ_ACT_QUICK_GELU);
}

/* --- single files --- */

/* A model that such files can hold: heads of 64 channels. */
static eq_clip_text_config checkpoint_config(int layers)
{
    eq_clip_text_config config = tiny_text_config(128, 0);
    config.num_attention_heads = 2;
    config.num_hidden_layers = layers;
    return config;
}

/* names: how the file calls the parameters. Fused tensors are put together from their parts. */
static void write_checkpoint(const char *path, const eq_params *params, const eq_name_map *names)
{
    static char text[128][256];
    eq_named_tensor tensors[128] = {{0}};
    float *fused[128] = {0};
    size_t count = 0;
    for (int i = 0; i < params->count; i++) {
        const eq_tensor *tensor = &params->items[i].tensor;
        eq_weight_part part = {0};
        size_t at = 0, bytes = eq_tensor_bytes(tensor);
        assert_true(names->name(names->user, params->items[i].name, text[count], sizeof text[0], &part));
        while (strcmp(text[at], text[count]) != 0)
            at++;
        if (at == count) {
            tensors[count] = (eq_named_tensor){text[count], *tensor};
            tensors[count++].tensor.shape.dim[0] *= part.block ? 3 : 1;
        }
        if (!part.block)
            continue;
        fused[at] = fused[at] ? fused[at] : malloc(3 * bytes);
        tensors[at].tensor.data = fused[at];
        memcpy((char *)fused[at] + (size_t)(part.offset / part.block) * bytes, tensor->data, bytes);
    }
    assert_ok(eq_safetensors_write(ctx, path, tensors, count, NULL, 0));
    for (size_t i = 0; i < count; i++)
        free(fused[i]);
}

static void check_checkpoint(const char *folder, const eq_params *written, const eq_name_map *names,
                             const eq_clip_text_config *expected)
{
    char *path = eq_path_join(folder, "checkpoint.safetensors");
    write_checkpoint(path, written, names);
    eq_params *kept = tiny_text_params(ctx, expected, 7); /* the same numbers for the same names */
    eq_tensor_file checkpoint;
    eq_clip_text_file file;
    assert_ok(eq_tensor_file_open(ctx, path, &checkpoint));
    assert_ok(eq_clip_text_file_from_checkpoint(ctx, &checkpoint, 0, &file));
    assert_memory_equal(&file.config, expected, sizeof *expected);
    assert_same_params(kept, file.params);
    eq_clip_text_file_close(&file);
    eq_tensor_file_close(&checkpoint);
    eq_params_free(kept);
    free(path);
}

static void stable_diffusion_1(void **state)
{
    eq_clip_text_config config = checkpoint_config(2);
    eq_params *params = tiny_text_params(ctx, &config, 7);
    check_checkpoint(*state, params, &eq_names_clip_ldm, &config);
    eq_params_free(params);
}

/* OpenCLIP's model has a block more than Stable Diffusion uses. */
static void stable_diffusion_2(void **state)
{
    eq_clip_text_config written = checkpoint_config(3), expected = checkpoint_config(2);
    written.hidden_act = expected.hidden_act = EQ_ACT_GELU;
    eq_params *params = tiny_text_params(ctx, &written, 7);
    eq_name_map names = eq_names_open_clip(&(eq_open_clip_names){&written, EQ_OPEN_CLIP_PREFIX_SD2});
    check_checkpoint(*state, params, &names, &expected);
    eq_params_free(params);
}

static void checkpoint_without_text(void **state)
{
    float number = 1;
    eq_named_tensor tensor = {"model.diffusion_model.out.0.bias", {EQ_F32, eq_shape_of(1), &number}};
    char *path = eq_path_join(*state, "checkpoint.safetensors");
    assert_ok(eq_safetensors_write(ctx, path, &tensor, 1, NULL, 0));
    eq_tensor_file checkpoint;
    eq_clip_text_file file;
    assert_ok(eq_tensor_file_open(ctx, path, &checkpoint));
    assert_int_equal(eq_clip_text_file_from_checkpoint(ctx, &checkpoint, 0, &file), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "no text model in it"));
    eq_tensor_file_close(&checkpoint);
    free(path);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, temporary_setup, temporary_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_agree),
        cmocka_unit_test(states_are_causal),
        cmocka_unit_test(pooled_is_the_projected_end),
        cmocka_unit_test(penultimate_precedes_the_last_block),
        IN_FOLDER(folder_round_trip),
        IN_FOLDER(weights_that_do_not_fit),
        cmocka_unit_test(configurations_that_are_refused),
        IN_FOLDER(stable_diffusion_1),
        IN_FOLDER(stable_diffusion_2),
        IN_FOLDER(checkpoint_without_text),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}

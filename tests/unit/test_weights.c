/* Parameters of networks: where their first numbers come from, and how they are filled from tensor files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/safetensors.h"
#include "models/names_diffusers.h"
#include "models/weights.h"
#include "temporary.h"
#include "unit/tiny.h"

static eq_context *ctx;

/* --- parameters --- */

static void parameters_depend_on_seed_and_name(void **state)
{
    eq_unet_config unet = tiny_unet(), wider = tiny_unet();
    wider.layers_per_block = 2; /* more parameters in between */
    eq_params *a = eq_params_new(ctx), *b = eq_params_new(ctx);
    assert_ok(eq_unet_declare(a, &unet));
    assert_ok(eq_unet_declare(b, &wider));
    assert_ok(eq_params_allocate(a));
    assert_ok(eq_params_allocate(b));
    eq_params_initialise(a, 4);
    eq_params_initialise(b, 4);
    int same = 0;
    int64_t total = 0;
    for (int i = 0; i < a->count; i++) {
        const eq_param *ours = &a->items[i], *theirs = eq_params_find(b, ours->name);
        int64_t count = eq_shape_count(&ours->tensor.shape);
        total += count;
        assert_non_null(theirs);
        if (!eq_shape_equal(&ours->tensor.shape, &theirs->tensor.shape) || ours->fan_in != theirs->fan_in)
            continue;
        same++;
        assert_memory_equal(ours->tensor.data, theirs->tensor.data, (size_t)count * sizeof(float));
    }
    assert_true(same > 40);
    assert_int_equal(total, a->total);

    const eq_param *weight = eq_params_find(a, "conv_in.weight"), *zero = eq_params_find(a, "conv_out.weight");
    float bound = 1 / sqrtf(27), largest = 0;
    for (int k = 0; k < 8 * 27; k++) {
        largest = fmaxf(largest, fabsf(((float *)weight->tensor.data)[k]));
        assert_true(k >= 3 * 72 || ((float *)zero->tensor.data)[k] == 0);
    }
    assert_true(largest <= bound && largest > 0.9f * bound);
    float before = ((float *)weight->tensor.data)[0];
    assert_ok(eq_params_allocate(a)); /* keeps what is there */
    assert_true(((float *)weight->tensor.data)[0] == before);
    eq_params_initialise(a, 5);
    assert_true(((float *)weight->tensor.data)[0] != before);
    assert_null(eq_params_find(a, "conv_in"));
    eq_params_free(a);
    eq_params_free(b);
}

static void wanted_parameters(void **state)
{
    eq_params *params = eq_params_new(ctx);
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    params->declaring = true;
    eq_params_value(params, graph, eq_shape_of(2, 3), EQ_INIT_ONES, 1, "layer.%d", 1);
    params->declaring = false;
    assert_ok(eq_params_allocate(params));
    assert_true(eq_params_value(params, graph, eq_shape_of(2, 3), EQ_INIT_ONES, 1, "layer.%d", 1) != EQ_NONE);
    assert_int_equal(eq_params_value(params, graph, eq_shape_of(3, 2), EQ_INIT_ONES, 1, "layer.1"), EQ_NONE);
    assert_fails(eq_graph_status(graph), EQ_FAILED, "layer.1 is [2, 3], the network wants [3, 2]");
    eq_graph_free(graph);
    graph = eq_graph_new(ctx, EQ_F32);
    eq_params_value(params, graph, eq_shape_of(2, 3), EQ_INIT_ONES, 1, "layer.2");
    assert_fails(eq_graph_status(graph), EQ_FAILED, "no parameter layer.2");
    eq_graph_free(graph);
    eq_params_free(params);
}

/* --- tensor files --- */

/* Two parameters, as a network of one attention would declare them. */
static eq_params *attention_params(void)
{
    eq_params *params = eq_params_new(ctx);
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    params->declaring = true;
    eq_params_value(params, graph, eq_shape_of(2, 2), EQ_INIT_ONES, 1, "mid.query.weight");
    eq_params_value(params, graph, eq_shape_of(2), EQ_INIT_ONES, 1, "mid.proj_attn.bias");
    params->declaring = false;
    assert_ok(eq_graph_status(graph));
    eq_graph_free(graph);
    return params;
}

/* Writes the tensors and loads them; the file stays open until `file` is closed. */
static eq_status load(const char *folder, const eq_named_tensor *tensors, size_t count, eq_params *params,
                      eq_tensor_file *file)
{
    char *path = eq_path_join(folder, "weights.safetensors");
    assert_ok(eq_safetensors_write(ctx, path, tensors, count, NULL, 0));
    assert_ok(eq_tensor_file_open(ctx, path, file));
    free(path);
    return eq_weights_load(ctx, params, file, &eq_names_diffusers);
}

static void names_and_aliases(void **state)
{
    float weight[4] = {1, 2, 3, 4}, bias[2] = {5, 6};
    static const char *const names[][2] = {{"mid.query.weight", "mid.proj_attn.bias"},
                                           {"mid.to_q.weight", "mid.to_out.0.bias"},
                                           {"mid.to_q.weight", "mid.proj_attn.bias"}};
    for (int i = 0; i < 3; i++) {
        eq_params *params = attention_params();
        eq_tensor_file file;
        eq_named_tensor tensors[] = {{names[i][0], {EQ_F32, eq_shape_of(2, 2), weight}},
                                     {names[i][1], {EQ_F32, eq_shape_of(2), bias}}};
        assert_ok(load(*state, tensors, 2, params, &file));
        assert_true(((float *)params->items[0].tensor.data)[3] == 4);
        assert_true(((float *)params->items[1].tensor.data)[1] == 6);
        assert_ok(eq_params_allocate(params));
        eq_tensor_file_close(&file); /* the parameters have their own now */
        assert_true(params->storage[3] == 4 && params->storage[5] == 6);
        eq_params_free(params);
    }
}

/* 1x1 convolutions of old files stand for linear layers; halves are converted when storage is their own. */
static void trailing_ones_and_halves(void **state)
{
    uint16_t weight[4] = {0x3c00, 0x4000, 0x4200, 0xc400}; /* 1, 2, 3, -4 */
    uint16_t bias[2] = {0x3f80, 0xbf00};                   /* 1, -0.5 in bf16 */
    eq_params *params = attention_params();
    eq_tensor_file file;
    eq_named_tensor tensors[] = {{"mid.to_q.weight", {EQ_F16, eq_shape_of(2, 2, 1, 1), weight}},
                                 {"mid.to_out.0.bias", {EQ_BF16, eq_shape_of(2), bias}}};
    assert_ok(load(*state, tensors, 2, params, &file));
    assert_ok(eq_params_allocate(params));
    eq_tensor_file_close(&file);
    static const float expected[] = {1, 2, 3, -4, 1, -0.5f};
    assert_memory_equal(params->storage, expected, sizeof expected);
    eq_params_free(params);
}

/* The rows of both heads of one channel each, out of [heads][query, key, value]; biases from one piece. */
static bool fused_name(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    const int64_t *offset = user;
    snprintf(theirs, size, "net.%s", strstr(ours, "query") ? "qkv" : "bias");
    *part = strstr(ours, "query") ? (eq_weight_part){.offset = *offset, .block = 1, .stride = 3}
                                  : (eq_weight_part){.offset = *offset, .block = 2};
    return true;
}

static void parts_of_fused_tensors(void **state)
{
    float qkv[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, bias[4] = {20, 21, 22, 23}, other = 0;
    char *path = eq_path_join(*state, "weights.safetensors");
    eq_named_tensor tensors[] = {{"net.qkv", {EQ_F32, eq_shape_of(6, 2, 1), qkv}},
                                 {"net.bias", {EQ_F32, eq_shape_of(4), bias}},
                                 {"another.network", {EQ_F32, eq_shape_of(1), &other}}};
    assert_ok(eq_safetensors_write(ctx, path, tensors, 3, NULL, 0));
    for (int64_t offset = -1; offset <= 3; offset++) {
        eq_name_map names = {.name = fused_name, .user = &offset, .prefix = "net."};
        eq_params *params = attention_params();
        eq_tensor_file file;
        assert_ok(eq_tensor_file_open(ctx, path, &file));
        if (offset < 0 || offset > 2) { /* rows that are not there */
            assert_fails(eq_weights_load(ctx, params, &file, &names), EQ_BAD_INPUT, "net.qkv is [6, 2, 1]");
        } else {
            assert_ok(eq_weights_load(ctx, params, &file, &names));
            const float *weight = params->items[0].tensor.data, *biases = params->items[1].tensor.data;
            float first = (float)(2 * offset);
            const float expected[4] = {first, first + 1, first + 6, first + 7};
            assert_memory_equal(weight, expected, sizeof expected);
            assert_true(biases[0] == bias[offset] && biases[1] == bias[offset + 1]);
            assert_ok(eq_params_allocate(params)); /* the copies go, their numbers stay */
            assert_memory_equal(params->storage, expected, sizeof expected);
        }
        eq_tensor_file_close(&file);
        eq_params_free(params);
    }
    free(path);
}

static void wrong_tensors(void **state)
{
    float numbers[8] = {0};
    int64_t integers[2] = {0};
    eq_params *params = attention_params();
    eq_tensor_file file;
    eq_named_tensor right = {"mid.query.weight", {EQ_F32, eq_shape_of(2, 2), numbers}};
    eq_named_tensor bias = {"mid.proj_attn.bias", {EQ_F32, eq_shape_of(2), numbers}};

    eq_named_tensor missing[] = {right};
    assert_fails(load(*state, missing, 1, params, &file), EQ_BAD_INPUT, "no tensor mid.proj_attn.bias");
    assert_non_null(strstr(eq_last_error(ctx), "weights.safetensors"));
    assert_non_null(strstr(eq_last_error(ctx), "[2]"));
    eq_tensor_file_close(&file);

    eq_named_tensor shape[] = {right, {"mid.proj_attn.bias", {EQ_F32, eq_shape_of(3), numbers}}};
    assert_fails(load(*state, shape, 2, params, &file), EQ_BAD_INPUT,
                 "mid.proj_attn.bias is [3], the configuration wants [2]");
    eq_tensor_file_close(&file);

    eq_named_tensor type[] = {right, {"mid.proj_attn.bias", {EQ_I64, eq_shape_of(2), integers}}};
    assert_fails(load(*state, type, 2, params, &file), EQ_BAD_INPUT, "mid.proj_attn.bias is i64");
    eq_tensor_file_close(&file);

    eq_named_tensor extra[] = {right,
                               bias,
                               {"a.one", {EQ_F32, eq_shape_of(1), numbers}},
                               {"a.two", {EQ_F32, eq_shape_of(1), numbers}},
                               {"mid.to_q.weight", {EQ_F32, eq_shape_of(2, 2), numbers}},
                               {"z.last", {EQ_F32, eq_shape_of(1), numbers}}};
    assert_fails(load(*state, extra, 6, params, &file), EQ_BAD_INPUT,
                 "4 tensors that this network has no use for: a.one, a.two, mid.to_q.weight, ...");
    eq_tensor_file_close(&file);
    assert_fails(load(*state, extra, 3, params, &file), EQ_BAD_INPUT, "1 tensors that this network has no use for");
    eq_tensor_file_close(&file);

    eq_set_allow_unused(ctx, true);
    assert_ok(load(*state, extra, 6, params, &file));
    assert_ptr_equal(params->items[1].tensor.data, eq_tensor_file_find(&file, "mid.proj_attn.bias")->data);
    eq_tensor_file_close(&file);
    assert_fails(load(*state, missing, 1, params, &file), EQ_BAD_INPUT, "no tensor mid.proj_attn.bias");
    eq_tensor_file_close(&file);
    eq_set_allow_unused(ctx, false);
    eq_params_free(params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_depend_on_seed_and_name),
        cmocka_unit_test(wanted_parameters),
        cmocka_unit_test_setup_teardown(names_and_aliases, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(trailing_ones_and_halves, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(parts_of_fused_tensors, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(wrong_tensors, temporary_setup, temporary_teardown),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}

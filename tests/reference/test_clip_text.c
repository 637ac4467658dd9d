/* Text states against transformers' numbers: from the given token ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/clip_text_file.h"
#include "reference/compare.h"
#include "reference/fixtures.h"

static eq_context *ctx;
static eq_clip_text_file model;
static eq_tensor_file reference;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

static const eq_tensor *reference_tensor(const char *name, eq_dtype dtype)
{
    const eq_tensor *tensor = eq_tensor_file_find(&reference, name);
    assert_non_null(tensor);
    assert_int_equal(tensor->dtype, dtype);
    return tensor;
}

/* The relative error of the last states for the ids [n, l] of that name. */
static double states_error(const char *ids_name, const char *states_name, eq_dtype dtype, const char *backend)
{
    const eq_tensor *ids = reference_tensor(ids_name, EQ_I64), *states = reference_tensor(states_name, EQ_F32);
    int64_t n = ids->shape.dim[0], l = ids->shape.dim[1], count = eq_shape_count(&states->shape);
    eq_graph *graph = eq_graph_new(ctx, dtype);
    eq_clip_text text;
    eq_program *program;
    assert_ok(eq_clip_text_build(&(eq_builder){graph, model.params}, &model.config, n, l, &text));
    assert_true(eq_shape_equal(eq_shape_at(graph, text.last), &states->shape));
    assert_ok(eq_program_compile(graph, &(eq_program_options){.frozen_params = true, .backend = backend}, &program));
    int32_t *narrow = malloc((size_t)(n * l) * sizeof *narrow);
    for (int64_t i = 0; i < n * l; i++)
        narrow[i] = (int32_t)((const int64_t *)ids->data)[i];
    eq_clip_text_fill(program, &text, narrow, 0);
    assert_ok(eq_program_run(program));
    double error = relative_error(eq_program_data(program, text.last), states->data, count);
    print_message("%s %s: relative error of %s %.2e\n", backend ? backend : "best", eq_dtype_name(dtype), states_name,
                  error);
    free(narrow);
    eq_program_free(program);
    return error;
}

static void reference_kernels(void **state)
{
    assert_true(states_error("prompt_ids", "prompt_emb", EQ_F32, "ref") < 1e-5);
    assert_true(states_error("negative_ids", "negative_emb", EQ_F32, "ref") < 1e-5);
}

static void best_kernels(void **state)
{
    assert_true(states_error("prompt_ids", "prompt_emb", EQ_F32, NULL) < 1e-5);
    assert_true(states_error("negative_ids", "negative_emb", EQ_F32, NULL) < 1e-5);
}

static void bfloat16(void **state)
{
    assert_true(states_error("prompt_ids", "prompt_emb", EQ_BF16, NULL) < 2e-2);
    assert_true(states_error("negative_ids", "negative_emb", EQ_BF16, NULL) < 2e-2);
}

int main(void)
{
    if (!fixture_exists("stable-diffusion-tiny"))
        return FIXTURES_SKIP;
    ctx = eq_context_new();
    if (eq_clip_text_file_open(ctx, fixture_path("stable-diffusion-tiny/text_encoder"), &model) != EQ_OK ||
        eq_tensor_file_open(ctx, fixture_path("stable-diffusion-tiny/reference.safetensors"), &reference) != EQ_OK) {
        print_error("%s\n", eq_last_error(ctx));
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_kernels),
        cmocka_unit_test(best_kernels),
        cmocka_unit_test(bfloat16),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_tensor_file_close(&reference);
    eq_clip_text_file_close(&model);
    eq_context_free(ctx);
    return failed;
}

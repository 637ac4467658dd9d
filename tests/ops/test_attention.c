/* Attention and its gradient. */
#include "ops/op_check.h"

static eq_value build(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_attention(graph, in[0], in[1], in[2], attr->heads, attr->scale, attr->causal);
}

static void kernels_agree_and_gradients_hold(void **state)
{
    const eq_attr one = {.heads = 1, .scale = 0.5f}, two = {.heads = 2, .scale = 0.7f};
    const eq_attr causal = {.heads = 2, .scale = 0.7f, .causal = true}, eight = {.heads = 8, .scale = 0.125f};
    const op_case cases[] = {
        {"one head", build, one, {ACTIVATION(1, 4, 5), ACTIVATION(1, 4, 5), ACTIVATION(1, 4, 5)}},
        {"two heads, odd lengths", build, two, {ACTIVATION(2, 5, 6), ACTIVATION(2, 3, 6), ACTIVATION(2, 3, 6)}},
        {"one token", build, two, {ACTIVATION(1, 1, 6), ACTIVATION(1, 1, 6), ACTIVATION(1, 1, 6)}},
        {"one key", build, two, {ACTIVATION(2, 7, 6), ACTIVATION(2, 1, 6), ACTIVATION(2, 1, 6)}},
        {"causal", build, causal, {ACTIVATION(2, 7, 10), ACTIVATION(2, 7, 10), ACTIVATION(2, 7, 10)}},
        {"causal, fewer keys", build, causal, {ACTIVATION(1, 6, 4), ACTIVATION(1, 3, 4), ACTIVATION(1, 3, 4)}},
        {"causal, more keys", build, causal, {ACTIVATION(1, 3, 4), ACTIVATION(1, 6, 4), ACTIVATION(1, 6, 4)}},
        {"heads of one channel",
         build,
         {.heads = 3, .scale = 1},
         {ACTIVATION(1, 4, 3), ACTIVATION(1, 5, 3), ACTIVATION(1, 5, 3)}},
        {"several tiles", build, eight, {ACTIVATION(1, 67, 64), ACTIVATION(1, 131, 64), ACTIVATION(1, 131, 64)}},
        {"several tiles, causal",
         build,
         causal,
         {ACTIVATION(1, 133, 34), ACTIVATION(1, 133, 34), ACTIVATION(1, 133, 34)}},
        {"text", build, eight, {ACTIVATION(2, 16, 64), ACTIVATION(2, 77, 64), ACTIVATION(2, 77, 64)}},
    };
    OP_CHECK(cases);
}

static void known_answers(void **state)
{
    const float q[] = {0.3f, -2, 5, 1}, k[] = {1, 4, -3, 2}, v[] = {1, 10, 3, 30};
    float y[4];
    op_case c = {"", build, {.heads = 1}, {ACTIVATION(1, 2, 2), ACTIVATION(1, 2, 2), ACTIVATION(1, 2, 2)}};
    /* A scale of 0 weighs all keys the same. */
    op_run(&c, (const void *[OP_MAX_INPUTS]){q, k, v}, y);
    op_assert_near(y, (float[]){2, 20, 2, 20}, 4, 1e-5f);
    /* The first query of a causal mask sees only the first key. */
    c.attr.causal = true;
    op_run(&c, (const void *[OP_MAX_INPUTS]){q, k, v}, y);
    op_assert_near(y, (float[]){1, 10, 2, 20}, 4, 1e-5f);
    /* Scores of ln 3 apart weigh 3 to 1; two heads have their own. */
    c.attr = (eq_attr){.heads = 2, .scale = 1.0986123f};
    op_run(&c, (const void *[OP_MAX_INPUTS]){(float[]){1, 1, 0, 2}, (float[]){1, 0, 0, 1}, v}, y);
    op_assert_near(y, (float[]){1.5f, 25, 2, 28}, 4, 1e-4f);
    /* Large scores overflow nothing. */
    c.attr = (eq_attr){.heads = 1, .scale = 1000};
    op_run(&c, (const void *[OP_MAX_INPUTS]){(float[]){5, 0, 0, 5}, (float[]){1, 0, 0, 1}, v}, y);
    op_assert_near(y, (float[]){1, 10, 3, 30}, 4, 0);
}

/* Heads and lengths at which bfloat16 has a way of its own. */
static void long_rows_agree(void **state)
{
    const eq_attr one = {.heads = 1, .scale = 0.5f}, two = {.heads = 2, .scale = 0.7f};
    const op_case cases[] = {
        {"two blocks of keys, parts of vectors",
         build,
         two,
         {ACTIVATION(2, 101, 84), ACTIVATION(2, 301, 84), ACTIVATION(2, 301, 84)}},
        {"many channels", build, one, {ACTIVATION(1, 7, 160), ACTIVATION(1, 49, 160), ACTIVATION(1, 49, 160)}},
    };
    OP_CHECK_FORWARD(cases);
}

/* What is not finite in a query shows in its answer, and in no other's. */
static void what_is_not_finite_shows(void **state)
{
    enum { KEYS = 40, CHANNELS = 8 };
    static const float bad[] = {NAN, INFINITY};
    static const eq_dtype dtypes[] = {EQ_F32, EQ_BF16};
    eq_context *ctx = eq_context_new();
    for (int i = 0; i < 4; i++) {
        eq_dtype dtype = dtypes[i / 2];
        eq_graph *g = eq_graph_new(ctx, dtype);
        eq_value q = eq_graph_input(g, "q", EQ_F32, eq_shape_of(1, 2, CHANNELS));
        eq_value k = eq_graph_input(g, "k", EQ_F32, eq_shape_of(1, KEYS, CHANNELS)), as_k = eq_cast(g, k, dtype);
        eq_value y = eq_cast(g, eq_attention(g, eq_cast(g, q, dtype), as_k, as_k, 1, 1, false), EQ_F32);
        eq_graph_output(g, y, "y");
        eq_program *program;
        op_assert_ok(ctx, eq_program_compile(g, &(eq_program_options){0}, &program));
        float *queries = eq_program_data(program, q), *keys = eq_program_data(program, k);
        for (int j = 0; j < 2 * CHANNELS; j++)
            queries[j] = 0.5f;
        for (int j = 0; j < KEYS * CHANNELS; j++)
            keys[j] = 0.01f * (float)(j % 7);
        queries[3] = bad[i % 2];
        op_assert_ok(ctx, eq_program_run(program));
        const float *answers = eq_program_data(program, y);
        for (int j = 0; j < CHANNELS; j++) {
            assert_true(isnan(answers[j]));
            assert_true(isfinite(answers[CHANNELS + j]));
        }
        eq_program_free(program);
    }
    eq_context_free(ctx);
}

static void faults(void **state)
{
    const eq_attr two = {.heads = 2, .scale = 1};
    const op_input q = ACTIVATION(2, 5, 6), k = ACTIVATION(2, 3, 6);
    op_assert_fault(&(op_case){"", build, two, {ACTIVATION(5, 6), k, k}},
                    "attention: q is [5, 6], expected 3 dimensions");
    op_assert_fault(&(op_case){"", build, two, {q, ACTIVATION(2, 3, 8), k}},
                    "attention: k is [2, 3, 8], expected [2, 3, 6]");
    op_assert_fault(&(op_case){"", build, two, {q, ACTIVATION(1, 3, 6), k}},
                    "attention: k is [1, 3, 6], expected [2, 3, 6]");
    op_assert_fault(&(op_case){"", build, two, {q, k, ACTIVATION(2, 5, 6)}},
                    "attention: v is [2, 5, 6], expected [2, 3, 6]");
    op_assert_fault(&(op_case){"", build, {.heads = 4}, {q, k, k}}, "attention: 6 channels do not divide into 4 heads");
    op_assert_fault(&(op_case){"", build, {.heads = 0}, {q, k, k}}, "attention: 6 channels do not divide into 0 heads");
    op_assert_fault(&(op_case){"", build, two, {q, ACTIVATION(2, 0, 6), ACTIVATION(2, 0, 6)}},
                    "attention: k is [2, 0, 6]: nothing to attend to");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_agree_and_gradients_hold),
        cmocka_unit_test(known_answers),
        cmocka_unit_test(long_rows_agree),
        cmocka_unit_test(what_is_not_finite_shows),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

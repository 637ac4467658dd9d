/* Table look-up and sinusoids of the timestep. */
#include "ops/op_check.h"

static eq_value build_table(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_embedding(graph, in[0], in[1]);
}

static eq_value build_timestep(eq_graph *graph, const eq_value *in, const eq_attr *attr)
{
    return eq_timestep_embedding(graph, in[0], (int)attr->shape.dim[1], attr->flip_sin_to_cos, attr->frequency_shift,
                                 attr->max_period);
}

static void kernels_agree_and_gradients_hold(void **state)
{
    const op_case tables[] = {
        {"table", build_table, {0}, {INDEX(0, 5, 2, 7), PARAM(5, 3)}},
        {"one id", build_table, {0}, {INDEX(0, 9, 1), PARAM(9, 17)}},
        {"table of a row", build_table, {0}, {INDEX(0, 1, 2, 3), PARAM(1, 4)}},
    };
    OP_CHECK(tables);
    const op_case timesteps[] = {
        {"timestep", build_timestep, {.shape = eq_shape_of(3, 32), .max_period = 10000}, {CONSTANT(3)}},
        {"odd",
         build_timestep,
         {.shape = eq_shape_of(1, 7), .flip_sin_to_cos = true, .max_period = 100},
         {CONSTANT(1)}},
    };
    OP_CHECK_FORWARD(timesteps);
}

static void rows_are_looked_up(void **state)
{
    float y[6];
    op_run(&(op_case){"", build_table, {0}, {INDEX(0, 3, 3), PARAM(3, 2)}},
           (const void *[OP_MAX_INPUTS]){(int32_t[]){2, 0, 2}, (float[]){1, 2, 3, 4, 5, 6}}, y);
    op_assert_near(y, (float[]){5, 6, 1, 2, 5, 6}, 6, 0);
}

/* Runs a table of 3 rows on one id; returns the status and leaves the message in ctx. */
static eq_status look_up(eq_context *ctx, int32_t id)
{
    float rows[6] = {0};
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_value ids = eq_graph_input(graph, "ids", EQ_I32, eq_shape_of(1));
    eq_value table = eq_graph_param(graph, "table", &(eq_tensor){EQ_F32, eq_shape_of(3, 2), rows}, false);
    eq_graph_output(graph, eq_embedding(graph, ids, table), "y");
    eq_program *program;
    op_assert_ok(ctx, eq_program_compile(graph, &(eq_program_options){0}, &program));
    memcpy(eq_program_data(program, ids), &id, sizeof id);
    eq_status status = eq_program_run(program);
    eq_program_free(program);
    return status;
}

static void ids_outside_the_table_are_refused(void **state)
{
    eq_context *ctx = eq_context_new();
    assert_int_equal(look_up(ctx, 2), EQ_OK);
    assert_int_equal(look_up(ctx, 3), EQ_BAD_USAGE);
    assert_string_equal(eq_last_error(ctx), "embedding: id 3 is not in 0..2, the rows of the table");
    assert_int_equal(look_up(ctx, -1), EQ_BAD_USAGE);
    assert_string_equal(eq_last_error(ctx), "embedding: id -1 is not in 0..2, the rows of the table");
    eq_context_free(ctx);
}

/* dim / 2 frequencies exp(-ln(max_period) i / (dim / 2 - shift)), in double. */
static void check_sinusoids(const float *t, int n, int dim, bool flip, float shift, float max_period)
{
    op_case c = {"", build_timestep, {.shape = eq_shape_of(n, dim)}, {CONSTANT(n)}};
    c.attr.flip_sin_to_cos = flip;
    c.attr.frequency_shift = shift;
    c.attr.max_period = max_period;
    float *y = malloc((size_t)(n * dim) * sizeof *y);
    assert_non_null(y);
    op_run(&c, (const void *[OP_MAX_INPUTS]){t}, y);
    int half = dim / 2;
    for (int i = 0; i < n; i++)
        for (int f = 0; f < half; f++) {
            double angle = t[i] * exp(-log(max_period) * f / (half - shift));
            const float *row = y + i * dim;
            /* float32 angles of up to 1000 are exact to 3e-5, their frequencies to the same */
            op_assert_near(&row[flip ? half + f : f], (float[]){(float)sin(angle)}, 1, 1e-4f);
            op_assert_near(&row[flip ? f : half + f], (float[]){(float)cos(angle)}, 1, 1e-4f);
        }
    if (dim % 2)
        for (int i = 0; i < n; i++)
            assert_true(y[i * dim + dim - 1] == 0);
    free(y);
}

static void sinusoids_follow_the_formula(void **state)
{
    const float t[] = {0, 1, 500, 999};
    check_sinusoids(t, 4, 320, true, 0, 10000);
    check_sinusoids(t, 4, 128, false, 1, 10000);
    check_sinusoids(t, 4, 128, false, 0, 10000);
    check_sinusoids(t + 2, 1, 7, true, 0, 100);
    check_sinusoids(t, 2, 2, false, 0, 10000);
}

static void faults(void **state)
{
    const op_input ids = INDEX(0, 3, 2, 4), t = CONSTANT(2);
    op_assert_fault(&(op_case){"", build_table, {0}, {ACTIVATION(2, 4), PARAM(5, 3)}},
                    "embedding: ids is f32, expected i32");
    op_assert_fault(&(op_case){"", build_table, {0}, {ids, PARAM(5)}}, "embedding: table is [5], expected [v, c]");
    op_assert_fault(&(op_case){"", build_table, {0}, {INDEX(0, 3, 1, 1, 1, 1, 1), PARAM(5, 3)}},
                    "embedding: ids is [1, 1, 1, 1, 1], expected 1 to 4 dimensions");
    op_assert_fault(&(op_case){"", build_timestep, {.shape = eq_shape_of(2, 8), .max_period = 10}, {CONSTANT(2, 1)}},
                    "timestep_embedding: t is [2, 1], expected 1 dimensions");
    op_assert_fault(&(op_case){"", build_timestep, {.shape = eq_shape_of(2, 1), .max_period = 10}, {t}},
                    "timestep_embedding: dim is 1, expected 2 or more");
    op_assert_fault(
        &(op_case){"", build_timestep, {.shape = eq_shape_of(2, 2), .frequency_shift = 1, .max_period = 10}, {t}},
        "timestep_embedding: the frequency shift 1 leaves nothing of the 1 frequencies");
    op_assert_fault(&(op_case){"", build_timestep, {.shape = eq_shape_of(2, 8)}, {t}},
                    "timestep_embedding: the maximal period is 0, expected more than 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_agree_and_gradients_hold),
        cmocka_unit_test(rows_are_looked_up),
        cmocka_unit_test(ids_outside_the_table_are_refused),
        cmocka_unit_test(sinusoids_follow_the_formula),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

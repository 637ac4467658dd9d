/* Graphs for tests of the planner, programs and differentiation: random, smooth, with views, ops that work in place,
 * several outputs, inputs that nobody reads, stages. */
#ifndef EQ_TESTS_UNIT_RANDOM_GRAPH_H
#define EQ_TESTS_UNIT_RANDOM_GRAPH_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernels/program.h"
#include "ops/ops.h"

enum { RANDOM_ROWS = 6, RANDOM_COLUMNS = 24 };

/* Parameters of all graphs of a test: numbers that never change. */
typedef struct random_params {
    float gamma[RANDOM_COLUMNS], beta[RANDOM_COLUMNS];
} random_params;

static inline void random_params_fill(random_params *params)
{
    eq_rng rng = eq_rng_make(3, 0, 0);
    eq_rng_normals(&rng, params->gamma, RANDOM_COLUMNS);
    eq_rng_normals(&rng, params->beta, RANDOM_COLUMNS);
}

static inline eq_value random_norm(eq_graph *graph, random_params *params, eq_value x)
{
    eq_shape columns = eq_shape_of(eq_shape_at(graph, x)->dim[1]);
    eq_value gamma = eq_graph_param(graph, NULL, &(eq_tensor){EQ_F32, columns, params->gamma}, true);
    eq_value beta = eq_graph_param(graph, NULL, &(eq_tensor){EQ_F32, columns, params->beta}, true);
    return eq_layer_norm(graph, x, gamma, beta, 1e-2f);
}

/* One random op of x and, where their shapes fit, of y; x itself where the op does not. All values are [rows, columns].
 */
static inline eq_value random_op(eq_graph *graph, random_params *params, eq_rng *rng, eq_value x, eq_value y)
{
    const eq_shape a = *eq_shape_at(graph, x), b = *eq_shape_at(graph, y);
    int64_t r = a.dim[0], c = a.dim[1];
    bool broadcast = (r == b.dim[0] || r == 1 || b.dim[0] == 1) && (c == b.dim[1] || c == 1 || b.dim[1] == 1);
    switch (eq_rng_below(rng, 12)) {
    case 0: return eq_activate(graph, x, EQ_ACT_SILU);
    case 1: return eq_activate(graph, x, EQ_ACT_GELU);
    case 2: return eq_scale(graph, x, 0.5f + eq_rng_uniform(rng));
    case 3: return broadcast ? eq_add(graph, x, y) : eq_softmax(graph, x);
    case 4: return broadcast ? eq_scale(graph, eq_multiply(graph, x, y), 0.5f) : eq_activate(graph, x, EQ_ACT_SILU);
    case 5: return c <= RANDOM_ROWS && r <= RANDOM_COLUMNS ? eq_reshape(graph, x, eq_shape_of(c, r)) : x;
    case 6: return eq_reshape(graph, eq_reshape(graph, x, eq_shape_of(r * c)), a);
    case 7: return r == b.dim[0] && c + b.dim[1] <= RANDOM_COLUMNS ? eq_concat(graph, 2, (eq_value[]){x, y}) : x;
    case 8: return c > 1 ? eq_slice(graph, x, 1, 1, c - 1) : x;
    case 9: return c <= RANDOM_ROWS ? eq_permute(graph, x, (int[]){1, 0}) : x;
    case 10: return random_norm(graph, params, x);
    default: return eq_sum_to(graph, x, eq_rng_below(rng, 2) ? eq_shape_of(1, c) : eq_shape_of(r, 1));
    }
}

/* stages: how many there may be. outputs: one value in how many is an output, besides the last. */
static inline eq_graph *random_graph(eq_context *ctx, random_params *params, uint64_t seed, int nodes, int stages,
                                     int outputs)
{
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    assert_non_null(graph);
    eq_rng rng = eq_rng_make(seed, 1, 0);
    eq_value values[256];
    int count = 0;
    assert_in_range(nodes, 1, 200);
    for (int i = 0; i < 4; i++)
        values[count++] = eq_graph_input(graph, "input", EQ_F32,
                                         eq_shape_of(1 + eq_rng_below(&rng, RANDOM_ROWS), 1 + eq_rng_below(&rng, 18)));
    for (int i = 0; i < nodes; i++) {
        if (graph->stage + 1 < stages && (int)eq_rng_below(&rng, (uint32_t)nodes) < stages)
            eq_graph_next_stage(graph);
        /* Mostly recent values, so that there is something to share. */
        uint32_t recent = eq_rng_below(&rng, 4) ? 3 : (uint32_t)count;
        eq_value x = values[count - 1 - (int)eq_rng_below(&rng, recent < (uint32_t)count ? recent : (uint32_t)count)];
        eq_value y = values[eq_rng_below(&rng, (uint32_t)count)];
        eq_value z = random_op(graph, params, &rng, x, y);
        if (z == x) /* it changed nothing */
            z = eq_activate(graph, x, EQ_ACT_SILU);
        assert_int_equal(eq_graph_status(graph), EQ_OK);
        values[count++] = z;
        if (outputs && eq_rng_below(&rng, (uint32_t)outputs) == 0)
            eq_graph_output(graph, z, NULL);
    }
    eq_graph_output(graph, values[count - 1], NULL);
    return graph;
}

/* What input `value` holds; `salt` tells several fillings apart. */
static inline void random_input(const eq_graph *graph, eq_value value, uint64_t salt, float *out)
{
    eq_rng rng = eq_rng_make(4 + salt, (uint64_t)value, 0);
    eq_rng_normals(&rng, out, (size_t)eq_shape_count(eq_shape_at(graph, value)));
}

#endif

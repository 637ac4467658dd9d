/* The memory planner: gives every activation a place in one arena so that values whose lifetimes do not meet share
 * memory, and a place in the carry buffer to those that cross stages. */
#ifndef EQ_TENSOR_PLAN_H
#define EQ_TENSOR_PLAN_H

#include "tensor/graph.h"

enum { EQ_PLAN_ALIGNMENT = 64 };

typedef enum eq_space {
    EQ_SPACE_NONE,     /* never computed or used */
    EQ_SPACE_EXTERNAL, /* parameters and bound outputs: the value's own data pointer */
    EQ_SPACE_ARENA,
    EQ_SPACE_CARRY,
} eq_space;

typedef struct eq_place {
    eq_space space;
    eq_value root; /* the value whose memory this is: itself, or what it is a view of or was computed in place of */
    size_t offset;
} eq_place;

typedef struct eq_memory_plan {
    eq_place *places; /* [value_count], owned */
    size_t arena_bytes, carry_bytes;
    size_t naive_bytes; /* sum over all values, for comparison */
} eq_memory_plan;

eq_status eq_memory_plan_make(const eq_graph *graph, eq_memory_plan *out);
void eq_memory_plan_free(eq_memory_plan *plan);

/* What a program of the graph would take for activations, before anything of it is taken: kernels may want more for
 * scratch. Takes the graph over, also on failure; NULL where memory was short. */
eq_status eq_graph_foresee_bytes(eq_context *ctx, eq_graph *graph, size_t *bytes);

#endif

#include "tensor/plan.h"

#include <limits.h>
#include <stdlib.h>

typedef struct lifetime {
    int32_t first, last; /* node indices, both included */
    int first_stage, last_stage;
    size_t bytes;
} lifetime;

typedef struct planner {
    const eq_graph *graph;
    eq_place *places;
    lifetime *lives;   /* [value_count], meaningful at roots */
    int32_t *last_use; /* [value_count]: node that reads the value last, -1 if none */
} planner;

static size_t value_bytes(const eq_graph *graph, eq_value value)
{
    const eq_value_info *info = eq_info(graph, value);
    size_t bytes = (size_t)eq_shape_count(&info->shape) * eq_dtype_size(info->dtype);
    return (bytes + EQ_PLAN_ALIGNMENT - 1) / EQ_PLAN_ALIGNMENT * EQ_PLAN_ALIGNMENT;
}

static void find_last_uses(planner *p)
{
    for (eq_value v = 0; v < p->graph->value_count; v++)
        p->last_use[v] = -1;
    for (int32_t n = 0; n < p->graph->node_count; n++)
        for (int i = 0; i < p->graph->nodes[n].inputs; i++)
            if (p->graph->nodes[n].in[i] != EQ_NONE)
                p->last_use[p->graph->nodes[n].in[i]] = n;
}

/* The last node that reads the memory of `root` through any value that shares it so far. */
static int32_t root_last_use(const planner *p, eq_value root, eq_value below)
{
    int32_t last = -1;
    for (eq_value v = root; v < below; v++)
        if (p->places[v].root == root && p->last_use[v] > last)
            last = p->last_use[v];
    return last;
}

static bool root_is_output(const planner *p, eq_value root, eq_value below)
{
    for (eq_value v = root; v < below; v++)
        if (p->places[v].root == root && eq_info(p->graph, v)->output)
            return true;
    return false;
}

static int stage_of_value(const eq_graph *graph, eq_value value)
{
    const eq_value_info *info = eq_info(graph, value);
    return info->node < 0 ? -1 : graph->nodes[info->node].stage;
}

/* Whether output 0 of node `n` may be written over its first input: nobody reads that memory afterwards, it is an
 * activation of the same stage, and no other input of the node lies in it. */
static bool can_take_over(const planner *p, int32_t n)
{
    const eq_graph *graph = p->graph;
    const eq_node *node = &graph->nodes[n];
    eq_value root = p->places[node->in[0]].root;
    const eq_value_info *info = eq_info(graph, root), *result = eq_info(graph, node->out[0]);
    if (info->kind != EQ_VALUE_RESULT || info->data || result->data)
        return false;
    if (stage_of_value(graph, root) != node->stage || info->dtype != result->dtype ||
        eq_shape_count(&info->shape) != eq_shape_count(&result->shape))
        return false;
    for (int i = 1; i < node->inputs; i++)
        if (node->in[i] != EQ_NONE && p->places[node->in[i]].root == root)
            return false;
    return root_last_use(p, root, node->out[0]) == n && !root_is_output(p, root, node->out[0]);
}

static void find_roots(planner *p)
{
    const eq_graph *graph = p->graph;
    for (eq_value v = 0; v < graph->value_count; v++)
        p->places[v].root = v;
    for (int32_t n = 0; n < graph->node_count; n++) {
        const eq_node *node = &graph->nodes[n];
        /* A view that is bound to memory of its own is computed, not shared. */
        bool is_view = (node->op->flags & EQ_OP_VIEW) && !eq_info(graph, node->out[0])->data;
        if (is_view || ((node->op->flags & EQ_OP_INPLACE) && can_take_over(p, n)))
            p->places[node->out[0]].root = p->places[node->in[0]].root;
    }
}

static void extend(lifetime *life, int32_t node, int stage)
{
    if (node < life->first)
        life->first = node;
    if (node > life->last)
        life->last = node;
    if (stage < life->first_stage)
        life->first_stage = stage;
    if (stage > life->last_stage)
        life->last_stage = stage;
}

static void find_lifetimes(planner *p)
{
    const eq_graph *graph = p->graph;
    for (eq_value v = 0; v < graph->value_count; v++)
        p->lives[v] = (lifetime){.first = INT32_MAX, .last = -1, .first_stage = INT_MAX, .last_stage = -1};
    for (int32_t n = 0; n < graph->node_count; n++) {
        const eq_node *node = &graph->nodes[n];
        for (int i = 0; i < node->outputs; i++)
            extend(&p->lives[p->places[node->out[i]].root], n, node->stage);
        for (int i = 0; i < node->inputs; i++)
            if (node->in[i] != EQ_NONE)
                extend(&p->lives[p->places[node->in[i]].root], n, node->stage);
    }
    for (eq_value v = 0; v < graph->value_count; v++) {
        const eq_value_info *info = eq_info(graph, v);
        lifetime *life = &p->lives[p->places[v].root];
        if (info->kind == EQ_VALUE_INPUT) {
            if (life->last < 0)
                extend(life, 0, 0); /* nobody reads it, but it may be filled */
            life->first = 0;        /* filled before the run */
        }
        if (info->output && life->last >= 0)
            life->last = INT32_MAX; /* readable after the run */
    }
}

static void choose_spaces(planner *p, eq_memory_plan *plan)
{
    const eq_graph *graph = p->graph;
    for (eq_value v = 0; v < graph->value_count; v++) {
        eq_place *place = &p->places[v];
        lifetime *life = &p->lives[v];
        if (place->root != v)
            continue;
        life->bytes = value_bytes(graph, v);
        if (eq_info(graph, v)->data) {
            place->space = EQ_SPACE_EXTERNAL;
        } else if (life->last < 0) {
            place->space = EQ_SPACE_NONE;
        } else if (life->first_stage != life->last_stage) {
            place->space = EQ_SPACE_CARRY;
            place->offset = plan->carry_bytes;
            plan->carry_bytes += life->bytes;
        } else {
            place->space = EQ_SPACE_ARENA;
        }
        if (place->space != EQ_SPACE_EXTERNAL)
            plan->naive_bytes += life->bytes;
    }
}

typedef struct by_size {
    size_t bytes;
    eq_value value;
} by_size;

static int compare_by_size(const void *left, const void *right)
{
    const by_size *a = left, *b = right;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->value < b->value ? -1 : 1;
}

/* Greedy by size: the largest value first, each at the lowest offset where it meets no placed value that lives at the
 * same time. `placed` is kept sorted by offset. */
static void place_in_arena(planner *p, by_size *order, int32_t count, eq_value *placed, eq_memory_plan *plan)
{
    for (int32_t k = 0; k < count; k++) {
        eq_value v = order[k].value;
        const lifetime *life = &p->lives[v];
        size_t offset = 0;
        for (int32_t j = 0; j < k; j++) {
            const lifetime *other = &p->lives[placed[j]];
            size_t begin = p->places[placed[j]].offset;
            bool meets = other->first <= life->last && life->first <= other->last;
            if (!meets)
                continue;
            if (begin >= offset + life->bytes)
                break;
            if (begin + other->bytes > offset)
                offset = begin + other->bytes;
        }
        p->places[v].offset = offset;
        int32_t at = k;
        for (; at > 0 && p->places[placed[at - 1]].offset > offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = v;
        if (offset + life->bytes > plan->arena_bytes)
            plan->arena_bytes = offset + life->bytes;
    }
}

static eq_status place_all(planner *p, eq_memory_plan *plan)
{
    size_t count = (size_t)p->graph->value_count;
    by_size *order = malloc((count + 1) * sizeof *order);
    eq_value *placed = malloc((count + 1) * sizeof *placed);
    eq_status status = EQ_OK;
    if (order && placed) {
        int32_t n = 0;
        for (eq_value v = 0; v < p->graph->value_count; v++)
            if (p->places[v].root == v && p->places[v].space == EQ_SPACE_ARENA)
                order[n++] = (by_size){p->lives[v].bytes, v};
        qsort(order, (size_t)n, sizeof *order, compare_by_size);
        place_in_arena(p, order, n, placed, plan);
        for (eq_value v = 0; v < p->graph->value_count; v++) {
            eq_value root = p->places[v].root;
            p->places[v].space = p->places[root].space;
            p->places[v].offset = p->places[root].offset;
        }
    } else {
        status = eq_fail_memory(p->graph->ctx, "the memory plan");
    }
    free(order);
    free(placed);
    return status;
}

eq_status eq_memory_plan_make(const eq_graph *graph, eq_memory_plan *out)
{
    *out = (eq_memory_plan){0};
    size_t count = (size_t)graph->value_count + 1;
    planner p = {.graph = graph,
                 .places = calloc(count, sizeof *p.places),
                 .lives = calloc(count, sizeof *p.lives),
                 .last_use = calloc(count, sizeof *p.last_use)};
    eq_status status = EQ_OK;
    if (p.places && p.lives && p.last_use) {
        find_last_uses(&p);
        find_roots(&p);
        find_lifetimes(&p);
        choose_spaces(&p, out);
        status = place_all(&p, out);
    } else {
        status = eq_fail_memory(graph->ctx, "the memory plan");
    }
    if (status == EQ_OK) {
        out->places = p.places;
        p.places = NULL;
    }
    free(p.places);
    free(p.lives);
    free(p.last_use);
    return status;
}

void eq_memory_plan_free(eq_memory_plan *plan)
{
    free(plan->places);
    plan->places = NULL;
}

eq_status eq_graph_foresee_bytes(eq_context *ctx, eq_graph *graph, size_t *bytes)
{
    eq_memory_plan plan = {0};
    if (!graph)
        return eq_fail_memory(ctx, "a graph");
    eq_status status = eq_graph_status(graph);
    if (status == EQ_OK)
        status = eq_memory_plan_make(graph, &plan);
    *bytes = plan.arena_bytes + plan.carry_bytes;
    eq_memory_plan_free(&plan);
    eq_graph_free(graph);
    return status;
}

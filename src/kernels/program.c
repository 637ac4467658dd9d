#include "kernels/program.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "kernels/kernel.h"
#include "kernels/onednn/onednn.h"
#include "tensor/plan.h"

enum { PACKED_AT_A_TIME = 32 << 20 }; /* bytes, before the caller may let go of what was packed */

/* A node made ready: its kernel, and where its buffers are. */
typedef struct step {
    const eq_kernel *kernel; /* NULL: a view, nothing to run */
    void *state;
    size_t scratch_bytes; /* that the kernel asked for, before conversion buffers */
    bool convert;         /* some buffer is not f32 and the kernel reads only f32 */
    double seconds, flops;
    int64_t calls;
} step;

struct eq_program {
    eq_graph *graph;
    eq_kernel_env env;
    eq_memory_plan plan;
    step *steps; /* [node_count] */
    unsigned char *arena, *own_carry, *carry, *scratch;
    size_t scratch_bytes;
    bool timing;
};

static size_t align_up(size_t bytes)
{
    return (bytes + EQ_PLAN_ALIGNMENT - 1) / EQ_PLAN_ALIGNMENT * EQ_PLAN_ALIGNMENT;
}

static void *place_of(const eq_program *program, eq_value value)
{
    const eq_place *place = &program->plan.places[value];
    switch (place->space) {
    case EQ_SPACE_EXTERNAL: return program->graph->values[place->root].data;
    case EQ_SPACE_ARENA: return program->arena + place->offset;
    case EQ_SPACE_CARRY: return program->carry + place->offset;
    case EQ_SPACE_NONE: break;
    }
    return NULL;
}

static bool is_float_storage(eq_dtype dtype)
{
    return dtype == EQ_BF16 || dtype == EQ_F16;
}

/* Bytes of float32 copies of the node's half-precision buffers. */
static size_t conversion_bytes(const eq_graph *graph, const eq_node *node)
{
    size_t bytes = 0;
    for (int i = 0; i < node->inputs; i++)
        if (node->in[i] != EQ_NONE && is_float_storage(eq_info(graph, node->in[i])->dtype))
            bytes += align_up((size_t)eq_shape_count(eq_shape_at(graph, node->in[i])) * sizeof(float));
    for (int i = 0; i < node->outputs; i++)
        if (is_float_storage(eq_info(graph, node->out[i])->dtype))
            bytes += align_up((size_t)eq_shape_count(eq_shape_at(graph, node->out[i])) * sizeof(float));
    return bytes;
}

static eq_status prepare_step(eq_program *program, int32_t index, const char *backend)
{
    const eq_graph *graph = program->graph;
    const eq_node *node = &graph->nodes[index];
    step *s = &program->steps[index];
    if ((node->op->flags & EQ_OP_VIEW) && program->plan.places[node->out[0]].root != node->out[0])
        return EQ_OK;
    s->kernel = eq_kernel_find(backend, graph, node);
    if (!s->kernel)
        return eq_fail(graph->ctx, EQ_FAILED, "no %s%skernel computes %s", backend ? backend : "", backend ? " " : "",
                       node->op->name);
    if (s->kernel->prepare)
        EQ_TRY(s->kernel->prepare(&program->env, node, &s->state, &s->scratch_bytes));
    size_t needed = align_up(s->scratch_bytes);
    if (!s->kernel->any_dtype) {
        size_t conversions = conversion_bytes(graph, node);
        s->convert = conversions > 0;
        needed += conversions;
    }
    if (node->op->flops)
        s->flops = node->op->flops(graph, node);
    if (needed > program->scratch_bytes)
        program->scratch_bytes = needed;
    return EQ_OK;
}

/* Prepares all nodes. Packing reads parameters that lie in a file: it is told of the progress, so that they do not
 * stand in memory twice. */
static eq_status prepare_all(eq_program *program, const eq_program_options *options)
{
    const eq_graph *graph = program->graph;
    size_t packed = 0;
    for (int32_t n = 0; n < graph->node_count; n++) {
        EQ_TRY(prepare_step(program, n, options->backend));
        const step *s = &program->steps[n];
        if (s->kernel && s->kernel->kept_bytes && s->state)
            packed += s->kernel->kept_bytes(s->state);
        if (options->packed && packed > PACKED_AT_A_TIME) {
            options->packed(options->packed_user);
            packed = 0;
        }
    }
    if (options->packed)
        options->packed(options->packed_user);
    return EQ_OK;
}

static eq_status allocate_buffers(eq_program *program)
{
    program->arena = eq_buffer_new(program->plan.arena_bytes);
    program->own_carry = eq_buffer_new(program->plan.carry_bytes);
    program->scratch = eq_buffer_new(program->scratch_bytes);
    program->carry = program->own_carry;
    if (!program->arena || !program->own_carry || !program->scratch)
        return eq_fail(program->graph->ctx, EQ_NO_MEMORY,
                       "out of memory: this network wants %.0f MB for activations; try a smaller micro-batch or size",
                       (double)(program->plan.arena_bytes + program->plan.carry_bytes + program->scratch_bytes) / 1e6);
    return EQ_OK;
}

eq_status eq_program_compile(eq_graph *graph, const eq_program_options *options, eq_program **out)
{
    *out = NULL;
    eq_status status = graph->status;
    eq_program *program = calloc(1, sizeof *program);
    if (!program) {
        status = eq_fail_memory(graph->ctx, "a program");
        eq_graph_free(graph);
        return status;
    }
    program->graph = graph;
    program->env = (eq_kernel_env){.ctx = graph->ctx, .graph = graph, .frozen = options->frozen_params};
    EQ_TRY_GOTO(status, status, fail);
    EQ_TRY_GOTO(status, eq_onednn_open(graph->ctx, &program->env.onednn), fail);
    EQ_TRY_GOTO(status, eq_memory_plan_make(graph, &program->plan), fail);
    program->steps = calloc((size_t)graph->node_count + 1, sizeof *program->steps);
    if (!program->steps) {
        status = eq_fail_memory(graph->ctx, "a program");
        goto fail;
    }
    EQ_TRY_GOTO(status, prepare_all(program, options), fail);
    EQ_TRY_GOTO(status, allocate_buffers(program), fail);
    *out = program;
    return EQ_OK;
fail:
    eq_program_free(program);
    return status;
}

void eq_program_free(eq_program *program)
{
    if (!program)
        return;
    for (int32_t n = 0; program->steps && n < program->graph->node_count; n++) {
        step *s = &program->steps[n];
        if (s->kernel && s->kernel->release && s->state)
            s->kernel->release(s->state);
    }
    free(program->steps);
    eq_memory_plan_free(&program->plan);
    eq_buffer_free(program->arena);
    eq_buffer_free(program->own_carry);
    eq_buffer_free(program->scratch);
    eq_onednn_close(program->env.onednn);
    eq_graph_free(program->graph);
    free(program);
}

const eq_graph *eq_program_graph(const eq_program *program)
{
    return program->graph;
}

eq_program_memory eq_program_memory_use(const eq_program *program)
{
    eq_program_memory use = {.arena_bytes = program->plan.arena_bytes + program->scratch_bytes,
                             .carry_bytes = program->plan.carry_bytes,
                             .naive_bytes = program->plan.naive_bytes};
    for (int32_t n = 0; n < program->graph->node_count; n++) {
        const step *s = &program->steps[n];
        if (s->kernel && s->kernel->kept_bytes && s->state)
            use.packed_bytes += s->kernel->kept_bytes(s->state);
    }
    return use;
}

size_t eq_program_bytes(const eq_program *program)
{
    eq_program_memory memory = eq_program_memory_use(program);
    return memory.arena_bytes + memory.carry_bytes + memory.packed_bytes;
}

void *eq_program_data(eq_program *program, eq_value value)
{
    return place_of(program, value);
}

void eq_program_set_carry(eq_program *program, void *carry)
{
    program->carry = carry ? carry : program->own_carry;
}

/* Lays float32 copies of half-precision buffers into scratch and points `in` and `out` at them. */
static void convert_in(const eq_graph *graph, const eq_node *node, void **in, void **out, unsigned char *scratch)
{
    for (int i = 0; i < node->inputs; i++) {
        if (node->in[i] == EQ_NONE || !is_float_storage(eq_info(graph, node->in[i])->dtype))
            continue;
        const eq_value_info *info = eq_info(graph, node->in[i]);
        eq_tensor source = {info->dtype, info->shape, in[i]};
        eq_tensor_to_f32(&source, (float *)(void *)scratch);
        in[i] = scratch;
        scratch += align_up((size_t)eq_shape_count(&info->shape) * sizeof(float));
    }
    for (int i = 0; i < node->outputs; i++) {
        const eq_value_info *info = eq_info(graph, node->out[i]);
        if (!is_float_storage(info->dtype))
            continue;
        out[i] = scratch;
        scratch += align_up((size_t)eq_shape_count(&info->shape) * sizeof(float));
    }
}

static void convert_out(const eq_program *program, const eq_node *node, void *const *out)
{
    for (int i = 0; i < node->outputs; i++) {
        const eq_value_info *info = eq_info(program->graph, node->out[i]);
        if (!is_float_storage(info->dtype))
            continue;
        const float *from = out[i];
        uint16_t *to = place_of(program, node->out[i]);
        int64_t count = eq_shape_count(&info->shape);
        for (int64_t k = 0; k < count; k++)
            to[k] = info->dtype == EQ_BF16 ? eq_f32_to_bf16(from[k]) : eq_f32_to_f16(from[k]);
    }
}

static eq_status run_step(eq_program *program, int32_t index)
{
    const eq_node *node = &program->graph->nodes[index];
    step *s = &program->steps[index];
    void *in[EQ_MAX_INPUTS] = {0}, *out[EQ_MAX_OUTPUTS] = {0};
    for (int i = 0; i < node->inputs; i++)
        in[i] = node->in[i] == EQ_NONE ? NULL : place_of(program, node->in[i]);
    for (int i = 0; i < node->outputs; i++)
        out[i] = place_of(program, node->out[i]);
    if (s->convert)
        convert_in(program->graph, node, in, out, program->scratch + align_up(s->scratch_bytes));
    EQ_TRY(s->kernel->run(&program->env, node, s->state, in, out, program->scratch));
    if (s->convert)
        convert_out(program, node, out);
    return EQ_OK;
}

eq_status eq_program_run_stage(eq_program *program, int stage)
{
    for (int32_t n = 0; n < program->graph->node_count; n++) {
        step *s = &program->steps[n];
        if (!s->kernel || program->graph->nodes[n].stage != stage)
            continue;
        double start = program->timing ? eq_seconds() : 0;
        EQ_TRY(run_step(program, n));
        if (program->timing) {
            s->seconds += eq_seconds() - start;
            s->calls++;
        }
    }
    return EQ_OK;
}

eq_status eq_program_run(eq_program *program)
{
    for (int stage = 0; stage <= program->graph->stage; stage++)
        EQ_TRY(eq_program_run_stage(program, stage));
    return EQ_OK;
}

void eq_program_timing_reset(eq_program *program)
{
    program->timing = true;
    for (int32_t n = 0; n < program->graph->node_count; n++) {
        program->steps[n].seconds = 0;
        program->steps[n].calls = 0;
    }
}

/* Bytes of all inputs and outputs of a node. */
static double node_bytes(const eq_graph *graph, const eq_node *node)
{
    double bytes = 0;
    for (int i = 0; i < node->inputs + node->outputs; i++) {
        eq_value value = i < node->inputs ? node->in[i] : node->out[i - node->inputs];
        if (value != EQ_NONE)
            bytes +=
                (double)eq_shape_count(eq_shape_at(graph, value)) * (double)eq_dtype_size(eq_info(graph, value)->dtype);
    }
    return bytes;
}

int eq_program_timings(const eq_program *program, eq_program_timing *rows, int capacity)
{
    int count = 0;
    for (int32_t n = 0; n < program->graph->node_count; n++) {
        const step *s = &program->steps[n];
        if (!s->kernel)
            continue;
        int row = 0;
        while (row < count && (strcmp(rows[row].op, s->kernel->op) != 0 || rows[row].backend != s->kernel->backend))
            row++;
        if (row == capacity)
            continue;
        if (row == count)
            rows[count++] = (eq_program_timing){.op = s->kernel->op, .backend = s->kernel->backend};
        rows[row].seconds += s->seconds;
        rows[row].calls += s->calls;
        rows[row].flops += s->flops * (double)s->calls;
        rows[row].bytes += node_bytes(program->graph, &program->graph->nodes[n]) * (double)s->calls;
    }
    return count;
}

/* Speed of the kernels, against what the machine offers in the same run: GFLOP/s of oneDNN's own 2048^3 matmul, bytes/s
 * of a copy. Usage: bench_kernels [--backend NAME] [--cpu-time] [TEXT]
 * TEXT: only lines that contain it. --cpu-time: seconds of the processor, for a busy machine; OMP_NUM_THREADS=1 goes
 * with it, since threads that wait for others count. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "kernels/program.h"
#include "ops/ops.h"
#include "ops/table.h"
#include "yardstick.h"

/* The best of many runs: the machine may have other work. */
static const double seconds_per_case = 0.25;
enum { MIN_RUNS = 3, MAX_RUNS = 2000 };

typedef struct bench {
    eq_context *ctx;
    const char *backend, *only;
    clockid_t clock;
    eq_yardstick peak;
} bench;

/* --- one op --- */

/* An op with its inputs; a rank of 0: an optional input that is not there. `params` has a bit set for each input that
 * is a float32 parameter. */
typedef struct op_case {
    const eq_op *op;
    int inputs, outputs;
    eq_shape shape[EQ_MAX_INPUTS];
    unsigned params;
    eq_attr attr;
    bool frozen;
} op_case;

static double bytes_moved(const eq_graph *graph, const eq_node *node)
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

static double time_program(clockid_t clock, eq_program *program)
{
    double best = 1e9, start = bench_now(clock);
    for (int run = 0; run < MAX_RUNS && (run < MIN_RUNS || bench_now(clock) - start < seconds_per_case); run++) {
        double from = bench_now(clock);
        if (eq_program_run(program) != EQ_OK)
            return 0;
        double seconds = bench_now(clock) - from;
        best = seconds < best ? seconds : best;
    }
    return best;
}

static void report(const bench *b, const char *name, eq_program *program, eq_dtype dtype)
{
    const eq_graph *graph = eq_program_graph(program);
    const eq_node *node = &graph->nodes[graph->node_count - 1];
    double seconds = time_program(b->clock, program), flops = node->op->flops ? node->op->flops(graph, node) : 0;
    eq_program_timing timing = {.backend = "?"};
    eq_program_timings(program, &timing, 1);
    printf("%-52s %-4s %-7s %9.3f ms ", name, eq_dtype_name(dtype), timing.backend, seconds * 1e3);
    if (flops > 0)
        printf("%7.1f GFLOP/s %4.0f%% of matmul\n", flops / seconds * 1e-9,
               100 * flops / seconds / b->peak.flops[dtype == EQ_BF16]);
    else
        printf("%7.1f GB/s    %4.0f%% of copy\n", bytes_moved(graph, node) / seconds * 1e-9,
               100 * bytes_moved(graph, node) / seconds / b->peak.bytes);
    fflush(stdout);
}

/* stored: [EQ_MAX_INPUTS] memory of the parameters */
static eq_graph *build(const bench *b, const op_case *c, eq_dtype dtype, void **stored)
{
    eq_graph *graph = eq_graph_new(b->ctx, dtype);
    if (!graph)
        return NULL;
    eq_value in[EQ_MAX_INPUTS];
    for (int i = 0; i < c->inputs; i++) {
        char name[24];
        snprintf(name, sizeof name, "input%d", i);
        int64_t count = eq_shape_count(&c->shape[i]);
        in[i] = EQ_NONE;
        if (c->shape[i].rank == 0)
            continue;
        if (c->params >> i & 1) {
            stored[i] = eq_buffer_new((size_t)count * sizeof(float));
            if (!stored[i]) {
                eq_graph_free(graph);
                return NULL;
            }
            bench_fill(stored[i], EQ_F32, count);
            in[i] = eq_graph_param(graph, name, &(eq_tensor){EQ_F32, c->shape[i], stored[i]}, true);
        } else {
            in[i] = eq_graph_input(graph, name, dtype, c->shape[i]);
        }
    }
    eq_value out = eq_graph_add(graph, c->op, c->inputs, in, c->outputs, &c->attr);
    for (int i = 0; out != EQ_NONE && i < c->outputs; i++) {
        char name[24];
        snprintf(name, sizeof name, "output%d", i);
        eq_graph_output(graph, out + i, name);
    }
    return graph;
}

static void run_case(const bench *b, const char *what, const op_case *c)
{
    char name[96];
    snprintf(name, sizeof name, "%s %s", c->op->name, what);
    if (b->only && !strstr(name, b->only))
        return;
    for (int d = 0; d < 2; d++) {
        eq_dtype dtype = d ? EQ_BF16 : EQ_F32;
        void *stored[EQ_MAX_INPUTS] = {0};
        eq_program *program = NULL;
        eq_program_options options = {.frozen_params = c->frozen, .backend = b->backend};
        eq_graph *graph = build(b, c, dtype, stored);
        if (graph && eq_program_compile(graph, &options, &program) == EQ_OK) {
            const eq_graph *compiled = eq_program_graph(program);
            for (eq_value v = 0; v < compiled->value_count; v++)
                if (eq_info(compiled, v)->kind == EQ_VALUE_INPUT)
                    bench_fill(eq_program_data(program, v), dtype, eq_shape_count(eq_shape_at(compiled, v)));
            report(b, name, program, dtype);
        } else {
            printf("%-52s %s\n", name, eq_last_error(b->ctx));
        }
        eq_program_free(program);
        for (int i = 0; i < EQ_MAX_INPUTS; i++)
            eq_buffer_free(stored[i]);
    }
}

/* --- the cases: a 64x64 pixel U-Net in batches of 32, then Stable Diffusion's larger layers --- */

/* n images of size x size, ci -> co channels, kernel x kernel */
static void conv(const bench *b, int n, int size, int ci, int co, int kernel, int stride)
{
    char what[64];
    snprintf(what, sizeof what, "%dx%dx%d %d->%d %dx%d%s", n, size, size, ci, co, kernel, kernel,
             stride > 1 ? " stride 2" : "");
    int pad = kernel / 2, result = (size + 2 * pad - kernel) / stride + 1;
    eq_shape x = eq_shape_of(n, size, size, ci), y = eq_shape_of(n, result, result, co);
    eq_shape weight = eq_shape_of(co, ci, kernel, kernel), bias = eq_shape_of(co);
    eq_attr attr = {.stride = stride, .pad_top = pad, .pad_left = pad, .pad_bottom = pad, .pad_right = pad};
    op_case forward = {&eq_op_conv2d, 4, 1, {x, weight, bias}, 6, attr, false};
    run_case(b, what, &forward);
    attr.shape = x;
    op_case grad_input = {&eq_op_conv2d_grad_input, 2, 1, {y, weight}, 2, attr, false};
    run_case(b, what, &grad_input);
    attr.shape = weight;
    op_case grad_weight = {&eq_op_conv2d_grad_weight, 2, 2, {x, y}, 0, attr, false};
    run_case(b, what, &grad_weight);
}

static void convolutions(const bench *b)
{
    static const int same[][2] = {{64, 24}, {64, 32}, {64, 48},  {64, 64}, {32, 48}, {32, 64},
                                  {32, 96}, {16, 96}, {16, 128}, {8, 128}, {8, 192}};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        conv(b, 32, same[i][0], same[i][1], same[i][1], 3, 1);
    static const int change[][5] = {/* size, ci, co, kernel, stride */
                                    {64, 3, 24, 3, 1},   {64, 3, 32, 3, 1},    {64, 24, 3, 3, 1},   {64, 32, 3, 3, 1},
                                    {64, 48, 24, 3, 1},  {64, 64, 32, 3, 1},   {64, 96, 32, 3, 1},  {32, 32, 64, 3, 1},
                                    {32, 128, 64, 3, 1}, {16, 256, 128, 3, 1}, {8, 384, 192, 3, 1}, {64, 32, 32, 3, 2},
                                    {32, 64, 64, 3, 2},  {64, 48, 24, 1, 1},   {64, 64, 32, 1, 1},  {32, 128, 64, 1, 1},
                                    {16, 256, 128, 1, 1}};
    for (size_t i = 0; i < sizeof change / sizeof change[0]; i++)
        conv(b, 32, change[i][0], change[i][1], change[i][2], change[i][3], change[i][4]);
    conv(b, 2, 64, 320, 320, 3, 1);
    conv(b, 2, 32, 640, 640, 3, 1);
    conv(b, 2, 16, 1280, 1280, 3, 1);
}

static void linear(const bench *b, int rows, int ci, int co)
{
    char what[64];
    snprintf(what, sizeof what, "%d rows %d->%d", rows, ci, co);
    eq_shape x = eq_shape_of(rows, ci), y = eq_shape_of(rows, co), weight = eq_shape_of(co, ci);
    op_case forward = {&eq_op_linear, 4, 1, {x, weight, eq_shape_of(co)}, 6, {0}, false};
    run_case(b, what, &forward);
    op_case grad_input = {&eq_op_linear_grad_input, 2, 1, {y, weight}, 2, {.shape = x}, false};
    run_case(b, what, &grad_input);
    op_case grad_weight = {&eq_op_linear_grad_weight, 2, 2, {x, y}, 0, {.shape = weight}, false};
    run_case(b, what, &grad_weight);
}

static void attention(const bench *b, int n, int lq, int lk, int heads, int size)
{
    char what[64];
    snprintf(what, sizeof what, "%dx%d, %d keys, %d heads of %d", n, lq, lk, heads, size);
    eq_shape q = eq_shape_of(n, lq, heads * size), k = eq_shape_of(n, lk, heads * size);
    eq_attr attr = {.heads = heads, .scale = 0.1f};
    op_case forward = {&eq_op_attention, 3, 1, {q, k, k}, 0, attr, false};
    run_case(b, what, &forward);
    op_case gradient = {&eq_op_attention_grad, 4, 3, {q, k, k, q}, 0, attr, false};
    run_case(b, what, &gradient);
}

static void memory_bound(const bench *b, int n, int size, int c)
{
    char what[64];
    snprintf(what, sizeof what, "%dx%dx%dx%d", n, size, size, c);
    eq_shape x = eq_shape_of(n, size, size, c), channels = eq_shape_of(c), per_image = eq_shape_of(n, c);
    eq_attr norm = {.groups = 8, .epsilon = 1e-5f, .activation = EQ_ACT_SILU};
    op_case cases[] = {
        {&eq_op_group_norm, 4, 2, {x, channels, channels, per_image}, 6, norm, false},
        {&eq_op_layer_norm, 3, 2, {x, channels, channels}, 6, {.epsilon = 1e-5f}, false},
        {&eq_op_activation, 1, 1, {x}, 0, {.activation = EQ_ACT_SILU}, false},
        {&eq_op_activation_grad, 2, 1, {x, x}, 0, {.activation = EQ_ACT_SILU}, false},
        {&eq_op_add, 2, 1, {x, x}, 0, {0}, false},
        {&eq_op_concat, 2, 1, {x, x}, 0, {.axis = 3}, false},
        {&eq_op_upsample, 1, 1, {x}, 0, {0}, false},
        {&eq_op_upsample_grad, 1, 1, {x}, 0, {0}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        run_case(b, what, &cases[i]);
}

int main(int argc, char **argv)
{
    bench b = {.ctx = eq_context_new(), .clock = CLOCK_MONOTONIC};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--backend") == 0 && i + 1 < argc)
            b.backend = argv[++i];
        else if (strcmp(argv[i], "--cpu-time") == 0)
            b.clock = CLOCK_PROCESS_CPUTIME_ID;
        else
            b.only = argv[i];
    }
    if (!b.ctx || eq_yardstick_measure(b.ctx, b.clock, &b.peak) != EQ_OK) {
        fprintf(stderr, "bench_kernels: %s\n", b.ctx ? eq_last_error(b.ctx) : "out of memory");
        eq_context_free(b.ctx);
        return 1;
    }
    eq_yardstick_print(&b.peak);
    convolutions(&b);
    linear(&b, 32, 128, 512);
    linear(&b, 2048, 128, 384);
    linear(&b, 8192, 320, 320);
    attention(&b, 32, 64, 64, 1, 128);
    attention(&b, 32, 64, 64, 2, 64);
    attention(&b, 32, 256, 256, 2, 64);
    attention(&b, 2, 4096, 4096, 8, 40);
    attention(&b, 2, 4096, 77, 8, 40);
    attention(&b, 1, 4096, 4096, 1, 512);
    memory_bound(&b, 32, 64, 32);
    memory_bound(&b, 32, 16, 128);
    eq_context_free(b.ctx);
    return 0;
}

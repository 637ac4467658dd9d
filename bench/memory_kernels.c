/* Speed of the ops that are bound by memory: bytes of all their inputs and outputs a second, beside a copy that moves
 * as many. Usage: bench_memory_kernels [--backend NAME] [TEXT]; TEXT: only lines that contain it. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "kernels/kernel.h"
#include "kernels/program.h"
#include "ops/ops.h"
#include "ops/table.h"

static const double seconds_per_case = 0.4;
enum { MIN_RUNS = 3, MAX_INPUTS = 6 };

/* One node: its inputs' shapes, those of activations and those that are float32 whatever the graph's dtype. */
typedef struct bench_case {
    const char *name;
    const eq_op *op;
    eq_attr attr;
    int outputs, inputs;
    eq_shape in[MAX_INPUTS]; /* rank 0: an input that is not there */
    unsigned float32;        /* bit i: input i is float32 */
} bench_case;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Numbers of either sign around 1, without a pattern. */
static void fill(void *data, eq_dtype dtype, int64_t count)
{
    uint32_t state = 1;
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        float value = (float)(int32_t)state / 2147483648.0f;
        if (dtype == EQ_BF16)
            ((uint16_t *)data)[i] = eq_f32_to_bf16(value);
        else
            ((float *)data)[i] = value;
    }
}

static size_t value_bytes(const eq_graph *graph, eq_value value)
{
    const eq_value_info *info = eq_info(graph, value);
    return (size_t)eq_shape_count(&info->shape) * eq_dtype_size(info->dtype);
}

/* Seconds of the fastest run within the time given. */
static double best_of(void (*run)(void *), void *argument)
{
    double best = 1e30, end = now() + seconds_per_case;
    for (int i = 0; i < MIN_RUNS || now() < end; i++) {
        double start = now();
        run(argument);
        double seconds = now() - start;
        best = seconds < best ? seconds : best;
    }
    return best;
}

static void run_program(void *program)
{
    if (eq_program_run(program) != EQ_OK)
        abort();
}

typedef struct copy {
    unsigned char *from, *to;
    int64_t bytes;
} copy;

/* In parts small enough that memcpy stores as kernels do, through the cache. */
static void run_copy(void *argument)
{
    const copy *c = argument;
    enum { PART = 1 << 14 };
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < c->bytes; at += PART)
        memcpy(c->to + at, c->from + at, (size_t)(c->bytes - at < PART ? c->bytes - at : PART));
}

static eq_program *build(eq_context *ctx, const bench_case *c, eq_dtype dtype, const char *backend, size_t *bytes,
                         const char **who)
{
    eq_graph *graph = eq_graph_new(ctx, dtype);
    eq_value in[MAX_INPUTS];
    for (int i = 0; i < c->inputs; i++)
        in[i] = c->in[i].rank == 0 ? EQ_NONE
                                   : eq_graph_input(graph, NULL, c->float32 & (1u << i) ? EQ_F32 : dtype, c->in[i]);
    eq_attr attr = c->attr;
    if (c->op == &eq_op_cast)
        attr.dtype = dtype == EQ_F32 ? EQ_BF16 : EQ_F32;
    eq_value y = eq_graph_add(graph, c->op, c->inputs, in, c->outputs, &attr);
    if (y == EQ_NONE) {
        eq_graph_free(graph);
        return NULL;
    }
    *bytes = 0;
    for (int i = 0; i < c->outputs; i++) {
        eq_graph_output(graph, y + i, NULL);
        *bytes += value_bytes(graph, y + i);
    }
    for (int i = 0; i < c->inputs; i++)
        *bytes += in[i] == EQ_NONE ? 0 : value_bytes(graph, in[i]);
    const eq_kernel *kernel = eq_kernel_find(backend, graph, &graph->nodes[0]);
    *who = kernel ? kernel->backend : "";
    eq_program *program;
    if (eq_program_compile(graph, &(eq_program_options){.backend = backend}, &program) != EQ_OK)
        return NULL;
    for (int i = 0; i < c->inputs; i++)
        if (in[i] != EQ_NONE)
            fill(eq_program_data(program, in[i]), eq_info(eq_program_graph(program), in[i])->dtype,
                 eq_shape_count(&c->in[i]));
    return program;
}

static int run_case(eq_context *ctx, const bench_case *c, const char *backend, const char *only)
{
    for (eq_dtype dtype = EQ_F32; dtype <= EQ_BF16; dtype++) {
        char label[192];
        snprintf(label, sizeof label, "%s %s %s", c->name, eq_shape_format(&c->in[0]).text, eq_dtype_name(dtype));
        if (only && !strstr(label, only))
            continue;
        size_t bytes;
        const char *who;
        eq_program *program = build(ctx, c, dtype, backend, &bytes, &who);
        if (!program) {
            fprintf(stderr, "%s: %s\n", label, eq_last_error(ctx));
            return 1;
        }
        double seconds = best_of(run_program, program);
        eq_program_free(program);
        copy half = {eq_buffer_new(bytes / 2), eq_buffer_new(bytes / 2), (int64_t)(bytes / 2)};
        if (!half.from || !half.to)
            return 1;
        double copy_seconds = best_of(run_copy, &half);
        eq_buffer_free(half.from);
        eq_buffer_free(half.to);
        printf("%-46s %-7s %9.1f us %7.2f GB/s   copy %7.2f GB/s  %4.0f%%\n", label, who, 1e6 * seconds,
               (double)bytes / seconds / 1e9, (double)bytes / copy_seconds / 1e9, 100 * copy_seconds / seconds);
        fflush(stdout);
    }
    return 0;
}

/* What a U-Net of 64 channels holds at 64 x 64 and at 8 x 8, and a large one at 512 x 512. */
static int run_all(eq_context *ctx, const char *backend, const char *only)
{
    int failed = 0;
    const eq_shape sizes[] = {eq_shape_of(16, 64, 64, 64), eq_shape_of(16, 32, 32, 128), eq_shape_of(16, 8, 8, 256),
                              eq_shape_of(1, 64, 64, 320)};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        eq_shape x = sizes[s];
        int64_t n = x.dim[0], h = x.dim[1], w = x.dim[2], c = x.dim[3];
        eq_shape per_channel = eq_shape_of(c), per_image = eq_shape_of(n, c), stats = eq_shape_of(n, 32, 2);
        eq_shape rows = eq_shape_of(n * h * w, 2), half = eq_shape_of(n, h / 2, w / 2, c), absent = {0};
        const eq_attr norm = {.groups = 32, .epsilon = 1e-5f}, silu = {.activation = EQ_ACT_SILU};
        eq_attr norm_silu = norm;
        norm_silu.activation = EQ_ACT_SILU;
        const bench_case cases[] = {
            {"group_norm", &eq_op_group_norm, norm, 2, 4, {x, per_channel, per_channel, absent}, 6},
            {"group_norm+silu", &eq_op_group_norm, norm_silu, 2, 4, {x, per_channel, per_channel, per_image}, 6},
            {"group_norm_grad",
             &eq_op_group_norm_grad,
             norm,
             3,
             6,
             {x, x, per_channel, per_channel, absent, stats},
             1u << 2 | 1u << 3 | 1u << 5},
            {"group_norm+silu_grad",
             &eq_op_group_norm_grad,
             norm_silu,
             4,
             6,
             {x, x, per_channel, per_channel, per_image, stats},
             1u << 2 | 1u << 3 | 1u << 5},
            {"layer_norm", &eq_op_layer_norm, norm, 2, 3, {x, per_channel, per_channel}, 6},
            {"layer_norm_grad", &eq_op_layer_norm_grad, norm, 3, 4, {x, x, per_channel, rows}, 12},
            {"scale_shift", &eq_op_scale_shift, {0}, 1, 3, {x, per_image, per_image}, 0},
            {"scale_shift_grad", &eq_op_scale_shift_grad, {0}, 3, 3, {x, x, per_image}, 0},
            {"silu", &eq_op_activation, silu, 1, 1, {x}, 0},
            {"silu_grad", &eq_op_activation_grad, silu, 1, 2, {x, x}, 0},
            {"gelu", &eq_op_activation, {.activation = EQ_ACT_GELU}, 1, 1, {x}, 0},
            {"gelu_grad", &eq_op_activation_grad, {.activation = EQ_ACT_GELU}, 1, 2, {x, x}, 0},
            {"add", &eq_op_add, {0}, 1, 2, {x, x}, 0},
            {"scale", &eq_op_scale, {.scale = 0.5f}, 1, 1, {x}, 0},
            {"cast", &eq_op_cast, {0}, 1, 1, {x}, 0},
            {"concat", &eq_op_concat, {0}, 1, 2, {x, x}, 0},
            {"slice", &eq_op_slice, {.axis = 3, .offset = c / 2, .shape = eq_shape_of(n, h, w, c / 2)}, 1, 1, {x}, 0},
            {"average_pool 2x2", &eq_op_average_pool, {.kernel = 2, .stride = 2}, 1, 1, {x}, 0},
            {"upsample", &eq_op_upsample, {0}, 1, 1, {half}, 0},
            {"upsample_grad", &eq_op_upsample_grad, {0}, 1, 1, {x}, 0},
            {"sum_to", &eq_op_sum_to, {.shape = eq_shape_of(n, 1, 1, c)}, 1, 1, {x}, 0},
            {"permute to channels first", &eq_op_permute, {.perm = {0, 3, 1, 2}}, 1, 1, {x}, 0},
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            failed |= run_case(ctx, &cases[i], backend, only);
    }
    return failed;
}

int main(int argc, char **argv)
{
    const char *backend = NULL, *only = NULL;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--backend") == 0 && i + 1 < argc)
            backend = argv[++i];
        else
            only = argv[i];
    eq_context *ctx = eq_context_new();
    int failed = !ctx || run_all(ctx, backend, only);
    eq_context_free(ctx);
    return failed;
}

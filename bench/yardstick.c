#include "yardstick.h"

#include <stdio.h>

#include "base/memory.h"
#include "kernels/onednn/backend.h"
#include "kernels/onednn/onednn.h"

enum { MIN_RUNS = 3, MAX_RUNS = 2000, SECONDS = 1 };

double bench_now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

void bench_fill(void *data, eq_dtype dtype, int64_t count)
{
    uint32_t state = 1;
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        float value = (float)(int32_t)state / 2147483648.0f;
        if (dtype == EQ_BF16)
            ((uint16_t *)data)[i] = eq_f32_to_bf16(value);
        else if (dtype == EQ_F32)
            ((float *)data)[i] = value;
    }
}

static dnnl_primitive_desc_t square_matmul(dnnl_engine_t engine, dnnl_data_type_t dtype, int size)
{
    eq_md md;
    dnnl_primitive_desc_t pd = NULL;
    if (eq_md_plain(&md, 2, (dnnl_dims_t){size, size}, dtype) != dnnl_success)
        return NULL;
    eq_md_ref ref = eq_md_borrow(&md);
    if (eq_matmul_pd(&pd, engine, ref, ref, ref, NULL) != dnnl_success)
        pd = NULL;
    eq_md_free(&md);
    return pd;
}

static double time_primitive(clockid_t clock, eq_onednn *dnn, dnnl_primitive_t primitive, int count,
                             const dnnl_exec_arg_t *args)
{
    double best = 1e9, start = bench_now(clock);
    for (int run = 0; run < MAX_RUNS && (run < MIN_RUNS || bench_now(clock) - start < SECONDS); run++) {
        double from = bench_now(clock);
        if (dnnl_primitive_execute(primitive, dnn->stream, count, args) != dnnl_success ||
            dnnl_stream_wait(dnn->stream) != dnnl_success)
            return 0;
        double seconds = bench_now(clock) - from;
        best = seconds < best ? seconds : best;
    }
    return best;
}

/* GFLOP/s of oneDNN's matmul of square matrices; 0 where it has none for this dtype. */
static double matmul_flops(clockid_t clock, eq_onednn *dnn, eq_dtype dtype)
{
    enum { SIZE = 2048 };
    dnnl_primitive_desc_t pd = square_matmul(dnn->engine, eq_onednn_dtype(dtype), SIZE);
    if (!pd)
        return 0;
    static const int arguments[3] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    dnnl_exec_arg_t args[3];
    void *data[3] = {0};
    dnnl_primitive_t primitive;
    double flops = 0;
    bool ready = dnnl_primitive_create(&primitive, pd) == dnnl_success;
    for (int i = 0; ready && i < 3; i++) {
        data[i] = eq_buffer_new((size_t)SIZE * SIZE * eq_dtype_size(dtype));
        ready = data[i] && eq_memory_create(&args[i].memory, eq_pd_argument(pd, arguments[i]), dnn->engine) == 0 &&
                dnnl_memory_set_data_handle(args[i].memory, data[i]) == dnnl_success;
        args[i].arg = arguments[i];
        if (ready)
            bench_fill(data[i], dtype, (int64_t)SIZE * SIZE);
    }
    if (ready) {
        double seconds = time_primitive(clock, dnn, primitive, 3, args);
        flops = seconds > 0 ? 2.0 * SIZE * SIZE * SIZE / seconds : 0;
        for (int i = 0; i < 3; i++)
            dnnl_memory_destroy(args[i].memory);
        dnnl_primitive_destroy(primitive);
    }
    for (int i = 0; i < 3; i++)
        eq_buffer_free(data[i]);
    dnnl_primitive_desc_destroy(pd);
    return flops;
}

/* Bytes read and written in a second by a copy that no cache holds. */
static double copy_bytes(clockid_t clock)
{
    enum { CHUNKS = 256, CHUNK = 1 << 20 };
    char *from = eq_buffer_new((size_t)CHUNKS * CHUNK), *to = eq_buffer_new((size_t)CHUNKS * CHUNK);
    double best = 1e9;
    for (int run = 0; from && to && run < 10; run++) {
        double start = bench_now(clock);
#pragma omp parallel for schedule(static)
        for (int i = 0; i < CHUNKS; i++)
            memcpy(to + (size_t)i * CHUNK, from + (size_t)i * CHUNK, CHUNK);
        double seconds = bench_now(clock) - start;
        best = seconds < best ? seconds : best;
    }
    eq_buffer_free(from);
    eq_buffer_free(to);
    return 2.0 * CHUNKS * CHUNK / best;
}

eq_status eq_yardstick_measure(eq_context *ctx, clockid_t clock, eq_yardstick *out)
{
    void *backend;
    EQ_TRY(eq_onednn_open(ctx, &backend));
    out->flops[0] = matmul_flops(clock, backend, EQ_F32);
    out->flops[1] = matmul_flops(clock, backend, EQ_BF16);
    eq_onednn_close(backend);
    out->bytes = copy_bytes(clock);
    return EQ_OK;
}

void eq_yardstick_print(const eq_yardstick *yardstick)
{
    printf("matmul 2048^3: f32 %.0f GFLOP/s, bf16 %.0f GFLOP/s; copy %.1f GB/s\n", yardstick->flops[0] * 1e-9,
           yardstick->flops[1] * 1e-9, yardstick->bytes * 1e-9);
}

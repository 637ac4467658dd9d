/* What the machine offers, for benchmarks to compare with in the same run: GFLOP/s of oneDNN's own matmul of 2048^3,
 * bytes a second of a copy that no cache holds. */
#ifndef EQ_BENCH_YARDSTICK_H
#define EQ_BENCH_YARDSTICK_H

#include <time.h>

#include "tensor/tensor.h"

typedef struct eq_yardstick {
    double flops[2]; /* f32, bf16; 0 where oneDNN has no such matmul here */
    double bytes;
} eq_yardstick;

/* Takes some seconds: the best of many runs, since the machine may have other work. */
eq_status eq_yardstick_measure(eq_context *ctx, clockid_t clock, eq_yardstick *out);
void eq_yardstick_print(const eq_yardstick *yardstick);

/* Seconds. CLOCK_PROCESS_CPUTIME_ID, for a busy machine, wants OMP_NUM_THREADS=1: threads that wait for others count.
 */
double bench_now(clockid_t clock);

/* Numbers of either sign below 1, without a pattern, in float32 or bfloat16; other types are left alone. */
void bench_fill(void *data, eq_dtype dtype, int64_t count);

#endif

/* Opening a large safetensors file: seconds to the first tensor, and what of the file is in memory then. The file is
 * made for it, its numbers in part holes and in part random, and removed.
 *
 *   bench_open [--gigabytes N] [--folder DIR] [--misaligned] [--hash]
 *
 * Seconds are of the wall clock, and in brackets of the processor, which other work does not change.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file_hash.h"
#include "base/path.h"
#include "base/rng.h"
#include "io/tensor_file.h"

enum { TENSORS = 1000, RANDOM = 1 << 16 /* numbers that are not holes, a tensor */ };

static double resident_megabytes(void)
{
    long pages = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%*s %ld %ld", &pages, &shared) != 2)
        pages = 0;
    if (file)
        fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) * 1e-6;
}

/* One header, then the tensors "t.0000" and on of `each` float32 numbers. */
static bool write_file(const char *path, int64_t each, bool misaligned)
{
    FILE *file = fopen(path, "wb");
    char *header = malloc(TENSORS * 120 + 16);
    float *numbers = malloc(RANDOM * sizeof *numbers);
    if (!file || !header || !numbers)
        return false;
    size_t used = 0;
    for (int i = 0; i < TENSORS; i++)
        used += (size_t)sprintf(
            header + used, "%s\"t.%04d\":{\"dtype\":\"F32\",\"shape\":[%lld],\"data_offsets\":[%lld,%lld]}",
            i ? "," : "{", i, (long long)each, (long long)each * 4 * i, (long long)each * 4 * (i + 1));
    used += (size_t)sprintf(header + used, "}");
    while (used % 8 != (misaligned ? 1 : 0))
        header[used++] = ' ';
    uint64_t length = used;
    fwrite(&length, sizeof length, 1, file);
    fwrite(header, 1, used, file);
    eq_rng rng = eq_rng_make(1, 0, 0);
    for (int i = 0; i < TENSORS; i++) {
        eq_rng_normals(&rng, numbers, RANDOM);
        fseeko(file, (off_t)(8 + used) + (off_t)each * 4 * i, SEEK_SET);
        fwrite(numbers, sizeof *numbers, RANDOM, file);
    }
    bool good = ftruncate(fileno(file), (off_t)(8 + used) + (off_t)each * 4 * TENSORS) == 0;
    good = fclose(file) == 0 && good;
    free(header);
    free(numbers);
    return good;
}

typedef struct instant {
    double wall, processor;
} instant;

static instant now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (instant){eq_seconds(), (double)t.tv_sec + 1e-9 * (double)t.tv_nsec};
}

static void print_since(const char *what, instant start)
{
    instant end = now();
    printf("%s: %.4f s (%.4f)\n", what, end.wall - start.wall, end.processor - start.processor);
}

static int measure(eq_context *ctx, const char *path)
{
    eq_tensor_file file;
    double before = resident_megabytes(), sum = 0;
    instant start = now();
    if (eq_tensor_file_open(ctx, path, &file) != EQ_OK) {
        fprintf(stderr, "%s\n", eq_last_error(ctx));
        return 1;
    }
    print_since("open", start);
    const eq_tensor *tensor = eq_tensor_file_find(&file, "t.0500");
    for (int64_t i = 0; tensor && i < eq_shape_count(&tensor->shape); i++)
        sum += fabs((double)((const float *)tensor->data)[i]);
    print_since("until the first tensor is read", start);
    printf("resident: %+.1f MB, of which the tensor %.1f MB\n", resident_megabytes() - before,
           tensor ? (double)eq_tensor_bytes(tensor) * 1e-6 : 0);
    eq_tensor_file_close(&file);
    return sum > 0 ? 0 : 1;
}

/* What an attribute predictor's check or run.json costs, the first time and later. */
static int measure_hash(eq_context *ctx, const char *path)
{
    char hex[EQ_SHA256_HEX];
    for (int i = 0; i < 2; i++) {
        instant start = now();
        if (eq_file_hash_at(ctx, path, time(NULL) + 60, hex) != EQ_OK)
            return 1;
        print_since(i ? "SHA-256 again" : "SHA-256", start);
    }
    return 0;
}

int main(int argc, char **argv)
{
    double gigabytes = 2;
    const char *folder = "/tmp";
    bool misaligned = false, hash = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--misaligned") == 0)
            misaligned = true;
        else if (strcmp(argv[i], "--hash") == 0)
            hash = true;
        else if (strcmp(argv[i], "--gigabytes") == 0 && i + 1 < argc)
            gigabytes = atof(argv[++i]);
        else if (strcmp(argv[i], "--folder") == 0 && i + 1 < argc)
            folder = argv[++i];
        else
            return fprintf(stderr, "usage: bench_open [--gigabytes N] [--folder DIR] [--misaligned] [--hash]\n"), 2;
    }
    int64_t each = (int64_t)(gigabytes * 1e9 / 4 / TENSORS);
    char *path = eq_format("%s/bench-open-%ld.safetensors", folder, (long)getpid());
    eq_context *ctx = eq_context_new();
    int failed = 1;
    if (!path || !ctx || each < RANDOM || !write_file(path, each, misaligned))
        fprintf(stderr, "cannot write %s; --gigabytes must be 0.3 or more\n", path ? path : "the file");
    else
        failed = measure(ctx, path) || (hash && measure_hash(ctx, path));
    if (path)
        unlink(path);
    free(path);
    eq_context_free(ctx);
    return failed;
}

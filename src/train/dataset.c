#include "train/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "io/image.h"

static int64_t pixels_of(int size)
{
    return (int64_t)size * size * 3;
}

/* image: [size, size, 3] bytes out */
static eq_status read_image(eq_context *ctx, const char *folder, const char *name, int size, uint8_t *pixels)
{
    char *path = eq_path_join(folder, name);
    if (!path)
        return eq_fail_memory(ctx, "a path");
    eq_image whole = {0}, fitted = {0};
    eq_status status = eq_image_read(ctx, path, &whole);
    if (status == EQ_OK)
        status = eq_image_fit(ctx, &whole, size, size, &fitted);
    if (status == EQ_OK)
        memcpy(pixels, fitted.pixels, (size_t)pixels_of(size));
    eq_image_free(&whole);
    eq_image_free(&fitted);
    free(path);
    return status;
}

/* Up to `most` readable ones. scratch: [size, size, 3], where pixels are not kept */
static eq_status read_all(eq_context *ctx, const char *folder, bool strict, int64_t most, eq_names *names,
                          uint8_t *scratch, eq_dataset *data)
{
    for (size_t i = 0; i < names->count && data->count < most; i++) {
        if (eq_cancelled(ctx))
            return eq_fail(ctx, EQ_CANCELLED, "cancelled");
        uint8_t *pixels = data->pixels ? data->pixels + data->count * pixels_of(data->size) : scratch;
        eq_status status = read_image(ctx, folder, names->name[i], data->size, pixels);
        if (status == EQ_BAD_INPUT && !strict) {
            eq_log(ctx, EQ_LOG_WARNING, "skipped: %s", eq_last_error(ctx));
            data->skipped++;
            continue;
        }
        EQ_TRY(status);
        data->names[data->count++] = names->name[i];
        names->name[i] = NULL; /* moved */
    }
    if (data->count == 0)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: no readable PNG, JPEG or WebP image below this folder", folder);
    return EQ_OK;
}

static eq_status open_dataset(eq_context *ctx, const char *folder, int size, bool strict, int64_t most, bool keep,
                              eq_dataset *out)
{
    *out = (eq_dataset){.size = size};
    eq_names names = {0};
    EQ_TRY(eq_list_images(ctx, folder, true, &names));
    eq_status status = EQ_OK;
    uint8_t *pixels = malloc((keep ? names.count : 1) * (size_t)pixels_of(size) + 1);
    out->pixels = keep ? pixels : NULL;
    out->names = calloc(names.count + 1, sizeof *out->names);
    if (pixels && out->names)
        status = read_all(ctx, folder, strict, most, &names, pixels, out);
    else
        status = eq_fail_memory(ctx, "the training images");
    eq_names_free(&names);
    if (!keep)
        free(pixels);
    if (status != EQ_OK)
        eq_dataset_close(out);
    return status;
}

eq_status eq_dataset_open(eq_context *ctx, const char *folder, int size, bool strict, eq_dataset *out)
{
    return open_dataset(ctx, folder, size, strict, INT64_MAX, true, out);
}

eq_status eq_dataset_list(eq_context *ctx, const char *folder, int size, bool strict, int64_t most, eq_dataset *out)
{
    return open_dataset(ctx, folder, size, strict, most, false, out);
}

eq_status eq_dataset_load(eq_context *ctx, const eq_dataset *dataset, const char *folder, int64_t first, int64_t n,
                          uint8_t *pixels)
{
    for (int64_t i = 0; i < n; i++) {
        if (eq_cancelled(ctx))
            return eq_fail(ctx, EQ_CANCELLED, "cancelled");
        EQ_TRY(
            read_image(ctx, folder, dataset->names[first + i], dataset->size, pixels + i * pixels_of(dataset->size)));
    }
    return EQ_OK;
}

void eq_dataset_close(eq_dataset *dataset)
{
    for (int64_t i = 0; dataset->names && i < dataset->count; i++)
        free(dataset->names[i]);
    free(dataset->names);
    free(dataset->pixels);
    *dataset = (eq_dataset){0};
}

void eq_dataset_image(const eq_dataset *dataset, int64_t index, bool flip, float *image)
{
    int size = dataset->size;
    const uint8_t *pixels = dataset->pixels + index * pixels_of(size);
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            const uint8_t *from = pixels + ((int64_t)y * size + (flip ? size - 1 - x : x)) * 3;
            for (int c = 0; c < 3; c++)
                *image++ = (float)from[c] / 127.5f - 1.0f;
        }
}

eq_status eq_order_open(eq_context *ctx, uint64_t seed, int64_t count, eq_order *out)
{
    *out = (eq_order){.seed = seed, .count = (uint32_t)count, .epoch = -1};
    out->permutation = malloc((size_t)count * sizeof *out->permutation);
    return out->permutation ? EQ_OK : eq_fail_memory(ctx, "the training order");
}

void eq_order_close(eq_order *order)
{
    free(order->permutation);
    *order = (eq_order){0};
}

int64_t eq_order_at(eq_order *order, int64_t visit)
{
    int64_t epoch = visit / order->count;
    if (epoch != order->epoch) {
        eq_rng rng = eq_rng_make(order->seed, (uint64_t)epoch, 0);
        eq_rng_permutation(&rng, order->permutation, order->count);
        order->epoch = epoch;
    }
    return order->permutation[visit % order->count];
}

void eq_order_fill(eq_order *order, int64_t first, int batch, eq_order_fill_fn *fill, void *user)
{
    int64_t image[EQ_ORDER_MAX_BATCH];
    for (int i = 0; i < batch; i++)
        image[i] = eq_order_at(order, first + i);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < batch; i++)
        fill(user, i, first + i, image[i]);
}

#include "run/image_pool.h"

#include <stdlib.h>

/* A set of large images is sampled again rather than held. */
static const size_t MOST_BYTES = (size_t)512 << 20;

int64_t eq_image_pool_take(const eq_image_pool *pool, const eq_pipeline *pipeline, eq_generation *out, double *seconds)
{
    int64_t skip = out->indices[0] - pool->first, left = pool->count - skip;
    *seconds = 0;
    if (skip < 0 || left <= 0)
        return 0;
    int64_t n = left < out->count ? left : out->count;
    eq_generation_copy_images(pipeline, &pool->rows, skip, n, out, 0);
    double share = (double)n / (double)pool->count;
    out->unet_passes += share * pool->passes;
    *seconds = share * pool->seconds;
    return n;
}

/* like: a generation of the pipeline */
static bool grow(eq_image_pool *pool, const eq_pipeline *pipeline, const eq_generation *like, int64_t capacity)
{
    eq_generation *rows = &pool->rows;
    uint8_t *pixels = realloc(rows->pixels, (size_t)capacity * eq_generation_image_bytes(like));
    if (!pixels)
        return false;
    rows->pixels = pixels;
    if (!rows->predictions)
        rows->predictions = calloc((size_t)like->attribute_count + 1, sizeof *rows->predictions);
    if (!rows->predictions)
        return false;
    rows->width = like->width;
    rows->height = like->height;
    rows->attribute_count = like->attribute_count;
    for (int a = 0; a < rows->attribute_count; a++) {
        size_t bytes = (size_t)(capacity * pipeline->attributes[a].classes) * sizeof(float);
        float *predictions = realloc(rows->predictions[a], bytes);
        if (!predictions)
            return false;
        rows->predictions[a] = predictions;
    }
    pool->capacity = capacity;
    return true;
}

eq_status eq_image_pool_keep(eq_image_pool *pool, const eq_pipeline *pipeline, const eq_generation *from, int64_t row,
                             double passes, double seconds)
{
    int64_t first = from->indices[row], n = from->count - row;
    if (first < pool->first)
        eq_image_pool_free(pool);
    if (pool->count == 0)
        pool->first = first;
    int64_t count = pool->count + n;
    if (first != pool->first + pool->count || (size_t)count * eq_generation_image_bytes(from) > MOST_BYTES)
        return EQ_OK;
    if (count > pool->capacity && !grow(pool, pipeline, from, 2 * count))
        return eq_fail_memory(pipeline->ctx, "images of method rejection");
    eq_generation_copy_images(pipeline, from, row, n, &pool->rows, pool->count);
    pool->count = count;
    pool->passes += passes;
    pool->seconds += seconds;
    return EQ_OK;
}

void eq_image_pool_free(eq_image_pool *pool)
{
    eq_generation_free(&pool->rows);
    *pool = (eq_image_pool){0};
}

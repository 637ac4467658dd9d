#include "run/image_pool.h"

#include <stdlib.h>
#include <string.h>

/* A set of large images is sampled again rather than held. */
static const size_t MOST_BYTES = (size_t)512 << 20;

int64_t eq_image_pool_take(const eq_image_pool *pool, const eq_pipeline *pipeline, eq_generation *out, double *seconds)
{
    int64_t skip = out->indices[0] - pool->first, left = pool->count - skip;
    *seconds = 0;
    if (skip < 0 || left <= 0)
        return 0;
    int64_t n = left < out->count ? left : out->count;
    size_t image = eq_generation_image_bytes(out);
    memcpy(out->pixels, pool->pixels + (size_t)skip * image, (size_t)n * image);
    for (int a = 0; a < pool->attribute_count; a++) {
        int classes = pipeline->attributes[a].classes;
        memcpy(out->predictions[a], pool->predictions[a] + skip * classes, (size_t)(n * classes) * sizeof(float));
    }
    double share = (double)n / (double)pool->count;
    out->unet_passes += share * pool->passes;
    *seconds = share * pool->seconds;
    return n;
}

static bool grow(eq_image_pool *pool, const eq_pipeline *pipeline, int64_t capacity, size_t image)
{
    uint8_t *pixels = realloc(pool->pixels, (size_t)capacity * image);
    if (!pixels)
        return false;
    pool->pixels = pixels;
    for (int a = 0; a < pool->attribute_count; a++) {
        size_t bytes = (size_t)(capacity * pipeline->attributes[a].classes) * sizeof(float);
        float *predictions = realloc(pool->predictions[a], bytes);
        if (!predictions)
            return false;
        pool->predictions[a] = predictions;
    }
    pool->capacity = capacity;
    return true;
}

eq_status eq_image_pool_keep(eq_image_pool *pool, const eq_pipeline *pipeline, const eq_generation *from, int64_t row,
                             double passes, double seconds)
{
    int64_t first = from->indices[row], n = from->count - row;
    size_t image = eq_generation_image_bytes(from);
    if (first < pool->first)
        eq_image_pool_free(pool);
    if (pool->count == 0)
        pool->first = first;
    if (first != pool->first + pool->count || (size_t)(pool->count + n) * image > MOST_BYTES)
        return EQ_OK;
    pool->attribute_count = from->attribute_count;
    if (pool->count + n > pool->capacity && !grow(pool, pipeline, 2 * (pool->count + n), image))
        return eq_fail_memory(pipeline->ctx, "images of method rejection");
    memcpy(pool->pixels + (size_t)pool->count * image, from->pixels + (size_t)row * image, (size_t)n * image);
    for (int a = 0; a < pool->attribute_count; a++) {
        int classes = pipeline->attributes[a].classes;
        memcpy(pool->predictions[a] + pool->count * classes, from->predictions[a] + row * classes,
               (size_t)(n * classes) * sizeof(float));
    }
    pool->count += n;
    pool->passes += passes;
    pool->seconds += seconds;
    return EQ_OK;
}

void eq_image_pool_free(eq_image_pool *pool)
{
    free(pool->pixels);
    for (int a = 0; a < pool->attribute_count; a++)
        free(pool->predictions[a]);
    *pool = (eq_image_pool){0};
}

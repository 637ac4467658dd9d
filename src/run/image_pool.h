/* Unguided images that method rejection drew, kept so that other targets need not sample the same ones again: which
 * they are depends on the seed and their number alone. */
#ifndef EQ_RUN_IMAGE_POOL_H
#define EQ_RUN_IMAGE_POOL_H

#include "run/generation.h"

/* Rows numbered first, first + 1, ...; as many as fit. Zeroed where it is empty; of one pipeline and one set of options
 * but for the targets. */
typedef struct eq_image_pool {
    int64_t first, count, capacity;
    eq_generation rows;     /* [capacity] pixels and predictions alone, owned */
    double passes, seconds; /* of all rows together */
} eq_image_pool;

/* Fills rows of `out` from its first on, as far as the pool has them, and adds the passes that they had cost. seconds:
 * that they had taken. Returns how many. */
int64_t eq_image_pool_take(const eq_image_pool *pool, const eq_pipeline *pipeline, eq_generation *out, double *seconds);

/* Keeps rows of `from` from `row` on, all of which were sampled, for `passes` and `seconds`. Rows that do not follow
 * those that are here are not kept, but for earlier ones, with which the pool begins anew. */
eq_status eq_image_pool_keep(eq_image_pool *pool, const eq_pipeline *pipeline, const eq_generation *from, int64_t row,
                             double passes, double seconds);

void eq_image_pool_free(eq_image_pool *pool);

#endif

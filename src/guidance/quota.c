#include "guidance/quota.h"

#include <stdlib.h>

#include "base/rng.h"

eq_status eq_quota_deal(eq_context *ctx, const eq_target *target, int number, uint64_t seed, int64_t n, int *cell)
{
    int quota[EQ_TARGET_CELLS];
    uint32_t *order = malloc((size_t)n * sizeof *order);
    if (!order)
        return eq_fail_memory(ctx, "an order of images");
    eq_target_quota(target, (int)n, quota);
    eq_rng rng = eq_rng_make(seed, (uint64_t)number, 0xDEA1u);
    eq_rng_permutation(&rng, order, (uint32_t)n);
    int64_t next = 0;
    for (int c = 0; c < target->cells; c++)
        for (int k = 0; k < quota[c]; k++)
            cell[order[next++]] = c;
    free(order);
    return EQ_OK;
}

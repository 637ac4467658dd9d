/* Dealing classes out to images by a target's exact quotas. */
#ifndef EQ_GUIDANCE_QUOTA_H
#define EQ_GUIDANCE_QUOTA_H

#include <stdint.h>

#include "guidance/target.h"

/* Gives each of n images a cell of target number `number`, every cell as often as eq_target_quota says. Which image
 * gets which depends on the seed, the number and n alone. cell: [n] out. */
eq_status eq_quota_deal(eq_context *ctx, const eq_target *target, int number, uint64_t seed, int64_t n, int *cell);

#endif

/* What guidance carries from step to step, as bytes: for runs that are interrupted and continued. */
#ifndef EQ_GUIDANCE_STATE_H
#define EQ_GUIDANCE_STATE_H

#include "guidance/guidance.h"

size_t eq_guidance_state_size(const eq_guidance *run);
/* bytes: [eq_guidance_state_size] */
void eq_guidance_state_get(const eq_guidance *run, uint8_t *bytes);
/* false, and nothing changed, where the bytes cannot be the state of such a run. */
bool eq_guidance_state_set(eq_guidance *run, const uint8_t *bytes, size_t size);

#endif

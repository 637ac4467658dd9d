/* Images that share one P: sampled in lock-step, guided together, and the unit that a run is continued by. */
#ifndef EQ_RUN_GROUP_H
#define EQ_RUN_GROUP_H

#include "diffusion/sampling.h"
#include "run/generation.h"

typedef struct eq_group eq_group;

/* Where a group stands between two calls of the network. x and history are in the caller's hands only between calls. */
typedef struct eq_group_state {
    eq_sampling_state sampling;
    size_t x_count, history_count; /* numbers */
    uint8_t *guidance;             /* [guidance_size] see guidance/state.h */
    size_t guidance_size;
} eq_group_state;

/* Images numbered first_index, first_index + 1, ... at their first noise. Settings, targets and pipeline must last as
 * long. Freed with eq_group_free. */
eq_status eq_group_new(eq_pipeline *pipeline, const eq_run_settings *settings, const eq_targets *targets,
                       int64_t first_index, int64_t n, eq_group **out);
void eq_group_free(eq_group *group);

/* To be read, or filled before eq_group_sample to go on from there. */
eq_group_state *eq_group_state_of(eq_group *group);

typedef struct eq_group_watch {
    /* Before each call of the network, when the state is up to date; a failure ends the sampling. May be NULL. */
    eq_status (*boundary)(void *user, eq_group *group);
    void (*progress)(void *user, int steps_done, int steps); /* may be NULL */
    void *user;
} eq_group_watch;

/* From the state to the end. After EQ_CANCELLED the state is that of the last boundary. EQ_BAD_INPUT: a state that was
 * filled and cannot be of such a group. */
eq_status eq_group_sample(eq_group *group, const eq_group_watch *watch);

/* Puts the finished images into rows first..first + n - 1. */
void eq_group_store(const eq_group *group, int64_t first, eq_generation *out);

/* What the group has cost so far in this process. */
double eq_group_passes(const eq_group *group);
double eq_group_guidance_seconds(const eq_group *group);
/* Adds the group's cost and P per step, by the share of its images in the whole, and what memory it was planned. */
void eq_group_account(const eq_group *group, eq_generation *out);

#endif

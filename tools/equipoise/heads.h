/* The value of --adp: FILE, or A=C,...:FILE for heads that do not name what they tell apart. */
#ifndef EQUIPOISE_HEADS_H
#define EQUIPOISE_HEADS_H

#include "equipoise/generate.h"

/* options: the run's, which say to which timesteps unnamed heads belong. */
eq_status eq_add_heads(eq_context *ctx, eq_pipeline *pipeline, const char *text, const eq_generate_options *options);

#endif

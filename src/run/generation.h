/* The result of a generation: rows of images and what is known of each. */
#ifndef EQ_RUN_GENERATION_H
#define EQ_RUN_GENERATION_H

#include "run/settings.h"

/* Rows for `count` images numbered from `first_index` on, filled by groups (see group.h). The attributes are the
 * pipeline's. Freed with eq_generation_free. */
eq_status eq_generation_new(eq_pipeline *pipeline, const eq_run_settings *settings, const eq_targets *targets,
                            int64_t count, int64_t first_index, eq_generation *out);

/* Copies the pixels and predictions of n rows of `from`, from row i on, over those of `to`, from row j on. Both are of
 * one pipeline. */
void eq_generation_copy_images(const eq_pipeline *pipeline, const eq_generation *from, int64_t i, int64_t n,
                               eq_generation *to, int64_t j);

/* Copies row i of `from` over row j of `to`: the image and what is known of it. Both are of one pipeline and targets
 * over the same cells. */
void eq_generation_copy_row(const eq_pipeline *pipeline, const eq_generation *from, int64_t i, eq_generation *to,
                            int64_t j);

/* Bytes of one image's pixels. */
size_t eq_generation_image_bytes(const eq_generation *generation);

#endif

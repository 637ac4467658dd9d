/* Equipoise: sets of images whose attributes follow the distribution you ask for. Includes all public headers.
 *
 *     eq_context *ctx = eq_context_new();
 *     eq_pipeline *pipeline;
 *     if (eq_pipeline_open(ctx, "models/portraits", &pipeline) == EQ_OK) {
 *         int n;
 *         const eq_attribute *known = eq_pipeline_attributes(pipeline, &n);
 *         eq_targets targets = {0};
 *         eq_generation set;
 *         if (eq_targets_add(ctx, &targets, "gender=female:0.5,male:0.5", known, n) == EQ_OK &&
 *             eq_generate(pipeline, &(eq_generate_options){.count = 64}, &targets, &set) == EQ_OK) {
 *             eq_write_png(ctx, "first.png", set.pixels, set.width, set.height);
 *             eq_generation_free(&set);
 *         }
 *         eq_targets_free(&targets);
 *         eq_pipeline_close(pipeline);
 *     }
 *     fprintf(stderr, "%s\n", eq_last_error(ctx));
 *     eq_context_free(ctx);
 *
 * Functions return a status; the message of a failure is in the context. Output parameters come last; what a function
 * hands out is freed with the function that its description names. */
#ifndef EQUIPOISE_EQUIPOISE_H
#define EQUIPOISE_EQUIPOISE_H

#include "equipoise/context.h"
#include "equipoise/evaluate.h"
#include "equipoise/generate.h"
#include "equipoise/image.h"
#include "equipoise/status.h"
#include "equipoise/target.h"

#endif

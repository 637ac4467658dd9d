/* What the library shares about attributes and targets beyond the public header. */
#ifndef EQ_GUIDANCE_TARGET_H
#define EQ_GUIDANCE_TARGET_H

#include "base/attribute.h"
#include "base/error.h"
#include "equipoise/target.h"

/* Largest remainder: p [k] non-negative with sum 1 -> quota [k] with sum n. */
void eq_quota(const double *p, int k, int n, int *quota);

/* eq_targets_read from memory; `name` stands for the file in messages. */
eq_status eq_targets_parse(eq_context *ctx, eq_targets *targets, const char *text, size_t size, const char *name,
                           const eq_attribute *known, int known_count);

/* Writes "a, b, c" into buffer[size], cut with "..." where it is full; returns buffer. */
const char *eq_join_names(const char *const *names, int count, char *buffer, size_t size);

#endif

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

/* What a target's text says of attributes itself, where known is NULL. "gender*age" -> out [*count], at most
 * EQ_TARGET_ATTRIBUTES, without classes; a cell "female/old" -> classes, where they are new. Blanks around names do not
 * count. Cleared with eq_attributes_clear, also after a failure. */
eq_status eq_attributes_named(eq_context *ctx, const char *names, eq_attribute *out, int *count);
eq_status eq_attributes_add_cell(eq_context *ctx, const char *cell, eq_attribute *attributes, int count);
void eq_attributes_clear(eq_attribute *attributes, int count);

/* Writes "a, b, c" into buffer[size], cut with "..." where it is full; returns buffer. */
const char *eq_join_names(const char *const *names, int count, char *buffer, size_t size);

#endif

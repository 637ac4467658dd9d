/* Attributes and their classes: what labels, predictors, classifiers and targets share. */
#ifndef EQ_BASE_ATTRIBUTE_H
#define EQ_BASE_ATTRIBUTE_H

#include "base/error.h"
#include "equipoise/target.h"

/* A deep copy, freed by eq_attribute_clear. */
eq_status eq_attribute_copy(eq_context *ctx, const eq_attribute *attribute, eq_attribute *out);
void eq_attribute_clear(eq_attribute *attribute);

#endif

/* --class-prompt: prompts whose images are taken to be of a class, "gender.female=a photo of a female person". */
#ifndef EQUIPOISE_CLASS_PROMPTS_H
#define EQUIPOISE_CLASS_PROMPTS_H

#include "equipoise/target.h"
#include "options.h"

/* All of it owned; freed by eq_class_prompts_free, also zeroed. */
typedef struct eq_class_prompts {
    int count;          /* of prompts, in the order given */
    const char **texts; /* [count] views of what was given */
    int *attribute;     /* [count] */
    int *class_of;      /* [count] of that attribute */
    int64_t *images;    /* [count] of each prompt */
    int attribute_count;
    eq_attribute *attributes; /* [attribute_count] in the order in which they come first, and so their classes */
} eq_class_prompts;

/* given: one or more. images are split evenly over the prompts. EQ_BAD_USAGE: malformed, an attribute of one class, a
 * prompt given twice, or fewer images than prompts. */
eq_status eq_class_prompts_read(eq_context *ctx, const eq_texts *given, int64_t images, eq_class_prompts *out);
void eq_class_prompts_free(eq_class_prompts *prompts);

/* classes: [attribute_count, images], -1 where an image's prompt says nothing of the attribute. */
void eq_class_prompts_label(const eq_class_prompts *prompts, int *classes);

#endif

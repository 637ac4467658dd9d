/* A classifier that guides: labels of predicted images, and the gradient at them (see guidance/guide.h). */
#ifndef EQ_RUN_IMAGE_GUIDE_H
#define EQ_RUN_IMAGE_GUIDE_H

#include "base/error.h"
#include "guidance/guide.h"

typedef struct eq_image_guide eq_image_guide;

/* path: a classifier, folder or file; images will be side x side, mostly at most `group` of them, 1 or more, at a time,
 * which keeps its memory small where they are few. They are scaled and cropped as the classifier's own
 * preparation has it, but not rounded to bytes. EQ_BAD_USAGE: a classifier whose gradient is not known (CLIP with
 * prompts). Freed with eq_image_guide_free. */
eq_status eq_image_guide_open(eq_context *ctx, const char *path, int side, int64_t group, eq_image_guide **out);
void eq_image_guide_free(eq_image_guide *guide);

/* A view, as long-lived. */
eq_guide eq_image_guide_view(eq_image_guide *guide);
/* Activations, packed weights and what resampling takes. */
size_t eq_image_guide_bytes(const eq_image_guide *guide);
/* SHA-256 of its weights. */
const char *eq_image_guide_hash(const eq_image_guide *guide);

#endif

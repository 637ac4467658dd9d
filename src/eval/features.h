/* Features of images by networks that are no classifiers of attributes. */
#ifndef EQ_EVAL_FEATURES_H
#define EQ_EVAL_FEATURES_H

#include "base/path.h"
#include "eval/labelling.h"

/* Inception-v3 (models/inception.h), opened and compiled. */
typedef struct eq_inception eq_inception;

/* path: a state dictionary. Freed with eq_inception_close. */
eq_status eq_inception_open(eq_context *ctx, const char *path, eq_inception **out);
void eq_inception_close(eq_inception *inception);
/* Numbers in a feature vector: 2048. */
int eq_inception_feature_count(const eq_inception *inception);
/* features: [files->count, feature count]. An image that cannot be read is an error. */
eq_status eq_inception_run(eq_inception *inception, const char *folder, const eq_names *files,
                           eq_label_progress progress, void *user, float *features);

/* How well images show what their prompts say: 100 max(cos(image, prompt), 0) in CLIP's space, on average (as
 * CLIPScore, Hessel et al., EMNLP 2021, but for its factor of 2.5). clip: folder, see eq_clip_model_open; prompts:
 * [files->count]. out: with a bootstrap interval over the images. */
eq_status eq_clip_score(eq_context *ctx, const char *clip, const char *folder, const eq_names *files,
                        const char *const *prompts, eq_label_progress progress, void *user, eq_estimate *out);

#endif

/* Where the models that come with the tool are. */
#ifndef EQUIPOISE_MODELS_H
#define EQUIPOISE_MODELS_H

#include "base/error.h"

/* The folder of the model `name` ("portraits"): below $EQUIPOISE_MODELS, ./models, the installed data folder, or the
 * sources the tool was built from. A name that is a folder stands for itself. Malloc'ed, the caller frees it.
 * EQ_BAD_INPUT says where it was looked for. */
eq_status eq_model_folder(eq_context *ctx, const char *name, char **folder);

#endif

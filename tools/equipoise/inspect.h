/* What a file or folder is, told by its content, as a JSON object: `inspect` prints it either way. */
#ifndef EQUIPOISE_INSPECT_H
#define EQUIPOISE_INSPECT_H

#include <jansson.h>

#include "base/error.h"

/* One object: "path", "kind", then what there is to say of that kind. EQ_BAD_INPUT for what is missing, damaged or of
 * no kind that is known. The caller's to json_decref. */
eq_status eq_inspect(eq_context *ctx, const char *path, json_t **out);

#endif

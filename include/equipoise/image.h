/* Writing images. */
#ifndef EQUIPOISE_IMAGE_H
#define EQUIPOISE_IMAGE_H

#include <stdint.h>

#include "equipoise/context.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes PNG under a temporary name in the same folder, then renames. pixels: [height, width, 3] RGB, sides 1 to
 * 16384. EQ_IO_ERROR when the folder is missing or the system refuses. */
EQ_API eq_status eq_write_png(eq_context *ctx, const char *path, const uint8_t *pixels, int width, int height);

#ifdef __cplusplus
}
#endif
#endif

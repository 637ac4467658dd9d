/* What the fuzz targets share. A target is a file fuzz_<thing>.c that hands any bytes to one reader; it must come back
 * with a result or with a status and a message, whatever the bytes are. */
#ifndef EQ_TESTS_FUZZ_H
#define EQ_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "equipoise/context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops the program, so that the input is kept, unless `condition` holds. */
#define FUZZ_CHECK(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Whether the reader took the input. If not, it must have said `fault`, or that memory is out, with a message. */
static inline bool fuzz_accepted(const eq_context *ctx, eq_status status, eq_status fault)
{
    if (status == EQ_OK)
        return true;
    FUZZ_CHECK(status == fault || status == EQ_NO_MEMORY);
    FUZZ_CHECK(eq_last_error(ctx)[0] != '\0');
    return false;
}

#endif

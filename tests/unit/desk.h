/* What a test of classifier files works with: a context, and a folder that goes with all it holds. */
#ifndef EQ_TESTS_DESK_H
#define EQ_TESTS_DESK_H

#include "equipoise/context.h"
#include "temporary.h"

typedef struct desk {
    eq_context *ctx;
    char *folder;
} desk;

static inline int make_desk(void **state)
{
    desk *d = calloc(1, sizeof *d);
    if (!d || temporary_setup((void **)&d->folder) != 0)
        return -1;
    *state = d;
    d->ctx = eq_context_new();
    return 0;
}

static inline int drop_desk(void **state)
{
    desk *d = *state;
    int result = temporary_teardown((void **)&d->folder);
    eq_context_free(d->ctx);
    free(d);
    return result;
}

#endif

/* Raising and propagating errors, logging. The message is set where the fault is found; callers only pass the
 * status up. */
#ifndef EQ_BASE_ERROR_H
#define EQ_BASE_ERROR_H

#include <stdarg.h>

#include "equipoise/context.h"

#if defined(__GNUC__)
#define EQ_PRINTF(text, args) __attribute__((format(printf, text, args)))
#else
#define EQ_PRINTF(text, args)
#endif

/* Sets the context's message and returns `status`, so that `return eq_fail(ctx, EQ_BAD_INPUT, "...")` reads well.
 * ctx may be NULL (the message is then lost). */
eq_status eq_fail(eq_context *ctx, eq_status status, const char *format, ...) EQ_PRINTF(3, 4);

/* eq_fail for memory: names what was to be allocated. */
eq_status eq_fail_memory(eq_context *ctx, const char *what);

void eq_log(eq_context *ctx, eq_log_level level, const char *format, ...) EQ_PRINTF(3, 4);

/* Returns from the enclosing function when `expression` is not EQ_OK. */
#define EQ_TRY(expression)                                                                                             \
    do {                                                                                                               \
        eq_status eq_try_status_ = (expression);                                                                       \
        if (eq_try_status_ != EQ_OK)                                                                                   \
            return eq_try_status_;                                                                                     \
    } while (0)

/* Stores the status and jumps to `label` when `expression` is not EQ_OK; for functions that clean up. */
#define EQ_TRY_GOTO(status, expression, label)                                                                         \
    do {                                                                                                               \
        (status) = (expression);                                                                                       \
        if ((status) != EQ_OK)                                                                                         \
            goto label;                                                                                                \
    } while (0)

#endif

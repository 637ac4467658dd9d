/* The context: error message, log sink, thread count and cancellation of one user of the library.
 * A context serves one thread at a time; eq_cancel alone may be called from anywhere, signal handlers included. */
#ifndef EQUIPOISE_CONTEXT_H
#define EQUIPOISE_CONTEXT_H

#include <stdbool.h>

#include "equipoise/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eq_context eq_context;

typedef enum eq_log_level { EQ_LOG_ERROR, EQ_LOG_WARNING, EQ_LOG_INFO, EQ_LOG_DEBUG } eq_log_level;

/* Receives one line, without a newline. The text is valid only during the call. */
typedef void (*eq_log_fn)(void *user, eq_log_level level, const char *line);

/* Creates a context, to be freed with eq_context_free; NULL when memory is out. */
EQ_API eq_context *eq_context_new(void);
EQ_API void eq_context_free(eq_context *ctx);

/* The message of the last failure, "" if none: one line that says what was expected, what was found, where, and how
 * to mend it. Owned by the context, valid until the next failure in it. */
EQ_API const char *eq_last_error(const eq_context *ctx);

/* Where warnings and progress notes go; NULL (the default) drops them. */
EQ_API void eq_set_log(eq_context *ctx, eq_log_fn log, void *user);

/* Threads to compute with; 0 (the default) means as many as the machine offers. */
EQ_API void eq_set_threads(eq_context *ctx, int threads);
EQ_API int eq_threads(const eq_context *ctx);

/* Model files may hold tensors that the network has no use for (false, the default: that is EQ_BAD_INPUT, for it hints
 * at a wrong configuration). Allowed, they are left out, and a warning names them. What a network lacks is always an
 * error. */
EQ_API void eq_set_allow_unused(eq_context *ctx, bool allow);
EQ_API bool eq_allow_unused(const eq_context *ctx);

/* Asks the running call to stop at its next safe point with EQ_CANCELLED. Async-signal-safe. The request stands, also
 * for later calls, until eq_cancel_clear. */
EQ_API void eq_cancel(eq_context *ctx);
EQ_API void eq_cancel_clear(eq_context *ctx);
EQ_API bool eq_cancelled(const eq_context *ctx);

#ifdef __cplusplus
}
#endif
#endif

#include "equipoise/context.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"

struct eq_context {
    char message[1024];
    eq_log_fn log;
    void *log_user;
    int threads;
    bool allow_unused;
    atomic_bool cancelled;
};

const char *eq_status_name(eq_status status)
{
    switch (status) {
    case EQ_OK: return "ok";
    case EQ_FAILED: return "failed";
    case EQ_BAD_USAGE: return "bad usage";
    case EQ_BAD_INPUT: return "bad input";
    case EQ_NO_MEMORY: return "out of memory";
    case EQ_IO_ERROR: return "input/output error";
    case EQ_CANCELLED: return "cancelled";
    }
    return "unknown status";
}

eq_context *eq_context_new(void)
{
    return calloc(1, sizeof(eq_context));
}

void eq_context_free(eq_context *ctx)
{
    free(ctx);
}

const char *eq_last_error(const eq_context *ctx)
{
    return ctx->message;
}

void eq_set_log(eq_context *ctx, eq_log_fn log, void *user)
{
    ctx->log = log;
    ctx->log_user = user;
}

void eq_set_threads(eq_context *ctx, int threads)
{
    ctx->threads = threads > 0 ? threads : 0;
}

int eq_threads(const eq_context *ctx)
{
    if (ctx->threads > 0)
        return ctx->threads;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

void eq_set_allow_unused(eq_context *ctx, bool allow)
{
    ctx->allow_unused = allow;
}

bool eq_allow_unused(const eq_context *ctx)
{
    return ctx->allow_unused;
}

void eq_cancel(eq_context *ctx)
{
    atomic_store(&ctx->cancelled, true);
}

void eq_cancel_clear(eq_context *ctx)
{
    atomic_store(&ctx->cancelled, false);
}

bool eq_cancelled(const eq_context *ctx)
{
    return atomic_load(&ctx->cancelled);
}

eq_status eq_fail(eq_context *ctx, eq_status status, const char *format, ...)
{
    if (!ctx)
        return status;
    /* Formatted aside first: an argument may be the previous message. */
    char message[sizeof ctx->message];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    snprintf(ctx->message, sizeof ctx->message, "%s", message);
    return status;
}

eq_status eq_fail_memory(eq_context *ctx, const char *what)
{
    return eq_fail(ctx, EQ_NO_MEMORY, "out of memory while allocating %s; try a smaller --micro-batch or size", what);
}

void eq_log(eq_context *ctx, eq_log_level level, const char *format, ...)
{
    if (!ctx || !ctx->log)
        return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    ctx->log(ctx->log_user, level, line);
}

/* Status codes: what every fallible function of Equipoise returns. */
#ifndef EQUIPOISE_STATUS_H
#define EQUIPOISE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(EQUIPOISE_SHARED) && defined(__GNUC__)
#define EQ_API __attribute__((visibility("default")))
#else
#define EQ_API
#endif

typedef enum eq_status {
    EQ_OK = 0,
    EQ_FAILED,    /* the work could not be done: a numerical failure, a missing capability */
    EQ_BAD_USAGE, /* an argument is out of its documented range */
    EQ_BAD_INPUT, /* a file is missing, truncated, malformed or for something else */
    EQ_NO_MEMORY, /* an allocation failed */
    EQ_IO_ERROR,  /* the system refused to read or write: disk full, permissions */
    EQ_CANCELLED, /* the caller's cancellation was honoured */
} eq_status;

/* A short English name, e.g. "bad input". Never NULL. */
EQ_API const char *eq_status_name(eq_status status);

#ifdef __cplusplus
}
#endif
#endif

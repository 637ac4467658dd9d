/* Progress of long work on stderr: a bar with rate and time left on a terminal, redrawn at most ten times a second and
 * fitted to its width; elsewhere a line every few seconds; nothing at all when quiet. Calls come from one thread at a
 * time. */
#ifndef EQUIPOISE_PROGRESS_H
#define EQUIPOISE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "equipoise/context.h"

typedef struct eq_progress {
    FILE *out;
    bool terminal, quiet;
    const char *doing, *unit; /* "drawing", "images"; NULL between eq_progress_begin and eq_progress_end */
    double begun;             /* when the work began, in seconds */
    double start, first;      /* when the first count came, and that count: what the rate is measured from */
    double latest;            /* when the last count came */
    double shown;             /* when last printed */
    double done, total;
    char note[96];
    bool drawn; /* a bar is on the screen */
} eq_progress;

/* For stderr. */
eq_progress eq_progress_new(bool quiet);

/* Starts a piece of work. doing: what is done, in the -ing form; unit: what is counted, in the plural. The strings must
 * last until eq_progress_end. */
void eq_progress_begin(eq_progress *progress, const char *doing, const char *unit);

/* `done` of `total`, 0 if that is not known. note: a few words more ("loss 0.021") or NULL. */
void eq_progress_set(eq_progress *progress, double done, double total, const char *note);

/* Ends the work and leaves its last state on the screen. Without work it does nothing. */
void eq_progress_end(eq_progress *progress);

/* A line between the bars. */
void eq_progress_line(eq_progress *progress, const char *prefix, const char *line);

/* An eq_log_fn with an eq_progress as user: warnings always, notes unless quiet. */
void eq_progress_log(void *progress, eq_log_level level, const char *line);

/* The text of the bar at time `now` for `width` columns, and of the plain line. */
void eq_progress_format_bar(const eq_progress *progress, double now, int width, char *buffer, size_t size);
void eq_progress_format_line(const eq_progress *progress, double now, char *buffer, size_t size);

#endif

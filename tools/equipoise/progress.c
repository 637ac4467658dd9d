#include "progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { NARROWEST_BAR = 10, WIDEST_BAR = 40, WIDEST_LINE = 240 };

static const double redraw_seconds = 0.1;
static const double line_seconds = 5;

static double clock_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int terminal_width(const eq_progress *progress)
{
    struct winsize size;
    if (ioctl(fileno(progress->out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col < WIDEST_LINE ? size.ws_col : WIDEST_LINE;
    return 80;
}

eq_progress eq_progress_new(bool quiet)
{
    return (eq_progress){.out = stderr, .terminal = isatty(STDERR_FILENO), .quiet = quiet};
}

/* Items a second since the first count; 0 while unknown. */
static double rate_of(const eq_progress *progress)
{
    double seconds = progress->latest - progress->start, items = progress->done - progress->first;
    return progress->start > 0 && seconds > 0.01 && items > 0 ? items / seconds : 0;
}

/* "12.3 images/s"; where less than one a second gets done, "8.1 images/min". */
static void format_rate(double rate, const char *unit, char *buffer, size_t size)
{
    if (rate <= 0)
        snprintf(buffer, size, "- %s/s", unit);
    else if (rate < 1)
        snprintf(buffer, size, "%.1f %s/min", rate * 60, unit);
    else
        snprintf(buffer, size, rate < 100 ? "%.1f %s/s" : "%.0f %s/s", rate, unit);
}

/* "0:09", "12:33", "3:04:05" */
static void format_duration(double seconds, char *buffer, size_t size)
{
    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(buffer, size, "-:--");
        return;
    }
    long whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(buffer, size, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(buffer, size, "%ld:%02ld", whole / 60, whole % 60);
}

/* The time left, or the time taken once all is done. */
static void format_time(const eq_progress *progress, double now, double rate, char *buffer, size_t size)
{
    char duration[32];
    bool finished = progress->done >= progress->total;
    if (finished)
        format_duration(now - progress->begun, duration, sizeof duration);
    else
        format_duration(rate > 0 ? (progress->total - progress->done) / rate : -1, duration, sizeof duration);
    snprintf(buffer, size, finished ? "took %s" : "%s left", duration);
}

void eq_progress_format_bar(const eq_progress *progress, double now, int width, char *buffer, size_t size)
{
    char rate_text[64], time_text[48], counts[64], note[sizeof progress->note + 2] = "", tail[320];
    double rate = rate_of(progress);
    format_rate(rate, progress->unit, rate_text, sizeof rate_text);
    if (progress->total <= 0) {
        snprintf(buffer, size, "%s %.0f %s, %s", progress->doing, progress->done, progress->unit, rate_text);
        if ((size_t)width < size)
            buffer[width] = '\0';
        return;
    }
    format_time(progress, now, rate, time_text, sizeof time_text);
    snprintf(counts, sizeof counts, "  %.0f/%.0f", progress->done, progress->total);
    if (progress->note[0])
        snprintf(note, sizeof note, "  %s", progress->note);
    double share = progress->done / progress->total;
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    int percent = (int)(100 * share); /* rounded down, so that 100% means done */
    /* What does not fit goes in this order: the note, the rate, the counts, the bar. */
    for (int drop = 0; drop < 4; drop++) {
        snprintf(tail, sizeof tail, "%3d%%%s%s%s%s  %s", percent, drop > 2 ? "" : counts, drop > 1 ? "" : "  ",
                 drop > 1 ? "" : rate_text, drop > 0 ? "" : note, time_text);
        int room = width - (int)strlen(progress->doing) - (int)strlen(tail) - 4; /* "doing [####] tail" */
        if (room >= NARROWEST_BAR) {
            char bar[WIDEST_BAR + 1];
            int length = room < WIDEST_BAR ? room : WIDEST_BAR, full = (int)(share * length);
            memset(bar, '-', (size_t)length);
            memset(bar, '#', (size_t)full);
            bar[length] = '\0';
            snprintf(buffer, size, "%s [%s] %s", progress->doing, bar, tail);
            return;
        }
    }
    snprintf(buffer, size, "%s %3d%%", progress->doing, percent);
    if ((size_t)width < size)
        buffer[width] = '\0';
}

void eq_progress_format_line(const eq_progress *progress, double now, char *buffer, size_t size)
{
    char rate_text[64], time_text[48];
    double rate = rate_of(progress);
    format_rate(rate, progress->unit, rate_text, sizeof rate_text);
    const char *comma = progress->note[0] ? ", " : "";
    if (progress->total <= 0) {
        snprintf(buffer, size, "%s: %.0f %s, %s%s%s", progress->doing, progress->done, progress->unit, rate_text, comma,
                 progress->note);
        return;
    }
    format_time(progress, now, rate, time_text, sizeof time_text);
    snprintf(buffer, size, "%s: %.0f of %.0f %s (%d%%), %s%s%s, %s", progress->doing, progress->done, progress->total,
             progress->unit, (int)(100 * progress->done / progress->total), rate_text, comma, progress->note,
             time_text);
}

static void show(eq_progress *progress, double now)
{
    char text[WIDEST_LINE + 160];
    progress->shown = now;
    if (progress->terminal) {
        /* The last column stays free: a full line would wrap on some terminals. */
        eq_progress_format_bar(progress, now, terminal_width(progress) - 1, text, sizeof text);
        fprintf(progress->out, "\r%s\033[K", text);
        progress->drawn = true;
    } else {
        eq_progress_format_line(progress, now, text, sizeof text);
        fprintf(progress->out, "%s\n", text);
    }
    fflush(progress->out);
}

void eq_progress_begin(eq_progress *progress, const char *doing, const char *unit)
{
    eq_progress_end(progress);
    progress->doing = doing;
    progress->unit = unit;
    progress->start = progress->first = progress->latest = progress->done = progress->total = 0;
    progress->begun = progress->shown = clock_seconds();
    progress->note[0] = '\0';
}

void eq_progress_set(eq_progress *progress, double done, double total, const char *note)
{
    if (progress->quiet || !progress->doing)
        return;
    double now = clock_seconds();
    if (progress->start == 0) {
        progress->start = now;
        progress->first = done;
    }
    progress->latest = now;
    progress->done = done;
    progress->total = total;
    snprintf(progress->note, sizeof progress->note, "%s", note ? note : "");
    if (now - progress->shown >= (progress->terminal ? redraw_seconds : line_seconds))
        show(progress, now);
}

void eq_progress_end(eq_progress *progress)
{
    if (!progress->doing)
        return;
    if (!progress->quiet && progress->start > 0) {
        show(progress, clock_seconds());
        if (progress->drawn)
            fputc('\n', progress->out);
    }
    progress->drawn = false;
    progress->doing = NULL;
}

void eq_progress_line(eq_progress *progress, const char *prefix, const char *line)
{
    if (progress->drawn)
        fputs("\r\033[K", progress->out);
    fprintf(progress->out, "%s%s\n", prefix, line);
    if (progress->drawn)
        show(progress, clock_seconds());
    fflush(progress->out);
}

void eq_progress_log(void *user, eq_log_level level, const char *line)
{
    eq_progress *progress = user;
    if (level == EQ_LOG_WARNING)
        eq_progress_line(progress, "equipoise: warning: ", line);
    else if (level == EQ_LOG_ERROR)
        eq_progress_line(progress, "equipoise: ", line);
    else if (level == EQ_LOG_INFO && !progress->quiet)
        eq_progress_line(progress, "", line);
}

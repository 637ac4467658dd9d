/* Charts as inline SVG. They take their colours from the page (see report_style.c), so that they follow light, dark and
 * print, and scale with the column they stand in. */
#ifndef EQ_EVAL_SVG_CHART_H
#define EQ_EVAL_SVG_CHART_H

#include "eval/html.h"
#include "eval/intervals.h"

/* The page defines the colours k0 to k5; further series begin again, with dashes. */
enum { EQ_CHART_COLOURS = 6 };

typedef struct eq_bar {
    const char *name;
    eq_estimate value; /* 0 to 1, with its interval; NaN: none */
    double target;     /* NaN: none */
    double before;     /* NaN: none */
} eq_bar;

/* Horizontal bars, one a class, with interval and target marked and what was before beneath. `title` is what a screen
 * reader says. */
void eq_chart_bars(eq_html *html, const char *title, const eq_bar *bars, int count);

typedef struct eq_chart_series {
    const char *name;
    const double *values; /* [steps], `stride` apart, 0 to 1 */
    const double *before; /* [before_steps], `stride` apart, stretched over the same width; NULL: none */
    double target;        /* NaN: none */
    int colour;           /* of the page's, again from the first when they are used up */
} eq_chart_series;

typedef struct eq_chart_lines {
    const char *title;
    int steps, before_steps, stride;
    const double *timesteps; /* [steps] NaN: not known */
    int count;
    const eq_chart_series *series; /* [count] */
} eq_chart_lines;

/* Lines over the steps, at least 2 of them, named at their right ends; targets dashed. */
void eq_chart_curves(eq_html *html, const eq_chart_lines *chart);

/* Writes at most `limit` characters of a name, with an ellipsis where it is cut. */
void eq_chart_short_name(eq_html *html, const char *name, int limit);

#endif

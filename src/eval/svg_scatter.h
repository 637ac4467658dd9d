/* A chart of points, one a method, with whiskers for their intervals, as inline SVG (see svg_chart.h). */
#ifndef EQ_EVAL_SVG_SCATTER_H
#define EQ_EVAL_SVG_SCATTER_H

#include "eval/svg_chart.h"

typedef struct eq_point {
    const char *name;
    eq_estimate x, y; /* finite values; intervals NaN or of no width: no whiskers */
    int colour;
} eq_point;

/* Both axes begin at 0, or below where a value is. `title` is what a screen reader says. */
void eq_chart_scatter(eq_html *html, const char *title, const char *x_name, const char *y_name, const eq_point *points,
                      int count);

#endif

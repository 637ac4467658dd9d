#include "eval/svg_scatter.h"

#include <math.h>

enum {
    WIDTH = 440,
    HEIGHT = 300,
    LEFT = 52,
    RIGHT = 424,
    TOP = 12,
    BOTTOM = 244,
    MARKS = 4,
    NAMED = 64,
    NAME_WIDTH = 90,
    NAME_HEIGHT = 13
};

typedef struct axis {
    double start, step; /* step between marks; MARKS of them may run over */
    int marks;
} axis;

/* Marks at 1, 2 or 5 times a power of ten. */
static axis axis_of(double low, double high)
{
    double start = fmin(0, low), span = high > start ? high - start : 1;
    double power = pow(10, floor(log10(span / MARKS))), step = power;
    for (int i = 0; span / step > MARKS + 0.001 && i < 3; i++)
        step = power * (const double[]){2, 5, 10}[i];
    start = floor(start / step) * step;
    return (axis){start, step,
                  (int)ceil((high - start) / step - 1e-9) > 0 ? (int)ceil((high - start) / step - 1e-9) : 1};
}

static double place(const axis *a, double value, double from, double to)
{
    return from + (to - from) * (value - a->start) / (a->step * a->marks);
}

static double x_of(const axis *a, double value)
{
    return place(a, value, LEFT, RIGHT);
}

static double y_of(const axis *a, double value)
{
    return place(a, value, BOTTOM, TOP);
}

static void axes(eq_html *html, const axis *x, const axis *y, const char *x_name, const char *y_name)
{
    for (int i = 0; i <= y->marks; i++) {
        double value = y->start + i * y->step, at = y_of(y, value);
        eq_html_format(html, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, RIGHT, at, at);
        eq_html_format(html, "<text class=\"axis\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>", LEFT - 6,
                       at + 4, fabs(value) < 1e-9 * y->step ? 0 : value);
    }
    for (int i = 0; i <= x->marks; i++) {
        double value = x->start + i * x->step;
        eq_html_format(html, "<text class=\"axis\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g</text>",
                       x_of(x, value), BOTTOM + 18, fabs(value) < 1e-9 * x->step ? 0 : value);
    }
    eq_html_format(html, "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"end\">%s \u2192</text>", RIGHT,
                   BOTTOM + 38, x_name);
    eq_html_format(html, "<text class=\"axis\" x=\"%d\" y=\"%d\">%s \u2191</text>", LEFT + 4, TOP + 4, y_name);
}

static void whiskers(eq_html *html, const axis *x, const axis *y, const eq_point *p)
{
    double at_x = x_of(x, p->x.value), at_y = y_of(y, p->y.value);
    if (p->x.high > p->x.low)
        eq_html_format(html, "<path class=\"line k%d\" style=\"stroke-width:1.2\" d=\"M%.1f %.1fH%.1f\"/>",
                       p->colour % EQ_CHART_COLOURS, x_of(x, p->x.low), at_y, x_of(x, p->x.high));
    if (p->y.high > p->y.low)
        eq_html_format(html, "<path class=\"line k%d\" style=\"stroke-width:1.2\" d=\"M%.1f %.1fV%.1f\"/>",
                       p->colour % EQ_CHART_COLOURS, at_x, y_of(y, p->y.low), y_of(y, p->y.high));
}

/* Names stand to the side that has room, and above each other where they would meet. heights: [i + 1], the earlier
 * ones' known. */
static void mark(eq_html *html, const axis *x, const axis *y, const eq_point *points, int i, double *heights)
{
    const eq_point *p = &points[i];
    double at_x = x_of(x, p->x.value), at_y = y_of(y, p->y.value), middle = (LEFT + RIGHT) / 2.0;
    eq_html_format(html, "<circle class=\"fill k%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/>", p->colour % EQ_CHART_COLOURS,
                   at_x, at_y);
    if (i >= NAMED)
        return;
    heights[i] = at_y - 6;
    for (int k = 0; k < i; k++)
        if (fabs(x_of(x, points[k].x.value) - at_x) < NAME_WIDTH && fabs(heights[k] - heights[i]) < NAME_HEIGHT) {
            heights[i] = heights[k] - NAME_HEIGHT;
            k = -1; /* from the first again */
        }
    eq_html_format(html, "<text class=\"name\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
                   at_x + (at_x > middle ? -8 : 8), heights[i], at_x > middle ? "end" : "start");
    eq_chart_short_name(html, p->name, 18);
    eq_html_raw(html, "</text>");
}

static double highest(double most, eq_estimate e)
{
    return fmax(most, fmax(e.value, e.high)); /* fmax ignores NaN */
}

static double lowest(double least, eq_estimate e)
{
    return fmin(least, fmin(e.value, e.low));
}

void eq_chart_scatter(eq_html *html, const char *title, const char *x_name, const char *y_name, const eq_point *points,
                      int count)
{
    double x_low = 0, x_high = 0, y_low = 0, y_high = 0;
    for (int i = 0; i < count; i++) {
        x_low = lowest(x_low, points[i].x);
        x_high = highest(x_high, points[i].x);
        y_low = lowest(y_low, points[i].y);
        y_high = highest(y_high, points[i].y);
    }
    axis x = axis_of(x_low, x_high), y = axis_of(y_low, y_high);
    eq_html_format(html, "<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">", WIDTH, HEIGHT,
                   title);
    axes(html, &x, &y, x_name, y_name);
    for (int i = 0; i < count; i++)
        whiskers(html, &x, &y, &points[i]);
    double heights[NAMED];
    for (int i = 0; i < count; i++)
        mark(html, &x, &y, points, i, heights);
    eq_html_raw(html, "</svg>");
}

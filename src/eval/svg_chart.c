#include "eval/svg_chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All lengths in units of the viewBox, in which text is 13 high. */
enum { WIDTH = 440 };

void eq_chart_short_name(eq_html *html, const char *name, int limit)
{
    char part[512];
    size_t end = 0;
    int characters = 0;
    while (name[end] && characters < limit && end + 5 < sizeof(part)) {
        end++;
        while (((unsigned char)name[end] & 0xc0) == 0x80 && end + 5 < sizeof(part)) /* the rest of a UTF-8 character */
            end++;
        characters++;
    }
    snprintf(part, sizeof(part), "%.*s", (int)end, name);
    eq_html_text(html, part);
    if (name[end])
        eq_html_raw(html, "\u2026");
}

/* The end of the axis: the least of these that holds `largest`. */
static double axis_end(double largest)
{
    static const double ends[] = {0.05, 0.1, 0.2, 0.4, 0.6, 0.8};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (largest <= ends[i])
            return ends[i];
    return 1;
}

static void open_svg(eq_html *html, int height, const char *title)
{
    eq_html_format(html, "<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">", WIDTH, height,
                   title);
}

/* -- bars -- */

enum {
    BARS_LEFT = 1,
    BARS_WIDTH = WIDTH - 8,
    ROW = 62,
    BAR_TOP = 22,
    BAR = 16,
    BEFORE_TOP = 40,
    BEFORE = 6,
    AXIS = 26
};

static double bar_x(double value, double end)
{
    double share = value / end;
    return BARS_LEFT + BARS_WIDTH * (share < 0 ? 0 : share > 1 ? 1 : share);
}

static void bars_grid(eq_html *html, double end, int bottom)
{
    for (int i = 0; i <= 4; i++) {
        double x = bar_x(end * i / 4, end);
        eq_html_format(html, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", x, x, BAR_TOP - 4,
                       bottom);
        eq_html_format(html, "<text class=\"axis\" x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%g%%</text>", x, bottom + 17,
                       i == 0   ? "start"
                       : i == 4 ? "end"
                                : "middle",
                       100 * end * i / 4);
    }
}

static void bar_text(eq_html *html, const eq_bar *bar, int top)
{
    eq_html_format(html, "<text class=\"name\" x=\"%d\" y=\"%d\">", BARS_LEFT, top + 14);
    eq_chart_short_name(html, bar->name, 24);
    eq_html_format(html, "</text><text class=\"value\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", BARS_LEFT + BARS_WIDTH,
                   top + 14);
    if (isfinite(bar->value.value))
        eq_html_format(html, "<tspan class=\"name\">%.1f%%</tspan>", 100 * bar->value.value);
    if (isfinite(bar->value.low) && isfinite(bar->value.high))
        eq_html_format(html, " (%.0f\u2013%.0f)", 100 * bar->value.low, 100 * bar->value.high);
    if (isfinite(bar->target))
        eq_html_format(html, " <tspan class=\"asked\">asked %.4g%%</tspan>", 100 * bar->target);
    eq_html_raw(html, "</text>");
}

static void bar_row(eq_html *html, const eq_bar *bar, double end, int top)
{
    int y = top + BAR_TOP, middle = y + BAR / 2;
    bar_text(html, bar, top);
    eq_html_format(html, "<rect class=\"track\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>", BARS_LEFT, y,
                   BARS_WIDTH, BAR);
    if (isfinite(bar->value.value))
        eq_html_format(html, "<rect class=\"obtained\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>", BARS_LEFT, y,
                       bar_x(bar->value.value, end) - BARS_LEFT, BAR);
    if (isfinite(bar->before))
        eq_html_format(html, "<rect class=\"before\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>", BARS_LEFT,
                       top + BEFORE_TOP, bar_x(bar->before, end) - BARS_LEFT, BEFORE);
    if (isfinite(bar->value.low) && isfinite(bar->value.high)) {
        double low = bar_x(bar->value.low, end), high = bar_x(bar->value.high, end);
        eq_html_format(html, "<path class=\"halo\" d=\"M%.1f %dH%.1f\"/>", low, middle, high);
        eq_html_format(html, "<path class=\"whisker\" d=\"M%.1f %dv8m0 -4H%.1fm0 -4v8\"/>", low, middle - 4, high);
    }
    if (isfinite(bar->target)) {
        double x = bar_x(bar->target, end);
        eq_html_format(html, "<path class=\"target-halo\" d=\"M%.1f %dV%d\"/>", x, y - 1,
                       top + BEFORE_TOP + BEFORE + 2);
        eq_html_format(html, "<path class=\"target\" d=\"M%.1f %dV%d\"/>", x, y - 2, top + BEFORE_TOP + BEFORE + 3);
        eq_html_format(html, "<path class=\"target-tip\" d=\"M%.1f %dl-4.5 -6h9z\"/>", x, y + 1);
    }
}

void eq_chart_bars(eq_html *html, const char *title, const eq_bar *bars, int count)
{
    double largest = 0;
    for (int i = 0; i < count; i++) {
        largest = fmax(largest, fmax(bars[i].value.value, bars[i].value.high)); /* fmax ignores NaN */
        largest = fmax(largest, fmax(bars[i].target, bars[i].before));
    }
    double end = axis_end(largest);
    int bottom = count * ROW - 8;
    open_svg(html, bottom + AXIS, title);
    bars_grid(html, end, bottom);
    for (int i = 0; i < count; i++)
        bar_row(html, &bars[i], end, i * ROW);
    eq_html_raw(html, "</svg>");
}

/* -- curves -- */

enum { LEFT = 40, RIGHT = WIDTH - 104, TOP = 10, BOTTOM = 214, HEIGHT = 254, LABEL_GAP = 17 };

static double curve_x(int step, int steps)
{
    return LEFT + (double)(RIGHT - LEFT) * step / (steps - 1);
}

static double curve_y(double value, double end)
{
    double share = value / end;
    return BOTTOM - (BOTTOM - TOP) * (share < 0 ? 0 : share > 1 ? 1 : share);
}

static void curves_axes(eq_html *html, const eq_chart_lines *chart, double end)
{
    for (int i = 0; i <= 4; i++) {
        double y = curve_y(end * i / 4, end);
        eq_html_format(html, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, RIGHT, y, y);
        eq_html_format(html, "<text class=\"axis\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g%%</text>", LEFT - 6,
                       y + 4, 100 * end * i / 4);
    }
    int at[3] = {0, (chart->steps - 1) / 2, chart->steps - 1};
    for (int i = 0; i < (chart->steps > 8 ? 3 : 2); i++) {
        int step = chart->steps > 8 ? at[i] : at[2 * i];
        const char *anchor = step == 0 ? "start" : step == chart->steps - 1 ? "end" : "middle";
        double x = curve_x(step, chart->steps);
        eq_html_format(html, "<text class=\"axis\" x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">step %d</text>", x,
                       BOTTOM + 18, anchor, step + 1);
        if (isfinite(chart->timesteps[step]))
            eq_html_format(html, "<text class=\"axis\" x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">t = %.4g</text>", x,
                           BOTTOM + 33, anchor, chart->timesteps[step]);
    }
}

static void polyline(eq_html *html, const double *values, int steps, int stride, double end)
{
    for (int s = 0; s < steps; s++)
        eq_html_format(html, s > 0 ? " %.1f,%.1f" : "%.1f,%.1f", curve_x(s, steps),
                       curve_y(values[(size_t)s * (size_t)stride], end));
    eq_html_raw(html, "\"/>");
}

static double last_value(const eq_chart_lines *chart, int series)
{
    return chart->series[series].values[(size_t)(chart->steps - 1) * (size_t)chart->stride];
}

/* Heights of the names at the right: in the order of the ends, never closer than a line of text. */
static void place_labels(const eq_chart_lines *chart, double end, double *heights)
{
    double next = TOP + 4;
    for (int placed = 0; placed < chart->count; placed++) {
        int highest = -1;
        for (int i = 0; i < chart->count; i++)
            if (isnan(heights[i]) && (highest < 0 || last_value(chart, i) > last_value(chart, highest)))
                highest = i;
        double room = (BOTTOM + 4) - LABEL_GAP * (double)(chart->count - 1 - placed);
        heights[highest] = fmax(next, fmin(curve_y(last_value(chart, highest), end) + 4, room));
        next = heights[highest] + LABEL_GAP;
    }
}

static void curve_labels(eq_html *html, const eq_chart_lines *chart, double end)
{
    double *heights = malloc(sizeof(double) * (size_t)chart->count);
    if (heights == NULL) {
        html->failed = true;
        return;
    }
    for (int i = 0; i < chart->count; i++)
        heights[i] = NAN;
    place_labels(chart, end, heights);
    for (int i = 0; i < chart->count; i++) {
        eq_html_format(html, "<circle class=\"fill k%d\" cx=\"%d\" cy=\"%.1f\" r=\"3.5\"/>",
                       chart->series[i].colour % EQ_CHART_COLOURS, RIGHT + 11, heights[i] - 4);
        eq_html_format(html, "<text class=\"name\" x=\"%d\" y=\"%.1f\">", RIGHT + 19, heights[i]);
        eq_chart_short_name(html, chart->series[i].name, 12);
        eq_html_raw(html, "</text>");
    }
    free(heights);
}

void eq_chart_curves(eq_html *html, const eq_chart_lines *chart)
{
    double largest = 0;
    for (int i = 0; i < chart->count; i++) {
        const eq_chart_series *series = &chart->series[i];
        largest = fmax(largest, series->target);
        for (int s = 0; s < chart->steps; s++)
            largest = fmax(largest, series->values[(size_t)s * (size_t)chart->stride]);
        for (int s = 0; series->before != NULL && s < chart->before_steps; s++)
            largest = fmax(largest, series->before[(size_t)s * (size_t)chart->stride]);
    }
    double end = axis_end(largest);
    open_svg(html, HEIGHT, chart->title);
    curves_axes(html, chart, end);
    for (int i = 0; i < chart->count; i++) {
        if (chart->series[i].before == NULL)
            continue;
        eq_html_format(html, "<polyline class=\"was k%d\" points=\"", chart->series[i].colour % EQ_CHART_COLOURS);
        polyline(html, chart->series[i].before, chart->before_steps, chart->stride, end);
    }
    for (int i = 0; i < chart->count; i++) {
        double y = curve_y(chart->series[i].target, end);
        if (isfinite(y))
            eq_html_format(html, "<path class=\"wish k%d\" d=\"M%d %.1fH%d\"/>",
                           chart->series[i].colour % EQ_CHART_COLOURS, LEFT, y, RIGHT);
    }
    for (int i = 0; i < chart->count; i++) {
        eq_html_format(html, "<polyline class=\"line%s k%d\" points=\"",
                       chart->series[i].colour < EQ_CHART_COLOURS ? "" : " again",
                       chart->series[i].colour % EQ_CHART_COLOURS);
        polyline(html, chart->series[i].values, chart->steps, chart->stride, end);
    }
    curve_labels(html, chart, end);
    eq_html_raw(html, "</svg>");
}

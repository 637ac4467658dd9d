/* The parts of the report that are looked at: contact sheets, bars, joint targets, P per step. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/report_sections.h"
#include "eval/svg_chart.h"

enum { MAX_PAIRS = 24, MAX_LINES = 12, VIEWS = 16 };

/* -- contact sheets -- */

/* names: [count] out, owned array of strings that belong to the run. */
static eq_status view_of_classes(eq_context *ctx, const char *name, const eq_report_class *classes, int count,
                                 eq_report_view *view)
{
    const char **names = calloc((size_t)count + 1, sizeof(*names));
    if (names == NULL)
        return eq_fail_memory(ctx, "a report");
    for (int i = 0; i < count; i++)
        names[i] = classes[i].name;
    *view = (eq_report_view){name, count, names};
    return EQ_OK;
}

static eq_status view_of_target(eq_context *ctx, const char *name, const json_t *cells, eq_report_view *view)
{
    const char **names = calloc(json_object_size(cells) + 1, sizeof(*names)), *key;
    if (names == NULL)
        return eq_fail_memory(ctx, "a report");
    json_t *value;
    int count = 0;
    json_object_foreach((json_t *)cells, key, value)
    {
        names[count++] = key;
    }
    *view = (eq_report_view){name, count, names};
    return EQ_OK;
}

/* The ways worth sorting by: every target, every attribute of a joint one; without targets every attribute graded.
 * views: [VIEWS] */
static eq_status make_views(const eq_report *report, eq_report_view *views, int *count)
{
    const eq_report_run *run = report->run;
    json_t *targets = (json_t *)eq_report_value(run, "targets"), *cells;
    const char *name;
    *count = 0;
    json_object_foreach(targets, name, cells)
    {
        const eq_report_attribute *a = eq_report_find_attribute(run, name);
        const eq_report_joint *j = eq_report_find_joint(run, name);
        if (*count == VIEWS)
            break;
        if (a != NULL)
            EQ_TRY(view_of_classes(report->ctx, name, a->classes, a->class_count, &views[*count]));
        else if (j != NULL)
            EQ_TRY(view_of_classes(report->ctx, name, j->cells, j->cell_count, &views[*count]));
        else
            EQ_TRY(view_of_target(report->ctx, name, cells, &views[*count]));
        (*count)++;
    }
    bool targeted = *count > 0;
    for (int i = 0; i < run->attribute_count && *count < VIEWS; i++) {
        const eq_report_attribute *a = &run->attributes[i];
        if (targeted && (!a->has_target || json_object_get(targets, a->name) != NULL))
            continue;
        EQ_TRY(view_of_classes(report->ctx, a->name, a->classes, a->class_count, &views[*count]));
        (*count)++;
    }
    if (*count == 0)
        EQ_TRY(view_of_classes(report->ctx, "", NULL, 0, &views[(*count)++]));
    return EQ_OK;
}

static eq_status side(eq_report *report, const eq_report_view *view, bool after)
{
    eq_html *html = &report->html;
    const eq_report_run *run = after ? report->run : report->before;
    const eq_report_sheet *sheet = after ? &report->sheet : &report->before_sheet;
    eq_html_format(html, "<div class=\"side %s\"><h4>%s</h4>\n", sheet->shown <= 100 ? "roomy" : "dense",
                   after ? "Obtained" : "Before, unguided");
    if (sheet->shown == 0)
        eq_html_raw(html, "<p class=\"absent\">There are no readable images in this run\u2019s folder.</p>");
    else
        EQ_TRY(eq_report_sheet_side(report->ctx, html, run, sheet, view, after ? 'a' : 'b',
                                    after ? "obtained" : "before guidance"));
    eq_html_raw(html, "</div>\n");
    return EQ_OK;
}

static eq_status view_section(eq_report *report, const eq_report_view *view, bool first)
{
    eq_html *html = &report->html;
    if (!first) {
        eq_html_raw(html, "<details><summary>The same images by ");
        eq_html_target_name(html, view->name);
        eq_html_raw(html, "</summary>\n");
    }
    eq_html_format(html, "<div class=\"sides%s\">\n", report->before != NULL ? " two" : "");
    if (report->before != NULL)
        EQ_TRY(side(report, view, false));
    EQ_TRY(side(report, view, true));
    eq_html_raw(html, "</div>\n");
    if (report->before != NULL && report->sheet.shown > 0 && report->before_sheet.shown > 0)
        EQ_TRY(eq_report_sheet_pairs(report->ctx, html, report->run, &report->sheet, report->before,
                                     &report->before_sheet, view, MAX_PAIRS));
    if (!first)
        eq_html_raw(html, "</details>\n");
    return EQ_OK;
}

static void sheet_notes(eq_report *report, const eq_report_view *view)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    const eq_report_sheet *sheet = &report->sheet;
    eq_html_raw(html, "<p class=\"about\">");
    if (view->count > 0) {
        eq_html_raw(html, "Sorted by ");
        eq_html_target_name(html, view->name);
        eq_html_raw(html, run->has_labels ? ", as the evaluator labelled the images. "
                                          : ", by the class that each image was steered to: there is no labels.csv to "
                                            "say what it was found to show. ");
    }
    if (run->has_labels && run->labels.probabilities != NULL)
        eq_html_raw(html, "Dashed frames mark ambiguous images, less than 90% sure; they come last. ");
    if ((size_t)sheet->shown + sheet->unreadable < run->images.count)
        eq_html_format(html, "The first %d of %zu images are shown; the counts are of all. ", sheet->shown,
                       run->images.count);
    size_t unreadable = sheet->unreadable + report->before_sheet.unreadable;
    if (unreadable > 0)
        eq_html_format(html, "%zu image%s could not be read. ", unreadable, unreadable == 1 ? "" : "s");
    eq_html_raw(html, "</p>\n");
}

eq_status eq_report_images(eq_report *report)
{
    eq_html *html = &report->html;
    eq_report_view views[VIEWS] = {0};
    int count;
    eq_html_raw(html, "<section aria-labelledby=\"images\"><h2 id=\"images\">The images</h2>\n");
    eq_status status = make_views(report, views, &count);
    if (status == EQ_OK)
        sheet_notes(report, &views[0]);
    for (int i = 0; status == EQ_OK && i < count; i++)
        status = view_section(report, &views[i], i == 0);
    eq_html_raw(html, "</section>\n");
    for (int i = 0; i < VIEWS; i++)
        free((void *)views[i].classes);
    return status;
}

/* -- bars -- */

static void bars(eq_report *report, const char *name, const eq_report_class *classes, int count,
                 const eq_report_class *before, int before_count)
{
    eq_html *html = &report->html;
    eq_bar *rows = calloc((size_t)count + 1, sizeof(*rows));
    if (rows == NULL) {
        html->failed = true;
        return;
    }
    for (int i = 0; i < count; i++) {
        const eq_report_class *was = eq_report_find_class(before, before_count, classes[i].name);
        rows[i] = (eq_bar){classes[i].name, classes[i].frequency, classes[i].target,
                           was != NULL ? was->frequency.value : NAN};
    }
    eq_html_format(html, "<figure class=\"plot\"><figcaption><b>%s</b></figcaption>", name);
    eq_chart_bars(html,
                  "Share of each class with its 95% interval, the share asked for, and the share before. The "
                  "table of shares has the same numbers.",
                  rows, count);
    eq_html_raw(html, "</figure>\n");
    free(rows);
}

void eq_report_shares(eq_report *report)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    if (run->attribute_count == 0)
        return;
    eq_html_raw(html,
                "<section aria-labelledby=\"shares\"><h2 id=\"shares\">Asked and obtained</h2>\n<p class=\"about\">"
                "<span class=\"key\"><i class=\"key-obtained\"></i>obtained, with its 95% Wilson interval</span> "
                "<span class=\"key\"><i class=\"key-target\"></i>asked</span> ");
    if (report->before != NULL)
        eq_html_raw(html, "<span class=\"key\"><i class=\"key-before\"></i>before</span>");
    eq_html_raw(html, "</p>\n<div class=\"plots\">\n");
    for (int i = 0; i < run->attribute_count; i++) {
        const eq_report_attribute *a = &run->attributes[i], *was = eq_report_find_attribute(report->before, a->name);
        bars(report, a->name, a->classes, a->class_count, was != NULL ? was->classes : NULL,
             was != NULL ? was->class_count : 0);
    }
    eq_html_raw(html, "</div></section>\n");
}

/* -- joint targets -- */

/* The tint of a cell: how far it is from its target, and to which side. */
static void tint(eq_html *html, const eq_report_class *cell, double largest)
{
    double difference = cell->frequency.value - cell->target;
    if (!isfinite(difference) || largest <= 0)
        return;
    eq_html_format(html, " style=\"background-color:rgb(var(--%s)/%.3f)\"", difference > 0 ? "surplus" : "shortage",
                   0.42 * fabs(difference) / largest);
}

static void joint_cell(eq_html *html, const eq_report_class *cell, const eq_report_joint *was, double largest)
{
    const eq_report_class *before = was != NULL ? eq_report_find_class(was->cells, was->cell_count, cell->name) : NULL;
    eq_html_raw(html, "<td");
    tint(html, cell, largest);
    eq_html_raw(html, ">");
    if (isfinite(cell->frequency.value))
        eq_html_format(html, "<b>%.1f%%</b>", 100 * cell->frequency.value);
    if (isfinite(cell->count))
        eq_html_format(html, " <span class=\"quiet\">%.0f</span>", cell->count);
    if (isfinite(cell->target))
        eq_html_format(html, "<br><span class=\"quiet\">asked %.4g%%</span>", 100 * cell->target);
    if (before != NULL && isfinite(before->frequency.value))
        eq_html_format(html, "<br><span class=\"quiet\">before %.1f%%</span>", 100 * before->frequency.value);
    eq_html_raw(html, "</td>");
}

/* Cells as a list: for more than two attributes. */
static void joint_list(eq_html *html, const eq_report_joint *j, const eq_report_joint *was, double largest)
{
    for (int i = 0; i < j->cell_count; i++) {
        eq_html_format(html, "<tr><th scope=\"row\">%s</th>", j->cells[i].name);
        joint_cell(html, &j->cells[i], was, largest);
        eq_html_raw(html, "</tr>\n");
    }
}

static void joint_grid(eq_html *html, const eq_report_joint *j, const eq_report_attribute *rows,
                       const eq_report_attribute *columns, const eq_report_joint *was, double largest)
{
    eq_html_format(html, "<thead><tr><th scope=\"col\"><span class=\"quiet\">%s \\ %s</span></th>", rows->name,
                   columns->name);
    for (int c = 0; c < columns->class_count; c++)
        eq_html_format(html, "<th scope=\"col\">%s</th>", columns->classes[c].name);
    eq_html_raw(html, "</tr></thead><tbody>\n");
    for (int r = 0; r < rows->class_count; r++) {
        eq_html_format(html, "<tr><th scope=\"row\">%s</th>", rows->classes[r].name);
        for (int c = 0; c < columns->class_count; c++)
            joint_cell(html, &j->cells[r * columns->class_count + c], was, largest);
        eq_html_raw(html, "</tr>\n");
    }
    eq_html_raw(html, "</tbody>");
}

static void joint_table(eq_report *report, const eq_report_joint *j)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    const eq_report_joint *was = eq_report_find_joint(report->before, j->name);
    /* What chance would do does not get the full tint. */
    double largest = fmax(0.02, j->noise_floor_95);
    for (int i = 0; i < j->cell_count; i++)
        largest = fmax(largest, fabs(j->cells[i].frequency.value - j->cells[i].target));
    eq_html_format(
        html, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\"><table class=\"heat\">", j->name);
    eq_html_raw(html, "<caption>");
    eq_html_target_name(html, j->name);
    eq_html_raw(html, "</caption>");
    const eq_report_attribute *rows = eq_report_find_attribute(run, j->attributes[0]);
    const eq_report_attribute *columns =
        j->attribute_count == 2 ? eq_report_find_attribute(run, j->attributes[1]) : NULL;
    if (rows != NULL && columns != NULL && (int64_t)rows->class_count * columns->class_count == j->cell_count)
        joint_grid(html, j, rows, columns, was, largest);
    else
        joint_list(html, j, was, largest);
    eq_html_raw(html, "</table></div>\n");
}

void eq_report_joints(eq_report *report)
{
    eq_html *html = &report->html;
    if (report->run->joint_count == 0)
        return;
    eq_html_raw(html, "<section aria-labelledby=\"joint\"><h2 id=\"joint\">Combinations</h2>\n<p class=\"about\">Two "
                      "attributes can each be balanced while their combinations are not. "
                      "<span class=\"key\"><i class=\"key-surplus\"></i>more than asked</span> "
                      "<span class=\"key\"><i class=\"key-shortage\"></i>fewer than asked</span></p>\n");
    for (int i = 0; i < report->run->joint_count; i++)
        joint_table(report, &report->run->joints[i]);
    eq_html_raw(html, "</section>\n");
}

/* -- P per step -- */

static const double *before_values(const eq_report_curve *was, const eq_report_curve *curve, int class)
{
    if (was == NULL || was->class_count != curve->class_count ||
        strcmp(was->classes[class], curve->classes[class]) != 0)
        return NULL;
    return was->p + class;
}

static void curve_plot(eq_report *report, const eq_report_curve *curve)
{
    eq_html *html = &report->html;
    const eq_report_attribute *a = eq_report_find_attribute(report->run, curve->attribute);
    const eq_report_curve *was = eq_report_find_curve(report->before, curve->attribute);
    eq_chart_series series[MAX_LINES];
    int count = curve->class_count < MAX_LINES ? curve->class_count : MAX_LINES;
    for (int i = 0; i < count; i++) {
        const eq_report_class *class =
            a != NULL ? eq_report_find_class(a->classes, a->class_count, curve->classes[i]) : NULL;
        series[i] = (eq_chart_series){.name = curve->classes[i],
                                      .values = curve->p + i,
                                      .before = before_values(was, curve, i),
                                      .target = class != NULL ? class->target : NAN,
                                      .colour = class != NULL ? (int)(class - a->classes) : i};
    }
    eq_html_format(html, "<figure class=\"plot\"><figcaption><b>%s</b>", curve->attribute);
    if (count < curve->class_count)
        eq_html_format(html, " <span>the first %d of %d classes</span>", count, curve->class_count);
    eq_html_raw(html, "</figcaption>");
    eq_chart_curves(html,
                    &(eq_chart_lines){.title = "The predicted share of each class at every sampling step, against "
                                               "the share asked for.",
                                      .steps = curve->steps,
                                      .before_steps = was != NULL ? was->steps : 0,
                                      .stride = curve->class_count,
                                      .timesteps = curve->timesteps,
                                      .count = count,
                                      .series = series});
    eq_html_raw(html, "</figure>\n");
}

void eq_report_curves(eq_report *report)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    eq_html_raw(html, "<section aria-labelledby=\"steps\"><h2 id=\"steps\">While sampling</h2>\n");
    if (run->curve_count == 0) {
        eq_html_raw(html, "<p class=\"absent\">The run holds no predictions per step (no attribute predictor watched "
                          "it).</p></section>\n");
        return;
    }
    eq_html_raw(html,
                "<p class=\"about\">P, the distribution that the attribute predictors read from the network\u2019s "
                "bottleneck, step by step. Early on the images are noise and P is a guess. <span class=\"key\"><i "
                "class=\"key-wish\"></i>asked</span> ");
    if (report->before != NULL && report->before->curve_count > 0)
        eq_html_raw(html, "<span class=\"key\"><i class=\"key-was\"></i>before</span>");
    eq_html_raw(html, "</p>\n<div class=\"plots\">\n");
    for (int i = 0; i < run->curve_count; i++)
        curve_plot(report, &run->curves[i]);
    eq_html_raw(html, "</div></section>\n");
}

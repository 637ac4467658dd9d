/* A downstream comparison as text, JSON and a page. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "eval/report_sections.h"
#include "io/json.h"
#include "run/downstream.h"

/* What the measures say, for who has not met them. */
static const char *const meaning[EQ_FAIRNESS_MEASURES] = {
    "share of the test images that are told right", "the lowest accuracy of a group within a class",
    "accuracy of the best served group less that of the worst served",
    "equalised odds: largest difference between groups in how often images of one class are called another, or that",
    "demographic parity: largest difference between groups in how often a class is called"};

/* Whether an interval of a difference leaves no doubt of its sign. */
static bool is_certain(eq_estimate e)
{
    return e.low > 0 || e.high < 0;
}

/* --- text --- */

static void print_difference(FILE *out, bool given, eq_estimate e)
{
    char text[64] = "";
    if (given)
        snprintf(text, sizeof text, "%+.3f (%+.3f to %+.3f)%s", e.value, e.low, e.high, is_certain(e) ? " *" : "");
    fprintf(out, "   %-28s", text);
}

/* Ends a line without the blanks of an empty last column. */
static void print_lines(FILE *out, char *text)
{
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        size_t length = next ? (size_t)(next++ - line) : strlen(line);
        while (length > 0 && line[length - 1] == ' ')
            length--;
        fprintf(out, "%.*s\n", (int)length, line);
    }
}

static void print_measure(FILE *out, const eq_downstream *d, int width, int m)
{
    char control[40] = "";
    if (d->control >= 0)
        snprintf(control, sizeof control, "over %.30s", d->sets[d->control].name);
    fprintf(out, "\n%-*s   %-24s   %-28s   %s\n", width, eq_fairness_names[m], "", "over train", control);
    for (int s = 0; s < d->set_count; s++) {
        const eq_downstream_set *set = &d->sets[s];
        eq_estimate e = set->fairness.measures[m];
        fprintf(out, "%s%-*s   %.3f (%.3f to %.3f)  ", s ? "+ " : "", s ? width - 2 : width, set->name, e.value, e.low,
                e.high);
        print_difference(out, s > 0, set->over_train[m]);
        print_difference(out, d->control >= 0 && s != d->control && s > 0, set->over_control[m]);
        fputc('\n', out);
    }
}

/* Accuracies cell by cell, beside how many images there were to learn it from. */
static void print_cells(FILE *out, const eq_downstream *d, int width)
{
    fprintf(out, "\n%-*s", width, "accuracy of");
    for (int c = 0; c < d->cell_count; c++)
        fprintf(out, "   %18s", d->cell_names[c]);
    fputc('\n', out);
    for (int s = 0; s < d->set_count; s++) {
        const eq_downstream_set *set = &d->sets[s];
        fprintf(out, "%s%-*s", s ? "+ " : "", s ? width - 2 : width, set->name);
        for (int c = 0; c < d->cell_count; c++) {
            char text[48];
            int length = snprintf(text, sizeof text, "%.3f", set->fairness.cell_accuracy[c].value);
            if (set->cells)
                snprintf(text + length, sizeof text - (size_t)length, " (%d seen)", set->cells[c]);
            fprintf(out, "   %18s", text);
        }
        fputc('\n', out);
    }
}

static void print_all(FILE *out, const eq_downstream *d)
{
    int width = (int)strlen("accuracy gap");
    for (int s = 0; s < d->set_count; s++) {
        int length = (int)strlen(d->sets[s].name) + 2;
        width = length > width ? length : width;
    }
    fprintf(out, "%s by %s: %d trainings of %lld updates on each set, graded on %d images\n\n", d->attribute, d->groups,
            d->seeds, (long long)d->steps, d->test_images);
    for (int s = 0; s < d->set_count; s++)
        fprintf(out, "%s%-*s   %lld images\n", s ? "+ " : "", s ? width - 2 : width, d->sets[s].name,
                (long long)d->sets[s].images);
    for (int m = 0; m < EQ_FAIRNESS_MEASURES; m++)
        print_measure(out, d, width, m);
    print_cells(out, d, width);
    fprintf(out, "\nMeans over the trainings, with 95%% intervals over images and trainings; *: a difference beyond "
                 "chance.\n");
}

eq_status eq_downstream_format(eq_context *ctx, const eq_downstream *downstream, char **text)
{
    char *padded = NULL, *buffer = NULL;
    size_t padded_size = 0, size = 0;
    FILE *draft = open_memstream(&padded, &padded_size);
    if (!draft)
        return eq_fail_memory(ctx, "a table");
    print_all(draft, downstream);
    bool complete = fclose(draft) == 0;
    FILE *out = complete ? open_memstream(&buffer, &size) : NULL;
    if (out) {
        print_lines(out, padded);
        complete = fclose(out) == 0;
    }
    free(padded);
    if (!out || !complete) {
        free(buffer);
        return eq_fail_memory(ctx, "a table");
    }
    *text = buffer;
    return EQ_OK;
}

/* --- JSON --- */

static json_t *estimate_json(eq_estimate e)
{
    return json_pack("[f, f, f]", e.value, e.low, e.high);
}

/* e: [EQ_FAIRNESS_MEASURES] */
static json_t *measures_json(const eq_estimate *e)
{
    json_t *json = json_object();
    for (int m = 0; m < EQ_FAIRNESS_MEASURES; m++)
        json_object_set_new(json, eq_fairness_keys[m], estimate_json(e[m]));
    return json;
}

static json_t *counts_json(const eq_downstream *d, const int *cells)
{
    if (!cells)
        return json_null();
    json_t *json = json_object();
    for (int c = 0; c < d->cell_count; c++)
        json_object_set_new(json, d->cell_names[c], json_integer(cells[c]));
    return json;
}

static json_t *set_json(const eq_downstream *d, int s)
{
    const eq_downstream_set *set = &d->sets[s];
    json_t *cells = json_object(), *seeds = json_array(), *json = measures_json(set->fairness.measures);
    for (int c = 0; c < d->cell_count; c++)
        json_object_set_new(cells, d->cell_names[c], estimate_json(set->fairness.cell_accuracy[c]));
    for (int i = 0; i < d->seeds; i++) {
        json_t *seed = json_object();
        for (int m = 0; m < EQ_FAIRNESS_MEASURES; m++)
            json_object_set_new(seed, eq_fairness_keys[m],
                                json_real(set->fairness.seed_values[i * EQ_FAIRNESS_MEASURES + m]));
        json_array_append_new(seeds, seed);
    }
    json_object_set_new(json, "name", eq_json_text(set->name));
    json_object_set_new(json, "images", json_integer(set->images));
    json_object_set_new(json, "cells", counts_json(d, set->cells));
    json_object_set_new(json, "cell_accuracy", cells);
    if (s > 0)
        json_object_set_new(json, "over_train", measures_json(set->over_train));
    if (s > 0 && d->control >= 0 && s != d->control)
        json_object_set_new(json, "over_control", measures_json(set->over_control));
    json_object_set_new(json, "seeds", seeds);
    return json;
}

eq_status eq_downstream_json(eq_context *ctx, const eq_downstream *d, json_t **json)
{
    json_t *sets = json_array();
    for (int s = 0; s < d->set_count; s++)
        json_array_append_new(sets, set_json(d, s));
    *json = json_pack("{ss, so, so, si, sI, s{si, so}, so, so}", "format", "equipoise downstream 1", "attribute",
                      eq_json_text(d->attribute), "groups", eq_json_text(d->groups), "seeds", d->seeds, "steps",
                      (json_int_t)d->steps, "test", "images", d->test_images, "cells", counts_json(d, d->test_cells),
                      "control", d->control >= 0 ? eq_json_text(d->sets[d->control].name) : json_null(), "sets", sets);
    return *json ? EQ_OK : eq_fail_memory(ctx, "results");
}

/* --- page --- */

static void open_table(eq_html *html, const char *caption, const char *about)
{
    eq_html_format(html,
                   "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\"><table class=\"numbers\">"
                   "<caption>%s <span class=\"quiet\">%s</span></caption><thead><tr><th scope=\"col\">Learnt from</th>",
                   caption, caption, about);
}

static void difference_cell(eq_html *html, bool given, eq_estimate e)
{
    if (!given) {
        eq_html_raw(html, "<td></td>");
        return;
    }
    eq_html_raw(html, is_certain(e) ? "<td><strong>" : "<td>");
    eq_html_format(html, "%+.3f", e.value);
    eq_html_raw(html, is_certain(e) ? "</strong>" : "");
    eq_html_format(html, " <span class=\"interval\">%+.3f to %+.3f</span></td>", e.low, e.high);
}

static void name_cell(eq_html *html, const eq_downstream *d, int s)
{
    eq_html_format(html, "<tr><th scope=\"row\">%s%s</th>", s ? "train + " : "", d->sets[s].name);
}

static void measure_table(eq_html *html, const eq_downstream *d, int m)
{
    open_table(html, eq_fairness_names[m], meaning[m]);
    eq_html_raw(html, "<th scope=\"col\">Value</th><th scope=\"col\">Over train</th>");
    if (d->control >= 0)
        eq_html_format(html, "<th scope=\"col\">Over %s</th>", d->sets[d->control].name);
    eq_html_raw(html, "</tr></thead>\n<tbody>");
    for (int s = 0; s < d->set_count; s++) {
        const eq_downstream_set *set = &d->sets[s];
        eq_estimate e = set->fairness.measures[m];
        name_cell(html, d, s);
        eq_html_format(html, "<td>%.3f <span class=\"interval\">%.3f to %.3f</span></td>", e.value, e.low, e.high);
        difference_cell(html, s > 0, set->over_train[m]);
        if (d->control >= 0)
            difference_cell(html, s > 0 && s != d->control, set->over_control[m]);
        eq_html_raw(html, "</tr>\n");
    }
    eq_html_raw(html, "</tbody></table></div>\n");
}

static void cell_table(eq_html *html, const eq_downstream *d)
{
    open_table(html, "accuracy of each group", "and how many of its images there were to learn from");
    for (int c = 0; c < d->cell_count; c++)
        eq_html_format(html, "<th scope=\"col\">%s</th>", d->cell_names[c]);
    eq_html_raw(html, "</tr></thead>\n<tbody>");
    for (int s = 0; s < d->set_count; s++) {
        const eq_downstream_set *set = &d->sets[s];
        name_cell(html, d, s);
        for (int c = 0; c < d->cell_count; c++) {
            eq_html_format(html, "<td>%.3f", set->fairness.cell_accuracy[c].value);
            if (set->cells)
                eq_html_format(html, " <span class=\"interval\">%d</span>", set->cells[c]);
            eq_html_raw(html, "</td>");
        }
        eq_html_raw(html, "</tr>\n");
    }
    eq_html_raw(html, "</tbody></table></div>\n");
}

static void write_page(eq_report *page, const eq_downstream *d)
{
    eq_html *html = &page->html;
    eq_report_open_page(page, "A classifier trained on added images");
    eq_html_format(html, "<h1>How well %s is told, by ", d->attribute);
    eq_html_target_name(html, d->groups);
    eq_html_format(html,
                   "</h1>\n<p class=\"lede\">Classifiers of %d updates, %d on each set of images, graded on %d that "
                   "none learnt from. Means over the trainings, with 95%% intervals over images and trainings; "
                   "differences in bold are beyond chance.</p>\n<section>\n",
                   (int)d->steps, d->seeds, d->test_images);
    for (int m = 0; m < EQ_FAIRNESS_MEASURES; m++)
        measure_table(html, d, m);
    cell_table(html, d);
    eq_html_raw(html, "</section>\n");
    eq_report_close_page(page);
}

eq_status eq_downstream_html(eq_context *ctx, const eq_downstream *downstream, const char *path)
{
    eq_report page = {.ctx = ctx};
    write_page(&page, downstream);
    eq_status status = eq_html_status(ctx, &page.html);
    if (status == EQ_OK)
        status = eq_file_write(ctx, path, page.html.text, page.html.size);
    eq_html_free(&page.html);
    return status;
}

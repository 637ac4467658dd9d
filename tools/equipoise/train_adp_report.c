#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/path.h"
#include "eval/report_sections.h"
#include "eval/svg_chart.h"
#include "train_adp.h"

static void print_rows(const eq_adp_run *r, const char *key)
{
    const char *name;
    json_t *item;
    json_object_foreach(r->report, name, item)
    {
        json_t *timesteps = json_object_get(item, "timesteps"), *accuracy = json_object_get(item, key);
        size_t heads = json_array_size(accuracy), every = heads > 10 ? (heads + 9) / 10 : 1;
        printf("%-16s", name);
        for (size_t i = 0; i < heads; i += every)
            printf(" %4" JSON_INTEGER_FORMAT ":%.3f", json_integer_value(json_array_get(timesteps, i)),
                   json_real_value(json_array_get(accuracy, i)));
        printf("\n");
    }
}

void eq_adp_print_table(const eq_adp_run *r)
{
    printf("accuracy on held-out images (mean over classes), by timestep\n");
    print_rows(r, "accuracy");
    if (r->s->own_samples > 0) {
        printf("accuracy at what became of the model's own samples\n");
        print_rows(r, "outcome_accuracy");
    }
}

/* values: [heads] in the order of sampling; false where an accuracy is not known. */
static bool read_values(json_t *values, size_t heads, double *out)
{
    if (json_array_size(values) != heads)
        return false;
    for (size_t i = 0; i < heads; i++)
        out[i] = json_number_value(json_array_get(values, heads - 1 - i));
    return true;
}

static eq_status draw(eq_context *ctx, eq_html *html, const char *name, json_t *item, int classes)
{
    json_t *timesteps = json_object_get(item, "timesteps"), *accuracy = json_object_get(item, "accuracy");
    json_t *outcome = json_object_get(item, "outcome_accuracy");
    size_t heads = json_array_size(timesteps);
    double *t = calloc(3 * heads + 1, sizeof *t), *values = t + heads, *own = values + heads;
    if (!t)
        return eq_fail_memory(ctx, "the curves");
    eq_html_format(html, "<figure class=\"plot\"><figcaption><b>%s</b> <span>one of %d by chance: %.3g%%</span>", name,
                   classes, 100.0 / classes);
    eq_html_raw(html, "</figcaption>");
    eq_chart_series series[] = {{"held-out", values, NULL, 1.0 / classes, 0}, {"samples", own, NULL, NAN, 1}};
    if (heads >= 2 && read_values(timesteps, heads, t) && read_values(accuracy, heads, values))
        eq_chart_curves(html, &(eq_chart_lines){.title = "The accuracy at every timestep, in the order of sampling.",
                                                .steps = (int)heads,
                                                .stride = 1,
                                                .timesteps = t,
                                                .count = outcome && read_values(outcome, heads, own) ? 2 : 1,
                                                .series = series});
    else
        eq_html_raw(html, "<p class=\"absent\">Fewer than two heads, or no held-out images.</p>");
    eq_html_raw(html, "</figure>\n");
    free(t);
    return EQ_OK;
}

static eq_status make_page(const eq_adp_run *r, eq_report *page)
{
    const char *name;
    json_t *item;
    eq_html *html = &page->html;
    eq_report_open_page(page, "How well the predictors tell");
    eq_html_raw(html, "<h1>How well the predictors tell</h1>\n<p class=\"about\">Accuracy of every head on images that "
                      "it was not trained on, mean over the classes, by timestep in the order of sampling; with "
                      "--own-samples, also at what became of the model's own samples, which guidance goes by. The "
                      "dashed line is chance.</p>\n<div class=\"plots\">\n");
    json_object_foreach(r->report, name, item)
    {
        int a = eq_attribute_find(r->attributes, r->attribute_count, name);
        EQ_TRY(draw(r->call->ctx, html, name, item, r->attributes[a].classes));
    }
    eq_html_raw(html, "</div>\n");
    eq_report_close_page(page);
    return eq_html_status(r->call->ctx, html);
}

eq_status eq_adp_write_curves(const eq_adp_run *r)
{
    eq_context *ctx = r->call->ctx;
    eq_report page = {.ctx = ctx};
    char *path = eq_path_join(r->s->out, "accuracy.html");
    eq_status status = path ? make_page(r, &page) : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK)
        status = eq_file_write(ctx, path, page.html.text, page.html.size);
    eq_html_free(&page.html);
    free(path);
    return status;
}

#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/path.h"
#include "eval/report_sections.h"
#include "eval/svg_chart.h"
#include "train_adp.h"

void eq_adp_print_table(const eq_adp_run *r)
{
    const char *name;
    json_t *item;
    printf("accuracy on held-out images (mean over classes), by timestep\n");
    json_object_foreach(r->report, name, item)
    {
        json_t *timesteps = json_object_get(item, "timesteps"), *accuracy = json_object_get(item, "accuracy");
        size_t heads = json_array_size(timesteps), every = heads > 10 ? (heads + 9) / 10 : 1;
        printf("%-16s", name);
        for (size_t i = 0; i < heads; i += every)
            printf(" %4" JSON_INTEGER_FORMAT ":%.3f", json_integer_value(json_array_get(timesteps, i)),
                   json_real_value(json_array_get(accuracy, i)));
        printf("\n");
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
    size_t heads = json_array_size(timesteps);
    double *t = calloc(2 * heads + 1, sizeof *t), *values = t + heads;
    if (!t)
        return eq_fail_memory(ctx, "the curves");
    eq_html_format(html, "<figure class=\"plot\"><figcaption><b>%s</b> <span>one of %d by chance: %.3g%%</span>", name,
                   classes, 100.0 / classes);
    eq_html_raw(html, "</figcaption>");
    if (heads >= 2 && read_values(timesteps, heads, t) && read_values(accuracy, heads, values))
        eq_chart_curves(html,
                        &(eq_chart_lines){.title = "The accuracy on held-out images at every timestep, in the "
                                                   "order of sampling.",
                                          .steps = (int)heads,
                                          .stride = 1,
                                          .timesteps = t,
                                          .count = 1,
                                          .series = &(eq_chart_series){"accuracy", values, NULL, 1.0 / classes, 0}});
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
                      "it was not trained on, mean over the classes, by timestep in the order of sampling. The dashed "
                      "line is chance.</p>\n<div class=\"plots\">\n");
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

#include "eval/comparison_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "eval/comparison_page.h"
#include "eval/report_sections.h"
#include "eval/self_grading.h"

/* --- reading --- */

double eq_page_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *eq_page_text(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : otherwise;
}

eq_estimate eq_page_measure(const json_t *method, const char *key)
{
    const json_t *measure = json_object_get(json_object_get(method, "measures"), key);
    double value = eq_page_number(measure, "value");
    if (json_is_null(json_object_get(measure, "value"))) /* of identical images */
        value = INFINITY;
    return (eq_estimate){value, eq_page_number(measure, "low"), eq_page_number(measure, "high")};
}

const char *eq_page_verdict(const json_t *method, const char *key)
{
    return eq_page_text(json_object_get(json_object_get(method, "measures"), key), "verdict", NULL);
}

const char *eq_page_likeness(const eq_comparison_page *page)
{
    return eq_page_text(page->root, "likeness", NULL);
}

const char *eq_page_measure_name(const eq_comparison_page *page, const char *key)
{
    const json_t *measure;
    size_t i;
    json_array_foreach(json_object_get(page->root, "measures"), i,
                       measure) if (strcmp(eq_page_text(measure, "key", ""), key) ==
                                    0) return eq_page_text(measure, "name", key);
    return key;
}

/* --- writing --- */

static void write_head(const eq_comparison_page *page)
{
    eq_html *html = page->html;
    const json_t *suite = json_object_get(page->root, "suite"), *evaluator = json_object_get(page->root, "evaluator");
    eq_html_format(html, "<p class=\"eyebrow\">Equipoise comparison</p><h1>%s</h1>\n",
                   eq_page_text(suite, "name", "Methods side by side"));
    if (eq_page_text(suite, "about", "")[0])
        eq_html_format(html, "<p class=\"lede\">%s</p>\n", eq_page_text(suite, "about", ""));
    eq_html_self_grading(html, json_object_get(page->root, "self_grading"));
    eq_html_format(
        html,
        "<p class=\"about\">%.0f images a run at %.0f steps, model %s, graded by %s. FD is the L2 distance of "
        "the counted shares from the target (of several targets at once, the mean; of a joint one, over its "
        "cells). Ranges are 95%% intervals; the best of a column is <b>bold</b>, and \u2248 marks what "
        "cannot be told from it: the interval of the difference holds 0. PSNR in dB and dist., the distance in "
        "features, are from the unguided image of the same noise, which what rejection replaced does not have; "
        "passes of the U-Net and seconds are an image's, with all that was drawn and thrown away for it.</p>\n",
        eq_page_number(suite, "count"), json_object_get(suite, "steps") ? eq_page_number(suite, "steps") : 50.0,
        eq_page_text(json_object_get(page->root, "model"), "folder", "?"), eq_page_text(evaluator, "path", "?"));
    const char *likeness = eq_page_likeness(page);
    const json_t *reference = json_object_get(page->root, "reference");
    if (!likeness) {
        eq_html_raw(html, "<p class=\"about\">The suite names no reference set: looks are not compared.</p>\n");
        return;
    }
    eq_html_format(
        html,
        "<p class=\"about\">Frechet distance, KID, precision and recall are in the %.0f features of the "
        "evaluator, not Inception's, against %.0f images of %s. The Frechet distance is biased upward, alike "
        "for sets of one size.</p>\n",
        eq_page_number(evaluator, "features"), eq_page_number(reference, "n"), eq_page_text(reference, "folder", "?"));
    if (strcmp(likeness, "none") == 0)
        eq_html_raw(html, "<p class=\"about\"><b>Too few images for the Frechet distance and for KID.</b></p>\n");
    if (strcmp(likeness, "kid") == 0)
        eq_html_raw(html,
                    "<p class=\"about\"><b>Too few images for the Frechet distance:</b> there are no more of them "
                    "than features, and it would mostly be bias. KID, which has none, stands in its place.</p>\n");
}

static eq_status write_target(const eq_comparison_page *page, const json_t *target)
{
    const json_t *text;
    size_t i;
    eq_html_format(page->html, "<section><h2>%s</h2><p class=\"quiet\">", eq_page_text(target, "name", "?"));
    json_array_foreach(json_object_get(target, "targets"), i, text)
        eq_html_format(page->html, "%s%s", i ? "; " : "", json_string_value(text) ? json_string_value(text) : "");
    eq_html_raw(page->html, "</p>\n");
    eq_comparison_table(page, target);
    eq_comparison_plots(page, target);
    EQ_TRY(eq_comparison_sheet(page, target));
    EQ_TRY(eq_comparison_curves(page, target));
    eq_html_raw(page->html, "</section>\n");
    return EQ_OK;
}

static eq_status write_page(eq_report *report, const json_t *root, const char *folder)
{
    const eq_comparison_page page = {report->ctx, folder, root, &report->html};
    const json_t *target;
    size_t i;
    eq_report_open_page(report, eq_page_text(json_object_get(root, "suite"), "name", "Comparison"));
    write_head(&page);
    json_array_foreach(json_object_get(root, "targets"), i, target) EQ_TRY(write_target(&page, target));
    eq_html_raw(page.html, "<section><h2>How strengths were chosen</h2>\n");
    eq_comparison_tuning_table(&page);
    eq_html_raw(page.html, "</section>\n");
    eq_report_close_page(report);
    return eq_html_status(report->ctx, &report->html);
}

eq_status eq_comparison_report_write(eq_context *ctx, const char *folder, const char *path)
{
    eq_json json = {0};
    eq_report report = {.ctx = ctx};
    const char *format;
    char *source = eq_path_join(folder, "comparison.json");
    eq_status status = source ? eq_json_read(ctx, source, &json) : eq_fail_memory(ctx, "a path");
    if (status == EQ_OK)
        status = eq_json_string(ctx, &json, "format", &format);
    if (status == EQ_OK && strcmp(format, "equipoise comparison 1") != 0)
        status = eq_fail(ctx, EQ_BAD_INPUT, "%s: \"format\" should be \"equipoise comparison 1\", found \"%.60s\"",
                         source, format);
    if (status == EQ_OK)
        status = write_page(&report, json.object, folder);
    if (status == EQ_OK)
        status = eq_file_write(ctx, path, report.html.text, report.html.size);
    eq_html_free(&report.html);
    eq_json_close(&json);
    free(source);
    return status;
}

/* The parts of the report on looks: the set beside a reference, class by class, and beside its unguided twin. */
#include <math.h>
#include <string.h>

#include "eval/report_sections.h"

static double number_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* [value, low, high] */
static eq_estimate estimate_at(const json_t *object, const char *key)
{
    double numbers[3];
    for (size_t i = 0; i < 3; i++) {
        const json_t *value = json_array_get(json_object_get(object, key), i);
        numbers[i] = json_is_number(value) ? json_number_value(value) : NAN;
    }
    return (eq_estimate){numbers[0], numbers[1], numbers[2]};
}

static const char *text_at(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : otherwise;
}

static void value_cell(eq_html *html, const char *format, double value)
{
    char text[64] = "\u2013";
    if (isfinite(value))
        snprintf(text, sizeof(text), format, value);
    eq_html_format(html, "<td>%s</td>", text);
}

static void similarity_cells(eq_html *html, double n, double frechet, double kid, double kid_std)
{
    value_cell(html, "%.0f", n);
    value_cell(html, "%.4g", frechet);
    eq_html_raw(html, "<td>");
    if (isfinite(kid))
        eq_html_format(html, "<b>%.3g</b> <span class=\"interval\">\u00b1 %.2g</span>", kid, kid_std);
    else
        eq_html_raw(html, "too few");
    eq_html_raw(html, "</td></tr>\n");
}

static void class_rows(eq_html *html, const char *attribute, const json_t *similarity)
{
    const char *class;
    json_t *value;
    eq_html_format(html, "<tr class=\"group\"><th colspan=\"4\" scope=\"rowgroup\">%s</th></tr>\n", attribute);
    json_object_foreach((json_t *)similarity, class, value)
    {
        eq_html_format(html, "<tr><th scope=\"row\">%s</th>", class);
        similarity_cells(html, number_at(value, "n"), number_at(value, "frechet"), number_at(value, "kid"),
                         number_at(value, "kid_std"));
    }
}

static void precision_recall(eq_html *html, const json_t *measured)
{
    eq_estimate precision = estimate_at(measured, "precision"), recall = estimate_at(measured, "recall");
    if (!isfinite(precision.value) || !isfinite(recall.value))
        return;
    eq_html_format(html,
                   "<p><b>Precision %.1f%%</b> <span class=\"interval\">%.1f\u2013%.1f</span>: images that look like "
                   "the reference\u2019s. <b>Recall %.1f%%</b> <span class=\"interval\">%.1f\u2013%.1f</span>: of the "
                   "reference, what the set\u2019s variety covers.</p>\n",
                   100 * precision.value, 100 * precision.low, 100 * precision.high, 100 * recall.value,
                   100 * recall.low, 100 * recall.high);
}

static void reference(eq_report *report)
{
    eq_html *html = &report->html;
    const json_t *frechet = eq_report_value(report->run, "evaluation.frechet");
    const json_t *kid = eq_report_value(report->run, "evaluation.kid");
    json_t *attributes = (json_t *)eq_report_value(report->run, "evaluation.attributes"), *attribute;
    const char *name;
    if (!json_is_object(frechet))
        return;
    eq_html_format(html,
                   "<h3>Beside the reference</h3>\n<p class=\"about\">Distances to %s in the features of the %s; lower "
                   "is nearer. The Fr\u00e9chet distance grows as images get fewer, so compare it at the same number "
                   "only; KID does not, and its \u00b1 is the deviation over subsets. A class that is further off than "
                   "the others was balanced at the cost of its looks.</p>\n",
                   text_at(frechet, "reference", "a reference"), text_at(frechet, "features", "network"));
    eq_html_raw(html, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Distance to the reference\">"
                      "<table class=\"numbers\"><thead><tr><th scope=\"col\">Images</th><th scope=\"col\">Number</th>"
                      "<th scope=\"col\">Fr\u00e9chet distance</th><th scope=\"col\">KID</th></tr></thead><tbody>\n"
                      "<tr><th scope=\"row\">all</th>");
    similarity_cells(html, report->run->n, number_at(frechet, "value"), number_at(kid, "value"), number_at(kid, "std"));
    json_object_foreach(attributes, name, attribute)
    {
        const json_t *similarity = json_object_get(attribute, "similarity");
        if (json_object_size(similarity) > 0)
            class_rows(html, name, similarity);
    }
    eq_html_raw(html, "</tbody></table></div>\n");
    precision_recall(html, eq_report_value(report->run, "evaluation.precision_recall"));
}

static void drift(eq_report *report)
{
    eq_html *html = &report->html;
    const json_t *measured = eq_report_value(report->run, "evaluation.drift");
    if (!json_is_object(measured))
        return;
    eq_estimate identical = estimate_at(measured, "identical"), psnr = estimate_at(measured, "psnr");
    eq_estimate distance = estimate_at(measured, "feature_distance");
    double unrelated = number_at(measured, "unrelated_distance");
    eq_html_format(html,
                   "<h3>Drift</h3>\n<p>%.0f images beside their twins of the same seed in %s: <b>%.1f%%</b> are "
                   "identical",
                   number_at(measured, "pairs"), text_at(measured, "twin", "another run"), 100 * identical.value);
    if (isfinite(psnr.value))
        eq_html_format(html, ", PSNR over all <b>%.1f dB</b>", psnr.value);
    if (isfinite(psnr.low) && isfinite(psnr.high))
        eq_html_format(html, " <span class=\"interval\">%.1f\u2013%.1f</span>", psnr.low, psnr.high);
    if (isfinite(distance.value))
        eq_html_format(html,
                       "; mean distance in the features of the %s <b>%.3g</b> <span "
                       "class=\"interval\">%.3g\u2013%.3g</span>",
                       text_at(measured, "features", "network"), distance.value, distance.low, distance.high);
    if (isfinite(unrelated))
        eq_html_format(html, ", between unrelated images %.3g", unrelated);
    eq_html_raw(html, ".</p>\n");
}

void eq_report_similarity(eq_report *report)
{
    reference(report);
    drift(report);
}

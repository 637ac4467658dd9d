#include <math.h>
#include <string.h>

#include "eval/comparison_page.h"

/* Short heads: what they are stands above the tables. decimals: of numbers below 1. */
static const struct {
    const char *key, *head;
    int decimals;
} columns[] = {
    {"fd", "FD", 3},
    {"fd_soft", "soft", 3},
    {"joint_l2", "joint L2", 3},
    {"ambiguity", "ambiguous", 3},
    {"frechet", "Frechet", 3},
    {"kid", "KID", 5},
    {"precision", "prec.", 3},
    {"recall", "recall", 3},
    {"psnr", "PSNR", 3},
    {"feature_distance", "dist.", 3},
    {"unet_passes", "passes", 3},
    {"seconds", "seconds", 3},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

/* Large numbers with as many digits fewer behind the point as they have before it. */
static int decimals_of(double value, int decimals)
{
    for (double size = fabs(value); size >= 1 && decimals > 0; size /= 10)
        decimals--;
    return decimals;
}

/* Whether any method at the target was measured so. */
static bool is_measured(const json_t *target, const char *key)
{
    const json_t *method;
    size_t i;
    json_array_foreach(json_object_get(target, "methods"), i,
                       method) if (!isnan(eq_page_measure(method, key).value)) return true;
    return false;
}

static void value_cell(const eq_comparison_page *page, const json_t *method, int column)
{
    const char *key = columns[column].key;
    eq_html *html = page->html;
    eq_estimate e = eq_page_measure(method, key);
    int decimals = decimals_of(e.value, columns[column].decimals);
    const char *verdict = eq_page_verdict(method, key);
    bool best = verdict && strcmp(verdict, "best") == 0, within = verdict && strcmp(verdict, "within noise") == 0;
    eq_html_raw(html, "<td>");
    if (isnan(e.value)) {
        eq_html_raw(html, "\u2013</td>");
        return;
    }
    if (isinf(e.value))
        eq_html_raw(html, "identical");
    else
        eq_html_format(html, best ? "<b>%.*f</b>" : "%.*f", decimals, e.value);
    if (within)
        eq_html_raw(html, " <span title=\"not to be told from the best by this many images\">\u2248</span>");
    if (isfinite(e.low) && isfinite(e.high) && e.high > e.low)
        eq_html_format(html, "<br><span class=\"interval\" style=\"min-width:0\">%.*f\u2013%.*f</span>", decimals,
                       e.low, decimals, e.high);
    eq_html_raw(html, "</td>");
}

void eq_comparison_table(const eq_comparison_page *page, const json_t *target)
{
    eq_html *html = page->html;
    const json_t *method;
    size_t i;
    eq_html_raw(
        html,
        "<div class=\"scroll\"><table class=\"numbers\" style=\"font-size:.8125rem\"><thead><tr><th scope=\"col\">method</th>");
    for (int k = 0; k < COLUMNS; k++)
        if (is_measured(target, columns[k].key))
            eq_html_format(html, "<th scope=\"col\">%s</th>", columns[k].head);
    eq_html_raw(html, "</tr></thead><tbody>\n");
    json_array_foreach(json_object_get(target, "methods"), i, method)
    {
        eq_html_format(html, "<tr><th scope=\"row\">%s</th>", eq_page_text(method, "name", "?"));
        for (int k = 0; k < COLUMNS; k++)
            if (is_measured(target, columns[k].key))
                value_cell(page, method, k);
        eq_html_raw(html, "</tr>\n");
    }
    eq_html_raw(html, "</tbody></table></div>\n");
}

/* --- tuning --- */

static void tuning_row(eq_html *html, const char *method, const char *attribute, const json_t *tried, double factor)
{
    const json_t *row;
    size_t i;
    eq_html_format(html, "<tr><th scope=\"row\">%s, %s</th><td><b>%g</b></td><td>", method, attribute, factor);
    json_array_foreach(tried, i, row)
        eq_html_format(html, "%s%g: %.3f + %.3f", i ? "; " : "", eq_page_number(row, "factor"),
                       eq_page_number(row, "distance"), eq_page_number(row, "drift"));
    eq_html_raw(html, "</td></tr>\n");
}

void eq_comparison_tuning_table(const eq_comparison_page *page)
{
    eq_html *html = page->html;
    const json_t *tuning = json_object_get(page->root, "tuning"), *methods = json_object_get(tuning, "methods");
    const char *method, *attribute;
    json_t *found, *factor;
    if (json_object_size(methods) == 0) {
        eq_html_raw(html, "<p class=\"about\">No strength was tuned: they are those that the suite or the model "
                          "gives.</p>\n");
        return;
    }
    eq_html_format(
        html,
        "<p class=\"about\">Strengths are tuned for each method by itself, all with the same budget: for each "
        "attribute, each of %zu factors on %.0f images of seed %.0f, which is graded nowhere here. The factor "
        "with the least sum of distance to the target, as the predictors see it, and 0.3 times the drift of "
        "pixels from the unguided twins is kept. The evaluator has no part in it.</p>\n",
        json_array_size(json_object_get(tuning, "factors")), eq_page_number(tuning, "count"),
        eq_page_number(tuning, "seed"));
    eq_html_raw(html, "<div class=\"scroll\"><table><thead><tr><th>method, attribute</th><th>factor</th>"
                      "<th>tried (factor: distance + drift)</th></tr></thead><tbody>\n");
    json_object_foreach((json_t *)methods, method, found)
    {
        const json_t *tried = json_object_get(found, "tried");
        json_object_foreach(json_object_get(found, "factors"), attribute, factor)
            tuning_row(html, method, attribute, json_object_get(tried, attribute), json_number_value(factor));
    }
    eq_html_raw(html, "</tbody></table></div>\n");
}

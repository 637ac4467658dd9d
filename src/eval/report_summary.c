/* What a reader must know first: the headline, a verdict on each target, and what the numbers do not say. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/report_sections.h"
#include "eval/self_grading.h"
#include "eval/svg_chart.h"

eq_report_verdict eq_report_judge(double distance, double noise_floor_95)
{
    if (isnan(distance) || isnan(noise_floor_95))
        return EQ_REPORT_UNKNOWN;
    return distance <= noise_floor_95 ? EQ_REPORT_WITHIN : EQ_REPORT_OFF;
}

/* -- headline -- */

static const eq_report_attribute *first_targeted(const eq_report_run *run)
{
    for (int i = 0; i < run->attribute_count; i++)
        if (run->attributes[i].has_target)
            return &run->attributes[i];
    return run->attribute_count > 0 ? &run->attributes[0] : NULL;
}

/* The class that the targets meant to raise most, seen from before or, without that, from what was obtained. */
static const eq_report_class *telling_class(const eq_report_attribute *a, const eq_report_attribute *before)
{
    const eq_report_class *best = &a->classes[0];
    double largest = -INFINITY;
    for (int i = 0; i < a->class_count; i++) {
        const eq_report_class *class = &a->classes[i];
        const eq_report_class *was =
            before != NULL ? eq_report_find_class(before->classes, before->class_count, class->name) : NULL;
        double gain = class->target - (was != NULL ? was->frequency.value : class->frequency.value);
        if (gain > largest + 1e-9) {
            best = class;
            largest = gain;
        }
    }
    return best;
}

static void headline(const eq_report *report, FILE *out)
{
    const eq_report_run *run = report->run;
    const eq_report_attribute *a = first_targeted(run);
    fprintf(out, "%.0f image%s", run->n, run->n == 1 ? "" : "s");
    if (!run->graded || a == NULL || !isfinite(a->classes[0].frequency.value)) {
        fputs(", not graded", out);
        return;
    }
    const eq_report_attribute *was = eq_report_find_attribute(report->before, a->name);
    const eq_report_class *class = telling_class(a, was);
    fprintf(out, ", %.1f%% %s", 100 * class->frequency.value, class->name);
    if (isfinite(class->frequency.low) && isfinite(class->frequency.high))
        fprintf(out, " (95%% interval %.0f\u2013%.0f)", 100 * class->frequency.low, 100 * class->frequency.high);
    if (isfinite(class->target))
        fprintf(out, ", asked %.4g%%", 100 * class->target);
    const eq_report_class *before =
        was != NULL ? eq_report_find_class(was->classes, was->class_count, class->name) : NULL;
    if (before != NULL && isfinite(before->frequency.value))
        fprintf(out, "; before: %.0f%%", 100 * before->frequency.value);
}

char *eq_report_headline(const eq_report *report)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        return NULL;
    headline(report, out);
    bool complete = !ferror(out);
    if (fclose(out) != 0 || !complete) {
        free(text);
        return NULL;
    }
    return text;
}

/* -- verdicts -- */

/* What a verdict is about, an attribute or a joint target. */
typedef struct subject {
    const char *name;
    const eq_report_class *classes, *before; /* before: [before_count], NULL without */
    int count, before_count;
    double distance, noise_floor, noise_floor_95; /* NaN where not known */
} subject;

void eq_report_strip(eq_html *html, const char *label, const eq_report_class *classes, int count, bool asked)
{
    eq_html_format(html, "<div class=\"strip\"><span class=\"strip-name\">%s</span><span class=\"strip-bar\">", label);
    for (int i = 0; i < count; i++) {
        double share = asked ? classes[i].target : classes[i].frequency.value;
        if (!(share > 0 && share <= 1))
            continue;
        eq_html_format(html, "<i class=\"k%d\" style=\"flex-grow:%.4f\" title=\"%s %.1f%%\">", i % EQ_CHART_COLOURS,
                       share, classes[i].name, 100 * share);
        if (share >= 0.12)
            eq_html_format(html, "%.0f", 100 * share);
        eq_html_raw(html, "</i>");
    }
    eq_html_raw(html, "</span></div>");
}

void eq_report_legend(eq_html *html, const eq_report_class *classes, int count)
{
    eq_html_raw(html, "<p class=\"legend\">");
    for (int i = 0; i < count; i++)
        eq_html_format(html, "<span><span class=\"dot k%d\"></span>%s</span> ", i % EQ_CHART_COLOURS, classes[i].name);
    eq_html_raw(html, "</p>");
}

static void verdict_reason(eq_html *html, const subject *s, double n)
{
    if (!isfinite(s->distance) || !isfinite(s->noise_floor_95)) {
        eq_html_raw(html, "<p>The run holds no distance to the target, or no noise floor to compare it with.</p>");
        return;
    }
    bool off = eq_report_judge(s->distance, s->noise_floor_95) == EQ_REPORT_OFF;
    eq_html_format(html, "<p>FD is <b>%.3f</b>. Sets of %.0f images drawn from the target itself would ", s->distance,
                   n);
    if (isfinite(s->noise_floor))
        eq_html_format(html, "average %.3f and ", s->noise_floor);
    eq_html_format(html, "stay at or below <b>%.3f</b> 95 times in 100. ", s->noise_floor_95);
    eq_html_raw(html, off ? "This one does not: chance alone does not explain the deviation.</p>"
                          : "This one does: it cannot be told from such a draw.</p>");
    /* For two classes FD is sqrt(2) times the deviation of either share. */
    if (!off && s->count == 2)
        eq_html_format(html,
                       "<p class=\"quiet\">A deviation of up to %.0f points would pass this test at %.0f images.</p>",
                       100 * s->noise_floor_95 / sqrt(2), n);
}

/* Judged by this run's target and noise floor, for before may have been graded by another or none. */
static void verdict_before(eq_html *html, const subject *s, bool same_n)
{
    double distance = eq_report_distance(s->before, s->before_count, s->classes, s->count);
    if (s->before == NULL || !isfinite(distance))
        return;
    eq_html_format(html, "<p>Before: FD %.3f", distance);
    eq_report_verdict verdict = same_n ? eq_report_judge(distance, s->noise_floor_95) : EQ_REPORT_UNKNOWN;
    if (verdict != EQ_REPORT_UNKNOWN)
        eq_html_raw(html, verdict == EQ_REPORT_OFF ? ", off the target." : ", also within sampling noise.");
    else
        eq_html_raw(html, ".");
    eq_html_raw(html, "</p>");
}

static void verdict_card(eq_report *report, const subject *s)
{
    static const char *const words[] = {"Not judged", "Within sampling noise of the target", "Off the target"};
    static const char *const kinds[] = {"unknown", "within", "off"};
    static const char *const icons[] = {"<path d=\"M5 10h10\"/>", "<path d=\"M4.5 10.5l3.6 3.7 7.4-8.2\"/>",
                                        "<path d=\"M10 4v8M10 15.4v.6\"/>"};
    eq_html *html = &report->html;
    eq_report_verdict verdict = eq_report_judge(s->distance, s->noise_floor_95);
    eq_html_format(html, "<article class=\"card %s\"><h3>", kinds[verdict]);
    eq_html_target_name(html, s->name);
    eq_html_raw(html, "</h3><p class=\"verdict\">");
    eq_html_raw(html, "<svg viewBox=\"0 0 20 20\" aria-hidden=\"true\">");
    eq_html_raw(html, icons[verdict]);
    eq_html_format(html, "</svg>%s</p>", words[verdict]);
    if (s->count <= 12) {
        eq_html_raw(html, "<div class=\"strips\">");
        if (s->before != NULL)
            eq_report_strip(html, "before", s->before, s->before_count, false);
        eq_report_strip(html, "obtained", s->classes, s->count, false);
        eq_report_strip(html, "asked", s->classes, s->count, true);
        eq_html_raw(html, "</div>");
        eq_report_legend(html, s->classes, s->count);
    }
    verdict_reason(html, s, report->run->n);
    verdict_before(html, s, report->before != NULL && report->before->n == report->run->n);
    eq_html_raw(html, "</article>\n");
}

static void attribute_card(eq_report *report, const eq_report_attribute *a)
{
    const eq_report_attribute *was = eq_report_find_attribute(report->before, a->name);
    subject s = {.name = a->name,
                 .classes = a->classes,
                 .count = a->class_count,
                 .before = was != NULL ? was->classes : NULL,
                 .before_count = was != NULL ? was->class_count : 0,
                 .distance = a->fd.value,
                 .noise_floor = a->noise_floor,
                 .noise_floor_95 = a->noise_floor_95};
    verdict_card(report, &s);
}

static void joint_card(eq_report *report, const eq_report_joint *j)
{
    const eq_report_joint *was = eq_report_find_joint(report->before, j->name);
    subject s = {.name = j->name,
                 .classes = j->cells,
                 .count = j->cell_count,
                 .before = was != NULL ? was->cells : NULL,
                 .before_count = was != NULL ? was->cell_count : 0,
                 .distance = j->l2.value,
                 .noise_floor = j->noise_floor,
                 .noise_floor_95 = j->noise_floor_95};
    verdict_card(report, &s);
}

static bool in_joint(const eq_report_run *run, const char *attribute)
{
    for (int j = 0; j < run->joint_count; j++)
        for (int i = 0; i < run->joints[j].attribute_count; i++)
            if (strcmp(run->joints[j].attributes[i], attribute) == 0)
                return true;
    return false;
}

static void lede(eq_report *report)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    eq_html_raw(html, "<p class=\"lede\">");
    if (run->graded) {
        eq_html_raw(html, "Labels are the evaluator\u2019s");
        if (run->evaluator != NULL)
            eq_html_format(html, " (%s)", run->evaluator);
        eq_html_raw(html, ": what each image <em>appears</em> to show, not who anyone is. ");
    } else {
        eq_html_raw(html, "Nothing graded this set, so this report cannot say what it shows. ");
    }
    if (report->before != NULL)
        eq_html_raw(html, "\u201cBefore\u201d is the unguided twin: the same model and seeds, without guidance.");
    else
        eq_html_raw(html, "No unguided twin was given, so there is no \u201cbefore\u201d to compare with.");
    eq_html_raw(html, "</p>\n");
}

static void contents(eq_report *report)
{
    eq_html *html = &report->html;
    eq_html_raw(html, "<nav aria-label=\"Contents\"><ul>\n<li><a href=\"#verdict\">Verdict</a></li>\n"
                      "<li><a href=\"#images\">The images</a></li>\n");
    if (report->run->attribute_count > 0)
        eq_html_raw(html, "<li><a href=\"#shares\">Asked and obtained</a></li>\n");
    if (report->run->joint_count > 0)
        eq_html_raw(html, "<li><a href=\"#joint\">Combinations</a></li>\n");
    if (eq_report_has_prompts(report->run))
        eq_html_raw(html, "<li><a href=\"#prompts\">Prompt by prompt</a></li>\n");
    eq_html_raw(html, "<li><a href=\"#steps\">While sampling</a></li>\n<li><a href=\"#measures\">Measures</a></li>\n"
                      "<li><a href=\"#cautions\">What this does not say</a></li>\n"
                      "<li><a href=\"#record\">Record</a></li>\n</ul></nav>\n");
}

void eq_report_summary(eq_report *report, const char *headline)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    int cards = run->joint_count;
    eq_html_format(html, "<header><p class=\"eyebrow\">Equipoise \u00b7 report of a set</p><h1>%s.</h1>\n", headline);
    lede(report);
    eq_html_self_grading(html, eq_report_value(run, "self_grading"));
    contents(report);
    eq_html_raw(html, "</header>\n<section aria-labelledby=\"verdict\"><h2 id=\"verdict\">Verdict</h2>\n");
    for (int i = 0; i < run->attribute_count; i++)
        cards += run->attributes[i].has_target && !in_joint(run, run->attributes[i].name);
    if (cards == 0) {
        eq_html_raw(html, run->graded ? "<p class=\"absent\">The set was graded without a target: there is nothing to "
                                        "judge it by.</p>\n"
                                      : "<p class=\"absent\">The run holds no evaluation: there is no verdict.</p>\n");
    } else {
        eq_html_raw(html, "<div class=\"cards\">\n");
        for (int i = 0; i < run->joint_count; i++)
            joint_card(report, &run->joints[i]);
        for (int i = 0; i < run->attribute_count; i++)
            if (run->attributes[i].has_target && !in_joint(run, run->attributes[i].name))
                attribute_card(report, &run->attributes[i]);
        eq_html_raw(html, "</div>\n");
    }
    eq_html_raw(html, "</section>\n");
}

/* -- cautions -- */

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL || strcmp(a, b) == 0;
}

static void caution_twins(eq_report *report)
{
    eq_html *html = &report->html;
    if (!same_text(eq_report_string(report->run, "model.hash"), eq_report_string(report->before, "model.hash")))
        eq_html_raw(html, "<li><b>Another model.</b> The set before was made by a model with other weights: "
                          "differences are not the guidance\u2019s alone.</li>\n");
    const json_t *seed = eq_report_value(report->run, "settings.seed");
    const json_t *other = eq_report_value(report->before, "settings.seed");
    if (seed != NULL && other != NULL && !json_equal(seed, other))
        eq_html_raw(html, "<li><b>Another seed.</b> The set before was drawn from other noise: the two are not "
                          "twins, image by image.</li>\n");
}

static void caution_evaluator(eq_report *report)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    eq_html_raw(html, "<li><b>The evaluator errs.</b> ");
    bool known = false;
    for (int i = 0; i < run->attribute_count; i++) {
        const eq_report_attribute *a = &run->attributes[i];
        if (!isfinite(a->accuracy))
            continue;
        eq_html_format(html,
                       known ? ", in %.1f%% for %s" : "On validation images it was right in %.1f%% of cases for %s",
                       100 * a->accuracy, a->name);
        known = true;
    }
    eq_html_raw(html, known ? ". Corrected shares undo its known confusions, as far as the images generated here "
                              "resemble those.</li>\n"
                            : "The run does not say how often; shares could be off by as much without showing "
                              "it.</li>\n");
}

static void caution_ambiguity(eq_report *report)
{
    eq_html *html = &report->html;
    const eq_report_run *run = report->run;
    bool any = false;
    for (int i = 0; i < run->attribute_count; i++)
        any |= run->attributes[i].ambiguity.value > 0;
    if (!any)
        return;
    eq_html_raw(html,
                "<li><b>Some images are ambiguous.</b> They count as their likeliest class although the evaluator "
                "is less than 90% sure: ");
    for (int i = 0, written = 0; i < run->attribute_count; i++) {
        const eq_report_attribute *a = &run->attributes[i];
        if (a->ambiguity.value > 0)
            eq_html_format(html, written++ > 0 ? ", %.1f%% for %s" : "%.1f%% for %s", 100 * a->ambiguity.value,
                           a->name);
    }
    eq_html_raw(html, ".</li>\n");
}

void eq_report_cautions(eq_report *report)
{
    eq_html *html = &report->html;
    eq_html_raw(html,
                "<section aria-labelledby=\"cautions\"><h2 id=\"cautions\">What this does not say</h2>\n"
                "<ul class=\"cautions\">\n"
                "<li><b>Appearance only.</b> An attribute is what an image appears to show to a classifier. It is "
                "nobody\u2019s identity, and the classes are those that somebody chose to name.</li>\n");
    if (report->run->graded)
        caution_evaluator(report);
    caution_ambiguity(report);
    if (report->run->graded)
        eq_html_format(html,
                       "<li><b>%.0f images are a sample.</b> Intervals say what the same settings would give over "
                       "many such sets; the counts say what this set holds.</li>\n",
                       report->run->n);
    eq_html_raw(html, "<li><b>Only what was asked is balanced.</b> Other attributes, their combinations and the "
                      "stereotypes within a class follow the model.</li>\n");
    if (report->before != NULL)
        caution_twins(report);
    eq_html_raw(html, "</ul></section>\n");
}

/* The parts of the report, from top to bottom. */
#ifndef EQ_EVAL_REPORT_SECTIONS_H
#define EQ_EVAL_REPORT_SECTIONS_H

#include "eval/html.h"
#include "eval/report_data.h"
#include "eval/report_sheets.h"

/* What all parts are made from. */
typedef struct eq_report {
    eq_context *ctx;
    const eq_report_run *run, *before; /* before: NULL without one */
    eq_report_sheet sheet, before_sheet;
    eq_html html;
} eq_report;

/* Whether a set is off its target by more than chance explains. */
typedef enum eq_report_verdict { EQ_REPORT_UNKNOWN, EQ_REPORT_WITHIN, EQ_REPORT_OFF } eq_report_verdict;

eq_report_verdict eq_report_judge(double distance, double noise_floor_95);

/* "gender*glasses" with a multiplication sign. */
void eq_html_target_name(eq_html *html, const char *name);

/* report_style.c */
void eq_report_open_page(eq_report *report, const char *title);
void eq_report_close_page(eq_report *report);

/* report_summary.c: headline and verdicts. */
/* The headline as plain text; malloc'ed, NULL when memory is out. */
char *eq_report_headline(const eq_report *report);
void eq_report_summary(eq_report *report, const char *headline);
void eq_report_cautions(eq_report *report);
/* A bar of shares, obtained or asked for, and what its colours mean. classes: [count] */
void eq_report_strip(eq_html *html, const char *label, const eq_report_class *classes, int count, bool asked);
void eq_report_legend(eq_html *html, const eq_report_class *classes, int count);

/* report_prompts.c: shares by prompt, where the images are of several and a target is asked for. */
bool eq_report_has_prompts(const eq_report_run *run);
eq_status eq_report_prompts(eq_report *report);

/* report_figures.c: contact sheets, bars, P per step, joint targets. */
eq_status eq_report_images(eq_report *report);
void eq_report_shares(eq_report *report);
void eq_report_joints(eq_report *report);
void eq_report_curves(eq_report *report);

/* report_similarity.c: the set beside a reference and beside its unguided twin. */
void eq_report_similarity(eq_report *report);

/* report_tables.c: measures, the evaluator's mistakes, settings, hashes, cost. */
void eq_report_measures(eq_report *report);
void eq_report_evaluator(eq_report *report);
void eq_report_record(eq_report *report);

#endif

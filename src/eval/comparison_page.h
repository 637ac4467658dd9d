/* The parts of a comparison's report, and how they look into comparison.json. What is missing there, or of another
 * type, is NaN or NULL. */
#ifndef EQ_EVAL_COMPARISON_PAGE_H
#define EQ_EVAL_COMPARISON_PAGE_H

#include "eval/html.h"
#include "eval/intervals.h"
#include "io/json.h"

typedef struct eq_comparison_page {
    eq_context *ctx;
    const char *folder;
    const json_t *root; /* comparison.json */
    eq_html *html;
} eq_comparison_page;

double eq_page_number(const json_t *object, const char *key);
const char *eq_page_text(const json_t *object, const char *key, const char *otherwise);
/* Of a method at a target: NaN where it was not measured. */
eq_estimate eq_page_measure(const json_t *method, const char *key);
const char *eq_page_verdict(const json_t *method, const char *key);

/* "frechet", "kid", or NULL without a reference; and its name for people. */
const char *eq_page_likeness(const eq_comparison_page *page);
const char *eq_page_measure_name(const eq_comparison_page *page, const char *key);

/* comparison_tables.c */
void eq_comparison_table(const eq_comparison_page *page, const json_t *target);
void eq_comparison_tuning_table(const eq_comparison_page *page);

/* comparison_figures.c */
void eq_comparison_plots(const eq_comparison_page *page, const json_t *target);
eq_status eq_comparison_sheet(const eq_comparison_page *page, const json_t *target);
eq_status eq_comparison_curves(const eq_comparison_page *page, const json_t *target);

#endif

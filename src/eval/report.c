#include "eval/report.h"

#include <stdlib.h>

#include "base/file.h"
#include "eval/report_sections.h"

static eq_status write_page(eq_report *report)
{
    char *headline = eq_report_headline(report);
    if (headline == NULL)
        return eq_fail_memory(report->ctx, "a report");
    eq_report_open_page(report, headline);
    eq_report_summary(report, headline);
    free(headline);
    EQ_TRY(eq_report_images(report));
    eq_report_shares(report);
    eq_report_joints(report);
    EQ_TRY(eq_report_prompts(report));
    eq_report_curves(report);
    eq_report_measures(report);
    eq_report_evaluator(report);
    eq_report_cautions(report);
    eq_report_record(report);
    eq_report_close_page(report);
    return eq_html_status(report->ctx, &report->html);
}

static eq_status write_report(eq_context *ctx, const eq_report_run *run, const eq_report_run *before, const char *path)
{
    eq_report report = {.ctx = ctx, .run = run, .before = before};
    eq_status status = eq_report_sheet_new(ctx, run, &report.sheet);
    if (status == EQ_OK && before != NULL)
        status = eq_report_sheet_new(ctx, before, &report.before_sheet);
    if (status == EQ_OK)
        status = write_page(&report);
    if (status == EQ_OK)
        status = eq_file_write(ctx, path, report.html.text, report.html.size);
    eq_report_sheet_free(&report.sheet);
    eq_report_sheet_free(&report.before_sheet);
    eq_html_free(&report.html);
    return status;
}

eq_status eq_report_write(eq_context *ctx, const char *run_folder, const char *before_folder, const char *path)
{
    eq_report_run run, before = {0};
    EQ_TRY(eq_report_run_read(ctx, run_folder, &run));
    eq_status status = EQ_OK;
    if (before_folder != NULL)
        status = eq_report_run_read(ctx, before_folder, &before);
    if (status == EQ_OK)
        status = write_report(ctx, &run, before_folder != NULL ? &before : NULL, path);
    eq_report_run_free(&run);
    eq_report_run_free(&before);
    return status;
}

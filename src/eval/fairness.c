#include "eval/fairness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "eval/intervals.h"

/* Key of the random streams. */
enum { SEED_FAIRNESS = 0x46616972 };

const char *const eq_fairness_keys[EQ_FAIRNESS_MEASURES] = {"accuracy", "worst_group_accuracy", "accuracy_gap",
                                                            "equalised_odds_gap", "demographic_parity_gap"};
const char *const eq_fairness_names[EQ_FAIRNESS_MEASURES] = {"accuracy", "worst group", "accuracy gap", "odds gap",
                                                             "parity gap"};

/* --- measures of a table --- */

/* The lowest and the highest so far. */
typedef struct extent {
    double low, high;
} extent;

static const extent NOTHING = {INFINITY, -INFINITY};

static void include(extent *e, double value)
{
    e->low = fmin(e->low, value);
    e->high = fmax(e->high, value);
}

/* row: [classes] */
static double sum_of(const double *row, int classes)
{
    double sum = 0;
    for (int k = 0; k < classes; k++)
        sum += row[k];
    return sum;
}

/* The largest difference between groups of P(called k | is j, group). */
static double odds_gap(const double *table, int groups, int classes)
{
    double gap = 0;
    for (int j = 0; j < classes; j++)
        for (int k = 0; k < classes; k++) {
            extent rate = NOTHING;
            for (int g = 0; g < groups; g++) {
                const double *row = table + (g * classes + j) * classes;
                include(&rate, row[k] / sum_of(row, classes));
            }
            gap = fmax(gap, rate.high - rate.low);
        }
    return gap;
}

/* The largest difference between groups of P(called k | group). */
static double parity_gap(const double *table, int groups, int classes)
{
    double gap = 0;
    for (int k = 0; k < classes; k++) {
        extent rate = NOTHING;
        for (int g = 0; g < groups; g++) {
            const double *of_group = table + g * classes * classes;
            double called = 0;
            for (int j = 0; j < classes; j++)
                called += of_group[j * classes + k];
            include(&rate, called / sum_of(of_group, classes * classes));
        }
        gap = fmax(gap, rate.high - rate.low);
    }
    return gap;
}

void eq_fairness_measure_table(const double *table, int groups, int classes, double out[EQ_FAIRNESS_MEASURES])
{
    double right = 0, total = 0;
    extent of_cells = NOTHING, of_groups = NOTHING;
    for (int g = 0; g < groups; g++) {
        double group_right = 0, group_total = 0;
        for (int j = 0; j < classes; j++) {
            const double *row = table + (g * classes + j) * classes;
            double n = sum_of(row, classes);
            include(&of_cells, row[j] / n);
            group_right += row[j];
            group_total += n;
        }
        include(&of_groups, group_right / group_total);
        right += group_right;
        total += group_total;
    }
    out[EQ_FAIRNESS_ACCURACY] = right / total;
    out[EQ_FAIRNESS_WORST_GROUP] = of_cells.low;
    out[EQ_FAIRNESS_ACCURACY_GAP] = of_groups.high - of_groups.low;
    out[EQ_FAIRNESS_ODDS_GAP] = odds_gap(table, groups, classes);
    out[EQ_FAIRNESS_PARITY_GAP] = parity_gap(table, groups, classes);
}

/* --- means over trainings, and their resamples --- */

typedef struct grading {
    const eq_fairness_test *test;
    const int *const *called; /* [seeds][n] */
    int seeds, cells;
    int *order, *start;  /* [n] images by cell; [cells + 1] where a cell begins */
    double *tables;      /* [seeds, cells, classes] */
    double *accuracies;  /* [cells] */
    double *cell_draws;  /* [EQ_FAIRNESS_RESAMPLES, cells] accuracies of resamples */
    double *column;      /* [EQ_FAIRNESS_RESAMPLES] */
    eq_fairness *result; /* its arrays are allocated */
} grading;

static eq_status sort_by_cell(eq_context *ctx, grading *g)
{
    const eq_fairness_test *test = g->test;
    for (int i = 0; i < test->n; i++)
        g->start[test->group[i] * test->classes + test->truth[i] + 1]++;
    for (int c = 0; c < g->cells; c++) {
        if (g->start[c + 1] == 0)
            return eq_fail(ctx, EQ_BAD_USAGE, "group %d has no image of class %d to grade on", c / test->classes,
                           c % test->classes);
        g->start[c + 1] += g->start[c];
    }
    for (int c = 0, at = 0; c < g->cells; c++)
        for (int i = 0; i < test->n; i++)
            if (test->group[i] * test->classes + test->truth[i] == c)
                g->order[at++] = i;
    return EQ_OK;
}

/* Fills the trainings' tables from the images themselves or, with `rng`, from as many drawn with replacement, cell by
 * cell. */
static void fill_tables(grading *g, eq_rng *rng)
{
    size_t table = (size_t)(g->cells * g->test->classes);
    memset(g->tables, 0, (size_t)g->seeds * table * sizeof *g->tables);
    for (int c = 0; c < g->cells; c++) {
        int first = g->start[c], n = g->start[c + 1] - first;
        for (int i = 0; i < n; i++) {
            int image = g->order[first + (rng ? (int)eq_rng_below(rng, (uint32_t)n) : i)];
            for (int s = 0; s < g->seeds; s++)
                g->tables[(size_t)s * table + (size_t)(c * g->test->classes + g->called[s][image])]++;
        }
    }
}

/* Means over the trainings, or over as many drawn with replacement. measures: [EQ_FAIRNESS_MEASURES], accuracies:
 * [cells]; seed_values: [seeds, EQ_FAIRNESS_MEASURES] or NULL */
static void average(const grading *g, eq_rng *rng, double *measures, double *accuracies, double *seed_values)
{
    int classes = g->test->classes;
    for (int m = 0; m < EQ_FAIRNESS_MEASURES; m++)
        measures[m] = 0;
    for (int c = 0; c < g->cells; c++)
        accuracies[c] = 0;
    for (int i = 0; i < g->seeds; i++) {
        int s = rng ? (int)eq_rng_below(rng, (uint32_t)g->seeds) : i;
        const double *table = g->tables + s * g->cells * classes;
        double values[EQ_FAIRNESS_MEASURES];
        eq_fairness_measure_table(table, g->test->groups, classes, values);
        for (int m = 0; m < EQ_FAIRNESS_MEASURES; m++)
            measures[m] += values[m] / g->seeds;
        for (int c = 0; c < g->cells; c++)
            accuracies[c] += table[c * classes + c % classes] / (g->start[c + 1] - g->start[c]) / g->seeds;
        if (seed_values)
            memcpy(seed_values + s * EQ_FAIRNESS_MEASURES, values, sizeof values);
    }
}

static eq_estimate interval_of(double value, const double *draws, int stride, double *column)
{
    for (int r = 0; r < EQ_FAIRNESS_RESAMPLES; r++)
        column[r] = draws[(size_t)r * (size_t)stride];
    return (eq_estimate){.value = value,
                         .low = eq_percentile(column, EQ_FAIRNESS_RESAMPLES, 0.025),
                         .high = eq_percentile(column, EQ_FAIRNESS_RESAMPLES, 0.975)};
}

static eq_status allocate(eq_context *ctx, grading *g)
{
    size_t cells = (size_t)g->cells, seeds = (size_t)g->seeds, draws = EQ_FAIRNESS_RESAMPLES;
    eq_fairness *out = g->result;
    g->order = calloc((size_t)g->test->n + 1, sizeof *g->order);
    g->start = calloc(cells + 1, sizeof *g->start);
    g->tables = calloc(seeds * cells * (size_t)g->test->classes, sizeof *g->tables);
    g->accuracies = calloc(cells, sizeof *g->accuracies);
    g->cell_draws = calloc(draws * cells, sizeof *g->cell_draws);
    g->column = calloc(draws, sizeof *g->column);
    out->seed_values = calloc(seeds * EQ_FAIRNESS_MEASURES, sizeof *out->seed_values);
    out->cell_accuracy = calloc(cells, sizeof *out->cell_accuracy);
    out->draws = calloc(draws * EQ_FAIRNESS_MEASURES, sizeof *out->draws);
    return g->order && g->start && g->tables && g->accuracies && g->cell_draws && g->column && out->seed_values &&
                   out->cell_accuracy && out->draws
               ? EQ_OK
               : eq_fail_memory(ctx, "fairness measures");
}

static eq_status measure(eq_context *ctx, grading *g)
{
    eq_fairness *out = g->result;
    EQ_TRY(sort_by_cell(ctx, g));
    for (int r = 0; r < EQ_FAIRNESS_RESAMPLES; r++) {
        eq_rng images = eq_rng_make(SEED_FAIRNESS, (uint64_t)r, 0), seeds = eq_rng_make(SEED_FAIRNESS, (uint64_t)r, 1);
        fill_tables(g, &images);
        average(g, &seeds, out->draws + r * EQ_FAIRNESS_MEASURES, g->cell_draws + (size_t)r * (size_t)g->cells, NULL);
    }
    double values[EQ_FAIRNESS_MEASURES];
    fill_tables(g, NULL);
    average(g, NULL, values, g->accuracies, out->seed_values);
    for (int m = 0; m < EQ_FAIRNESS_MEASURES; m++)
        out->measures[m] = interval_of(values[m], out->draws + m, EQ_FAIRNESS_MEASURES, g->column);
    for (int c = 0; c < g->cells; c++)
        out->cell_accuracy[c] = interval_of(g->accuracies[c], g->cell_draws + c, g->cells, g->column);
    return EQ_OK;
}

eq_status eq_fairness_grade(eq_context *ctx, const eq_fairness_test *test, const int *const *called, int seeds,
                            eq_fairness *out)
{
    *out = (eq_fairness){.seeds = seeds, .cells = test->groups * test->classes};
    grading g = {.test = test, .called = called, .seeds = seeds, .cells = out->cells, .result = out};
    eq_status status = allocate(ctx, &g);
    if (status == EQ_OK)
        status = measure(ctx, &g);
    free(g.order);
    free(g.start);
    free(g.tables);
    free(g.accuracies);
    free(g.cell_draws);
    free(g.column);
    if (status != EQ_OK)
        eq_fairness_free(out);
    return status;
}

void eq_fairness_free(eq_fairness *fairness)
{
    free(fairness->seed_values);
    free(fairness->cell_accuracy);
    free(fairness->draws);
    *fairness = (eq_fairness){0};
}

eq_status eq_fairness_difference(eq_context *ctx, const eq_fairness *a, const eq_fairness *b,
                                 eq_fairness_measure measure, eq_estimate *out)
{
    double *column = malloc(EQ_FAIRNESS_RESAMPLES * sizeof *column);
    if (!column)
        return eq_fail_memory(ctx, "fairness measures");
    for (int r = 0; r < EQ_FAIRNESS_RESAMPLES; r++)
        column[r] =
            a->draws[r * EQ_FAIRNESS_MEASURES + (int)measure] - b->draws[r * EQ_FAIRNESS_MEASURES + (int)measure];
    *out = (eq_estimate){.value = a->measures[measure].value - b->measures[measure].value,
                         .low = eq_percentile(column, EQ_FAIRNESS_RESAMPLES, 0.025),
                         .high = eq_percentile(column, EQ_FAIRNESS_RESAMPLES, 0.975)};
    free(column);
    return EQ_OK;
}

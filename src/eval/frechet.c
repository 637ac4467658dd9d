#include "eval/frechet.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>
#include <lapacke.h>

enum { CHUNK = 256, PANEL = 64 };

eq_status eq_moments_new(eq_context *ctx, int d, eq_moments *out)
{
    if (d < 1 || d > EQ_FEATURES_MAX)
        return eq_fail(ctx, EQ_BAD_USAGE, "features of dimension %d; 1 to %d are possible", d, EQ_FEATURES_MAX);
    size_t width = (size_t)d;
    eq_moments moments = {.d = d};
    moments.mean = calloc(width, sizeof(double));
    moments.scatter = calloc(width * width, sizeof(double));
    moments.rows = calloc(width * (CHUNK + 1), sizeof(double));
    if (moments.mean == NULL || moments.scatter == NULL || moments.rows == NULL) {
        eq_moments_free(&moments);
        return eq_fail_memory(ctx, "a covariance matrix");
    }
    *out = moments;
    return EQ_OK;
}

void eq_moments_free(eq_moments *moments)
{
    if (moments == NULL)
        return;
    free(moments->mean);
    free(moments->scatter);
    free(moments->rows);
    *moments = (eq_moments){0};
}

/* Adds rows^T rows to the lower triangle of the scatter; rows: [n, d]. In panels of the scatter's rows, as the
 * reference BLAS has one thread only; who computes a panel does not change it. */
static void add_products(eq_moments *m, int n)
{
    int panels = (m->d + PANEL - 1) / PANEL;
#pragma omp parallel for schedule(dynamic) if (panels > 1)
    for (int i = 0; i < panels; i++) {
        int first = (panels - 1 - i) * PANEL; /* the longest panels first */
        int height = m->d - first < PANEL ? m->d - first : PANEL;
        const double *rows = m->rows + first;
        double *panel = m->scatter + (size_t)first * (size_t)m->d;
        if (first > 0)
            cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, height, first, n, 1, rows, m->d, m->rows, m->d, 1,
                        panel, m->d);
        cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, height, n, 1, rows, m->d, 1, panel + first, m->d);
    }
}

/* features: [n, d], 1 <= n <= CHUNK, finite. */
static void add_chunk(eq_moments *m, const float *features, int n)
{
    size_t d = (size_t)m->d;
    double *extra = m->rows + (size_t)n * d; /* the chunk's mean, then its weighted distance from the mean so far */
    memset(extra, 0, d * sizeof(double));
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t j = 0; j < d; j++)
            extra[j] += features[i * d + j];
    for (size_t j = 0; j < d; j++)
        extra[j] /= n;
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t j = 0; j < d; j++)
            m->rows[i * d + j] = features[i * d + j] - extra[j];
    double total = (double)m->n + n, weight = sqrt((double)m->n * n / total);
    for (size_t j = 0; j < d; j++) {
        double step = extra[j] - m->mean[j];
        m->mean[j] += step * (n / total);
        extra[j] = step * weight;
    }
    add_products(m, n + 1);
    m->n += n;
}

eq_status eq_moments_add(eq_context *ctx, eq_moments *moments, const float *features, int n)
{
    size_t d = (size_t)moments->d;
    for (int start = 0; start < n; start += CHUNK) {
        int count = n - start < CHUNK ? n - start : CHUNK;
        const float *chunk = features + (size_t)start * d;
        for (size_t i = 0; i < (size_t)count * d; i++)
            if (!isfinite(chunk[i]))
                return eq_fail(ctx, EQ_BAD_INPUT, "feature %zu of vector %zu is %g", i % d, (size_t)start + i / d,
                               (double)chunk[i]);
        add_chunk(moments, chunk, count);
    }
    return EQ_OK;
}

/* A covariance as F^T F: the eigenvectors, each times the root of its eigenvalue, those that are rounding left out. */
typedef struct factor {
    double *rows; /* [rank, d] owned */
    int rank;
    double trace; /* of the covariance */
    eq_status status;
} factor;

/* Leaves messages to the caller: both sets' factors are computed at the same time. */
static void factor_covariance(const eq_moments *m, factor *out)
{
    size_t d = (size_t)m->d;
    double *vectors = malloc(d * d * sizeof(double)), *values = malloc(d * sizeof(double));
    if (vectors == NULL || values == NULL) {
        free(vectors);
        free(values);
        out->status = EQ_NO_MEMORY;
        return;
    }
    out->rows = vectors;
    for (size_t i = 0; i < d * d; i++)
        vectors[i] = m->scatter[i] / (double)(m->n - 1);
    for (size_t i = 0; i < d; i++)
        out->trace += vectors[i * d + i];
    /* The lower triangle by rows is the upper one by columns; the eigenvectors come out as rows. */
    if (LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'U', m->d, vectors, m->d, values) != 0) {
        free(values);
        out->status = EQ_FAILED;
        return;
    }
    size_t first = 0; /* eigenvalues ascend */
    while (first < d && !(values[first] > DBL_EPSILON * (double)d * values[d - 1]))
        first++;
    for (size_t i = first; i < d; i++)
        for (size_t j = 0; j < d; j++)
            vectors[(i - first) * d + j] = vectors[i * d + j] * sqrt(values[i]);
    free(values);
    out->rank = (int)(d - first);
    out->status = EQ_OK;
}

/* factors: [2] */
static eq_status factor_both(eq_context *ctx, const eq_moments *a, const eq_moments *b, factor *factors)
{
#pragma omp parallel for schedule(static, 1)
    for (int i = 0; i < 2; i++)
        factor_covariance(i == 0 ? a : b, &factors[i]);
    for (int i = 0; i < 2; i++) {
        if (factors[i].status == EQ_NO_MEMORY)
            return eq_fail_memory(ctx, "the Frechet distance");
        if (factors[i].status != EQ_OK)
            return eq_fail(ctx, EQ_FAILED, "the eigenvalues of a covariance matrix did not converge");
    }
    return EQ_OK;
}

/* product: [rows_a, rows_b] = a b^T. In panels, as above. a: [rows_a, d], b: [rows_b, d] */
static void multiply_transposed(const double *a, int rows_a, const double *b, int rows_b, int d, double *product)
{
#pragma omp parallel for schedule(dynamic) if (rows_a > PANEL)
    for (int first = 0; first < rows_a; first += PANEL) {
        int height = rows_a - first < PANEL ? rows_a - first : PANEL;
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, height, rows_b, d, 1, a + (size_t)first * (size_t)d, d, b,
                    d, 0, product + (size_t)first * (size_t)rows_b, rows_b);
    }
}

/* The sum of the singular values of F_a F_b^T; factor_a: [rank_a, d], factor_b: [rank_b, d]. */
static eq_status trace_of_root(eq_context *ctx, const double *factor_a, int rank_a, const double *factor_b, int rank_b,
                               int d, double *sum)
{
    *sum = 0;
    if (rank_a == 0 || rank_b == 0)
        return EQ_OK;
    int rank = rank_a < rank_b ? rank_a : rank_b;
    double *product = malloc((size_t)rank_a * (size_t)rank_b * sizeof(double)), unused[1];
    double *singular = malloc((size_t)rank * sizeof(double));
    eq_status status = EQ_OK;
    if (product == NULL || singular == NULL) {
        status = eq_fail_memory(ctx, "the Frechet distance");
        goto done;
    }
    multiply_transposed(factor_a, rank_a, factor_b, rank_b, d, product);
    if (LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', rank_b, rank_a, product, rank_b, singular, unused, 1, unused, 1) != 0) {
        status = eq_fail(ctx, EQ_FAILED, "the singular values of a product of covariances did not converge");
        goto done;
    }
    for (int i = 0; i < rank; i++)
        *sum += singular[i];
done:
    free(product);
    free(singular);
    return status;
}

eq_status eq_frechet_distance(eq_context *ctx, const eq_moments *a, const eq_moments *b, double *distance)
{
    if (a->d != b->d)
        return eq_fail(ctx, EQ_BAD_USAGE, "Frechet distance between features of dimension %d and %d", a->d, b->d);
    if (a->n < 2 || b->n < 2)
        return eq_fail(ctx, EQ_BAD_USAGE, "Frechet distance between sets of %lld and %lld; each needs at least 2",
                       (long long)a->n, (long long)b->n);
    factor factors[2] = {{0}, {0}};
    double root, means = 0;
    eq_status status;
    EQ_TRY_GOTO(status, factor_both(ctx, a, b, factors), done);
    EQ_TRY_GOTO(status,
                trace_of_root(ctx, factors[0].rows, factors[0].rank, factors[1].rows, factors[1].rank, a->d, &root),
                done);
    for (int i = 0; i < a->d; i++)
        means += (a->mean[i] - b->mean[i]) * (a->mean[i] - b->mean[i]);
    *distance = fmax(means + factors[0].trace + factors[1].trace - 2 * root, 0);
done:
    free(factors[0].rows);
    free(factors[1].rows);
    return status;
}

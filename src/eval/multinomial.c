#include "eval/multinomial.h"

#include <math.h>
#include <stdbool.h>

/* Uniform in [0, 1) with 53 bits: 24 would distort tails of large n. */
static double uniform(eq_rng *rng)
{
    uint64_t high = eq_rng_u32(rng) >> 5, low = eq_rng_u32(rng) >> 6;
    return (double)(high << 26 | low) * 0x1p-53;
}

static double log_factorial(int n)
{
    int sign;
    return lgamma_r(n + 1.0, &sign);
}

int eq_binomial(eq_rng *rng, int n, double p)
{
    if (p <= 0 || n == 0)
        return 0;
    if (p >= 1)
        return n;
    int mode = (int)fmin(floor((n + 1.0) * p), n);
    double at_mode =
        exp(log_factorial(n) - log_factorial(mode) - log_factorial(n - mode) + mode * log(p) + (n - mode) * log1p(-p));
    double odds = p / (1 - p), u = uniform(rng) - at_mode;
    if (u < 0)
        return mode;
    int up = mode, down = mode;
    double p_up = at_mode, p_down = at_mode;
    while ((up < n && p_up > 0) || (down > 0 && p_down > 0)) {
        if (up < n) {
            p_up *= (double)(n - up) / (up + 1.0) * odds;
            up++;
            if ((u -= p_up) < 0)
                return up;
        }
        if (down > 0) {
            p_down *= down / ((n - down + 1.0) * odds);
            down--;
            if ((u -= p_down) < 0)
                return down;
        }
    }
    return mode; /* the probabilities added up to a rounding less than u */
}

void eq_multinomial(eq_rng *rng, int n, const double *p, int k, int *counts)
{
    int last = k - 1;
    while (last > 0 && p[last] <= 0)
        last--;
    double rest = 1;
    for (int i = 0; i < k; i++) {
        counts[i] = 0;
        if (i < last && p[i] > 0)
            counts[i] = eq_binomial(rng, n, p[i] < rest ? p[i] / rest : 1);
        else if (i == last)
            counts[i] = n;
        n -= counts[i];
        rest -= p[i];
    }
}

/* Marsaglia and Tsang, "A simple method for generating gamma variables" (ACM TOMS 26, 2000), for shape >= 1/2. */
static double draw_gamma(eq_rng *rng, double shape)
{
    double boost = 1;
    if (shape < 1) {
        boost = pow(eq_rng_uniform(rng), 1 / shape);
        shape++;
    }
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = eq_rng_normal(rng), v = 1 + c * x;
        if (v <= 0)
            continue;
        v = v * v * v;
        if (log(1 - (double)eq_rng_uniform(rng)) < x * x / 2 + d - d * v + d * log(v))
            return boost * d * v;
    }
}

void eq_dirichlet_posterior(eq_rng *rng, const double *counts, int k, double *p)
{
    double sum = 0;
    for (int i = 0; i < k; i++)
        sum += p[i] = draw_gamma(rng, counts[i] + 0.5);
    for (int i = 0; i < k; i++)
        p[i] = sum > 0 ? p[i] / sum : 1.0 / k; /* the sum of tiny ones may be 0 */
}

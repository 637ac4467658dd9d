#include "eval/noise.h"

#include <math.h>

static double above(eq_estimate e)
{
    return fmax(0, e.high - e.value);
}

static double below(eq_estimate e)
{
    return fmax(0, e.value - e.low);
}

eq_estimate eq_difference(eq_estimate a, eq_estimate b)
{
    double d = a.value - b.value;
    return (eq_estimate){d, d - hypot(below(a), above(b)), d + hypot(above(a), below(b))};
}

bool eq_inside_noise(eq_estimate a, eq_estimate b)
{
    eq_estimate d = eq_difference(a, b);
    return !isfinite(a.value) || !isfinite(b.value) || !(d.low > 0 || d.high < 0);
}

eq_estimate eq_estimate_mean(const eq_estimate *estimates, int count)
{
    double sum = 0, down = 0, up = 0;
    for (int i = 0; i < count; i++) {
        sum += estimates[i].value;
        down += below(estimates[i]) * below(estimates[i]);
        up += above(estimates[i]) * above(estimates[i]);
    }
    double mean = sum / count;
    if (count == 1) /* as it is, also where it does not hold its value */
        return estimates[0];
    return (eq_estimate){mean, mean - sqrt(down) / count, mean + sqrt(up) / count};
}

/* The density's integral from 0 to x by Simpson's rule, in the angle x = sqrt(v) tan(a), in which it is a power of the
 * cosine: cos(a)^(v - 1) over the whole integral from 0 to pi / 2. */
static double student_tail(int freedom, double x)
{
    enum { PIECES = 400 };
    double whole = 0, part = 0, end = atan(x / sqrt(freedom)), half = acos(0.0);
    for (int i = 0; i <= PIECES; i++) {
        double weight = i == 0 || i == PIECES ? 1 : i % 2 ? 4 : 2, at = (double)i / PIECES;
        whole += weight * pow(cos(half * at), freedom - 1);
        part += weight * pow(cos(end * at), freedom - 1);
    }
    return part * end / (whole * half);
}

double eq_student_975(int freedom)
{
    double low = 0, high = 64;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        if (student_tail(freedom, middle) < 0.95)
            low = middle;
        else
            high = middle;
    }
    return low;
}

eq_status eq_jackknife(eq_left_out statistic, void *user, int n, eq_estimate *out)
{
    double values[EQ_JACKKNIFE_GROUPS], mean = 0, square = 0;
    int groups = n < EQ_JACKKNIFE_GROUPS ? n : EQ_JACKKNIFE_GROUPS;
    EQ_TRY(statistic(user, 0, 0, &out->value));
    for (int g = 0; g < groups; g++) {
        int first = (int)((long long)n * g / groups), end = (int)((long long)n * (g + 1) / groups);
        EQ_TRY(statistic(user, first, end - first, &values[g]));
        mean += values[g] / groups;
    }
    for (int g = 0; g < groups; g++)
        square += (values[g] - mean) * (values[g] - mean);
    double reach = eq_student_975(groups - 1) * sqrt(square * (groups - 1) / groups);
    out->low = out->value - reach;
    out->high = out->value + reach;
    return EQ_OK;
}

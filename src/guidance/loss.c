#include "guidance/loss.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static double chi2(const double *p, const double *q, int k, double *gradient)
{
    double loss = 0;
    for (int i = 0; i < k; i++) {
        double difference = p[i] - q[i], divisor = fmax(q[i], EQ_CHI2_FLOOR);
        loss += difference * difference / divisor;
        if (gradient != NULL)
            gradient[i] = 2 * difference / divisor;
    }
    return loss;
}

static double kl(const double *p, const double *q, int k, double *gradient)
{
    double loss = 0;
    for (int i = 0; i < k; i++) {
        double ratio = log(fmax(p[i], EQ_KL_FLOOR) / fmax(q[i], EQ_KL_FLOOR));
        loss += p[i] * ratio;
        /* Below the floor the loss is linear in P. */
        if (gradient != NULL)
            gradient[i] = ratio + (p[i] > EQ_KL_FLOOR ? 1 : 0);
    }
    return loss;
}

static double l2(const double *p, const double *q, int k, double *gradient)
{
    double loss = 0;
    for (int i = 0; i < k; i++) {
        double difference = p[i] - q[i];
        loss += difference * difference;
        if (gradient != NULL)
            gradient[i] = 2 * difference;
    }
    return loss;
}

static const eq_loss LOSSES[] = {
    {"chi2", "sum (P-q)^2/q", chi2},
    {"kl", "sum P log(P/q)", kl},
    {"l2", "sum (P-q)^2", l2},
};
enum { LOSS_COUNT = sizeof(LOSSES) / sizeof(LOSSES[0]) };

const eq_loss *eq_loss_find(const char *name)
{
    for (int i = 0; i < LOSS_COUNT; i++)
        if (strcmp(LOSSES[i].name, name) == 0)
            return &LOSSES[i];
    return NULL;
}

const eq_loss *eq_loss_at(int i)
{
    return i >= 0 && i < LOSS_COUNT ? &LOSSES[i] : NULL;
}

/* Losses between a predicted distribution and its target, with their gradients. */
#ifndef EQ_GUIDANCE_LOSS_H
#define EQ_GUIDANCE_LOSS_H

/* p, q: [k], the prediction P and the target. Returns L = D(P, q); writes dL/dP_k, with the entries of P taken as
 * independent, into gradient [k] unless it is NULL. gradient may not overlap p or q. */
typedef double (*eq_loss_fn)(const double *p, const double *q, int k, double *gradient);

typedef struct eq_loss {
    const char *name;
    const char *formula; /* for help texts */
    eq_loss_fn evaluate;
} eq_loss;

/* The losses, by name:
 *
 *   chi2  sum (P - q)^2 / q    gradient 2 (P - q) / q    Parihar et al. 2024 (preset p2)
 *   kl    sum P log(P / q)     gradient log(P / q) + 1   the same (preset sd)
 *   l2    sum (P - q)^2        gradient 2 (P - q)
 *
 * A class that the target excludes (q = 0) makes chi2 and kl infinite, so divisors have a floor. chi2 divides by
 * max(q, EQ_CHI2_FLOOR), which bounds its gradient by 200 and leaves its minimum at P = q. kl takes the logarithm of
 * max(P, EQ_KL_FLOOR) / max(q, EQ_KL_FLOOR): its minimum moves by no more than k times that. All targets with q >= 0.01
 * get the plain formulas. */
#define EQ_CHI2_FLOOR 1e-2
#define EQ_KL_FLOOR   1e-6

/* NULL if there is none of that name. */
const eq_loss *eq_loss_find(const char *name);

/* Number i of the table, NULL past its end; for lists in help texts and messages. */
const eq_loss *eq_loss_at(int i);

#endif

/* Builders of the losses that only some trainers need; the others' are in ops/ops.h. */
#ifndef EQ_OPS_LOSSES_H
#define EQ_OPS_LOSSES_H

#include "tensor/graph.h"

/* prediction, target: like shapes, f32. mean over all elements of |p - t|. -> [1] */
eq_value eq_mae(eq_graph *g, eq_value prediction, eq_value target);

/* A Gaussian by its mean and log variance, side by side in the last axis (Kingma & Welling, "Auto-Encoding Variational
 * Bayes", ICLR 2014). Log variances are clamped to [-30, 20]. */

/* moments: [..., 2 c] f32; noise: [..., c] f32, standard normal. mean + exp(logvar / 2) noise. -> [..., c] f32 */
eq_value eq_gaussian_sample(eq_graph *g, eq_value moments, eq_value noise);
/* The divergence from the standard normal, (mean^2 + exp(logvar) - 1 - logvar) / 2, mean over all elements. -> [1] */
eq_value eq_gaussian_kl(eq_graph *g, eq_value moments);

#endif

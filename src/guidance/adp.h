/* The Attribute Distribution Predictor: one small classifier of h a timestep (Parihar et al. 2024, section 4.1).
 *
 * Linear head at timestep t: p = softmax((W_t h + b_t) / tau). MLP head: p = softmax((V_t relu(W_t h + b_t) + c_t) /
 * tau). */
#ifndef EQ_GUIDANCE_ADP_H
#define EQ_GUIDANCE_ADP_H

#include "equipoise/target.h"
#include "tensor/tensor.h"

enum { EQ_ADP_HASH = 65, EQ_ADP_CLASSES = 256, EQ_ADP_FACTORS = 16, EQ_ADP_METHOD_NAME = 32 };

/* What one method multiplies its strength by for this attribute, found by calibration. */
typedef struct eq_adp_factor {
    char method[EQ_ADP_METHOD_NAME];
    double value; /* above 0 */
} eq_adp_factor;

typedef struct eq_adp {
    eq_attribute attribute;  /* owned */
    int heads;               /* number of trained timesteps */
    int64_t *timesteps;      /* [heads] ascending */
    eq_shape h_shape;        /* [h, w, c] */
    int64_t h_count;         /* h * w * c */
    int hidden;              /* units of the MLP; 0: linear */
    float *weight, *bias;    /* [heads, outputs, h_count], h in [h, w, c] order; [heads, outputs]; outputs = hidden or
                                classes */
    float *weight2, *bias2;  /* [heads, classes, hidden], [heads, classes]; NULL when linear */
    float *accuracy;         /* [heads] on held-out images, NaN where there were none; NULL when not known */
    float *outcome_accuracy; /* [heads] at what becomes of the model's own samples (train/outcome_fit.h), NaN and NULL
                                as above */
    float *direction;   /* [heads, classes, h_count] mean h of each class less the mean of those means, in training, of
                           one length at all timesteps; NULL when not known */
    double temperature; /* tau */
    double strength; /* the factor of methods that are not in `factors`; 0: not known, as 1. Files had this one alone */
    int factor_count;
    eq_adp_factor factors[EQ_ADP_FACTORS]; /* [factor_count] each method once */
    char model_hash[EQ_ADP_HASH];          /* of the model whose h it reads; "" when not known (imported heads) */
    char labeller[EQ_ADP_HASH];            /* of the classifier whose answers it learnt; "" when not known, or none */
} eq_adp;

/* Allocates zeroed heads. The attribute is copied. EQ_BAD_USAGE unless it has 2 to EQ_ADP_CLASSES classes. */
eq_status eq_adp_new(eq_context *ctx, const eq_attribute *attribute, int heads, eq_shape h_shape, int hidden,
                     eq_adp *out);
void eq_adp_free(eq_adp *adp);

/* The factor of a method's strength; 0: not known, as 1. */
double eq_adp_factor_of(const eq_adp *adp, const char *method);
/* Remembers it. value: above 0, or 0 to forget it. EQ_BAD_USAGE: more than EQ_ADP_FACTORS methods. */
eq_status eq_adp_set_factor(eq_context *ctx, eq_adp *adp, const char *method, double value);

/* The head of the nearest trained timestep. */
int eq_adp_head(const eq_adp *adp, double timestep);

/* Numbers that eq_adp_predict wants in `work`, for n images. */
size_t eq_adp_work(const eq_adp *adp, int64_t n);

/* How far above chance a head's answers are, in [0, 1]: 0 for a guess, 1 where they are always right or where its
 * accuracy is not known. By the model's own samples where the head was fitted to them: the h of inverted images shows
 * at high noise what that of samples does not. */
double eq_adp_sight(const eq_adp *adp, int head);

/* h: [n, h_count]. p: [n, classes] out. temperature 0: the ADP's own. work is kept for eq_adp_backward. */
void eq_adp_predict(const eq_adp *adp, int head, double temperature, const float *h, int64_t n, float *p, float *work);

/* Adds -step * dL/dh_i to h, [n, h_count], given dlogits [n, classes] = dL/dlogits after the temperature: of
 * z = logits / tau, so that dL/dh = W^T dlogits / tau. Rows of dlogits that are all zero leave h_i untouched. Call
 * after eq_adp_predict of the same head with the same work. */
void eq_adp_push(const eq_adp *adp, int head, double temperature, double step, const float *dlogits, int64_t n,
                 float *h, float *work);

/* How far the tempered logits of a head move for a unit step along their own gradient: the sum over classes of |w|^2 of
 * the centred rows w of W, over (classes - 1) tau^2 (linear heads; for an MLP, of V W with every unit open). */
double eq_adp_gain(const eq_adp *adp, int head, double temperature);

/* Adds -step * D^T dlogits_i to h, D the class directions, which must be known: h moves the way in which the classes
 * differ, where the decoder knows its ground, and not the way in which the head happens to tell them apart. A step of 1
 * with dlogits (1, -1) moves by the whole distance between the means of two classes. */
void eq_adp_shift(const eq_adp *adp, int head, double step, const float *dlogits, int64_t n, float *h);

#endif

/* Exact quotas: which images of a labelled set fit the target, which are too many of their kind, and what is missing.
 */
#ifndef EQ_RUN_VERIFY_H
#define EQ_RUN_VERIFY_H

#include "eval/labelling.h"
#include "run/generation.h"

/* How it went. */
typedef struct eq_verification {
    bool done, exact;
    int64_t drawn, replaced; /* images drawn in addition, and those that were put in the place of others */
    int rounds;
    double unet_passes; /* that it cost: with rejection, all that went into images thrown away */
    double limit;       /* of those drawn, as a multiple of the count */
    bool rejection;     /* images were drawn unguided, by method rejection */
    char *classifier;   /* its name, owned */
} eq_verification;

/* The targets of a run in the classes of the classifier that verifies it. */
typedef struct eq_verifier {
    bool first_come;           /* of those that fit, the first are kept, not the surest: what chance would have drawn */
    eq_classifier *classifier; /* not owned */
    const eq_attribute *attributes;
    int attribute_count;
    eq_targets targets; /* owned */
} eq_verifier;

/* option: that the classifier is of, for messages. EQ_BAD_USAGE where the classifier does not know a target's
 * attributes and classes, or there is no target. */
eq_status eq_verifier_new(eq_context *ctx, eq_classifier *classifier, const char *option, const eq_targets *targets,
                          eq_verifier *out);
void eq_verifier_free(eq_verifier *verifier);

/* What a set's labels come to. */
typedef struct eq_tally {
    int64_t surplus_count;
    int64_t *surplus;          /* [surplus_count] rows that do not fit, owned */
    int *missing[EQ_MAX_ADPS]; /* [targets] [cells] images still wanted, owned; adds up to surplus_count each */
    int target_count;
} eq_tally;

/* Labels all rows, and keeps of every kind as many as its quota, the surest (see first_come) first. */
eq_status eq_verifier_tally(eq_context *ctx, const eq_verifier *verifier, const eq_generation *generation,
                            eq_tally *out);
void eq_tally_free(eq_tally *tally);

/* As run.json has it. asked: what was asked for, of the run's identity. NULL when memory is out. */
json_t *eq_verification_json(const eq_verification *verification, const json_t *asked, const eq_generation *generation);

/* The share of what is missing, over the cells of the run's own targets. */
eq_status eq_verifier_missing(eq_context *ctx, const eq_verifier *verifier, const eq_tally *tally,
                              const eq_targets *targets, eq_targets *out);

/* Puts those of the fresh images that are wanted in the place of surplus ones, in `replaced` [tally->surplus_count]
 * the rows that were, and takes them off the tally. */
eq_status eq_verifier_replace(eq_context *ctx, const eq_verifier *verifier, const eq_pipeline *pipeline,
                              const eq_generation *fresh, eq_tally *tally, eq_generation *generation, int64_t *replaced,
                              int64_t *replaced_count);

#endif

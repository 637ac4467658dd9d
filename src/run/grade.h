/* Grading a generation with an evaluator. */
#ifndef EQ_RUN_GRADE_H
#define EQ_RUN_GRADE_H

#include "eval/evaluation.h"
#include "eval/labelling.h"
#include "eval/self_grading.h"
#include "run/pipeline.h"

typedef struct eq_grade {
    float **probabilities; /* [attributes of the classifier] [count, classes] */
    int attribute_count;
    eq_evaluation evaluation;
    double seconds;
} eq_grade;

/* Labels the generated images and compares with the targets. `name` stands for the evaluator in reports. */
eq_status eq_grade_generation(eq_context *ctx, eq_classifier *evaluator, const char *name,
                              const eq_generation *generation, const eq_targets *targets,
                              const eq_reference_set *reference, eq_grade *out);
void eq_grade_free(eq_grade *grade);

/* Whether one of the predictors of the targets' attributes is known to have learnt the classifier's answers. */
bool eq_grade_labelled(const eq_classifier *evaluator, const eq_pipeline *pipeline, const eq_targets *targets);

#endif

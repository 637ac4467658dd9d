/* What the parts of a comparison share. */
#ifndef EQ_RUN_COMPARISON_PARTS_H
#define EQ_RUN_COMPARISON_PARTS_H

#include "eval/evaluation.h"
#include "eval/label_folder.h"
#include "eval/self_grading.h"
#include "run/comparison.h"
#include "run/image_pool.h"
#include "run/pipeline.h"

typedef enum eq_measure {
    EQ_MEASURE_FD,
    EQ_MEASURE_FD_SOFT,
    EQ_MEASURE_JOINT,
    EQ_MEASURE_AMBIGUITY,
    EQ_MEASURE_FRECHET,
    EQ_MEASURE_KID,
    EQ_MEASURE_PRECISION,
    EQ_MEASURE_RECALL,
    EQ_MEASURE_PSNR,
    EQ_MEASURE_FEATURE_DISTANCE,
    EQ_MEASURE_PASSES,
    EQ_MEASURE_SECONDS,
    EQ_MEASURES
} eq_measure;

typedef struct eq_measure_info {
    const char *key, *name;
    int better;  /* -1: lower, 1: higher */
    bool guided; /* of guided sets only: the unguided ones have it by their making */
} eq_measure_info;

extern const eq_measure_info eq_measures[EQ_MEASURES];

typedef enum eq_verdict { EQ_VERDICT_NONE, EQ_VERDICT_BEST, EQ_VERDICT_WITHIN, EQ_VERDICT_APART } eq_verdict;

/* One run. */
typedef struct eq_comparison_cell {
    char *folder; /* relative to the comparison's, owned */
    eq_evaluation evaluation;
    eq_estimate measures[EQ_MEASURES]; /* NaN: not measured */
} eq_comparison_cell;

/* A method at a target, over all seeds. */
typedef struct eq_comparison_row {
    eq_comparison_cell *cells; /* [seeds] owned */
    eq_estimate measures[EQ_MEASURES];
    eq_verdict verdicts[EQ_MEASURES];
} eq_comparison_row;

typedef struct eq_comparison {
    eq_context *ctx;
    const eq_comparison_options *options;
    const eq_suite *suite;
    bool bf16;
    eq_pipeline *pipeline;
    eq_pipeline **method_pipelines;        /* [methods] of those with predictors of their own; else NULL */
    eq_image_pool *pools;                  /* [methods, seeds] for those that reject, owned */
    double (*factors)[EQ_MAX_ADPS];        /* [methods] tuned, or as stored; 0: none stored */
    eq_classifier *evaluator, *classifier; /* classifier: NULL where there is none */
    eq_confusion *confusions;              /* [the evaluator's attributes] that can be corrected by; zeroed where not */
    eq_self_grading self_grading;
    char *reference_folder, *heads_folder; /* of images; NULL: none; owned */
    eq_targets *targets;                   /* [targets] owned */
    bool has_frechet, has_kid;             /* enough images for it; else KID stands in its place */
    eq_folder_labels reference;
    eq_comparison_row *rows; /* [targets, methods] */
    json_t *tuning;          /* {method: {"factors": ..., "tried": ...}} */
    json_t *heads;           /* {method: {attribute: accuracy}} */
    double done, total;      /* U-Net passes */
} eq_comparison;

/* --- comparison.c --- */

bool eq_comparison_is_unguided(const eq_suite_method *method);
/* Whether the method guides or rejects by a classifier. */
bool eq_comparison_uses_classifier(const eq_suite_method *method);
/* Whether the method's strength is to be found. */
bool eq_comparison_tunes(const eq_comparison *c, int method);
/* Its pipeline, with the factors set. */
eq_status eq_comparison_pipeline(eq_comparison *c, int method, eq_pipeline **out);
/* Whether a target has the attribute; p: [classes] what the first such target asks of it; may be NULL. */
bool eq_comparison_wants(const eq_comparison *c, const char *attribute, double *p);
/* Passes through the U-Net a step of an image that the method's runs are foreseen to take; NULL: unguided. */
double eq_comparison_step_passes(const eq_suite_method *method);
/* Options of a run of the method; NULL: unguided. */
eq_generate_options eq_comparison_options_of(const eq_comparison *c, const eq_suite_method *method, int64_t seed);
void eq_comparison_tell(const eq_comparison *c, const char *doing, double more);
/* "OUT/name", malloc'ed by eq_format's rules. */
eq_status eq_comparison_path(const eq_comparison *c, const char *name, char **out);
eq_status eq_comparison_write_json(const eq_comparison *c, const char *name, const json_t *root);

/* --- comparison_open.c --- */

/* Everything but what the parts below open. EQ_BAD_INPUT, EQ_BAD_USAGE: what the suite asks for is not there, or has no
 * use. Ended by eq_comparison_close, also after a failure. */
eq_status eq_comparison_open(eq_comparison *c);
void eq_comparison_close(eq_comparison *c);

/* --- comparison_tuning.c: strengths, for all methods on the same images with the same factors --- */

/* Passes that it takes. */
double eq_comparison_tuning_passes(const eq_comparison *c);
eq_status eq_comparison_tune(eq_comparison *c);

/* --- comparison_heads.c: predictors of the suite's own --- */

eq_status eq_comparison_train_heads(eq_comparison *c);

/* --- comparison_grading.c --- */

/* The confusion matrices; labels and features of the reference, and whether there are images enough. What is lacking is
 * said here, once for all cells. */
eq_status eq_comparison_open_grading(eq_comparison *c);
/* Evaluates all cells and compares them. */
eq_status eq_comparison_grade(eq_comparison *c);
/* From the rows' cells to their measures, and what is best of each target's. */
void eq_comparison_judge(eq_comparison_row *rows, int methods, int seeds, const bool *unguided);

/* --- comparison_json.c, comparison_csv.c --- */

eq_status eq_comparison_json(const eq_comparison *c, json_t **out);
eq_status eq_comparison_write_csv(const eq_comparison *c);

#endif

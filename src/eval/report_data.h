/* A run's folder as the report needs it: run.json taken apart, labels, manifest. What is missing in run.json is NaN,
 * NULL or 0 here, as is what has another type than it should: a report is written of what there is. */
#ifndef EQ_EVAL_REPORT_DATA_H
#define EQ_EVAL_REPORT_DATA_H

#include "eval/intervals.h"
#include "io/json.h"
#include "io/labels.h"
#include "io/manifest.h"

/* A class of an attribute, or a cell of a joint target. */
typedef struct eq_report_class {
    const char *name;
    double count;
    eq_estimate frequency;
    double target;         /* NaN: none */
    eq_estimate corrected; /* NaN: none */
} eq_report_class;

typedef struct eq_report_attribute {
    const char *name;
    int class_count;
    eq_report_class *classes; /* [class_count] owned */
    bool has_target, has_corrected;
    eq_estimate fd, kl, tv, chi2, deviation, fd_soft, ambiguity, corrected_fd;
    double noise_floor, noise_floor_95, chi2_p, accuracy;
    double *confusion; /* [class_count, class_count] owned; true x predicted; NULL: not known */
} eq_report_attribute;

typedef struct eq_report_joint {
    char *name; /* "gender*glasses" as in the targets, owned */
    int attribute_count;
    const char *attributes[EQ_TARGET_ATTRIBUTES];
    int cell_count;
    eq_report_class *cells; /* [cell_count] owned; the last attribute's class running fastest */
    eq_estimate l2;
    double noise_floor, noise_floor_95;
} eq_report_joint;

/* What an attribute predictor saw while sampling. */
typedef struct eq_report_curve {
    const char *attribute;
    int class_count, steps;
    const char **classes; /* [class_count] owned array */
    double *timesteps;    /* [steps] owned */
    double *p;            /* [steps, class_count] owned */
} eq_report_curve;

/* Strings point into the documents; all of it freed by eq_report_run_free. */
typedef struct eq_report_run {
    eq_json json; /* run.json */
    double n;     /* images graded, else images there are */
    bool graded;
    const char *evaluator; /* NULL: not said */
    int attribute_count, joint_count, curve_count;
    eq_report_attribute *attributes;
    eq_report_joint *joints;
    eq_report_curve *curves;
    bool has_labels, has_manifest;
    eq_labels labels;
    eq_manifest manifest;
    eq_names images; /* image files relative to the folder, in the manifest's order if there is one */
    const char *folder;
} eq_report_run;

/* EQ_BAD_INPUT where run.json is missing, or a file that is there cannot be read as what it should be. */
eq_status eq_report_run_read(eq_context *ctx, const char *folder, eq_report_run *out);
void eq_report_run_free(eq_report_run *run);

/* NULL where there is none of that name, and with run == NULL. */
const eq_report_attribute *eq_report_find_attribute(const eq_report_run *run, const char *name);
const eq_report_joint *eq_report_find_joint(const eq_report_run *run, const char *name);
const eq_report_curve *eq_report_find_curve(const eq_report_run *run, const char *attribute);
const eq_report_class *eq_report_find_class(const eq_report_class *classes, int count, const char *name);

/* FD of `from`'s frequencies to the targets of `classes`, matched by name; NaN where a number is missing. */
double eq_report_distance(const eq_report_class *from, int from_count, const eq_report_class *classes, int count);
/* Whether both have the same classes with the same targets. */
bool eq_report_same_target(const eq_report_class *a, int a_count, const eq_report_class *b, int b_count);

/* The value at a path of keys such as "seconds.total"; NaN or NULL where there is none of that type. */
double eq_report_number(const eq_report_run *run, const char *path);
const char *eq_report_string(const eq_report_run *run, const char *path);
/* The same for any object or array. */
const json_t *eq_report_value(const eq_report_run *run, const char *path);

#endif

#include "eval/evaluation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/counts.h"
#include "eval/drift.h"
#include "eval/precision_recall.h"
#include "eval/similarity.h"
#include "guidance/target.h"

static void attribute_free(eq_attribute_evaluation *a)
{
    eq_attribute_clear(&a->attribute);
    free(a->counts);
    free(a->frequency);
    free(a->soft);
    free(a->target);
    free(a->confusion);
    free(a->corrected);
    free(a->similarity);
}

static void joint_free(eq_joint_evaluation *j)
{
    eq_target_free(&j->target);
    free(j->counts);
    free(j->frequency);
}

void eq_evaluation_free(eq_evaluation *evaluation)
{
    if (evaluation == NULL)
        return;
    for (int i = 0; evaluation->attributes != NULL && i < evaluation->attribute_count; i++)
        attribute_free(&evaluation->attributes[i]);
    for (int i = 0; evaluation->joint != NULL && i < evaluation->joint_count; i++)
        joint_free(&evaluation->joint[i]);
    free(evaluation->attributes);
    free(evaluation->joint);
    free(evaluation->evaluator);
    if (evaluation->reference != NULL) {
        free(evaluation->reference->features);
        free(evaluation->reference->reference);
        free(evaluation->reference);
    }
    if (evaluation->drift != NULL) {
        eq_drift_clear(evaluation->drift);
        free(evaluation->drift);
    }
    if (evaluation->clip != NULL) {
        free(evaluation->clip->clip);
        free(evaluation->clip);
    }
    *evaluation = (eq_evaluation){0};
}

static eq_status check_probabilities(eq_context *ctx, const eq_attribute *attribute, const float *p, int n)
{
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int j = 0; j < attribute->classes; j++) {
            double value = p[(size_t)i * (size_t)attribute->classes + (size_t)j];
            if (!(value >= 0 && value <= 1.001))
                return eq_fail(ctx, EQ_BAD_INPUT, "image %d has the probability %g for '%s' of '%s'", i, value,
                               attribute->class_names[j], attribute->name);
            sum += value;
        }
        if (!(fabs(sum - 1) <= 0.01))
            return eq_fail(ctx, EQ_BAD_INPUT, "the probabilities of image %d for '%s' add up to %g, not 1", i,
                           attribute->name, sum);
    }
    return EQ_OK;
}

static void fill_frequencies(const int *counts, int k, int n, eq_estimate *frequency)
{
    for (int i = 0; i < k; i++)
        frequency[i] = eq_wilson(counts[i], n);
}

/* labels: [n], output: the joint counts need them. */
static eq_status count_attribute(eq_context *ctx, const eq_attribute *attribute, const float *p, int n, int *labels,
                                 eq_attribute_evaluation *out)
{
    if (attribute->classes < 1)
        return eq_fail(ctx, EQ_BAD_USAGE, "the attribute '%s' has no classes", attribute->name);
    EQ_TRY(check_probabilities(ctx, attribute, p, n));
    EQ_TRY(eq_attribute_copy(ctx, attribute, &out->attribute));
    size_t k = (size_t)attribute->classes;
    out->counts = calloc(k, sizeof(*out->counts));
    out->frequency = calloc(k, sizeof(*out->frequency));
    out->soft = calloc(k, sizeof(*out->soft));
    if (out->counts == NULL || out->frequency == NULL || out->soft == NULL)
        return eq_fail_memory(ctx, "an evaluation");
    eq_hard_labels(p, n, attribute->classes, labels);
    eq_count_labels(labels, n, attribute->classes, out->counts);
    fill_frequencies(out->counts, attribute->classes, n, out->frequency);
    eq_mean_probabilities(p, n, attribute->classes, out->soft);
    out->ambiguity = eq_wilson(eq_count_ambiguous(p, n, attribute->classes), n);
    return EQ_OK;
}

/* counts: [cells] of the target, all with the same n. */
static eq_status measure_joint(eq_context *ctx, eq_joint_evaluation *joint, int n)
{
    const eq_target *target = &joint->target;
    eq_distances distances;
    fill_frequencies(joint->counts, target->cells, n, joint->frequency);
    EQ_TRY(eq_bootstrap_distances(ctx, joint->counts, target->p, target->cells, &distances));
    joint->l2 = distances.fd;
    return eq_fd_noise_floor(ctx, target->p, target->cells, n, &joint->noise);
}

/* Takes the target's copy over into `out` as soon as it is made. labels: [attribute_count] arrays of [n]. */
static eq_status add_joint(eq_context *ctx, const eq_target *target, const eq_evaluation_input *input,
                           int *const *labels, eq_joint_evaluation *out)
{
    EQ_TRY(eq_target_align(ctx, target, input->attributes, input->attribute_count, &out->target));
    const int *columns[EQ_TARGET_ATTRIBUTES];
    int classes[EQ_TARGET_ATTRIBUTES];
    for (int i = 0; i < target->attribute_count; i++) {
        int at = eq_attribute_find(input->attributes, input->attribute_count, target->attributes[i].name);
        columns[i] = labels[at];
        classes[i] = input->attributes[at].classes;
    }
    out->counts = calloc((size_t)out->target.cells, sizeof(*out->counts));
    out->frequency = calloc((size_t)out->target.cells, sizeof(*out->frequency));
    int *cells = malloc(sizeof(int) * (size_t)input->n);
    if (out->counts == NULL || out->frequency == NULL || cells == NULL) {
        free(cells);
        return eq_fail_memory(ctx, "an evaluation");
    }
    eq_joint_labels(columns, classes, target->attribute_count, input->n, cells);
    eq_count_labels(cells, input->n, out->target.cells, out->counts);
    free(cells);
    return measure_joint(ctx, out, input->n);
}

/* Hands each attribute of the target its marginal. */
static eq_status add_marginals(eq_context *ctx, const eq_target *target, const eq_evaluation_input *input,
                               eq_evaluation *out)
{
    eq_target aligned;
    EQ_TRY(eq_target_align(ctx, target, input->attributes, input->attribute_count, &aligned));
    eq_status status = EQ_OK;
    for (int i = 0; i < aligned.attribute_count; i++) {
        const eq_attribute *attribute = &aligned.attributes[i];
        int at = eq_attribute_find(input->attributes, input->attribute_count, attribute->name);
        eq_attribute_evaluation *evaluation = &out->attributes[at];
        if (evaluation->target != NULL) {
            status = eq_fail(ctx, EQ_BAD_USAGE, "two targets for the attribute '%s'", attribute->name);
            break;
        }
        evaluation->target = calloc((size_t)attribute->classes, sizeof(double));
        if (evaluation->target == NULL) {
            status = eq_fail_memory(ctx, "an evaluation");
            break;
        }
        eq_target_marginal(&aligned, i, evaluation->target);
    }
    eq_target_free(&aligned);
    return status;
}

static double fd_of_mean(const double *mean, int k, const void *target)
{
    return eq_fd(mean, target, k);
}

/* p: [n, classes] */
static eq_status measure_soft(eq_context *ctx, const float *p, int n, eq_attribute_evaluation *a)
{
    size_t size = (size_t)n * (size_t)a->attribute.classes;
    double *rows = malloc(size * sizeof(double));
    if (rows == NULL)
        return eq_fail_memory(ctx, "an evaluation");
    for (size_t i = 0; i < size; i++)
        rows[i] = p[i];
    eq_status status = eq_bootstrap_mean(ctx, rows, n, a->attribute.classes, fd_of_mean, a->target, &a->fd_soft);
    free(rows);
    return status;
}

/* p: [n, classes] */
static eq_status measure_attribute(eq_context *ctx, const eq_confusion *confusion, const float *p, int n,
                                   eq_attribute_evaluation *a)
{
    int k = a->attribute.classes;
    if (a->target != NULL) {
        EQ_TRY(eq_bootstrap_distances(ctx, a->counts, a->target, k, &a->distances));
        EQ_TRY(eq_fd_noise_floor(ctx, a->target, k, n, &a->noise));
        EQ_TRY(measure_soft(ctx, p, n, a));
        a->chi2_p = eq_chi2_test(a->counts, a->target, k);
    }
    if (confusion == NULL || confusion->classes == 0)
        return EQ_OK;
    if (confusion->classes != k)
        return eq_fail(ctx, EQ_BAD_INPUT, "the confusion matrix of '%s' is for %d classes, the attribute has %d",
                       a->attribute.name, confusion->classes, k);
    size_t entries = (size_t)k * (size_t)k;
    a->confusion = calloc(entries, sizeof(*a->confusion));
    a->corrected = calloc((size_t)k, sizeof(*a->corrected));
    if (a->confusion == NULL || a->corrected == NULL)
        return eq_fail_memory(ctx, "an evaluation");
    memcpy(a->confusion, confusion->counts, entries * sizeof(*a->confusion));
    eq_status status = eq_confusion_correct(ctx, confusion, a->counts, a->target, a->corrected, &a->corrected_fd);
    if (status != EQ_FAILED)
        return status;
    eq_log(ctx, EQ_LOG_WARNING, "'%s' is reported without correction: its evaluator's confusion matrix is too blurred",
           a->attribute.name);
    free(a->corrected);
    a->corrected = NULL;
    return EQ_OK;
}

static eq_status copy_text(eq_context *ctx, const char *text, char **out)
{
    *out = strdup(text);
    return *out != NULL ? EQ_OK : eq_fail_memory(ctx, "an evaluation");
}

/* labels: [n], the images' classes. */
static eq_status compare_classes(eq_context *ctx, const eq_evaluation_input *input, const int *labels, int at,
                                 eq_attribute_evaluation *a)
{
    const eq_reference_set *reference = input->reference;
    int classes = a->attribute.classes;
    EQ_TRY(check_probabilities(ctx, &a->attribute, reference->probabilities[at], reference->n));
    a->similarity = calloc((size_t)classes, sizeof(*a->similarity));
    int *reference_labels = malloc(sizeof(int) * (size_t)reference->n);
    if (a->similarity == NULL || reference_labels == NULL) {
        free(reference_labels);
        return eq_fail_memory(ctx, "an evaluation");
    }
    eq_hard_labels(reference->probabilities[at], reference->n, classes, reference_labels);
    eq_status status =
        eq_similarity_by_class(ctx, reference->ours, labels, input->n, reference->theirs, reference_labels,
                               reference->n, reference->dimension, classes, a->similarity);
    free(reference_labels);
    return status;
}

/* labels: [attribute_count] arrays of [n]. */
static eq_status compare_with_reference(eq_context *ctx, const eq_evaluation_input *input, int *const *labels,
                                        eq_evaluation *out)
{
    const eq_reference_set *reference = input->reference;
    int n = input->n, m = reference->n, d = reference->dimension;
    out->reference = calloc(1, sizeof(*out->reference));
    if (out->reference == NULL)
        return eq_fail_memory(ctx, "an evaluation");
    eq_reference_evaluation *r = out->reference;
    const eq_estimate unknown = {NAN, NAN, NAN};
    *r = (eq_reference_evaluation){.dimension = d, .precision = unknown, .recall = unknown};
    EQ_TRY(copy_text(ctx, reference->features, &r->features));
    EQ_TRY(copy_text(ctx, reference->name, &r->reference));
    EQ_TRY(eq_similarity_measure(ctx, reference->ours, n, reference->theirs, m, d, &r->whole));
    if ((n <= d || m <= d) && !reference->quiet)
        eq_log(ctx, EQ_LOG_WARNING,
               "the Frechet distance between sets of %d and %d images is mostly bias, as there are no more images than "
               "the %d features: go by KID",
               n, m, d);
    if (n > EQ_NEIGHBOURS && m > EQ_NEIGHBOURS)
        EQ_TRY(eq_precision_recall(ctx, reference->ours, n, reference->theirs, m, d, &r->precision, &r->recall));
    for (int i = 0; reference->probabilities != NULL && i < input->attribute_count; i++)
        EQ_TRY(compare_classes(ctx, input, labels[i], i, &out->attributes[i]));
    return EQ_OK;
}

static eq_status copy_drift(eq_context *ctx, const eq_drift *drift, eq_evaluation *out)
{
    out->drift = malloc(sizeof(*out->drift));
    if (out->drift == NULL)
        return eq_fail_memory(ctx, "an evaluation");
    *out->drift = *drift;
    out->drift->twin = out->drift->features = NULL;
    EQ_TRY(copy_text(ctx, drift->twin, &out->drift->twin));
    return drift->features != NULL ? copy_text(ctx, drift->features, &out->drift->features) : EQ_OK;
}

static eq_status copy_clip(eq_context *ctx, const eq_clip_evaluation *clip, eq_evaluation *out)
{
    out->clip = malloc(sizeof(*out->clip));
    if (out->clip == NULL)
        return eq_fail_memory(ctx, "an evaluation");
    *out->clip = *clip;
    out->clip->clip = NULL;
    return copy_text(ctx, clip->clip, &out->clip->clip);
}

/* labels: [attribute_count] arrays of [n], scratch. */
static eq_status evaluate(eq_context *ctx, const eq_evaluation_input *input, int **labels, eq_evaluation *out)
{
    EQ_TRY(copy_text(ctx, input->evaluator, &out->evaluator));
    for (int i = 0; i < input->attribute_count; i++)
        EQ_TRY(count_attribute(ctx, &input->attributes[i], input->probabilities[i], input->n, labels[i],
                               &out->attributes[i]));
    for (int i = 0; i < input->target_count; i++) {
        const eq_target *target = &input->targets[i];
        EQ_TRY(add_marginals(ctx, target, input, out));
        if (target->attribute_count > 1)
            EQ_TRY(add_joint(ctx, target, input, labels, &out->joint[out->joint_count++]));
    }
    for (int i = 0; i < input->attribute_count; i++)
        EQ_TRY(measure_attribute(ctx, input->confusions != NULL ? &input->confusions[i] : NULL, input->probabilities[i],
                                 input->n, &out->attributes[i]));
    if (input->reference != NULL)
        EQ_TRY(compare_with_reference(ctx, input, labels, out));
    if (input->drift != NULL)
        EQ_TRY(copy_drift(ctx, input->drift, out));
    return input->clip != NULL ? copy_clip(ctx, input->clip, out) : EQ_OK;
}

eq_status eq_evaluate(eq_context *ctx, const eq_evaluation_input *input, eq_evaluation *out)
{
    *out = (eq_evaluation){0};
    if (input->n < 1)
        return eq_fail(ctx, EQ_BAD_USAGE, "there are no images to evaluate");
    if (input->attribute_count < 1)
        return eq_fail(ctx, EQ_BAD_USAGE, "there are no attributes to evaluate");
    size_t n = (size_t)input->n, attributes = (size_t)input->attribute_count, targets = (size_t)input->target_count;
    eq_evaluation evaluation = {.n = input->n, .attribute_count = input->attribute_count};
    evaluation.attributes = calloc(attributes, sizeof(*evaluation.attributes));
    evaluation.joint = calloc(targets + 1, sizeof(*evaluation.joint)); /* + 1: never of size 0 */
    int **labels = calloc(attributes, sizeof(*labels)), *data = calloc(attributes * n, sizeof(*data));
    eq_status status = EQ_OK;
    if (evaluation.attributes == NULL || evaluation.joint == NULL || labels == NULL || data == NULL) {
        status = eq_fail_memory(ctx, "an evaluation");
        goto done;
    }
    for (size_t i = 0; i < attributes; i++)
        labels[i] = data + i * n;
    EQ_TRY_GOTO(status, evaluate(ctx, input, labels, &evaluation), done);
    *out = evaluation;
    evaluation = (eq_evaluation){0};
done:
    eq_evaluation_free(&evaluation);
    free(labels);
    free(data);
    return status;
}

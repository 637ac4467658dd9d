/* An evaluation as a table for people. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/evaluation.h"

static void print_row(FILE *out, int width, const char *name, int count, eq_estimate frequency, const double *target,
                      const eq_estimate *corrected)
{
    fprintf(out, "  %-*s %8d   %.3f   %.3f to %.3f", width, name, count, frequency.value, frequency.low,
            frequency.high);
    if (target != NULL)
        fprintf(out, "    %.3f", *target);
    if (corrected != NULL)
        fprintf(out, "   %.3f (%.3f to %.3f)", corrected->value, corrected->low, corrected->high);
    fputc('\n', out);
}

static void print_header(FILE *out, int width, const char *name, bool target, bool corrected)
{
    fprintf(out, "\n%-*s %8s   %-5s   %-14s%s%s\n", width + 2, name, "count", "share", "95% interval",
            target ? "   target" : "", corrected ? "   corrected" : "");
}

static void print_noise(FILE *out, double fd, eq_noise_floor noise)
{
    fprintf(out, "; chance alone: %.3f on average, up to %.3f in 95 of 100 runs%s\n", noise.mean, noise.p95,
            fd > noise.p95 ? ": off target beyond chance" : "");
}

static void print_estimate(FILE *out, const char *name, int digits, eq_estimate e)
{
    fprintf(out, "%s %.*f (%.*f to %.*f)", name, digits, e.value, digits, e.low, digits, e.high);
}

static void print_attribute(FILE *out, const eq_attribute_evaluation *a)
{
    const eq_attribute *attribute = &a->attribute;
    int width = (int)strlen(attribute->name);
    for (int i = 0; i < attribute->classes; i++)
        if ((int)strlen(attribute->class_names[i]) > width)
            width = (int)strlen(attribute->class_names[i]);
    print_header(out, width, attribute->name, a->target != NULL, a->corrected != NULL);
    for (int i = 0; i < attribute->classes; i++)
        print_row(out, width, attribute->class_names[i], a->counts[i], a->frequency[i],
                  a->target != NULL ? &a->target[i] : NULL, a->corrected != NULL ? &a->corrected[i] : NULL);
    if (a->target != NULL) {
        const eq_distances *d = &a->distances;
        fprintf(out, "  FD %.3f (%.3f to %.3f)", d->fd.value, d->fd.low, d->fd.high);
        print_noise(out, d->fd.value, a->noise);
        print_estimate(out, "  soft FD", 3, a->fd_soft);
        print_estimate(out, ", TV", 3, d->tv);
        print_estimate(out, ", deviation ratio", 3, d->deviation);
        print_estimate(out, "\n  KL", 4, d->kl);
        print_estimate(out, ", chi-square", 4, d->chi2);
        fprintf(out, ", p %.3g\n", a->chi2_p);
        if (a->corrected != NULL) {
            print_estimate(out, "  FD corrected for the evaluator's mistakes", 3, a->corrected_fd);
            fputc('\n', out);
        }
    }
    fprintf(out, "  ambiguous: %.1f%% of the images (%.1f%% to %.1f%%)\n", 100 * a->ambiguity.value,
            100 * a->ambiguity.low, 100 * a->ambiguity.high);
}

/* false when memory is out. */
static bool print_joint(FILE *out, const eq_joint_evaluation *joint)
{
    const eq_target *target = &joint->target;
    int width = eq_target_name(target, NULL, 0);
    for (int cell = 0; cell < target->cells; cell++) {
        int length = eq_target_cell_name(target, cell, NULL, 0);
        width = length > width ? length : width;
    }
    char *name = malloc((size_t)width + 1);
    if (name == NULL)
        return false;
    eq_target_name(target, name, (size_t)width + 1);
    print_header(out, width, name, true, false);
    for (int cell = 0; cell < target->cells; cell++) {
        eq_target_cell_name(target, cell, name, (size_t)width + 1);
        print_row(out, width, name, joint->counts[cell], joint->frequency[cell], &target->p[cell], NULL);
    }
    free(name);
    fprintf(out, "  L2 %.3f (%.3f to %.3f)", joint->l2.value, joint->l2.low, joint->l2.high);
    print_noise(out, joint->l2.value, joint->noise);
    return true;
}

/* In a column of eight, "few" where there were too few images to measure. */
static void print_cell(FILE *out, const char *format, double value)
{
    char text[32] = "few";
    if (!isnan(value))
        snprintf(text, sizeof(text), format, value);
    fprintf(out, "  %8s", text);
}

/* width: of both names and the space between them */
static void print_similarity(FILE *out, int width, const char *attribute, const char *class, const eq_similarity *s)
{
    int used = fprintf(out, "  %s%s%s", attribute, *class ? " " : "", class) - 2;
    fprintf(out, "%*s %8d   %9d", width > used ? width - used : 0, "", s->n, s->reference_n);
    print_cell(out, "%.4g", s->frechet);
    print_cell(out, "%.4g", s->kid);
    print_cell(out, "%.3g", s->kid_std);
    fputc('\n', out);
}

static void print_reference(FILE *out, const eq_evaluation *evaluation)
{
    const eq_reference_evaluation *r = evaluation->reference;
    int width = (int)strlen("all");
    for (int i = 0; i < evaluation->attribute_count; i++) {
        const eq_attribute *a = &evaluation->attributes[i].attribute;
        for (int k = 0; k < a->classes; k++) {
            int length = snprintf(NULL, 0, "%s %s", a->name, a->class_names[k]);
            width = length > width ? length : width;
        }
    }
    fprintf(out, "\nagainst %s, in %d features of %s%s\n", r->reference, r->dimension,
            strcmp(r->features, "evaluator") == 0 ? "the " : "", r->features);
    fprintf(out, "  %-*s %8s   %9s  %8s  %8s  %8s\n", width, "", "images", "reference", "Frechet", "KID", "+-");
    print_similarity(out, width, "all", "", &r->whole);
    for (int i = 0; i < evaluation->attribute_count; i++) {
        const eq_attribute_evaluation *a = &evaluation->attributes[i];
        for (int k = 0; a->similarity != NULL && k < a->attribute.classes; k++)
            print_similarity(out, width, a->attribute.name, a->attribute.class_names[k], &a->similarity[k]);
    }
    if (!isnan(r->precision.value)) {
        print_estimate(out, "  precision", 3, r->precision);
        print_estimate(out, ", recall", 3, r->recall);
        fputc('\n', out);
    }
}

static void print_drift(FILE *out, const eq_drift *drift)
{
    fprintf(out, "\ndrift from %s: %d pair%s, %.1f%% of them identical (%.1f%% to %.1f%%)\n", drift->twin, drift->pairs,
            drift->pairs == 1 ? "" : "s", 100 * drift->identical.value, 100 * drift->identical.low,
            100 * drift->identical.high);
    if (isfinite(drift->psnr.value)) {
        print_estimate(out, "  PSNR in dB", 2, drift->psnr);
        fputc('\n', out);
    }
    if (drift->features != NULL) {
        fprintf(out, "  distance in features of the %s", drift->features);
        print_estimate(out, "", 3, drift->feature_distance);
        if (!isnan(drift->unrelated))
            fprintf(out, "; of unrelated images %.3f", drift->unrelated);
        fputc('\n', out);
    }
}

eq_status eq_evaluation_format(eq_context *ctx, const eq_evaluation *evaluation, char **text)
{
    char *buffer = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&buffer, &size);
    if (out == NULL)
        return eq_fail_memory(ctx, "an evaluation's table");
    fprintf(out, "%d image%s, labelled by %s\n", evaluation->n, evaluation->n == 1 ? "" : "s", evaluation->evaluator);
    for (int i = 0; i < evaluation->attribute_count; i++)
        print_attribute(out, &evaluation->attributes[i]);
    bool complete = true;
    for (int i = 0; complete && i < evaluation->joint_count; i++)
        complete = print_joint(out, &evaluation->joint[i]);
    if (evaluation->reference != NULL)
        print_reference(out, evaluation);
    if (evaluation->drift != NULL)
        print_drift(out, evaluation->drift);
    if (evaluation->clip != NULL) {
        print_estimate(out, "\nCLIP score", 2, evaluation->clip->score);
        fprintf(out, ", %d images with their prompts, in %s\n", evaluation->clip->n, evaluation->clip->clip);
    }
    complete &= !ferror(out);
    if (fclose(out) != 0 || !complete) {
        free(buffer);
        return eq_fail_memory(ctx, "an evaluation's table");
    }
    *text = buffer;
    return EQ_OK;
}

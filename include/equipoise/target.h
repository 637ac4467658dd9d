/* Targets: the distribution over an attribute's classes, or over the cells of several attributes together, that a set
 * of images is to follow. */
#ifndef EQUIPOISE_TARGET_H
#define EQUIPOISE_TARGET_H

#include <stddef.h>

#include "equipoise/context.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An attribute and its classes, e.g. "gender" with "female" and "male". Where functions take one, the strings belong
 * to the caller. */
typedef struct eq_attribute {
    const char *name;
    int classes;                    /* at least 1 */
    const char *const *class_names; /* [classes] */
} eq_attribute;

/* The position of the attribute or class of that name; -1 if there is none. */
EQ_API int eq_attribute_find(const eq_attribute *attributes, int count, const char *name);
EQ_API int eq_class_find(const eq_attribute *attribute, const char *name);

/* Limits of one joint target. */
enum { EQ_TARGET_ATTRIBUTES = 8, EQ_TARGET_CELLS = 1024 };

/* A target over one attribute, or a joint one over several. A cell is one combination of classes; with one attribute
 * the cells are its classes. Freed by eq_target_free; all of it belongs to the target. */
typedef struct eq_target {
    int attribute_count;
    eq_attribute *attributes; /* [attribute_count] in the order of the text, classes in the known order */
    int cells;                /* the product of the class counts */
    double *p;                /* [cells], the last attribute's class running fastest; non-negative, sums to 1 */
} eq_target;

/* Parses the form of the command line, "gender=female:0.5,male:0.5" or
 * "gender*glasses=female/yes:0.25,female/no:0.25,male/yes:0.25,male/no:0.25". Spaces around names and numbers are
 * ignored; probabilities are decimal numbers or fractions ("1/3"). Names with '=' or ',' in them can be given in a file
 * only (see eq_targets_read).
 *
 * known: [known_count] the attributes there are; NULL: those that the text names, with the classes it names, in its
 * order. Probabilities must add up to 1 within 0.001 and are then normalised;
 * classes left out get 0, which is accepted only where the others already add up to 1.
 * EQ_BAD_USAGE: malformed text; an unknown, repeated or missing attribute or class; a probability that is negative or
 * not a number; a wrong sum. The message says which, and what there is. */
EQ_API eq_status eq_target_parse(eq_context *ctx, const char *text, const eq_attribute *known, int known_count,
                                 eq_target *out);
EQ_API void eq_target_free(eq_target *target);

/* The target in the form of the command line, "gender=female:0.5,male:0.5"; malloc'ed, the caller frees it. */
EQ_API eq_status eq_target_format(eq_context *ctx, const eq_target *target, char **text);

/* Writes "gender" or "gender*glasses" into buffer[size], and a cell's "female" or "female/yes". Like snprintf: always
 * terminated, returns the whole length. */
EQ_API int eq_target_name(const eq_target *target, char *buffer, size_t size);
EQ_API int eq_target_cell_name(const eq_target *target, int cell, char *buffer, size_t size);

/* The class of the target's attribute number `attribute` in a cell. */
EQ_API int eq_target_cell_class(const eq_target *target, int cell, int attribute);

/* p: [classes of that attribute], what the target asks of one of its attributes alone: the sum over the others. */
EQ_API void eq_target_marginal(const eq_target *target, int attribute, double *p);

/* The same target over the classes of other attribute lists, matched by name: an evaluator may know its classes in
 * another order, or more of them (they get 0). EQ_BAD_USAGE if `known` lacks an attribute, or a class that the target
 * gives a probability. */
EQ_API eq_status eq_target_align(eq_context *ctx, const eq_target *target, const eq_attribute *known, int known_count,
                                 eq_target *out);

/* quota: [cells], whole numbers of images that add up to n, by the largest remainder method (Hamilton); equal
 * remainders go to the lower cell. n >= 0. */
EQ_API void eq_target_quota(const eq_target *target, int n, int *quota);

/* Several targets to be met at once. Starts zeroed: `eq_targets targets = {0};`. An attribute is in one of them at
 * most, joint or alone, so that no two can contradict each other. */
typedef struct eq_targets {
    int count;
    eq_target *items; /* [count], owned */
} eq_targets;

/* Parses as eq_target_parse and appends. On failure the list is as before. */
EQ_API eq_status eq_targets_add(eq_context *ctx, eq_targets *targets, const char *text, const eq_attribute *known,
                                int known_count);

/* Appends all targets of a JSON file:
 *     {"age": {"young": 0.5, "old": 0.5}, "gender*glasses": {"female/yes": 0.25, "female/no": 0.25, ...}}
 * EQ_BAD_INPUT, naming the file, for what eq_target_parse calls bad usage, for a missing file, or for one that is not
 * of this form. On failure the list is as before. */
EQ_API eq_status eq_targets_read(eq_context *ctx, eq_targets *targets, const char *path, const eq_attribute *known,
                                 int known_count);

/* Frees the items and empties the list. */
EQ_API void eq_targets_free(eq_targets *targets);

#ifdef __cplusplus
}
#endif
#endif

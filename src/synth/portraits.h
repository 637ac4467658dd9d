/* The synthetic portrait world: drawn head-and-shoulders portraits with exact attribute labels, and the joint
 * distribution that they are sampled from. A portrait depends on (seed, index, labels) and nothing else. */
#ifndef EQ_SYNTH_PORTRAITS_H
#define EQ_SYNTH_PORTRAITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "io/image.h"

enum { EQ_GENDER_FEMALE, EQ_GENDER_MALE };
enum { EQ_SKIN_LIGHT, EQ_SKIN_MEDIUM, EQ_SKIN_DARK };
enum { EQ_AGE_YOUNG, EQ_AGE_OLDER };
enum { EQ_GLASSES_NO, EQ_GLASSES_YES };
enum {
    EQ_OCCUPATION_NONE,
    EQ_OCCUPATION_DOCTOR,
    EQ_OCCUPATION_NURSE,
    EQ_OCCUPATION_TEACHER,
    EQ_OCCUPATION_JUDGE,
    EQ_OCCUPATION_CHEF,
    EQ_OCCUPATION_BUILDER,
    EQ_OCCUPATION_FIREFIGHTER,
    EQ_OCCUPATION_EXECUTIVE,
    EQ_OCCUPATION_SCIENTIST,
    EQ_OCCUPATION_FLORIST,
    EQ_OCCUPATION_COUNT
};

enum {
    EQ_PORTRAIT_ATTRIBUTES = 4,
    EQ_PORTRAIT_MAX_CLASSES = 3,
    EQ_PORTRAIT_CELLS = 24,
    EQ_PORTRAIT_SIZE = 64,
    EQ_PORTRAIT_MIN_SIZE = 16,
    EQ_PORTRAIT_MAX_SIZE = 2048,
};

/* What a portrait is made to show. Each member is an index into the class names of its attribute; `occupation` is one
 * into eq_occupation_names (occupations.h), and only that world's portraits have one. */
typedef struct eq_portrait_labels {
    uint8_t gender, skin, age, glasses, occupation;
} eq_portrait_labels;

typedef struct eq_portrait_attribute {
    const char *name;
    int class_count;
    const char *classes[EQ_PORTRAIT_MAX_CLASSES];
} eq_portrait_attribute;

/* gender, skin, age, glasses: the order of the labels' members and of the columns of labels.csv. */
extern const eq_portrait_attribute eq_portrait_attributes[EQ_PORTRAIT_ATTRIBUTES];

/* The class index that `labels` holds for attribute 0..3. */
int eq_portrait_label(eq_portrait_labels labels, int attribute);

/* The probability of each combination of classes; sums to 1. */
typedef struct eq_portrait_distribution {
    double cells[EQ_PORTRAIT_CELLS];
} eq_portrait_distribution;

/* Cells count glasses fastest, then age, skin, gender. */
int eq_portrait_cell(eq_portrait_labels labels);
eq_portrait_labels eq_portrait_cell_labels(int cell);

/* The default: a world with the biases of a web-scraped face collection. See portraits.c for its conditional tables. */
eq_portrait_distribution eq_portrait_biased(void);
/* Every cell 1/24. */
eq_portrait_distribution eq_portrait_balanced(void);
/* Reweights the biased default, keeping its odds ratios, until it has the marginals given in `options[count]`: texts
 * like "gender=female:0.5,male:0.5". An attribute not named keeps its marginal. Every class of a named attribute must
 * be given; the values must sum to 1 within 0.001 (the rest is normalised away). EQ_BAD_USAGE names the option. */
eq_status eq_portrait_from_marginals(eq_context *ctx, const char *const *options, size_t count,
                                     eq_portrait_distribution *out);
/* The same with `start`, no cell of which is 0, in the place of the biased default. `out` may be `start`. */
eq_status eq_portrait_reweight(eq_context *ctx, const eq_portrait_distribution *start, const char *const *options,
                               size_t count, eq_portrait_distribution *out);
/* Reweights `joint`, no cell of which is 0, keeping its odds ratios, until it has these marginals, each [class_count]
 * and summing to 1; an attribute whose marginal is NULL keeps its own. */
void eq_portrait_fit(eq_portrait_distribution *joint, const double *const marginals[EQ_PORTRAIT_ATTRIBUTES]);
/* marginal: [class_count of the attribute] */
void eq_portrait_marginal(const eq_portrait_distribution *distribution, int attribute, double *marginal);

/* The labels of portrait `index`, sampled from the distribution. */
eq_portrait_labels eq_portrait_sample_labels(const eq_portrait_distribution *distribution, uint64_t seed,
                                             uint64_t index);

/* Draws a portrait of size x size pixels. `out` is new; the caller frees it with eq_image_free. The same (seed, index)
 * at another size is the same portrait at another resolution. */
eq_status eq_portrait_draw(eq_context *ctx, int size, uint64_t seed, uint64_t index, eq_portrait_labels labels,
                           eq_image *out);

typedef struct eq_synth_options {
    uint64_t count;
    int size; /* pixels; 0 means EQ_PORTRAIT_SIZE */
    uint64_t seed;
    uint64_t first_index;
    const eq_portrait_distribution *distribution;  /* borrowed; NULL means the biased default */
    const struct eq_occupation_world *occupations; /* borrowed; in the place of `distribution`: people at work */
    const char *out_dir;                           /* created where missing */
} eq_synth_options;

/* Told after each image; calls come from several threads, one at a time. */
typedef void (*eq_synth_progress)(void *user, uint64_t done, uint64_t total);

/* Writes out_dir/images/000000.png... (named by index) and out_dir/labels.csv with the header
 * file_name,gender,skin,age,glasses, file names relative to images/. People at work have a further column occupation,
 * and captions.csv with the header file_name,caption. labels.csv is written last: where it stands, the set is complete.
 */
eq_status eq_synth_write(eq_context *ctx, const eq_synth_options *options, eq_synth_progress progress, void *user);

#endif

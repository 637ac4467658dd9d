#include "synth/portraits.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "synth/random.h"

const eq_portrait_attribute eq_portrait_attributes[EQ_PORTRAIT_ATTRIBUTES] = {
    {"gender", 2, {"female", "male"}},
    {"skin", 3, {"light", "medium", "dark"}},
    {"age", 2, {"young", "older"}},
    {"glasses", 2, {"no", "yes"}},
};

int eq_portrait_label(eq_portrait_labels labels, int attribute)
{
    const int values[EQ_PORTRAIT_ATTRIBUTES] = {labels.gender, labels.skin, labels.age, labels.glasses};
    return values[attribute];
}

int eq_portrait_cell(eq_portrait_labels labels)
{
    int cell = 0;
    for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES; a++)
        cell = cell * eq_portrait_attributes[a].class_count + eq_portrait_label(labels, a);
    return cell;
}

eq_portrait_labels eq_portrait_cell_labels(int cell)
{
    int values[EQ_PORTRAIT_ATTRIBUTES];
    for (int a = EQ_PORTRAIT_ATTRIBUTES - 1; a >= 0; a--) {
        values[a] = cell % eq_portrait_attributes[a].class_count;
        cell /= eq_portrait_attributes[a].class_count;
    }
    return (eq_portrait_labels){(uint8_t)values[0], (uint8_t)values[1], (uint8_t)values[2], (uint8_t)values[3],
                                EQ_OCCUPATION_NONE};
}

/* The biased world, as a chain: gender; skin, independent of the rest; age given gender; glasses given age.
 *
 *   gender   female 0.25                      male 0.75
 *   skin     light 0.65   medium 0.22         dark 0.13
 *   older    0.08 of the women                0.24 of the men         0.25 * 0.08 + 0.75 * 0.24 = 0.20
 *   glasses  0.05 of the young                0.40 of the older       0.80 * 0.05 + 0.20 * 0.40 = 0.12
 *
 * So nine in ten older people are men and two in three people with glasses are older; an older dark-skinned woman is
 * one portrait in 385. */
eq_portrait_distribution eq_portrait_biased(void)
{
    static const double gender[] = {0.25, 0.75};
    static const double skin[] = {0.65, 0.22, 0.13};
    static const double older_given_gender[] = {0.08, 0.24};
    static const double glasses_given_age[] = {0.05, 0.40};

    eq_portrait_distribution out;
    for (int cell = 0; cell < EQ_PORTRAIT_CELLS; cell++) {
        eq_portrait_labels l = eq_portrait_cell_labels(cell);
        double older = older_given_gender[l.gender];
        double glasses = glasses_given_age[l.age];
        out.cells[cell] = gender[l.gender] * skin[l.skin] * (l.age == EQ_AGE_OLDER ? older : 1 - older) *
                          (l.glasses == EQ_GLASSES_YES ? glasses : 1 - glasses);
    }
    return out;
}

eq_portrait_distribution eq_portrait_balanced(void)
{
    eq_portrait_distribution out;
    for (int cell = 0; cell < EQ_PORTRAIT_CELLS; cell++)
        out.cells[cell] = 1.0 / EQ_PORTRAIT_CELLS;
    return out;
}

void eq_portrait_marginal(const eq_portrait_distribution *distribution, int attribute, double *marginal)
{
    for (int k = 0; k < eq_portrait_attributes[attribute].class_count; k++)
        marginal[k] = 0;
    for (int cell = 0; cell < EQ_PORTRAIT_CELLS; cell++)
        marginal[eq_portrait_label(eq_portrait_cell_labels(cell), attribute)] += distribution->cells[cell];
}

void eq_portrait_fit(eq_portrait_distribution *joint, const double *const marginals[EQ_PORTRAIT_ATTRIBUTES])
{
    double wanted[EQ_PORTRAIT_ATTRIBUTES][EQ_PORTRAIT_MAX_CLASSES];
    for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES; a++) {
        if (marginals[a])
            memcpy(wanted[a], marginals[a], (size_t)eq_portrait_attributes[a].class_count * sizeof wanted[a][0]);
        else
            eq_portrait_marginal(joint, a, wanted[a]);
    }

    /* Iterative proportional fitting. Every cell of the start is positive, so it converges for any marginals; the
     * bound is generous. */
    enum { MAX_ROUNDS = 1000 };
    double worst = 1;
    for (int round = 0; round < MAX_ROUNDS && worst > 1e-12; round++) {
        worst = 0;
        for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES; a++) {
            double current[EQ_PORTRAIT_MAX_CLASSES];
            eq_portrait_marginal(joint, a, current);
            for (int cell = 0; cell < EQ_PORTRAIT_CELLS; cell++) {
                int k = eq_portrait_label(eq_portrait_cell_labels(cell), a);
                if (current[k] > 0)
                    joint->cells[cell] *= wanted[a][k] / current[k];
            }
            for (int k = 0; k < eq_portrait_attributes[a].class_count; k++)
                worst = fmax(worst, fabs(current[k] - wanted[a][k]));
        }
    }
}

/* The wanted marginals; given[a] tells whether attribute a was named. */
typedef struct marginals {
    int given[EQ_PORTRAIT_ATTRIBUTES];
    double values[EQ_PORTRAIT_ATTRIBUTES][EQ_PORTRAIT_MAX_CLASSES];
} marginals;

static int equals(const char *name, const char *text, size_t length)
{
    return strlen(name) == length && memcmp(name, text, length) == 0;
}

static int find_attribute(const char *text, size_t length)
{
    for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES; a++)
        if (equals(eq_portrait_attributes[a].name, text, length))
            return a;
    return -1;
}

static int find_class(const eq_portrait_attribute *attribute, const char *text, size_t length)
{
    for (int k = 0; k < attribute->class_count; k++)
        if (equals(attribute->classes[k], text, length))
            return k;
    return -1;
}

/* strtod, whatever the program's locale. */
static double number(const char *text, char **end)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c == (locale_t)0)
        return strtod(text, end);
    double value = strtod_l(text, end, c);
    freelocale(c);
    return value;
}

/* Reads "class:probability,..." of `option`, starting at `text`, into values[class_count]. */
static eq_status parse_classes(eq_context *ctx, const char *option, const char *text,
                               const eq_portrait_attribute *attribute, double *values)
{
    int seen[EQ_PORTRAIT_MAX_CLASSES] = {0};
    double sum = 0;
    for (;;) {
        size_t length = strcspn(text, ":,");
        if (text[length] != ':')
            return eq_fail(ctx, EQ_BAD_USAGE, "distribution '%s': expected class:probability at '%s'", option, text);
        int k = find_class(attribute, text, length);
        if (k < 0)
            return eq_fail(ctx, EQ_BAD_USAGE, "distribution '%s': %s has no class '%.*s'; its classes are %s, %s%s%s",
                           option, attribute->name, (int)length, text, attribute->classes[0], attribute->classes[1],
                           attribute->class_count > 2 ? ", " : "",
                           attribute->class_count > 2 ? attribute->classes[2] : "");
        if (seen[k]++)
            return eq_fail(ctx, EQ_BAD_USAGE, "distribution '%s': class '%s' is given twice", option,
                           attribute->classes[k]);
        text += length + 1;
        char *end;
        values[k] = number(text, &end);
        if (end == text || (*end != ',' && *end != '\0') || !(values[k] >= 0 && values[k] <= 1))
            return eq_fail(ctx, EQ_BAD_USAGE, "distribution '%s': expected a probability in 0..1 for '%s' at '%s'",
                           option, attribute->classes[k], text);
        sum += values[k];
        if (*end == '\0')
            break;
        text = end + 1;
    }
    for (int k = 0; k < attribute->class_count; k++)
        if (!seen[k])
            return eq_fail(ctx, EQ_BAD_USAGE, "distribution '%s': class '%s' is missing; give 0 to leave it out",
                           option, attribute->classes[k]);
    if (fabs(sum - 1) > 1e-3)
        return eq_fail(ctx, EQ_BAD_USAGE, "distribution '%s': the probabilities sum to %g, expected 1", option, sum);
    for (int k = 0; k < attribute->class_count; k++)
        values[k] /= sum;
    return EQ_OK;
}

static eq_status parse_option(eq_context *ctx, const char *option, marginals *wanted)
{
    size_t length = strcspn(option, "=");
    if (option[length] != '=')
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "distribution '%s': expected attribute=class:probability,..., as in gender=female:0.5,male:0.5",
                       option);
    int a = find_attribute(option, length);
    if (a < 0)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "distribution '%s': no attribute '%.*s'; portraits have gender, skin, age and glasses", option,
                       (int)length, option);
    if (wanted->given[a]++)
        return eq_fail(ctx, EQ_BAD_USAGE, "distribution '%s': attribute '%s' is given twice", option,
                       eq_portrait_attributes[a].name);
    return parse_classes(ctx, option, option + length + 1, &eq_portrait_attributes[a], wanted->values[a]);
}

eq_status eq_portrait_from_marginals(eq_context *ctx, const char *const *options, size_t count,
                                     eq_portrait_distribution *out)
{
    const eq_portrait_distribution biased = eq_portrait_biased();
    return eq_portrait_reweight(ctx, &biased, options, count, out);
}

eq_status eq_portrait_reweight(eq_context *ctx, const eq_portrait_distribution *start, const char *const *options,
                               size_t count, eq_portrait_distribution *out)
{
    marginals wanted = {0};
    for (size_t i = 0; i < count; i++)
        EQ_TRY(parse_option(ctx, options[i], &wanted));
    const double *values[EQ_PORTRAIT_ATTRIBUTES];
    for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES; a++)
        values[a] = wanted.given[a] ? wanted.values[a] : NULL;
    *out = *start;
    eq_portrait_fit(out, values);
    return EQ_OK;
}

eq_portrait_labels eq_portrait_sample_labels(const eq_portrait_distribution *distribution, uint64_t seed,
                                             uint64_t index)
{
    eq_rng rng = eq_rng_make(seed, index, EQ_SYNTH_LABELS);
    double u = eq_rng_uniform(&rng);
    int last_possible = 0;
    for (int cell = 0; cell < EQ_PORTRAIT_CELLS; cell++) {
        if (distribution->cells[cell] <= 0)
            continue;
        last_possible = cell;
        if (u < distribution->cells[cell])
            break;
        u -= distribution->cells[cell];
    }
    return eq_portrait_cell_labels(last_possible);
}

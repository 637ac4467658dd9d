/* The world of people at work: shares, labels, drawings, captions, sets on disk. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/path.h"
#include "io/captions.h"
#include "io/labels.h"
#include "synth/occupations.h"
#include "temporary.h"

enum { GENDER, SKIN, AGE, GLASSES };

static eq_context *ctx;

static double probability(const eq_portrait_distribution *distribution, int attribute, int class)
{
    double marginal[EQ_PORTRAIT_MAX_CLASSES];
    eq_portrait_marginal(distribution, attribute, marginal);
    return marginal[class];
}

static void biased_shares_are_as_documented(void **state)
{
    const eq_occupation_world world = eq_occupations_biased();
    const eq_portrait_distribution *builder = &world.given[EQ_OCCUPATION_BUILDER],
                                   *nurse = &world.given[EQ_OCCUPATION_NURSE],
                                   *judge = &world.given[EQ_OCCUPATION_JUDGE];
    assert_float_equal(probability(builder, GENDER, EQ_GENDER_FEMALE), 0.05, 1e-9);
    assert_float_equal(probability(nurse, GENDER, EQ_GENDER_FEMALE), 0.90, 1e-9);
    assert_float_equal(probability(judge, AGE, EQ_AGE_OLDER), 0.65, 1e-9);
    for (int o = 1; o < EQ_OCCUPATION_COUNT; o++) {
        assert_float_equal(probability(&world.given[o], SKIN, EQ_SKIN_LIGHT), 0.65, 1e-9);
        for (int cell = 0; cell < EQ_PORTRAIT_CELLS; cell++)
            assert_true(world.given[o].cells[cell] > 0);
    }
}

static void marginals_hold_in_every_occupation(void **state)
{
    eq_occupation_world world = eq_occupations_biased();
    const char *even = "gender=female:0.5,male:0.5", *fault = "gender=female:0.5,male:0.6";
    assert_int_equal(eq_occupations_reweight(ctx, &even, 1, &world), EQ_OK);
    for (int o = 1; o < EQ_OCCUPATION_COUNT; o++)
        assert_float_equal(probability(&world.given[o], GENDER, EQ_GENDER_FEMALE), 0.5, 1e-9);
    assert_float_equal(probability(&world.given[EQ_OCCUPATION_JUDGE], AGE, EQ_AGE_OLDER), 0.65, 1e-9);
    assert_int_equal(eq_occupations_reweight(ctx, &fault, 1, &world), EQ_BAD_USAGE);
}

/* Ten occupations of the same frequency, each with its share of women, within five standard deviations. */
static void labels_follow_the_world(void **state)
{
    enum { COUNT = 40000 };
    const eq_occupation_world world = eq_occupations_biased();
    double counts[EQ_OCCUPATION_COUNT] = {0}, women[EQ_OCCUPATION_COUNT] = {0};
    for (uint64_t i = 0; i < COUNT; i++) {
        const eq_portrait_labels labels = eq_occupations_sample_labels(&world, 5, i);
        counts[labels.occupation]++;
        women[labels.occupation] += labels.gender == EQ_GENDER_FEMALE;
    }
    assert_true(counts[EQ_OCCUPATION_NONE] == 0);
    for (int o = 1; o < EQ_OCCUPATION_COUNT; o++) {
        const double share = probability(&world.given[o], GENDER, EQ_GENDER_FEMALE);
        assert_true(fabs(counts[o] - COUNT / 10.0) < 5 * sqrt(COUNT * 0.1 * 0.9));
        assert_true(fabs(women[o] - counts[o] * share) < 5 * sqrt(counts[o] * share * (1 - share)));
    }
}

static eq_image draw(uint64_t index, eq_portrait_labels labels)
{
    eq_image image;
    if (eq_portrait_draw(ctx, 64, 1, index, labels, &image) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    return image;
}

static double difference(const eq_image *a, const eq_image *b)
{
    double sum = 0;
    for (size_t i = 0; i < 3 * 64 * 64; i++)
        sum += abs(a->pixels[i] - b->pixels[i]);
    return sum / (3 * 64 * 64);
}

/* Whatever the face and hair, each occupation differs from every other and from a portrait without one. */
static void every_occupation_shows(void **state)
{
    for (int cell = 0; cell < EQ_PORTRAIT_CELLS; cell += 5) {
        eq_image images[EQ_OCCUPATION_COUNT];
        for (int o = 0; o < EQ_OCCUPATION_COUNT; o++) {
            eq_portrait_labels labels = eq_portrait_cell_labels(cell);
            labels.occupation = (uint8_t)o;
            images[o] = draw((uint64_t)cell, labels);
            for (int other = 0; other < o; other++)
                assert_true(difference(&images[o], &images[other]) > 2);
        }
        for (int o = 0; o < EQ_OCCUPATION_COUNT; o++)
            eq_image_free(&images[o]);
    }
    eq_image none = {0};
    const eq_portrait_labels bad = {.occupation = EQ_OCCUPATION_COUNT};
    assert_int_equal(eq_portrait_draw(ctx, 64, 1, 1, bad, &none), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "occupation must be below 11"));
}

/* A row above the forehead is white there, whatever the hair: the toque covers it. */
static void hats_hide_the_crown(void **state)
{
    for (uint64_t i = 0; i < 60; i++) {
        eq_portrait_labels labels = eq_portrait_cell_labels((int)(i % EQ_PORTRAIT_CELLS));
        labels.age = EQ_AGE_YOUNG;
        labels.occupation = EQ_OCCUPATION_CHEF;
        eq_image image = draw(i, labels);
        for (int x = 28; x < 36; x++) {
            const uint8_t *p = image.pixels + 3 * (12 * 64 + x);
            if (p[0] < 150 || p[1] < 150 || p[2] < 150)
                fail_msg("portrait %d: hair of colour %d, %d, %d above the hat", (int)i, p[0], p[1], p[2]);
        }
        eq_image_free(&image);
    }
}

/* Models were trained on these pictures; see the test of the same name for portraits. */
static void the_look_is_the_one_that_models_know(void **state)
{
    static const double known[EQ_OCCUPATION_COUNT - 1][3] = {
        {156.25, 180.23, 167.16}, {150.16, 191.66, 162.13}, {105.54, 103.90, 97.13}, {129.43, 90.98, 66.46},
        {185.44, 158.91, 131.65}, {190.67, 136.91, 102.04}, {161.59, 105.69, 72.37}, {129.96, 142.04, 157.72},
        {158.00, 195.28, 202.47}, {196.14, 150.20, 162.27},
    };
    for (int o = 1; o < EQ_OCCUPATION_COUNT; o++) {
        eq_portrait_labels labels = eq_portrait_cell_labels(7 * o % EQ_PORTRAIT_CELLS);
        labels.occupation = (uint8_t)o;
        eq_image image = draw((uint64_t)o, labels);
        double mean[3] = {0};
        for (int p = 0; p < 3 * 64 * 64; p++)
            mean[p % 3] += image.pixels[p] / (64.0 * 64);
        for (int c = 0; c < 3; c++)
            if (fabs(mean[c] - known[o - 1][c]) > 0.5)
                fail_msg("%s has mean colour %.2f, %.2f, %.2f", eq_occupation_names[o], mean[0], mean[1], mean[2]);
        eq_image_free(&image);
    }
}

static bool says(const char *caption, const char *word)
{
    const char *at = strstr(caption, word);
    const size_t length = strlen(word);
    return at && (at == caption || at[-1] == ' ') && (at[length] == '\0' || at[length] == ' ' || at[length] == ',');
}

/* A caption may leave things out, but what it says is so. */
static void check_caption(const char *caption, eq_portrait_labels labels)
{
    static const char *const genders[2][2] = {{"female", "woman"}, {"male", "man"}};
    static const char *const skins[3] = {"light", "medium", "dark"}, *const ages[2] = {"young", "older"};
    const bool female = says(caption, "female") || says(caption, "woman");
    const bool male = says(caption, "male") || says(caption, "man");
    assert_false(female && male);
    if (female || male)
        assert_true(says(caption, genders[labels.gender][0]) || says(caption, genders[labels.gender][1]));
    assert_false(says(caption, ages[1 - labels.age]));
    for (int skin = 0; skin < 3; skin++)
        assert_true(skin == labels.skin || !strstr(caption, skins[skin]));
    assert_true(labels.glasses == EQ_GLASSES_YES || !says(caption, "glasses"));
    for (int o = 1; o < EQ_OCCUPATION_COUNT; o++)
        assert_true(o == labels.occupation || !says(caption, eq_occupation_names[o]));
    for (const char *at = caption; (at = strstr(at, "a ")); at++)
        assert_true((at != caption && at[-1] != ' ') || !strchr("aeiou", at[2]));
}

static void captions_are_true_and_various(void **state)
{
    enum { COUNT = 4000 };
    const eq_occupation_world world = eq_occupations_balanced();
    int bare = 0, gender = 0, person = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        const eq_portrait_labels labels = eq_occupations_sample_labels(&world, 9, i);
        const char *name = eq_occupation_names[labels.occupation];
        char caption[EQ_PORTRAIT_CAPTION_SIZE], plain[EQ_PORTRAIT_CAPTION_SIZE];
        eq_portrait_caption(9, i, labels, caption);
        check_caption(caption, labels);
        snprintf(plain, sizeof plain, "%s %s", labels.occupation == EQ_OCCUPATION_EXECUTIVE ? "an" : "a", name);
        const char *at = strstr(caption, plain);
        bare += at && !at[strlen(plain)];
        gender += says(caption, "female") || says(caption, "male") || says(caption, "woman") || says(caption, "man");
        person += !says(caption, name);
    }
    assert_true(bare > COUNT / 3 && bare < COUNT / 2);
    assert_true(gender > COUNT / 4 && gender < COUNT / 2);
    assert_true(person > COUNT / 12 && person < COUNT / 6);
}

static void sets_hold_labels_and_captions(void **state)
{
    const eq_occupation_world world = eq_occupations_biased();
    char *folder = eq_path_join(*state, "set");
    eq_synth_options options = {
        .count = 30, .size = 32, .seed = 6, .first_index = 100, .occupations = &world, .out_dir = folder};
    if (eq_synth_write(ctx, &options, NULL, NULL) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    char *labels_path = eq_path_join(folder, "labels.csv"), *captions_path = eq_path_join(folder, "captions.csv");
    eq_labels labels;
    eq_captions captions;
    assert_int_equal(eq_labels_read(ctx, labels_path, &labels), EQ_OK);
    assert_int_equal(eq_captions_read(ctx, captions_path, &captions), EQ_OK);
    assert_int_equal(labels.count, 30);
    assert_int_equal(captions.count, 30);
    assert_int_equal(labels.attribute_count, 5);
    assert_string_equal(labels.attributes[4].name, "occupation");
    for (uint64_t i = 0; i < 30; i++) {
        const eq_portrait_labels l = eq_occupations_sample_labels(&world, 6, 100 + i);
        char file[32], caption[EQ_PORTRAIT_CAPTION_SIZE];
        snprintf(file, sizeof file, "%06d.png", 100 + (int)i);
        const int64_t row = eq_labels_find(&labels, file);
        assert_true(row >= 0);
        assert_string_equal(labels.attributes[4].class_names[labels.classes[5 * row + 4]],
                            eq_occupation_names[l.occupation]);
        size_t first;
        assert_int_equal(eq_captions_find(&captions, file, &first), 1);
        assert_string_equal(captions.items[first].text, eq_portrait_caption(6, 100 + i, l, caption));
    }
    eq_labels_free(&labels);
    eq_captions_free(&captions);

    /* Another set in the same folder does not keep the captions. */
    options.occupations = NULL;
    assert_int_equal(eq_synth_write(ctx, &options, NULL, NULL), EQ_OK);
    assert_false(eq_path_exists(captions_path));
    free(labels_path);
    free(captions_path);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(biased_shares_are_as_documented),
        cmocka_unit_test(marginals_hold_in_every_occupation),
        cmocka_unit_test(labels_follow_the_world),
        cmocka_unit_test(every_occupation_shows),
        cmocka_unit_test(hats_hide_the_crown),
        cmocka_unit_test(the_look_is_the_one_that_models_know),
        cmocka_unit_test(captions_are_true_and_various),
        cmocka_unit_test_setup_teardown(sets_hold_labels_and_captions, temporary_setup, temporary_teardown),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}

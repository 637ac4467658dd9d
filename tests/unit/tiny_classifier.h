/* A classifier with random weights, for the tests of what classifiers guide and choose. */
#ifndef EQ_TESTS_UNIT_TINY_CLASSIFIER_H
#define EQ_TESTS_UNIT_TINY_CLASSIFIER_H

#include "models/classifier_file.h"
#include "unit/tiny.h"

/* Writes a classifier folder: gender, and with 2 attributes age. */
static inline void tiny_classifier(eq_context *ctx, const char *path, int attributes, uint64_t seed)
{
    const eq_classifier_config config = {.trunk = eq_trunk_find("resnet"),
                                         .size = TINY_SIDE,
                                         .stages = 2,
                                         .channels = {4, 8},
                                         .blocks = 1,
                                         .attribute_count = attributes,
                                         .attributes = {tiny_gender(), tiny_age()}};
    const eq_classifier_score scores[2] = {{.accuracy = NAN}, {.accuracy = NAN}};
    eq_params *params = eq_params_new(ctx);
    assert_ok(eq_classifier_declare(params, &config));
    assert_ok(eq_params_allocate(params));
    eq_params_initialise(params, seed);
    for (int64_t i = 0; i < params->total; i++)
        params->storage[i] *= 3; /* so that it is sure of something */
    assert_ok(eq_classifier_file_save(ctx, path, &config, scores, params, EQ_F32));
    eq_params_free(params);
}

#endif

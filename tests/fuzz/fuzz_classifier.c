/* classifier.json of a classifier's folder, beside the weights of a small classifier. */
#include <math.h>

#include "folder.h"
#include "models/classifier_file.h"

static void write_weights(eq_context *ctx)
{
    const eq_classifier_config config = {.trunk = eq_trunk_find("resnet"),
                                         .size = 8,
                                         .stages = 1,
                                         .channels = {4},
                                         .blocks = 1,
                                         .attribute_count = 1,
                                         .attributes = {{"gender", 2, (const char *const[]){"female", "male"}}}};
    const eq_classifier_score score = {.accuracy = NAN};
    eq_params *params = eq_params_new(ctx);
    fuzz_folder_file("classifier.safetensors");
    FUZZ_CHECK(params && eq_classifier_declare(params, &config) == EQ_OK && eq_params_allocate(params) == EQ_OK);
    eq_params_initialise(params, 1);
    FUZZ_CHECK(eq_classifier_file_save(ctx, fuzz_folder(), &config, &score, params, EQ_F32) == EQ_OK);
    eq_params_free(params);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    eq_classifier_file file;
    if (!fuzz_folder_path[0])
        write_weights(ctx);
    fuzz_folder_write("classifier.json", data, size);
    if (fuzz_accepted(ctx, eq_classifier_file_open(ctx, fuzz_folder(), &file), EQ_BAD_INPUT)) {
        FUZZ_CHECK(file.config.attribute_count >= 1 && file.config.attributes[0].classes >= 2);
        FUZZ_CHECK(file.params->total > 0);
        eq_classifier_file_close(&file);
    }
    eq_context_free(ctx);
    return 0;
}

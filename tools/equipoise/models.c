#include "models.h"

#include <stdlib.h>
#include <string.h>

#include "base/path.h"

static bool is_model(const char *folder)
{
    char *index = folder ? eq_path_join(folder, "model_index.json") : NULL;
    bool there = index && eq_path_exists(index);
    free(index);
    return there;
}

eq_status eq_model_folder(eq_context *ctx, const char *name, char **folder)
{
    const char *environment = getenv("EQUIPOISE_MODELS");
    const char *places[] = {"", environment, "models", EQUIPOISE_DATA_FOLDER "/models",
                            EQUIPOISE_SOURCE_FOLDER "/models"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (!places[i])
            continue;
        *folder = eq_path_join(places[i], name);
        if (is_model(*folder))
            return EQ_OK;
        free(*folder);
    }
    *folder = NULL;
    if (strchr(name, '/') || eq_path_exists(name)) { /* meant as a path: who opens it says what is wrong with it */
        *folder = strdup(name);
        return *folder ? EQ_OK : eq_fail_memory(ctx, "a path");
    }
    return eq_fail(ctx, EQ_BAD_INPUT,
                   "no model \"%s\": neither a model folder of that name nor one in ./models or %s/models; set "
                   "EQUIPOISE_MODELS to the folder of the models",
                   name, EQUIPOISE_DATA_FOLDER);
}

eq_status eq_classifier_folder(eq_context *ctx, const char *model, const char *name, char **folder)
{
    *folder = eq_path_exists(name) ? strdup(name) : eq_path_join(model, name);
    if (*folder && !eq_path_exists(*folder)) {
        free(*folder);
        *folder = strdup(name);
    }
    return *folder ? EQ_OK : eq_fail_memory(ctx, "a path");
}

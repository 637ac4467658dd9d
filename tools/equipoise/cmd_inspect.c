#include <stdlib.h>

#include "base/path.h"
#include "command.h"
#include "inspect.h"
#include "models.h"

enum { LONGEST_LIST = 64, KEY_COLUMN = 20 };

typedef struct settings {
    bool allow_unused;
} settings;

static const eq_option options[] = {EQ_OPTION_ALLOW_UNUSED, {0}};

static const char *const examples[] = {
    "equipoise inspect model",
    "equipoise inspect model/unet/diffusion_pytorch_model.safetensors",
    "equipoise inspect v1-5-pruned-emaonly.ckpt",
    "equipoise inspect labels.csv --json",
    NULL,
};

static void print_object(const json_t *object, int depth);

/* A value that fits a line. */
static void print_scalar(const json_t *value)
{
    if (json_is_string(value))
        fputs(json_string_value(value), stdout);
    else if (json_is_integer(value))
        printf("%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        printf("%.4g", json_real_value(value));
    else
        fputs(json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "unknown", stdout);
}

static void print_inline(const json_t *value);

static void print_list(const json_t *array)
{
    size_t count = json_array_size(array), shown = count > LONGEST_LIST ? LONGEST_LIST : count;
    fputc('[', stdout);
    for (size_t i = 0; i < shown; i++) {
        fputs(i ? ", " : "", stdout);
        print_inline(json_array_get(array, i));
    }
    fputs(shown < count ? ", ...]" : "]", stdout);
}

/* Anything in one line; the members of an object without their keys. */
static void print_inline(const json_t *value)
{
    const char *key, *gap = "";
    json_t *member;
    if (json_is_array(value))
        print_list(value);
    else if (!json_is_object(value))
        print_scalar(value);
    else
        json_object_foreach((json_t *)value, key, member)
        {
            fputs(gap, stdout);
            print_inline(member);
            gap = "  ";
        }
}

static void print_rows(const json_t *array, int depth)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        printf("%*s", 2 * depth, "");
        print_inline(json_array_get(array, i));
        fputc('\n', stdout);
    }
}

/* "h_shape" reads "h shape". */
static void print_key(const char *key, int depth)
{
    int column = 2 * depth;
    printf("%*s", column, "");
    for (; *key; key++, column++)
        fputc(*key == '_' ? ' ' : *key, stdout);
    printf("%*s", column + 2 < KEY_COLUMN ? KEY_COLUMN - column : 2, "");
}

static void print_value(const char *key, const json_t *value, int depth)
{
    bool rows = json_is_array(value) && json_is_object(json_array_get(value, 0));
    if (rows || (json_is_object(value) && json_object_size(value) > 0)) {
        printf("%*s%s\n", 2 * depth, "", key);
        if (rows)
            print_rows(value, depth + 1);
        else
            print_object(value, depth + 1);
        return;
    }
    print_key(key, depth);
    if (json_is_object(value))
        fputs("none", stdout);
    else
        print_inline(value);
    fputc('\n', stdout);
}

static void print_object(const json_t *object, int depth)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) print_value(key, value, depth);
}

static eq_status run(const eq_invocation *call)
{
    json_t *json;
    char *model = NULL;
    const char *path = call->arguments[0];
    const settings *s = call->settings;
    eq_set_allow_unused(call->ctx, s->allow_unused);
    bool named = !eq_path_exists(path) && eq_model_folder(call->ctx, path, &model) == EQ_OK;
    eq_status status = eq_inspect(call->ctx, named ? model : path, &json);
    free(model);
    EQ_TRY(status);
    if (call->common.json)
        return eq_print_json(call, json);
    print_object(json, 0);
    json_decref(json);
    return EQ_OK;
}

const eq_command eq_command_inspect = {
    .name = "inspect",
    .summary = "say what a file or folder is",
    .description =
        "Tells by the content: a model folder (network, schedule, shape of its h-space, the hash that "
        "attribute predictors are bound to), a file of tensors (safetensors, PyTorch's .pt and .ckpt: container, types, metadata, tensors), an attribute "
        "predictor, a classifier, h-vectors, a training checkpoint, the folder of a run, labels, or images. Files are "
        "checked as they are when used.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .arguments = {.value = "FILE|DIR|NAME", .least = 1, .most = 1, .kind = EQ_FILE},
    .reports = true,
    .run = run,
};

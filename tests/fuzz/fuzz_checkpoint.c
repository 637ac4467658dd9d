/* Checkpoints of pixel models: the first line is a model_config.json, the others are tensors, "<name> <size> <size>
 * ...". A network that is accepted must be one that can be built. */
#include <string.h>

#include "diffusion/checkpoint.h"
#include "fuzz.h"

enum { MOST_NUMBERS = 1 << 22 };

/* Adds the tensor of one line; false where it is not of that form. */
static bool add_line(eq_context *ctx, eq_tensor_file *file, char *line, float *numbers)
{
    char *state, *name = strtok_r(line, " ", &state), *size;
    if (!name)
        return true;
    eq_shape shape = {0};
    int64_t count = 1;
    while ((size = strtok_r(NULL, " ", &state))) {
        long value = strtol(size, NULL, 10);
        if (shape.rank == EQ_MAX_RANK || value < 0 || value > MOST_NUMBERS || (count *= value) > MOST_NUMBERS)
            return false;
        shape.dim[shape.rank++] = value;
    }
    return eq_tensor_file_add(ctx, file, name, &(eq_tensor){EQ_F32, shape, numbers}) == EQ_OK;
}

static bool read_lines(eq_context *ctx, char *text, float *numbers, eq_tensor_file *file, eq_json *settings)
{
    char *state, *line = strtok_r(text, "\n", &state);
    if (!line || eq_tensor_file_start(ctx, "input", file) != EQ_OK)
        return false;
    if (line[0] == '{' && eq_json_parse(ctx, line, strlen(line), "settings", settings) != EQ_OK)
        return false;
    while ((line = strtok_r(NULL, "\n", &state)))
        if (!add_line(ctx, file, line, numbers))
            return false;
    return eq_tensor_file_finish(ctx, file) == EQ_OK;
}

static void build(eq_context *ctx, const eq_unet_config *unet, eq_params *params)
{
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_unet network;
    int side = unet->sample_size;
    if (graph)
        FUZZ_CHECK(eq_unet_build(&(eq_builder){graph, params}, unet, 2, side, side, &network) == EQ_OK);
    eq_graph_free(graph);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    eq_params *params = eq_params_new(ctx);
    float *numbers = calloc(MOST_NUMBERS, sizeof *numbers);
    char *text = calloc(size + 1, 1);
    eq_tensor_file file = {0};
    eq_checkpoint_source source = {.weights = &file};
    const eq_family *family;
    memcpy(text, data, size);
    if (read_lines(ctx, text, numbers, &file, &source.settings) &&
        fuzz_accepted(ctx, eq_checkpoint_family(ctx, &file, &family), EQ_BAD_INPUT) && family->id != EQ_FAMILY_LDM) {
        eq_unet_config unet;
        eq_schedule schedule;
        if (fuzz_accepted(ctx, eq_checkpoint_load_source(ctx, family, &source, &unet, params, &schedule), EQ_BAD_INPUT))
            build(ctx, &unet, params);
        eq_schedule_free(&schedule);
    }
    eq_checkpoint_source_close(&source);
    eq_tensor_file_close(&file);
    eq_params_free(params);
    free(numbers);
    free(text);
    eq_context_free(ctx);
    return 0;
}

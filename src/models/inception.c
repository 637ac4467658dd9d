#include "models/inception.h"

#include <stdlib.h>
#include <string.h>

#include "models/batch_norm.h"
#include "models/weights.h"

static const double epsilon = 1e-3; /* of its batch norms */

/* A pass over the network: over a file's names first, to learn the channels, later to build. */
typedef struct walk {
    const eq_builder *b;
    eq_inception_config *config;
    const eq_tensor_file *file; /* NULL: the channels are known */
    eq_prefix missing;          /* the first convolution that the file does not have; empty: none */
    int at;                     /* convolutions so far */
} walk;

/* --- the network --- */

static int channels_of(walk *w, const char *name)
{
    if (w->at == EQ_INCEPTION_CONVOLUTIONS)
        return 1;
    int *channels = &w->config->channels[w->at++];
    if (!w->file)
        return *channels;
    eq_prefix weight = eq_prefix_format("%s.conv.weight", name);
    const eq_tensor *tensor = eq_tensor_file_find(w->file, weight.text);
    bool good = tensor && tensor->shape.rank == 4 && tensor->shape.dim[0] >= 1 && tensor->shape.dim[0] <= 1 << 14;
    if (!good && !w->missing.text[0])
        w->missing = weight;
    return *channels = good ? (int)tensor->shape.dim[0] : 1;
}

typedef struct kernel {
    int height, width, stride;
    bool padded; /* so that a stride of 1 keeps the size */
} kernel;

static const kernel ONE = {1, 1, 1, false}, THREE = {3, 3, 1, true}, FIVE = {5, 5, 1, true}, HALVE = {3, 3, 2, false};
static const kernel ROW3 = {1, 3, 1, true}, COLUMN3 = {3, 1, 1, true};
static const kernel ROW7 = {1, 7, 1, true}, COLUMN7 = {7, 1, 1, true};

/* Convolution with its folded norm, then ReLU. */
static eq_value unit(walk *w, eq_value x, kernel k, const char *block, const char *name)
{
    const eq_builder *b = w->b;
    eq_prefix full = eq_prefix_format("%s%s", block, name);
    int channels = channels_of(w, full.text), rows = k.padded ? k.height / 2 : 0, columns = k.padded ? k.width / 2 : 0;
    int64_t ci = eq_channels(b, x), fan_in = ci * k.height * k.width;
    eq_value weight = eq_params_value(b->params, b->graph, eq_shape_of(channels, ci, k.height, k.width),
                                      EQ_INIT_UNIFORM, fan_in, "%s.weight", full.text);
    eq_value bias =
        eq_params_value(b->params, b->graph, eq_shape_of(channels), EQ_INIT_UNIFORM, fan_in, "%s.bias", full.text);
    eq_conv conv = {k.stride, rows, columns, rows, columns};
    return eq_activate(b->graph, eq_conv2d(b->graph, x, weight, bias, EQ_NONE, conv), EQ_ACT_RELU);
}

static eq_value average(walk *w, eq_value x)
{
    return eq_average_pool(w->b->graph, x, 3, 1, 1);
}

static eq_value join(walk *w, int count, const eq_value *x)
{
    return eq_concat(w->b->graph, count, x);
}

/* Mixed_5b to 5d, of 35 x 35 places */
static eq_value block_a(walk *w, eq_value x, const char *name)
{
    eq_value one = unit(w, x, ONE, name, "branch1x1");
    eq_value five = unit(w, x, ONE, name, "branch5x5_1");
    five = unit(w, five, FIVE, name, "branch5x5_2");
    eq_value three = unit(w, x, ONE, name, "branch3x3dbl_1");
    three = unit(w, three, THREE, name, "branch3x3dbl_2");
    three = unit(w, three, THREE, name, "branch3x3dbl_3");
    eq_value pool = unit(w, average(w, x), ONE, name, "branch_pool");
    return join(w, 4, (eq_value[]){one, five, three, pool});
}

/* Mixed_6a, to 17 x 17 */
static eq_value block_b(walk *w, eq_value x, const char *name)
{
    eq_value three = unit(w, x, HALVE, name, "branch3x3");
    eq_value twice = unit(w, x, ONE, name, "branch3x3dbl_1");
    twice = unit(w, twice, THREE, name, "branch3x3dbl_2");
    twice = unit(w, twice, HALVE, name, "branch3x3dbl_3");
    return join(w, 3, (eq_value[]){three, twice, eq_max_pool(w->b->graph, x, 3, 2, 0)});
}

/* Mixed_6b to 6e */
static eq_value block_c(walk *w, eq_value x, const char *name)
{
    eq_value one = unit(w, x, ONE, name, "branch1x1");
    eq_value seven = unit(w, x, ONE, name, "branch7x7_1");
    seven = unit(w, seven, ROW7, name, "branch7x7_2");
    seven = unit(w, seven, COLUMN7, name, "branch7x7_3");
    eq_value twice = unit(w, x, ONE, name, "branch7x7dbl_1");
    twice = unit(w, twice, COLUMN7, name, "branch7x7dbl_2");
    twice = unit(w, twice, ROW7, name, "branch7x7dbl_3");
    twice = unit(w, twice, COLUMN7, name, "branch7x7dbl_4");
    twice = unit(w, twice, ROW7, name, "branch7x7dbl_5");
    eq_value pool = unit(w, average(w, x), ONE, name, "branch_pool");
    return join(w, 4, (eq_value[]){one, seven, twice, pool});
}

/* Mixed_7a, to 8 x 8 */
static eq_value block_d(walk *w, eq_value x, const char *name)
{
    eq_value three = unit(w, x, ONE, name, "branch3x3_1");
    three = unit(w, three, HALVE, name, "branch3x3_2");
    eq_value seven = unit(w, x, ONE, name, "branch7x7x3_1");
    seven = unit(w, seven, ROW7, name, "branch7x7x3_2");
    seven = unit(w, seven, COLUMN7, name, "branch7x7x3_3");
    seven = unit(w, seven, HALVE, name, "branch7x7x3_4");
    return join(w, 3, (eq_value[]){three, seven, eq_max_pool(w->b->graph, x, 3, 2, 0)});
}

/* Mixed_7b and 7c */
static eq_value block_e(walk *w, eq_value x, const char *name, bool maximum)
{
    eq_value one = unit(w, x, ONE, name, "branch1x1");
    eq_value three = unit(w, x, ONE, name, "branch3x3_1");
    eq_value row = unit(w, three, ROW3, name, "branch3x3_2a"), column = unit(w, three, COLUMN3, name, "branch3x3_2b");
    eq_value twice = unit(w, x, ONE, name, "branch3x3dbl_1");
    twice = unit(w, twice, THREE, name, "branch3x3dbl_2");
    eq_value row2 = unit(w, twice, ROW3, name, "branch3x3dbl_3a");
    eq_value column2 = unit(w, twice, COLUMN3, name, "branch3x3dbl_3b");
    eq_value pooled = maximum ? eq_max_pool(w->b->graph, x, 3, 1, 1) : average(w, x);
    eq_value pool = unit(w, pooled, ONE, name, "branch_pool");
    return join(w, 6, (eq_value[]){one, row, column, row2, column2, pool});
}

static eq_value build(walk *w, eq_value x)
{
    eq_graph *g = w->b->graph;
    x = unit(w, x, HALVE, "", "Conv2d_1a_3x3");
    x = unit(w, x, (kernel){3, 3, 1, false}, "", "Conv2d_2a_3x3");
    x = unit(w, x, THREE, "", "Conv2d_2b_3x3");
    x = eq_max_pool(g, x, 3, 2, 0);
    x = unit(w, x, ONE, "", "Conv2d_3b_1x1");
    x = unit(w, x, (kernel){3, 3, 1, false}, "", "Conv2d_4a_3x3");
    x = eq_max_pool(g, x, 3, 2, 0);
    x = block_a(w, x, "Mixed_5b.");
    x = block_a(w, x, "Mixed_5c.");
    x = block_a(w, x, "Mixed_5d.");
    x = block_b(w, x, "Mixed_6a.");
    x = block_c(w, x, "Mixed_6b.");
    x = block_c(w, x, "Mixed_6c.");
    x = block_c(w, x, "Mixed_6d.");
    x = block_c(w, x, "Mixed_6e.");
    x = block_d(w, x, "Mixed_7a.");
    x = block_e(w, x, "Mixed_7b.", false);
    x = block_e(w, x, "Mixed_7c.", true);
    if (x == EQ_NONE)
        return EQ_NONE;
    const eq_shape shape = *eq_shape_at(g, x);
    return eq_reshape(g, eq_average_pool(g, x, (int)shape.dim[1], 1, 0), eq_shape_of(shape.dim[0], shape.dim[3]));
}

eq_value eq_inception_build(const eq_builder *b, const eq_inception_config *config, eq_value x)
{
    eq_inception_config channels = *config;
    return build(&(walk){.b = b, .config = &channels}, x);
}

/* --- weights --- */

static eq_status declare(eq_context *ctx, const eq_tensor_file *file, eq_inception_config *config, eq_params *params)
{
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(ctx, "a graph");
    const eq_builder b = {graph, params};
    walk w = {.b = &b, .config = config, .file = file};
    params->declaring = true;
    build(&w, eq_graph_input(graph, "images", EQ_F32, eq_shape_of(1, EQ_INCEPTION_SIZE, EQ_INCEPTION_SIZE, 3)));
    params->declaring = false;
    eq_status status = EQ_OK;
    if (w.missing.text[0])
        status = eq_fail(ctx, EQ_BAD_INPUT,
                         "%s: no convolution %s; expected is Inception-v3 as pytorch-fid has it "
                         "(pt_inception-2015-12-05)",
                         file->path, w.missing.text);
    else
        status = eq_graph_status(graph);
    eq_graph_free(graph);
    return status;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* A tensor that belongs to no convolution is of another network. */
static eq_status check_unused(eq_context *ctx, const eq_tensor_file *file, const eq_params *params)
{
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->entries[i].name, *end = strstr(name, ".conv.weight");
        if (starts_with(name, "fc.") || starts_with(name, "AuxLogits."))
            continue;
        end = end ? end : strstr(name, ".bn.");
        eq_prefix weight = eq_prefix_format("%.*s.weight", end ? (int)(end - name) : 0, name);
        if (!end || !eq_params_find(params, weight.text))
            return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s: Inception-v3 has no such tensor", file->path, name);
    }
    return EQ_OK;
}

eq_status eq_inception_load(eq_context *ctx, const eq_tensor_file *file, eq_inception_config *config, eq_params *params)
{
    EQ_TRY(declare(ctx, file, config, params));
    EQ_TRY(check_unused(ctx, file, params));
    EQ_TRY(eq_weights_check_total(ctx, file, params));
    EQ_TRY(eq_params_allocate(params));
    for (int i = 0; i + 1 < params->count; i += 2) {
        eq_param *weight = &params->items[i];
        eq_prefix unit_name = eq_prefix_format("%.*s", (int)(strlen(weight->name) - strlen(".weight")), weight->name);
        float *numbers;
        EQ_TRY(eq_weights_take(ctx, file, eq_prefix_format("%s.conv.weight", unit_name.text).text, weight->tensor.shape,
                               &numbers));
        memcpy(weight->tensor.data, numbers, (size_t)eq_shape_count(&weight->tensor.shape) * sizeof *numbers);
        free(numbers);
        EQ_TRY(eq_batch_norm_fold(ctx, file, eq_prefix_format("%s.bn", unit_name.text).text, epsilon, weight,
                                  &params->items[i + 1]));
    }
    return EQ_OK;
}

/* --- images --- */

/* Where a place of the result lies between two pixels. */
typedef struct between {
    int first, second;
    float share; /* of the second */
} between;

static between place(int i, int length)
{
    float at = ((float)i + 0.5f) * ((float)length / EQ_INCEPTION_SIZE) - 0.5f;
    at = at > 0 ? at : 0;
    int first = (int)at < length - 1 ? (int)at : length - 1;
    return (between){first, first < length - 1 ? first + 1 : first, at - (float)first};
}

void eq_inception_prepare(const eq_image *image, float *x)
{
    size_t width = (size_t)image->width * 3;
    for (int row = 0; row < EQ_INCEPTION_SIZE; row++) {
        between v = place(row, image->height);
        const uint8_t *top = image->pixels + (size_t)v.first * width;
        const uint8_t *bottom = image->pixels + (size_t)v.second * width;
        for (int column = 0; column < EQ_INCEPTION_SIZE; column++) {
            between h = place(column, image->width);
            for (int c = 0; c < 3; c++) {
                int left = 3 * h.first + c, right = 3 * h.second + c;
                float above = (1 - h.share) * (float)top[left] + h.share * (float)top[right];
                float below = (1 - h.share) * (float)bottom[left] + h.share * (float)bottom[right];
                *x++ = ((1 - v.share) * above + v.share * below) / 127.5f - 1;
            }
        }
    }
}

#include "models/torch_resnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/batch_norm.h"
#include "models/weights.h"

/* --- the network --- */

/* Convolution with its folded norm. x: [n, h, w, ci] -> [n, h / stride, w / stride, channels] */
static eq_value convolve(const eq_builder *b, eq_value x, int channels, int kernel, int stride, eq_value residual,
                         const char *block, const char *name)
{
    int pad = kernel / 2;
    return eq_layer_conv(b, x, channels, kernel, (eq_conv){stride, pad, pad, pad, pad}, EQ_INIT_UNIFORM, residual,
                         eq_prefix_format("%s%s", block, name).text);
}

static eq_value relu(const eq_builder *b, eq_value x)
{
    return eq_activate(b->graph, x, EQ_ACT_RELU);
}

/* x: [n, h, w, ci] -> [n, h / stride, w / stride, channels[stage]] */
static eq_value build_block(const eq_builder *b, const eq_torch_resnet_config *config, int stage, int index, eq_value x)
{
    int inner = config->inner[stage], channels = config->channels[stage], stride = stage > 0 && index == 0 ? 2 : 1;
    eq_prefix name = eq_prefix_format("layer%d.%d.", stage + 1, index);
    eq_value shortcut = x;
    if (stride != 1 || eq_channels(b, x) != channels)
        shortcut = convolve(b, x, channels, 1, stride, EQ_NONE, name.text, "downsample.0");
    if (!config->bottleneck) {
        x = relu(b, convolve(b, x, inner, 3, stride, EQ_NONE, name.text, "conv1"));
        return relu(b, convolve(b, x, channels, 3, 1, shortcut, name.text, "conv2"));
    }
    x = relu(b, convolve(b, x, inner, 1, 1, EQ_NONE, name.text, "conv1"));
    x = relu(b, convolve(b, x, inner, 3, stride, EQ_NONE, name.text, "conv2"));
    return relu(b, convolve(b, x, channels, 1, 1, shortcut, name.text, "conv3"));
}

void eq_torch_resnet_build(const eq_builder *b, const eq_torch_resnet_config *config, eq_value x, eq_value *features,
                           eq_value *logits)
{
    x = relu(b, convolve(b, x, config->stem, 7, 2, EQ_NONE, "", "conv1"));
    x = eq_max_pool(b->graph, x, 3, 2, 1);
    for (int s = 0; s < EQ_TORCH_RESNET_STAGES; s++)
        for (int i = 0; i < config->blocks[s]; i++)
            x = build_block(b, config, s, i, x);
    *features = *logits = EQ_NONE;
    if (x == EQ_NONE)
        return;
    const eq_shape shape = *eq_shape_at(b->graph, x);
    x = eq_average_pool(b->graph, x, (int)shape.dim[1], 1, 0);
    *features = x = eq_reshape(b->graph, x, eq_shape_of(shape.dim[0], shape.dim[3]));
    for (int i = 0; i < config->linears; i++)
        x = eq_layer_linear(b, i > 0 ? relu(b, x) : x, config->widths[i], true, EQ_INIT_UNIFORM, EQ_NONE,
                            eq_prefix_format("head.%d", i).text);
    *logits = x;
}

/* --- what the file's names and shapes say --- */

static const char mark_of_trunk[] = "layer1.0.conv1.weight";

/* The name that marks a residual network, and how long the prefix before it is. */
static const char *find_mark(const eq_tensor_file *file, size_t *prefix)
{
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->entries[i].name;
        size_t length = strlen(name), skip = length - (sizeof mark_of_trunk - 1);
        if (length >= sizeof mark_of_trunk - 1 && strcmp(name + skip, mark_of_trunk) == 0 &&
            (skip == 0 || name[skip - 1] == '.')) {
            *prefix = skip;
            return name;
        }
    }
    return NULL;
}

/* NULL where there is none of that rank. */
static const eq_tensor *find(const eq_tensor_file *file, const char *prefix, const char *name, int rank)
{
    const eq_tensor *tensor = eq_tensor_file_find(file, eq_prefix_format("%s%s", prefix, name).text);
    return tensor && tensor->shape.rank == rank ? tensor : NULL;
}

bool eq_torch_resnet_is(const eq_tensor_file *file)
{
    size_t length;
    const char *name = find_mark(file, &length);
    eq_prefix prefix = name ? eq_prefix_format("%.*s", (int)length, name) : (eq_prefix){0};
    return name && find(file, prefix.text, "conv1.weight", 4) && find(file, prefix.text, "bn1.running_mean", 1);
}

/* The first dimension of a weight, in reasonable bounds. */
static eq_status read_channels(eq_context *ctx, const eq_tensor_file *file, const char *prefix, const char *name,
                               int rank, int *out)
{
    const eq_tensor *tensor = find(file, prefix, name, rank);
    if (!tensor)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: no tensor %s%s of %d dimensions, which a residual network has",
                       file->path, prefix, name, rank);
    int64_t channels = tensor->shape.dim[0];
    if (channels < 1 || channels > 1 << 15)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: %s%s has %lld channels, expected 1 to 32768", file->path, prefix, name,
                       (long long)channels);
    *out = (int)channels;
    return EQ_OK;
}

static eq_status read_stage(eq_context *ctx, const eq_tensor_file *file, int stage, eq_torch_resnet_config *out)
{
    int *blocks = &out->blocks[stage];
    const char *last = out->bottleneck ? "conv3" : "conv2";
    while (*blocks < 256 &&
           find(file, out->prefix, eq_prefix_format("layer%d.%d.conv1.weight", stage + 1, *blocks).text, 4))
        ++*blocks;
    EQ_TRY(read_channels(ctx, file, out->prefix, eq_prefix_format("layer%d.0.conv1.weight", stage + 1).text, 4,
                         &out->inner[stage]));
    return read_channels(ctx, file, out->prefix, eq_prefix_format("layer%d.0.%s.weight", stage + 1, last).text, 4,
                         &out->channels[stage]);
}

static eq_status add_linear(eq_context *ctx, const eq_tensor_file *file, const char *name, eq_torch_resnet_config *out)
{
    if (out->linears == EQ_TORCH_RESNET_LINEARS)
        return eq_fail(ctx, EQ_BAD_INPUT, "%s: more than %d linear layers in the head", file->path,
                       EQ_TORCH_RESNET_LINEARS);
    EQ_TRY(read_channels(ctx, file, "", eq_prefix_format("%s.weight", name).text, 2, &out->widths[out->linears]));
    out->linear[out->linears++] = eq_prefix_format("%s", name);
    return EQ_OK;
}

/* Adds `<prefix>fc`: one layer, or those of a sequence by their numbers. */
static eq_status add_head(eq_context *ctx, const eq_tensor_file *file, const char *prefix, eq_torch_resnet_config *out)
{
    if (find(file, prefix, "fc.weight", 2))
        return add_linear(ctx, file, eq_prefix_format("%sfc", prefix).text, out);
    for (int i = 0; i < 16; i++) {
        eq_prefix name = eq_prefix_format("%sfc.%d", prefix, i);
        if (eq_tensor_file_find(file, eq_prefix_format("%s.weight", name.text).text))
            EQ_TRY(add_linear(ctx, file, name.text, out));
    }
    return EQ_OK;
}

/* From the trunk's own prefix outwards: "a.b.", "a.", "". */
static eq_status read_head(eq_context *ctx, const eq_tensor_file *file, eq_torch_resnet_config *out)
{
    char prefix[sizeof out->prefix];
    snprintf(prefix, sizeof prefix, "%s", out->prefix);
    for (;;) {
        EQ_TRY(add_head(ctx, file, prefix, out));
        size_t length = strlen(prefix);
        if (length == 0)
            break;
        prefix[length - 1] = '\0'; /* the final dot */
        char *dot = strrchr(prefix, '.');
        *(dot ? dot + 1 : prefix) = '\0';
    }
    return out->linears
               ? EQ_OK
               : eq_fail(ctx, EQ_BAD_INPUT,
                         "%s: a residual network without a head: no linear layer fc (or fc.0, fc.1, ...)", file->path);
}

eq_status eq_torch_resnet_recognise(eq_context *ctx, const eq_tensor_file *file, eq_torch_resnet_config *out)
{
    *out = (eq_torch_resnet_config){0};
    size_t length;
    const char *name = find_mark(file, &length);
    if (!name || length >= sizeof out->prefix)
        return eq_fail(ctx, EQ_BAD_INPUT,
                       "%s: not a residual network of torchvision's: no tensor whose name ends in %s", file->path,
                       mark_of_trunk);
    memcpy(out->prefix, name, length);
    out->bottleneck = find(file, out->prefix, "layer1.0.conv3.weight", 4) != NULL;
    EQ_TRY(read_channels(ctx, file, out->prefix, "conv1.weight", 4, &out->stem));
    for (int s = 0; s < EQ_TORCH_RESNET_STAGES; s++)
        EQ_TRY(read_stage(ctx, file, s, out));
    return read_head(ctx, file, out);
}

static const struct {
    int depth;
    bool bottleneck;
    int blocks[EQ_TORCH_RESNET_STAGES];
} depths[] = {
    {18, false, {2, 2, 2, 2}},  {34, false, {3, 4, 6, 3}},  {50, true, {3, 4, 6, 3}},
    {101, true, {3, 4, 23, 3}}, {152, true, {3, 8, 36, 3}},
};

void eq_torch_resnet_describe(const eq_torch_resnet_config *config, char *text, size_t size)
{
    const int *n = config->blocks;
    eq_prefix name = eq_prefix_format("ResNet of %d+%d+%d+%d blocks", n[0], n[1], n[2], n[3]), head = {0};
    for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++)
        if (depths[i].bottleneck == config->bottleneck && memcmp(depths[i].blocks, n, sizeof depths[i].blocks) == 0)
            name = eq_prefix_format("ResNet-%d", depths[i].depth);
    for (int i = 0; config->linears > 1 && i < config->linears; i++) {
        size_t used = strlen(head.text);
        snprintf(head.text + used, sizeof head.text - used, "-%d", config->widths[i]);
    }
    if (config->linears > 1)
        snprintf(text, size, "%s, head %d%s", name.text, config->channels[EQ_TORCH_RESNET_STAGES - 1], head.text);
    else
        snprintf(text, size, "%s", name.text);
}

/* --- weights --- */

static const double epsilon = 1e-5; /* of nn.BatchNorm2d */

typedef struct loader {
    eq_context *ctx;
    const eq_tensor_file *file;
    const eq_torch_resnet_config *config;
    bool *taken; /* [file->count] */
} loader;

static void mark(loader *l, const char *name)
{
    for (size_t i = 0; i < l->file->count; i++)
        if (strcmp(l->file->entries[i].name, name) == 0)
            l->taken[i] = true;
}

/* "conv1" has its norm in "bn1", "downsample.0" in "downsample.1". */
static eq_prefix norm_name(const char *convolution)
{
    const char *at = strstr(convolution, "conv");
    if (at)
        return eq_prefix_format("%.*sbn%s", (int)(at - convolution), convolution, at + strlen("conv"));
    return eq_prefix_format("%.*s1", (int)strlen(convolution) - 1, convolution);
}

/* norm: its name in the file, prefix included */
static eq_status fold_norm(loader *l, const char *norm, const eq_param *weight, eq_param *bias)
{
    static const char *const parts[4] = {"weight", "bias", "running_mean", "running_var"};
    for (int i = 0; i < 4; i++)
        mark(l, eq_prefix_format("%s.%s", norm, parts[i]).text);
    return eq_batch_norm_fold(l->ctx, l->file, norm, epsilon, weight, bias);
}

static eq_status copy_tensor(loader *l, const char *name, eq_param *param)
{
    float *numbers = NULL;
    EQ_TRY(eq_weights_take(l->ctx, l->file, name, param->tensor.shape, &numbers));
    memcpy(param->tensor.data, numbers, (size_t)eq_shape_count(&param->tensor.shape) * sizeof *numbers);
    free(numbers);
    mark(l, name);
    return EQ_OK;
}

/* Parameters come in pairs, weight and bias. layer: the name that they share */
static eq_status load_pair(loader *l, const char *layer, eq_param *weight, eq_param *bias)
{
    int index;
    if (sscanf(layer, "head.%d", &index) == 1) {
        const char *name = l->config->linear[index].text;
        EQ_TRY(copy_tensor(l, eq_prefix_format("%s.weight", name).text, weight));
        return copy_tensor(l, eq_prefix_format("%s.bias", name).text, bias);
    }
    EQ_TRY(copy_tensor(l, eq_prefix_format("%s%s.weight", l->config->prefix, layer).text, weight));
    return fold_norm(l, eq_prefix_format("%s%s", l->config->prefix, norm_name(layer).text).text, weight, bias);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), size = strlen(end);
    return length >= size && strcmp(text + length - size, end) == 0;
}

/* A tensor of the trunk that nothing reads is a part of the network that this one does not have. */
static eq_status check_unused(const loader *l)
{
    const char *prefix = l->config->prefix;
    for (size_t i = 0; i < l->file->count; i++) {
        const char *name = l->file->entries[i].name;
        if (!l->taken[i] && strncmp(name, prefix, strlen(prefix)) == 0 && !ends_with(name, ".num_batches_tracked"))
            return eq_fail(l->ctx, EQ_BAD_INPUT, "%s: %s: a residual network of torchvision's has no such tensor",
                           l->file->path, name);
    }
    return EQ_OK;
}

static eq_status declare(eq_params *params, const eq_torch_resnet_config *config)
{
    eq_graph *graph = eq_graph_new(params->ctx, EQ_F32);
    if (!graph)
        return eq_fail_memory(params->ctx, "a graph");
    params->declaring = true;
    eq_value features, logits;
    eq_value x = eq_graph_input(graph, "images", EQ_F32, eq_shape_of(1, 64, 64, 3));
    eq_torch_resnet_build(&(eq_builder){graph, params}, config, x, &features, &logits);
    params->declaring = false;
    eq_status status = eq_graph_status(graph);
    eq_graph_free(graph);
    return status;
}

eq_status eq_torch_resnet_load(eq_context *ctx, const eq_tensor_file *file, const eq_torch_resnet_config *config,
                               eq_params *params)
{
    EQ_TRY(declare(params, config));
    EQ_TRY(eq_weights_check_total(ctx, file, params));
    EQ_TRY(eq_params_allocate(params));
    loader l = {ctx, file, config, calloc(file->count + 1, sizeof(bool))};
    eq_status status = l.taken ? EQ_OK : eq_fail_memory(ctx, "a list of tensors");
    for (int i = 0; i + 1 < params->count && status == EQ_OK; i += 2) {
        eq_param *weight = &params->items[i];
        size_t length = strlen(weight->name) - strlen(".weight");
        eq_prefix layer = eq_prefix_format("%.*s", (int)length, weight->name);
        status = load_pair(&l, layer.text, weight, &params->items[i + 1]);
    }
    if (status == EQ_OK)
        status = check_unused(&l);
    free(l.taken);
    return status;
}

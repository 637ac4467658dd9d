/* Classifiers, ours and others': folders, and files of tensors. */
#include "inspect_parts.h"

#include <math.h>
#include <stdlib.h>

#include "base/path.h"
#include "models/classifier_source.h"
#include "models/torch_resnet.h"

static bool has_file(const inspect_subject *s, const char *name)
{
    char *path = eq_path_join(s->path, name);
    bool there = path && eq_path_exists(path);
    free(path);
    return there;
}

bool inspect_is_classifier(const inspect_subject *s)
{
    if (s->tensors.path)
        return eq_torch_resnet_is(&s->tensors);
    return has_file(s, "classifier.json") || has_file(s, "zero_shot.json");
}

static json_t *attributes_json(const eq_attribute *attributes, const eq_classifier_score *scores, int count)
{
    json_t *json = json_object();
    for (int i = 0; i < count; i++) {
        json_t *attribute = json_object();
        inspect_put(attribute, "classes", inspect_classes(&attributes[i]));
        inspect_put(attribute, "accuracy", isnan(scores[i].accuracy) ? json_null() : json_real(scores[i].accuracy));
        inspect_put(json, attributes[i].name, attribute);
    }
    return json;
}

static eq_status describe_own(const inspect_subject *s, json_t *json)
{
    eq_classifier_file file;
    EQ_TRY(eq_classifier_file_open(s->ctx, s->path, &file));
    json_t *channels = json_array();
    for (int i = 0; i < file.config.stages; i++)
        json_array_append_new(channels, json_integer(file.config.channels[i]));
    inspect_put_text(json, "trunk", file.config.trunk->name);
    inspect_put_integer(json, "parameters", file.params->total);
    inspect_put_integer(json, "size", file.config.size);
    inspect_put(json, "channels", channels);
    inspect_put_integer(json, "blocks", file.config.blocks);
    inspect_put_text(json, "hash", file.hash);
    inspect_put(json, "attributes", attributes_json(file.config.attributes, file.scores, file.config.attribute_count));
    eq_classifier_file_close(&file);
    return EQ_OK;
}

static json_t *channels_json(const float *values)
{
    json_t *array = json_array();
    for (int c = 0; c < 3; c++)
        json_array_append_new(array, json_real(round(values[c] * 1e6) / 1e6));
    return array;
}

static json_t *preparation_json(const eq_preparation *p)
{
    json_t *json = json_object();
    inspect_put_text(json, "mode", p->mode == EQ_PREPARE_SQUASH ? "squash" : "crop");
    if (p->mode == EQ_PREPARE_CROP)
        inspect_put_integer(json, "resize", p->resize);
    inspect_put_text(json, "filter", p->filter == EQ_FILTER_BICUBIC ? "bicubic" : "bilinear");
    inspect_put(json, "mean", channels_json(p->mean));
    inspect_put(json, "std", channels_json(p->std));
    return json;
}

static void put_source(const eq_classifier_source *source, json_t *json)
{
    inspect_put_text(json, "source", source->kind->name);
    inspect_put_text(json, "architecture", source->architecture);
    inspect_put_integer(json, "parameters", source->parameters);
    inspect_put_integer(json, "size", source->preparation.size);
    inspect_put(json, "preparation", preparation_json(&source->preparation));
    inspect_put_text(json, "hash", source->hash);
    inspect_put(json, "attributes", attributes_json(source->attributes, source->scores, source->attribute_count));
}

/* A file whose outputs nothing explains is still known by its tensors; the message says what would make it usable. */
static eq_status put_network(const inspect_subject *s, json_t *json)
{
    eq_torch_resnet_config config;
    char architecture[96], *message = strdup(eq_last_error(s->ctx));
    eq_status status =
        message ? eq_torch_resnet_recognise(s->ctx, &s->tensors, &config) : eq_fail_memory(s->ctx, "a message");
    if (status == EQ_OK) {
        eq_torch_resnet_describe(&config, architecture, sizeof architecture);
        inspect_put_text(json, "source", eq_classifier_torchvision.name);
        inspect_put_text(json, "architecture", architecture);
        inspect_put_integer(json, "outputs", config.widths[config.linears - 1]);
        inspect_put_text(json, "unusable", message);
        status = inspect_put_hash(s, json);
    }
    free(message);
    return status;
}

eq_status inspect_classifier(const inspect_subject *s, json_t *json)
{
    if (eq_classifier_kind_of(s->ctx, s->path) == &eq_classifier_own)
        return describe_own(s, json);
    eq_classifier_source source;
    eq_status status = eq_classifier_source_open(s->ctx, s->path, &source);
    if (status == EQ_BAD_INPUT && s->tensors.path)
        return put_network(s, json);
    EQ_TRY(status);
    put_source(&source, json);
    eq_classifier_source_close(&source);
    return EQ_OK;
}

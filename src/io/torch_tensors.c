/* From a pickle's values to named tensors. */
#include <inttypes.h>
#include <stdio.h>

#include "io/torch_parts.h"

enum { MAX_DEPTH = 64, MAX_NAME = 1024 };

/* Where a walk through the values stands. */
typedef struct walk {
    eq_torch_reader *reader;
    eq_pickle *pickle;
    char name[MAX_NAME];
    size_t length;
    int depth;
    int unnamed; /* levels whose key is neither text nor a number */
} walk;

#define FAULT(w, value, ...) eq_pickle_fail((w)->reader->ctx, (w)->pickle, (value)->offset, __VA_ARGS__)

/* --- one tensor --- */

/* Whether the elements follow each other without gaps, the last dimension fastest. */
static bool is_dense(const eq_shape *shape, const int64_t *stride)
{
    int64_t expected = 1;
    for (int i = shape->rank - 1; i >= 0; i--) {
        if (shape->dim[i] != 1 && stride[i] != expected)
            return false;
        expected *= shape->dim[i];
    }
    return true;
}

/* Whether all elements, from `offset` on, are below `count`. No dimension is 0. */
static bool is_inside(const eq_shape *shape, const int64_t *stride, int64_t offset, int64_t count)
{
    if (offset >= count)
        return false;
    int64_t left = count - 1 - offset;
    for (int i = 0; i < shape->rank; i++) {
        int64_t steps = shape->dim[i] - 1;
        if (steps > 0 && stride[i] > left / steps)
            return false;
        left -= steps * stride[i];
    }
    return true;
}

/* from: the tensor's first element. */
static void gather(const eq_shape *shape, const int64_t *stride, size_t element, const uint8_t *from, uint8_t *to)
{
    int64_t count = eq_shape_count(shape), index[EQ_MAX_RANK] = {0}, at = 0;
    for (int64_t i = 0; i < count; i++) {
        memcpy(to + (size_t)i * element, from + (size_t)at * element, element);
        for (int d = shape->rank - 1; d >= 0; d--) {
            at += stride[d];
            if (++index[d] < shape->dim[d])
                break;
            at -= index[d] * stride[d];
            index[d] = 0;
        }
    }
}

static eq_status place(walk *w, const eq_pickle_value *value, const int64_t *stride, eq_tensor *out)
{
    static const double nothing; /* what tensors without elements point to */
    const eq_pickle_storage *storage = &value->tensor.storage->storage;
    size_t element = eq_dtype_size(storage->dtype);
    int64_t count, offset = value->tensor.offset;
    if (!eq_shape_checked_count(&out->shape, element, &count))
        return FAULT(w, value, "tensor \"%s\": the shape %s is too large", w->name, eq_shape_format(&out->shape).text);
    if (count == 0) {
        out->data = (void *)&nothing;
        return EQ_OK;
    }
    if (!is_inside(&out->shape, stride, offset, storage->count))
        return FAULT(w, value, "tensor \"%s\": %s elements from %" PRId64 " on are not inside its storage of %" PRId64,
                     w->name, eq_shape_format(&out->shape).text, offset, storage->count);
    const uint8_t *data;
    EQ_TRY(w->reader->find(w->reader, w->pickle, storage, value->tensor.storage->offset, &data));
    data += (size_t)(storage->first + offset) * element;
    if (is_dense(&out->shape, stride)) {
        out->data = (void *)data;
        return EQ_OK;
    }
    EQ_TRY(eq_torch_buffer(w->reader, (uint64_t)count * element, &out->data));
    gather(&out->shape, stride, element, data, out->data);
    return EQ_OK;
}

static eq_status add_tensor(walk *w, const eq_pickle_value *value)
{
    const eq_pickle_items *shape = &value->tensor.shape->items, *strides = &value->tensor.stride->items;
    int64_t stride[EQ_MAX_RANK];
    if (w->unnamed)
        return FAULT(w, value, "a tensor in \"%s\" whose key is neither text nor a number", w->name);
    if (shape->count > EQ_MAX_RANK)
        return FAULT(w, value, "tensor \"%s\": %zu dimensions, where there may be %d", w->name, shape->count,
                     EQ_MAX_RANK);
    eq_tensor tensor = {.dtype = value->tensor.storage->storage.dtype, .shape.rank = (int)shape->count};
    for (size_t i = 0; i < shape->count; i++) {
        tensor.shape.dim[i] = shape->value[i]->integer;
        /* The stride of a single step is never taken, and may be anything. */
        stride[i] = tensor.shape.dim[i] == 1 ? 0 : strides->value[i]->integer;
    }
    EQ_TRY(place(w, value, stride, &tensor));
    return eq_tensor_file_add(w->reader->ctx, w->reader->out, w->name, &tensor);
}

/* --- names --- */

/* Whether the text is UTF-8 without control characters; surrogates and overlong forms are let through. */
static bool is_name(eq_pickle_text text)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.bytes[i];
        size_t more = c < 0x80                ? 0
                      : c >= 0xc2 && c < 0xe0 ? 1
                      : c >= 0xe0 && c < 0xf0 ? 2
                      : c >= 0xf0 && c < 0xf5 ? 3
                                              : 9;
        if (c < 0x20 || c == 0x7f || more == 9 || more > text.length - 1 - i)
            return false;
        for (; more > 0; more--)
            if (((unsigned char)text.bytes[++i] & 0xc0) != 0x80)
                return false;
    }
    return true;
}

/* Adds ".part" to the name; w->length is set back by the caller. */
static eq_status add_part(walk *w, const eq_pickle_value *at, eq_pickle_text part)
{
    size_t dot = w->length > 0;
    if (!is_name(part))
        return FAULT(w, at, "the key \"%s\" in \"%s\" is no name: it is not UTF-8, or has control characters",
                     eq_pickle_show(part).text, w->name);
    if (part.length >= MAX_NAME - w->length - dot)
        return FAULT(w, at, "the name \"%.80s...\" is longer than %d bytes", w->name, MAX_NAME - 1);
    if (dot)
        w->name[w->length++] = '.';
    memcpy(w->name + w->length, part.bytes, part.length);
    w->length += part.length;
    w->name[w->length] = '\0';
    return EQ_OK;
}

static eq_status add_number_part(walk *w, const eq_pickle_value *at, int64_t number)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRId64, number);
    return add_part(w, at, (eq_pickle_text){digits, (size_t)length});
}

static eq_status visit(walk *w, eq_pickle_value *value);

/* The value under a key, which may be plain and then needs no name. */
static eq_status visit_under(walk *w, const eq_pickle_value *key, int64_t index, eq_pickle_value *value)
{
    size_t length = w->length;
    bool unnamed = key && key->kind != EQ_PICKLE_TEXT && key->kind != EQ_PICKLE_INT;
    eq_status status = EQ_OK;
    if (value->kind != EQ_PICKLE_TENSOR && value->kind != EQ_PICKLE_DICT && value->kind != EQ_PICKLE_LIST &&
        value->kind != EQ_PICKLE_TUPLE)
        return EQ_OK;
    if (!key)
        status = add_number_part(w, value, index);
    else if (key->kind == EQ_PICKLE_TEXT)
        status = add_part(w, key, key->text);
    else if (key->kind == EQ_PICKLE_INT)
        status = add_number_part(w, key, key->integer);
    w->unnamed += unnamed;
    if (status == EQ_OK)
        status = visit(w, value);
    w->unnamed -= unnamed;
    w->length = length;
    w->name[length] = '\0';
    return status;
}

/* A container is walked through once, at its first place: so values that hold themselves come to an end, and a few
 * bytes cannot stand for billions of names. */
static eq_status visit(walk *w, eq_pickle_value *value)
{
    if (value->kind == EQ_PICKLE_TENSOR)
        return add_tensor(w, value);
    if (value->visited)
        return EQ_OK;
    value->visited = true;
    if (w->depth == MAX_DEPTH)
        return FAULT(w, value, "\"%s\" is nested deeper than %d levels", w->name, MAX_DEPTH);
    w->depth++;
    bool dict = value->kind == EQ_PICKLE_DICT;
    for (size_t i = 0; i < value->items.count; i += 1 + dict)
        EQ_TRY(visit_under(w, dict ? value->items.value[i] : NULL, (int64_t)i, value->items.value[i + dict]));
    w->depth--;
    return EQ_OK;
}

/* --- the top --- */

/* The dictionaries that training code keeps the weights in, the most specific name first. */
static const char *const wrappers[] = {"state_dict", "model_state_dict", "model", "ema", "params_ema", "params"};

static bool holds_tensors(const eq_pickle_value *dict)
{
    for (size_t i = 0; dict->kind == EQ_PICKLE_DICT && i < dict->items.count; i += 2)
        if (dict->items.value[i + 1]->kind == EQ_PICKLE_TENSOR)
            return true;
    return false;
}

/* The root, or the dictionary of tensors in it under one of the usual names. */
static eq_pickle_value *choose(eq_pickle_value *root)
{
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0]; i++) {
        eq_pickle_value *inner = eq_pickle_find(root, wrappers[i]);
        if (inner && holds_tensors(inner))
            return inner;
    }
    return root;
}

eq_status eq_torch_add_tensors(eq_torch_reader *reader, eq_pickle *pickle)
{
    walk w = {.reader = reader, .pickle = pickle};
    eq_pickle_value *chosen = choose(pickle->root);
    switch (chosen->kind) {
    case EQ_PICKLE_TENSOR: EQ_TRY(add_part(&w, chosen, (eq_pickle_text){"tensor", 6})); return add_tensor(&w, chosen);
    case EQ_PICKLE_DICT:
    case EQ_PICKLE_LIST:
    case EQ_PICKLE_TUPLE: return visit(&w, chosen);
    default:
        return eq_pickle_fail(reader->ctx, pickle, chosen->offset, "a dict of tensors expected, found %s",
                              eq_pickle_kind_name(chosen->kind));
    }
}

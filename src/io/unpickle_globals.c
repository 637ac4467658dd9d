#include "io/unpickle_globals.h"

typedef enum global_rule { STORAGE, TENSOR, PARAMETER, DICT, SET } global_rule;

static const struct {
    const char *module, *name;
    global_rule rule;
    eq_dtype dtype; /* of storages */
} globals[] = {
    {"torch", "FloatStorage", STORAGE, EQ_F32},
    {"torch", "HalfStorage", STORAGE, EQ_F16},
    {"torch", "BFloat16Storage", STORAGE, EQ_BF16},
    {"torch", "DoubleStorage", STORAGE, EQ_F64},
    {"torch", "LongStorage", STORAGE, EQ_I64},
    {"torch", "IntStorage", STORAGE, EQ_I32},
    {"torch", "ShortStorage", STORAGE, EQ_I16},
    {"torch", "CharStorage", STORAGE, EQ_I8},
    {"torch", "ByteStorage", STORAGE, EQ_U8},
    {"torch", "BoolStorage", STORAGE, EQ_BOOL},
    {"torch._utils", "_rebuild_tensor_v2", TENSOR, EQ_F32},
    {"torch._utils", "_rebuild_parameter", PARAMETER, EQ_F32},
    {"collections", "OrderedDict", DICT, EQ_F32},
    {"__builtin__", "set", SET, EQ_F32},
    {"builtins", "set", SET, EQ_F32},
    {"__builtin__", "frozenset", SET, EQ_F32},
    {"builtins", "frozenset", SET, EQ_F32},
};

static bool same(eq_pickle_text text, const char *word)
{
    return text.length == strlen(word) && memcmp(text.bytes, word, text.length) == 0;
}

int eq_pickle_global_find(eq_pickle_text module, eq_pickle_text name)
{
    for (size_t i = 0; i < sizeof globals / sizeof globals[0]; i++)
        if (same(module, globals[i].module) && same(name, globals[i].name))
            return (int)i;
    return -1;
}

/* A tuple of integers that are none of them negative. */
static bool is_sizes(const eq_pickle_value *value)
{
    if (value->kind != EQ_PICKLE_TUPLE)
        return false;
    for (size_t i = 0; i < value->items.count; i++)
        if (value->items.value[i]->kind != EQ_PICKLE_INT || value->items.value[i]->integer < 0)
            return false;
    return true;
}

/* _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks[, metadata]) */
static eq_status make_tensor(eq_context *ctx, eq_pickle *pickle, const eq_pickle_items *arguments, size_t at,
                             eq_pickle_value **out)
{
    eq_pickle_value **a = arguments->value;
    if (arguments->count != 6 && arguments->count != 7)
        return eq_pickle_fail(ctx, pickle, at, "a tensor has 6 or 7 arguments, not %zu", arguments->count);
    if (a[0]->kind != EQ_PICKLE_STORAGE)
        return eq_pickle_fail(ctx, pickle, at, "a tensor's storage expected, found %s",
                              eq_pickle_kind_name(a[0]->kind));
    if (a[1]->kind != EQ_PICKLE_INT || a[1]->integer < 0)
        return eq_pickle_fail(ctx, pickle, at, "a tensor's offset should be a number from 0, found %s",
                              a[1]->kind == EQ_PICKLE_INT ? "a negative one" : eq_pickle_kind_name(a[1]->kind));
    if (!is_sizes(a[2]) || !is_sizes(a[3]) || a[2]->items.count != a[3]->items.count)
        return eq_pickle_fail(ctx, pickle, at,
                              "a tensor's shape and strides should be two tuples of as many numbers from 0");
    EQ_TRY(eq_pickle_new(ctx, pickle, EQ_PICKLE_TENSOR, at, out));
    (*out)->tensor = (eq_pickle_tensor){a[0], a[1]->integer, a[2], a[3]};
    return EQ_OK;
}

/* _rebuild_parameter(data, requires_grad, backward_hooks) is its data. */
static eq_status make_parameter(eq_context *ctx, eq_pickle *pickle, const eq_pickle_items *arguments, size_t at,
                                eq_pickle_value **out)
{
    if (arguments->count != 3 || arguments->value[0]->kind != EQ_PICKLE_TENSOR)
        return eq_pickle_fail(ctx, pickle, at, "a parameter should have 3 arguments, a tensor first; found %zu%s%s",
                              arguments->count, arguments->count ? ", first " : "",
                              arguments->count ? eq_pickle_kind_name(arguments->value[0]->kind) : "");
    *out = arguments->value[0];
    return EQ_OK;
}

/* OrderedDict(), or OrderedDict(pairs) as Python 2 wrote it. */
static eq_status make_dict(eq_context *ctx, eq_pickle *pickle, const eq_pickle_items *arguments, size_t at,
                           eq_pickle_value **out)
{
    EQ_TRY(eq_pickle_new(ctx, pickle, EQ_PICKLE_DICT, at, out));
    if (arguments->count == 0)
        return EQ_OK;
    const eq_pickle_value *pairs = arguments->value[0];
    if (arguments->count != 1 || (pairs->kind != EQ_PICKLE_LIST && pairs->kind != EQ_PICKLE_TUPLE))
        return eq_pickle_fail(ctx, pickle, at, "an OrderedDict is made of nothing or of a list of pairs");
    for (size_t i = 0; i < pairs->items.count; i++) {
        const eq_pickle_value *pair = pairs->items.value[i];
        if ((pair->kind != EQ_PICKLE_LIST && pair->kind != EQ_PICKLE_TUPLE) || pair->items.count != 2)
            return eq_pickle_fail(ctx, pickle, at, "an OrderedDict's item %zu should be a pair, found %s", i,
                                  eq_pickle_kind_name(pair->kind));
        EQ_TRY(eq_pickle_append(ctx, pickle, *out, pair->items.value[0]));
        EQ_TRY(eq_pickle_append(ctx, pickle, *out, pair->items.value[1]));
    }
    return EQ_OK;
}

/* set(), or set(list) */
static eq_status make_set(eq_context *ctx, eq_pickle *pickle, const eq_pickle_items *arguments, size_t at,
                          eq_pickle_value **out)
{
    EQ_TRY(eq_pickle_new(ctx, pickle, EQ_PICKLE_SET, at, out));
    if (arguments->count == 0)
        return EQ_OK;
    const eq_pickle_value *list = arguments->value[0];
    if (arguments->count != 1 || (list->kind != EQ_PICKLE_LIST && list->kind != EQ_PICKLE_TUPLE))
        return eq_pickle_fail(ctx, pickle, at, "a set is made of nothing or of a list");
    for (size_t i = 0; i < list->items.count; i++)
        EQ_TRY(eq_pickle_append(ctx, pickle, *out, list->items.value[i]));
    return EQ_OK;
}

eq_status eq_pickle_call(eq_context *ctx, eq_pickle *pickle, const eq_pickle_value *function,
                         const eq_pickle_value *arguments, size_t at, eq_pickle_value **out)
{
    if (function->kind != EQ_PICKLE_GLOBAL || arguments->kind != EQ_PICKLE_TUPLE)
        return eq_pickle_fail(ctx, pickle, at, "a global and a tuple of arguments expected, found %s and %s",
                              eq_pickle_kind_name(function->kind), eq_pickle_kind_name(arguments->kind));
    switch (globals[function->global].rule) {
    case TENSOR: return make_tensor(ctx, pickle, &arguments->items, at, out);
    case PARAMETER: return make_parameter(ctx, pickle, &arguments->items, at, out);
    case DICT: return make_dict(ctx, pickle, &arguments->items, at, out);
    case SET: return make_set(ctx, pickle, &arguments->items, at, out);
    case STORAGE: break;
    }
    return eq_pickle_fail(ctx, pickle, at, "%s.%s is not to be called here", globals[function->global].module,
                          globals[function->global].name);
}

/* (key, first, elements) inside the storage. */
static eq_status read_view(eq_context *ctx, const eq_pickle *pickle, const eq_pickle_value *view, size_t at,
                           eq_pickle_storage *storage)
{
    if (view->kind == EQ_PICKLE_NONE)
        return EQ_OK;
    eq_pickle_value **part = view->items.value;
    if (view->kind != EQ_PICKLE_TUPLE || view->items.count != 3 || part[1]->kind != EQ_PICKLE_INT ||
        part[2]->kind != EQ_PICKLE_INT)
        return eq_pickle_fail(ctx, pickle, at, "a storage's view should be None or (key, first, elements)");
    storage->first = part[1]->integer;
    storage->count = part[2]->integer;
    if (storage->first < 0 || storage->count < 0 || storage->first > storage->total ||
        storage->count > storage->total - storage->first)
        return eq_pickle_fail(ctx, pickle, at, "a view of %lld elements from %lld is not inside a storage of %lld",
                              (long long)storage->count, (long long)storage->first, (long long)storage->total);
    return EQ_OK;
}

eq_status eq_pickle_persistent(eq_context *ctx, eq_pickle *pickle, const eq_pickle_value *id, size_t at,
                               eq_pickle_value **out)
{
    eq_pickle_value **part = id->items.value;
    if (id->kind != EQ_PICKLE_TUPLE || (id->items.count != 5 && id->items.count != 6) ||
        !eq_pickle_text_is(part[0], "storage"))
        return eq_pickle_fail(ctx, pickle, at,
                              "a persistent id should be (\"storage\", type, key, location, elements), found %s",
                              id->kind == EQ_PICKLE_TUPLE ? "another tuple" : eq_pickle_kind_name(id->kind));
    if (part[1]->kind != EQ_PICKLE_GLOBAL || globals[part[1]->global].rule != STORAGE)
        return eq_pickle_fail(ctx, pickle, at, "a storage's type expected, found %s%s",
                              part[1]->kind == EQ_PICKLE_GLOBAL ? "the global " : "",
                              part[1]->kind == EQ_PICKLE_GLOBAL ? globals[part[1]->global].name
                                                                : eq_pickle_kind_name(part[1]->kind));
    if (part[2]->kind != EQ_PICKLE_TEXT)
        return eq_pickle_fail(ctx, pickle, at, "a storage's key should be text, found %s",
                              eq_pickle_kind_name(part[2]->kind));
    eq_dtype dtype = globals[part[1]->global].dtype;
    int64_t largest = INT64_MAX / 2 / (int64_t)eq_dtype_size(dtype);
    if (part[4]->kind != EQ_PICKLE_INT || part[4]->integer < 0 || part[4]->integer > largest)
        return eq_pickle_fail(ctx, pickle, at, "a storage's number of elements should be one from 0 to %lld",
                              (long long)largest);
    eq_pickle_storage storage = {
        .key = part[2]->text, .dtype = dtype, .total = part[4]->integer, .count = part[4]->integer};
    if (id->items.count == 6)
        EQ_TRY(read_view(ctx, pickle, part[5], at, &storage));
    EQ_TRY(eq_pickle_new(ctx, pickle, EQ_PICKLE_STORAGE, at, out));
    storage.previous = pickle->last_storage;
    (*out)->storage = storage;
    pickle->last_storage = *out;
    pickle->storage_count++;
    return EQ_OK;
}

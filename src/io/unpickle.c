#include "io/unpickle.h"

#include <stdlib.h>

#include "io/unpickle_globals.h"

enum { MAX_PROTOCOL = 5 };

/* --- the stack --- */

typedef struct machine {
    eq_context *ctx;
    eq_pickle *pickle;
    const uint8_t *bytes;
    size_t size, at; /* of what is read next */
    size_t op;       /* where the current opcode lies */
    eq_pickle_value **stack, **memo;
    size_t depth, stack_capacity;
    size_t memo_capacity; /* entries not given yet are NULL */
    size_t memo_count;    /* entries given, which is where MEMOIZE puts the next */
    size_t marks[EQ_PICKLE_MAX_MARKS];
    int mark_count;
} machine;

#define FAULT(m, ...) eq_pickle_fail((m)->ctx, (m)->pickle, (m)->op, __VA_ARGS__)

/* The next n bytes, NULL with a message when there are fewer. */
static const uint8_t *take(machine *m, uint64_t n)
{
    if (n > m->size - m->at) {
        FAULT(m, "cut off: %llu bytes expected, %zu left", (unsigned long long)n, m->size - m->at);
        return NULL;
    }
    const uint8_t *bytes = m->bytes + m->at;
    m->at += (size_t)n;
    return bytes;
}

/* A little-endian number of n bytes. */
static eq_status take_number(machine *m, int n, uint64_t *out)
{
    const uint8_t *bytes = take(m, (uint64_t)n);
    *out = 0;
    if (!bytes)
        return EQ_BAD_INPUT;
    for (int i = 0; i < n; i++)
        *out |= (uint64_t)bytes[i] << (8 * i);
    return EQ_OK;
}

/* Makes room for element `index`; new elements are NULL. */
static eq_status reserve(machine *m, eq_pickle_value ***array, size_t *capacity, size_t index)
{
    if (index < *capacity)
        return EQ_OK;
    size_t wanted = *capacity ? *capacity : 64;
    while (wanted <= index)
        wanted *= 2;
    eq_pickle_value **grown = realloc(*array, wanted * sizeof *grown);
    if (!grown)
        return eq_fail_memory(m->ctx, "a pickle's values");
    for (size_t i = *capacity; i < wanted; i++)
        grown[i] = NULL;
    *array = grown;
    *capacity = wanted;
    return EQ_OK;
}

static eq_status push(machine *m, eq_pickle_value *value)
{
    if (m->depth >= EQ_PICKLE_MAX_STACK)
        return FAULT(m, "more than %d values on the stack", EQ_PICKLE_MAX_STACK);
    EQ_TRY(reserve(m, &m->stack, &m->stack_capacity, m->depth));
    m->stack[m->depth++] = value;
    return EQ_OK;
}

static eq_status push_new(machine *m, eq_pickle_kind kind, eq_pickle_value **out)
{
    EQ_TRY(eq_pickle_new(m->ctx, m->pickle, kind, m->op, out));
    return push(m, *out);
}

/* The lowest element that may be popped: nothing below the last mark is. */
static size_t floor_of(const machine *m)
{
    return m->mark_count ? m->marks[m->mark_count - 1] : 0;
}

static eq_status pop(machine *m, eq_pickle_value **out)
{
    *out = NULL;
    if (m->depth <= floor_of(m))
        return FAULT(m, "a value expected on the stack, which is empty");
    *out = m->stack[--m->depth];
    return EQ_OK;
}

static eq_status top(machine *m, eq_pickle_value **out)
{
    EQ_TRY(pop(m, out));
    m->depth++;
    return EQ_OK;
}

static eq_status pop_mark(machine *m, size_t *first)
{
    *first = 0;
    if (m->mark_count == 0)
        return FAULT(m, "a mark expected on the stack");
    *first = m->marks[--m->mark_count];
    return EQ_OK;
}

/* --- opcodes --- */

static eq_status push_integer(machine *m, int64_t integer)
{
    eq_pickle_value *value;
    EQ_TRY(push_new(m, EQ_PICKLE_INT, &value));
    value->integer = integer;
    return EQ_OK;
}

static eq_status push_bool(machine *m, bool truth)
{
    eq_pickle_value *value;
    EQ_TRY(push_new(m, EQ_PICKLE_BOOL, &value));
    value->truth = truth;
    return EQ_OK;
}

/* Unsigned of `bytes` bytes; BININT, of four, is signed. */
static eq_status op_integer(machine *m, int bytes)
{
    uint64_t number;
    EQ_TRY(take_number(m, bytes, &number));
    return push_integer(m, bytes == 4 ? (int64_t)(int32_t)(uint32_t)number : (int64_t)number);
}

/* Two's complement of as many bytes as a number of `width` bytes says. */
static eq_status op_long(machine *m, int width)
{
    uint64_t length;
    EQ_TRY(take_number(m, width, &length));
    const uint8_t *bytes = take(m, length);
    if (!bytes)
        return EQ_BAD_INPUT;
    if (length > 8) {
        eq_pickle_value *value;
        EQ_TRY(push_new(m, EQ_PICKLE_LONG, &value));
        value->text = (eq_pickle_text){(const char *)bytes, (size_t)length};
        return EQ_OK;
    }
    uint64_t bits = length > 0 && bytes[length - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = length; i-- > 0;)
        bits = bits << 8 | bytes[i];
    int64_t integer;
    memcpy(&integer, &bits, sizeof integer);
    return push_integer(m, integer);
}

/* Big-endian, unlike the rest. */
static eq_status op_float(machine *m)
{
    const uint8_t *bytes = take(m, 8);
    eq_pickle_value *value;
    uint64_t bits = 0;
    if (!bytes)
        return EQ_BAD_INPUT;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | bytes[i];
    EQ_TRY(push_new(m, EQ_PICKLE_FLOAT, &value));
    memcpy(&value->real, &bits, sizeof bits);
    return EQ_OK;
}

/* Text or bytes, behind their length in `width` bytes. */
static eq_status op_text(machine *m, eq_pickle_kind kind, int width)
{
    uint64_t length;
    EQ_TRY(take_number(m, width, &length));
    const uint8_t *bytes = take(m, length);
    if (!bytes)
        return EQ_BAD_INPUT;
    eq_pickle_value *value;
    EQ_TRY(push_new(m, kind, &value));
    value->text = (eq_pickle_text){(const char *)bytes, (size_t)length};
    return EQ_OK;
}

static eq_status op_mark(machine *m)
{
    if (m->mark_count == EQ_PICKLE_MAX_MARKS)
        return FAULT(m, "nested deeper than %d", EQ_PICKLE_MAX_MARKS);
    m->marks[m->mark_count++] = m->depth;
    return EQ_OK;
}

static eq_status check_kind(machine *m, const eq_pickle_value *value, eq_pickle_kind expected)
{
    if (value->kind == expected)
        return EQ_OK;
    return FAULT(m, "%s expected, found %s", eq_pickle_kind_name(expected), eq_pickle_kind_name(value->kind));
}

/* Moves the stack's elements from `first` on into the container. */
static eq_status fill(machine *m, size_t first, eq_pickle_value *container)
{
    if (container->kind == EQ_PICKLE_DICT && (m->depth - first) % 2 != 0)
        return FAULT(m, "keys and values expected in turn, found a key without a value");
    for (size_t i = first; i < m->depth; i++)
        EQ_TRY(eq_pickle_append(m->ctx, m->pickle, container, m->stack[i]));
    m->depth = first;
    return EQ_OK;
}

/* A new container of what lies above the mark. */
static eq_status op_collect_marked(machine *m, eq_pickle_kind kind)
{
    size_t first;
    eq_pickle_value *container;
    EQ_TRY(pop_mark(m, &first));
    EQ_TRY(eq_pickle_new(m->ctx, m->pickle, kind, m->op, &container));
    EQ_TRY(fill(m, first, container));
    return push(m, container);
}

/* A tuple of the n values on top. */
static eq_status op_tuple(machine *m, size_t n)
{
    eq_pickle_value *tuple;
    if (m->depth - floor_of(m) < n)
        return FAULT(m, "%zu values expected on the stack, found %zu", n, m->depth - floor_of(m));
    EQ_TRY(eq_pickle_new(m->ctx, m->pickle, EQ_PICKLE_TUPLE, m->op, &tuple));
    EQ_TRY(fill(m, m->depth - n, tuple));
    return push(m, tuple);
}

/* Adds what lies above the mark to the container below it. */
static eq_status op_add_marked(machine *m, eq_pickle_kind kind)
{
    size_t first;
    EQ_TRY(pop_mark(m, &first));
    if (first <= floor_of(m))
        return FAULT(m, "%s expected below the mark, found nothing", eq_pickle_kind_name(kind));
    eq_pickle_value *container = m->stack[first - 1];
    EQ_TRY(check_kind(m, container, kind));
    return fill(m, first, container);
}

/* Adds the n values on top to the container below them. */
static eq_status op_add(machine *m, eq_pickle_kind kind, size_t n)
{
    if (m->depth - floor_of(m) < n + 1)
        return FAULT(m, "%s and %zu values expected on the stack", eq_pickle_kind_name(kind), n);
    eq_pickle_value *container = m->stack[m->depth - n - 1];
    EQ_TRY(check_kind(m, container, kind));
    return fill(m, m->depth - n, container);
}

static eq_status op_put(machine *m, uint64_t index)
{
    eq_pickle_value *value;
    EQ_TRY(top(m, &value));
    if (index >= EQ_PICKLE_MAX_MEMO)
        return FAULT(m, "memo entry %llu, where there may be %d", (unsigned long long)index, EQ_PICKLE_MAX_MEMO);
    EQ_TRY(reserve(m, &m->memo, &m->memo_capacity, (size_t)index));
    m->memo_count += m->memo[index] == NULL;
    m->memo[index] = value;
    return EQ_OK;
}

static eq_status op_put_numbered(machine *m, int width)
{
    uint64_t index;
    EQ_TRY(take_number(m, width, &index));
    return op_put(m, index);
}

static eq_status op_get(machine *m, int width)
{
    uint64_t index;
    EQ_TRY(take_number(m, width, &index));
    if (index >= m->memo_capacity || !m->memo[index])
        return FAULT(m, "memo entry %llu, which was not given before", (unsigned long long)index);
    return push(m, m->memo[index]);
}

static eq_status push_global(machine *m, eq_pickle_text module, eq_pickle_text name)
{
    int global = eq_pickle_global_find(module, name);
    if (global < 0)
        return FAULT(m,
                     "the global %s.%s is not one that tensors and plain values need; it is refused, and nothing of "
                     "the file was executed",
                     eq_pickle_show(module).text, eq_pickle_show(name).text);
    eq_pickle_value *value;
    EQ_TRY(push_new(m, EQ_PICKLE_GLOBAL, &value));
    value->global = global;
    return EQ_OK;
}

static eq_status take_line(machine *m, eq_pickle_text *out)
{
    const uint8_t *begin = m->bytes + m->at, *end = memchr(begin, '\n', m->size - m->at);
    if (!end)
        return FAULT(m, "cut off: a line expected");
    *out = (eq_pickle_text){(const char *)begin, (size_t)(end - begin)};
    m->at += out->length + 1;
    return EQ_OK;
}

static eq_status op_global(machine *m)
{
    eq_pickle_text module, name;
    EQ_TRY(take_line(m, &module));
    EQ_TRY(take_line(m, &name));
    return push_global(m, module, name);
}

static eq_status op_stack_global(machine *m)
{
    eq_pickle_value *module, *name;
    EQ_TRY(pop(m, &name));
    EQ_TRY(pop(m, &module));
    EQ_TRY(check_kind(m, name, EQ_PICKLE_TEXT));
    EQ_TRY(check_kind(m, module, EQ_PICKLE_TEXT));
    return push_global(m, module->text, name->text);
}

static eq_status op_reduce(machine *m)
{
    eq_pickle_value *function, *arguments, *result;
    EQ_TRY(pop(m, &arguments));
    EQ_TRY(pop(m, &function));
    EQ_TRY(eq_pickle_call(m->ctx, m->pickle, function, arguments, m->op, &result));
    return push(m, result);
}

/* Attributes set on an object: state dictionaries carry their "_metadata" this way. Not looked at. */
static eq_status op_build(machine *m)
{
    eq_pickle_value *state, *object;
    EQ_TRY(pop(m, &state));
    EQ_TRY(top(m, &object));
    return check_kind(m, object, EQ_PICKLE_DICT);
}

static eq_status op_persistent(machine *m)
{
    eq_pickle_value *id, *storage;
    EQ_TRY(pop(m, &id));
    EQ_TRY(eq_pickle_persistent(m->ctx, m->pickle, id, m->op, &storage));
    return push(m, storage);
}

static eq_status op_duplicate(machine *m)
{
    eq_pickle_value *value;
    EQ_TRY(top(m, &value));
    return push(m, value);
}

static eq_status op_protocol(machine *m)
{
    uint64_t protocol;
    EQ_TRY(take_number(m, 1, &protocol));
    if (protocol > MAX_PROTOCOL)
        return FAULT(m, "pickle protocol %llu, where %d is the last that is known", (unsigned long long)protocol,
                     MAX_PROTOCOL);
    return EQ_OK;
}

static eq_status op_pop_mark(machine *m)
{
    return pop_mark(m, &m->depth);
}

static eq_status step(machine *m, uint8_t opcode)
{
    eq_pickle_value *value;
    uint64_t number;
    switch (opcode) {
    case 0x80: return op_protocol(m);
    case 0x95: return take_number(m, 8, &number); /* frames help readers of streams only */
    case 'N': return push_new(m, EQ_PICKLE_NONE, &value);
    case 0x88: return push_bool(m, true);
    case 0x89: return push_bool(m, false);
    case 'K': return op_integer(m, 1);
    case 'M': return op_integer(m, 2);
    case 'J': return op_integer(m, 4);
    case 0x8a: return op_long(m, 1);
    case 0x8b: return op_long(m, 4);
    case 'G': return op_float(m);
    case 'U': /* text of Python 2 */
    case 0x8c: return op_text(m, EQ_PICKLE_TEXT, 1);
    case 'T':
    case 'X': return op_text(m, EQ_PICKLE_TEXT, 4);
    case 0x8d: return op_text(m, EQ_PICKLE_TEXT, 8);
    case 'C': return op_text(m, EQ_PICKLE_BYTES, 1);
    case 'B': return op_text(m, EQ_PICKLE_BYTES, 4);
    case 0x8e: return op_text(m, EQ_PICKLE_BYTES, 8);
    case ')': return push_new(m, EQ_PICKLE_TUPLE, &value);
    case ']': return push_new(m, EQ_PICKLE_LIST, &value);
    case '}': return push_new(m, EQ_PICKLE_DICT, &value);
    case 0x8f: return push_new(m, EQ_PICKLE_SET, &value);
    case '(': return op_mark(m);
    case 't': return op_collect_marked(m, EQ_PICKLE_TUPLE);
    case 'l': return op_collect_marked(m, EQ_PICKLE_LIST);
    case 'd': return op_collect_marked(m, EQ_PICKLE_DICT);
    case 0x91: return op_collect_marked(m, EQ_PICKLE_SET);
    case 0x85: return op_tuple(m, 1);
    case 0x86: return op_tuple(m, 2);
    case 0x87: return op_tuple(m, 3);
    case 'a': return op_add(m, EQ_PICKLE_LIST, 1);
    case 's': return op_add(m, EQ_PICKLE_DICT, 2);
    case 'e': return op_add_marked(m, EQ_PICKLE_LIST);
    case 'u': return op_add_marked(m, EQ_PICKLE_DICT);
    case 0x90: return op_add_marked(m, EQ_PICKLE_SET);
    case 'q': return op_put_numbered(m, 1);
    case 'r': return op_put_numbered(m, 4);
    case 0x94: return op_put(m, m->memo_count);
    case 'h': return op_get(m, 1);
    case 'j': return op_get(m, 4);
    case 'c': return op_global(m);
    case 0x93: return op_stack_global(m);
    case 'R': return op_reduce(m);
    case 'b': return op_build(m);
    case 'Q': return op_persistent(m);
    case '0': return pop(m, &value);
    case '1': return op_pop_mark(m);
    case '2': return op_duplicate(m);
    default: return FAULT(m, "opcode 0x%02x is not one that tensors and plain values need", opcode);
    }
}

static eq_status run(machine *m)
{
    for (;;) {
        m->op = m->at;
        const uint8_t *opcode = take(m, 1);
        if (!opcode)
            return EQ_BAD_INPUT;
        if (*opcode == '.')
            break;
        EQ_TRY(step(m, *opcode));
    }
    EQ_TRY(pop(m, &m->pickle->root));
    if (m->depth > 0 || m->mark_count > 0)
        return FAULT(m, "one value expected at the end, found more");
    m->pickle->used = m->at;
    return EQ_OK;
}

eq_status eq_unpickle(eq_context *ctx, const uint8_t *bytes, size_t size, const char *where, uint64_t base,
                      eq_pickle *out)
{
    *out = (eq_pickle){.where = where, .base = base};
    machine *m = calloc(1, sizeof *m);
    if (!m)
        return eq_fail_memory(ctx, "a pickle");
    m->ctx = ctx;
    m->pickle = out;
    m->bytes = bytes;
    m->size = size < EQ_PICKLE_MAX_BYTES ? size : EQ_PICKLE_MAX_BYTES;
    eq_status status = run(m);
    free(m->stack);
    free(m->memo);
    free(m);
    if (status != EQ_OK)
        eq_pickle_free(out);
    return status;
}

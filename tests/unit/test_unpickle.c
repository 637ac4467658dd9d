/* Pickles made by hand: what is understood, and what is refused where and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/unpickle.h"
#include "torch_bytes.h"

static eq_context *ctx;

/* In a block of its exact size, so that a sanitizer sees a read beyond it. The values point into *block. */
static eq_status read_block(const void *pickle, size_t size, uint64_t base, uint8_t **block, eq_pickle *out)
{
    *block = malloc(size ? size : 1);
    memcpy(*block, pickle, size);
    return eq_unpickle(ctx, *block, size, "m.pt", base, out);
}

static eq_pickle_value *read(const void *pickle, size_t size, uint8_t **block, eq_pickle *out)
{
    if (read_block(pickle, size, 0, block, out) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    assert_int_equal(out->used, size);
    return out->root;
}
#define READ(literal) read(literal, sizeof(literal) - 1, &block, &pickle)

static void done(uint8_t *block, eq_pickle *pickle)
{
    eq_pickle_free(pickle);
    assert_null(pickle->root);
    free(block);
}

static void assert_refused(const void *pickled, size_t size, const char *expected)
{
    uint8_t *block;
    eq_pickle pickle;
    assert_int_equal(read_block(pickled, size, 1000, &block, &pickle), EQ_BAD_INPUT);
    assert_null(pickle.root);
    if (strncmp(eq_last_error(ctx), "m.pt: byte ", 11) != 0 || !strstr(eq_last_error(ctx), expected))
        fail_msg("expected \"%s\" in: %s", expected, eq_last_error(ctx));
    free(block);
}
#define REFUSED(literal, expected) assert_refused(literal, sizeof(literal) - 1, expected)

static void numbers(void **state)
{
    uint8_t *block;
    eq_pickle pickle;
    static const int64_t expected[] = {255, 65535, -2, 0, -1, -128, 128, INT64_MIN};
    eq_pickle_value *root = READ("\x80\2(K\xffM\xff\xffJ\xfe\xff\xff\xff\x8a\x00\x8a\1\xff\x8a\1\x80\x8a\2\x80\0"
                                 "\x8a\x08\0\0\0\0\0\0\0\x80t.");
    assert_int_equal(root->kind, EQ_PICKLE_TUPLE);
    assert_int_equal(root->items.count, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(root->items.value[i]->kind, EQ_PICKLE_INT);
        assert_true(root->items.value[i]->integer == expected[i]);
    }
    done(block, &pickle);

    root = READ("\x80\2(G\x3f\xf8\0\0\0\0\0\0N\x88\x89\x8b\x09\0\0\0\0\0\0\0\0\0\0\0\1l.");
    assert_int_equal(root->kind, EQ_PICKLE_LIST);
    assert_true(root->items.value[0]->real == 1.5);
    assert_int_equal(root->items.value[1]->kind, EQ_PICKLE_NONE);
    assert_true(root->items.value[2]->truth);
    assert_false(root->items.value[3]->truth);
    assert_int_equal(root->items.value[4]->kind, EQ_PICKLE_LONG);
    assert_int_equal(root->items.value[4]->text.length, 9);
    done(block, &pickle);
}

/* The same containers as protocols 2 and 4 write them. */
static void containers(void **state)
{
    uint8_t *block;
    eq_pickle pickle;
    eq_pickle_value *root = READ("\x80\2}q\0(X\1\0\0\0a]q\1(K\1K\2eU\1bh\1X\1\0\0\0cK\1K\2\x86u.");
    eq_pickle_value *list = eq_pickle_find(root, "a");
    assert_int_equal(list->kind, EQ_PICKLE_LIST);
    assert_int_equal(list->items.count, 2);
    assert_ptr_equal(list, eq_pickle_find(root, "b"));
    assert_int_equal(eq_pickle_find(root, "c")->kind, EQ_PICKLE_TUPLE);
    assert_null(eq_pickle_find(root, "d"));
    assert_null(eq_pickle_find(list, "a"));
    done(block, &pickle);

    root = READ("\x80\4\x95\0\0\0\0\0\0\0\0}\x94(\x8c\1a\x94\x8f\x94(K\1K\2\x90\x8c\1b\x94h\2\x8c\1c(K\3\x91u.");
    assert_int_equal(eq_pickle_find(root, "a")->kind, EQ_PICKLE_SET);
    assert_int_equal(eq_pickle_find(root, "a")->items.count, 2);
    assert_ptr_equal(eq_pickle_find(root, "a"), eq_pickle_find(root, "b"));
    assert_int_equal(eq_pickle_find(root, "c")->items.count, 1);
    done(block, &pickle);

    root = READ("\x80\2ccollections\nOrderedDict\n]](X\1\0\0\0kK\7ea\x85R}X\1\0\0\0mK\1sb.");
    assert_int_equal(eq_pickle_find(root, "k")->integer, 7);
    assert_null(eq_pickle_find(root, "m")); /* what BUILD sets is not looked at */
    done(block, &pickle);

    root = READ("\x80\4\x8c\x08"
                "builtins\x8c\x09"
                "frozenset\x93](K\1K\2e\x85R.");
    assert_int_equal(root->kind, EQ_PICKLE_SET);
    assert_int_equal(root->items.count, 2);
    done(block, &pickle);
}

/* A list in itself, and a dictionary that holds the tuple that holds it. */
static void cycles_are_values(void **state)
{
    uint8_t *block;
    eq_pickle pickle;
    eq_pickle_value *root = READ("\x80\2]q\0h\0a.");
    assert_ptr_equal(root->items.value[0], root);
    done(block, &pickle);
    root = READ("\x80\2}q\0X\1\0\0\0ah\0\x85s.");
    assert_ptr_equal(eq_pickle_find(root, "a")->items.value[0], root);
    done(block, &pickle);
}

static void tensors(void **state)
{
    bytes b = {0};
    uint8_t *block;
    eq_pickle pickle;
    const tensor_bytes tensor = {"HalfStorage", "7", 40, 2, 2, {3, 4}, {1, 3}};
    PUT(&b, "\x80\2");
    PUT(&b, "ctorch._utils\n_rebuild_parameter\n(");
    put_tensor(&b, &tensor, 0);
    PUT(&b, "\x88NtR.");
    eq_pickle_value *root = read(b.at, b.size, &block, &pickle);
    assert_int_equal(root->kind, EQ_PICKLE_TENSOR);
    assert_int_equal(root->tensor.offset, 2);
    assert_int_equal(root->tensor.shape->items.value[1]->integer, 4);
    assert_int_equal(root->tensor.stride->items.value[1]->integer, 3);
    const eq_pickle_storage *storage = &root->tensor.storage->storage;
    assert_int_equal(storage->dtype, EQ_F16);
    assert_int_equal(storage->total, 40);
    assert_int_equal(storage->count, 40);
    assert_true(storage->key.length == 1 && storage->key.bytes[0] == '7');
    assert_int_equal(pickle.storage_count, 1);
    done(block, &pickle);

    /* Cut short anywhere it is refused. */
    for (size_t size = 0; size < b.size; size++)
        assert_refused(b.at, size, "cut off");
    drop(&b);
}

static void other_globals_are_refused_by_name(void **state)
{
    REFUSED("\x80\2cos\nsystem\n(X\2\0\0\0idtR.", "byte 1002: the global os.system is not one");
    REFUSED("\x80\2cposix\nsystem\n", "posix.system");
    REFUSED("\x80\2c__builtin__\neval\n", "__builtin__.eval");
    REFUSED("\x80\4\x8c\x08"
            "builtins\x8c\x04"
            "exec\x93.",
            "byte 1018: the global builtins.exec");
    REFUSED("\x80\2cnumpy.core.multiarray\n_reconstruct\n", "numpy.core.multiarray._reconstruct");
    REFUSED("\x80\2ctorch\n\x1b[31mred\n", "torch.?[31mred");
    REFUSED("\x80\2ctorch.FloatStorage\n\n", "torch.FloatStorage.");
    /* The ways to name or make things that go round GLOBAL. */
    REFUSED("\x80\2(ios\nsystem\n.", "opcode 0x69");
    REFUSED("\x80\2(cos\nsystem\no.", "os.system");
    REFUSED("\x80\2\x82\1.", "opcode 0x82");
    REFUSED("\x80\2ccollections\nOrderedDict\n)\x81.", "opcode 0x81");
    REFUSED("\x80\2P1\n.", "opcode 0x50");
}

static void nonsense_is_refused(void **state)
{
    REFUSED("", "cut off");
    REFUSED("\x80\x06N.", "pickle protocol 6");
    REFUSED("\x80\2.", "a value expected on the stack");
    REFUSED("\x80\2NN.", "one value expected at the end");
    REFUSED("\x80\2N(N.", "one value expected at the end");
    REFUSED("\x80\2K\1(K\2R", "a value expected on the stack");
    REFUSED("\x80\2t", "a mark expected");
    REFUSED("\x80\2(e", "expected below the mark");
    REFUSED("\x80\2K\1(K\2e", "a list expected, found a number");
    REFUSED("\x80\2}(K\1u", "a key without a value");
    REFUSED("\x80\2}K\1s", "2 values expected");
    REFUSED("\x80\2K\1\x87", "3 values expected on the stack, found 1");
    REFUSED("\x80\2h\5", "memo entry 5, which was not given");
    REFUSED("\x80\2Nr\xff\xff\xff\xff", "memo entry 4294967295");
    REFUSED("\x80\2X\xff\xff\xff\xff", "4294967295 bytes expected, 0 left");
    REFUSED("\x80\4\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615 bytes expected");
    REFUSED("\x80\2K\1)R", "a global and a tuple of arguments expected, found a number");
    REFUSED("\x80\2ccollections\nOrderedDict\n](K\1e\x85R", "should be a pair");
    REFUSED("\x80\2ctorch\nFloatStorage\n)R", "torch.FloatStorage is not to be called");
    REFUSED("\x80\2]Nb", "a dict expected, found a list");
    REFUSED("\x80\2K\1Q", "a persistent id should be");
    REFUSED("\x80\2(X\6\0\0\0moduleNNNNtQ", "a persistent id should be");
    REFUSED("\x80\2(X\7\0\0\0storageNX\1\0\0\0aNK\1tQ", "a storage's type expected, found None");
    REFUSED("\x80\2(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0aNJ\xff\xff\xff\xfftQ",
            "number of elements should be one from 0");
    REFUSED("\x80\2(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0aNK\4(NK\2K\3ttQ", "a view of 3 elements from 2");
    REFUSED("\x80\2ctorch._utils\n_rebuild_tensor_v2\n)R", "6 or 7 arguments, not 0");
    REFUSED("\x80\2ctorch._utils\n_rebuild_tensor_v2\n(NNNNNNtR", "storage expected, found None");
    REFUSED("\x80\2ctorch._utils\n_rebuild_parameter\n(NNNtR", "a tensor first; found 3, first None");
}

static void limits(void **state)
{
    bytes b = {0};
    PUT(&b, "\x80\2");
    for (int i = 0; i <= EQ_PICKLE_MAX_MARKS; i++)
        PUT(&b, "(");
    assert_refused(b.at, b.size, "nested deeper than");
    b.size = 2;
    for (int i = 0; i <= EQ_PICKLE_MAX_STACK; i++)
        PUT(&b, "N");
    assert_refused(b.at, b.size, "values on the stack");
    b.size = 2;
    for (int i = 0; i <= EQ_PICKLE_MAX_VALUES; i++)
        PUT(&b, "N0");
    assert_refused(b.at, b.size, "more than 4194304 values");
    drop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(containers),
        cmocka_unit_test(cycles_are_values),
        cmocka_unit_test(tensors),
        cmocka_unit_test(other_globals_are_refused_by_name),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(limits),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}

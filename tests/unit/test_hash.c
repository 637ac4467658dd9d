/* SHA-256 against the examples of NIST (FIPS 180 and its test vectors). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/path.h"
#include "temporary.h"

static const char *hex_of(const void *bytes, size_t size, size_t piece)
{
    static char hex[EQ_SHA256_HEX];
    uint8_t digest[EQ_SHA256_BYTES];
    eq_sha256 hash = eq_sha256_start();
    for (size_t i = 0; i < size; i += piece)
        eq_sha256_update(&hash, (const uint8_t *)bytes + i, size - i < piece ? size - i : piece);
    eq_sha256_finish(&hash, digest);
    eq_sha256_to_hex(digest, hex);
    return hex;
}

static void known_answers(void **state)
{
    assert_string_equal(hex_of("", 0, 1), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_string_equal(hex_of("abc", 3, 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const char *two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    assert_string_equal(hex_of(two_blocks, 56, 56), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    const char *long_text = "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
                            "lmnopqrsmnopqrstnopqrstu";
    assert_string_equal(hex_of(long_text, 112, 112),
                        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
}

static void a_million_letters_in_any_pieces(void **state)
{
    enum { COUNT = 1000000 };
    char *letters = malloc(COUNT);
    memset(letters, 'a', COUNT);
    for (size_t piece = 1; piece <= COUNT; piece = piece * 7 + 1)
        assert_string_equal(hex_of(letters, COUNT, piece),
                            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(letters);
}

static void files(void **state)
{
    eq_context *ctx = eq_context_new();
    char hex[EQ_SHA256_HEX];
    char *path = eq_path_join(*state, "abc");
    assert_int_equal(eq_sha256_file(ctx, path, hex), EQ_BAD_INPUT);
    assert_int_equal(eq_file_write(ctx, path, "abc", 3), EQ_OK);
    assert_int_equal(eq_sha256_file(ctx, path, hex), EQ_OK);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(eq_file_write(ctx, path, "", 0), EQ_OK);
    assert_int_equal(eq_sha256_file(ctx, path, hex), EQ_OK);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    free(path);
    eq_context_free(ctx);
}

/* The test vectors of FNV's authors. */
static void names(void **state)
{
    assert_true(eq_hash_name("") == 0xcbf29ce484222325u);
    assert_true(eq_hash_name("a") == 0xaf63dc4c8601ec8cu);
    assert_true(eq_hash_name("foobar") == 0x85944171f73967e8u);
    assert_true(eq_hash_bytes("foobarbaz", 6) == 0x85944171f73967e8u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(known_answers),
        cmocka_unit_test(a_million_letters_in_any_pieces),
        cmocka_unit_test_setup_teardown(files, temporary_setup, temporary_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

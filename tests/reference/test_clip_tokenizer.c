/* Token ids against those of the original tokenizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reference/fixtures.h"
#include "text/tokenizer.h"

static eq_context *ctx;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

static void check_text(const eq_tokenizer *tokenizer, const char *text, const json_t *ids)
{
    eq_tokens tokens;
    assert_ok(eq_tokenize(ctx, tokenizer, text, &tokens));
    size_t expected = json_array_size(ids);
    for (size_t i = 0; i < expected && i < tokens.count; i++)
        if (json_integer_value(json_array_get(ids, i)) != tokens.ids[i])
            fail_msg("\"%s\": token %zu is %d, expected %d", text, i, (int)tokens.ids[i],
                     (int)json_integer_value(json_array_get(ids, i)));
    if (tokens.count != expected)
        fail_msg("\"%s\": %zu tokens, expected %zu", text, tokens.count, expected);
    eq_tokens_free(&tokens);
}

static void ids_are_equal(void **state)
{
    eq_tokenizer *tokenizer;
    assert_ok(eq_tokenizer_open(ctx, fixture_path("clip-tokenizer"), &tokenizer));
    json_error_t error;
    json_t *reference = json_load_file(fixture_path("clip-tokenizer/reference_token_ids.json"), 0, &error);
    assert_true(json_is_array(reference) && json_array_size(reference) > 0);
    for (size_t i = 0; i < json_array_size(reference); i++) {
        const json_t *item = json_array_get(reference, i);
        assert_true(json_is_string(json_object_get(item, "text")) && json_is_array(json_object_get(item, "ids")));
        check_text(tokenizer, json_string_value(json_object_get(item, "text")), json_object_get(item, "ids"));
    }
    print_message("%zu texts\n", json_array_size(reference));
    json_decref(reference);
    eq_tokenizer_free(tokenizer);
}

int main(void)
{
    if (!fixture_exists("clip-tokenizer"))
        return FIXTURES_SKIP;
    const struct CMUnitTest tests[] = {cmocka_unit_test(ids_are_equal)};
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}

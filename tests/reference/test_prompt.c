/* From words to contexts: the fixture's token ids are spelt out, and the text must give its ids and states again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "diffusion/prompt.h"
#include "reference/compare.h"
#include "reference/fixtures.h"
#include "text/tokenizer.h"

static eq_context *ctx;
static eq_tensor_file reference;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

/* Appends the token's letters, a space for "</w>". False for letters that stand for bytes beyond ASCII. */
static bool spell(const json_t *vocabulary, int64_t id, char *text, size_t size)
{
    const char *token;
    json_t *value;
    json_object_foreach((json_t *)vocabulary, token, value)
    {
        if (json_integer_value(value) != id)
            continue;
        const char *end = strstr(token, "</w>");
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%.*s%s", end ? (int)(end - token) : 100, token, end ? " " : "");
        break;
    }
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c >= 0x80)
            return false;
    return true;
}

/* The text between start and end of ids: [1, length]. */
static bool spell_all(const eq_tokenizer *tokenizer, const int64_t *ids, int length, char *text, size_t size)
{
    json_error_t error;
    json_t *vocabulary = json_load_file(fixture_path("clip-tokenizer/vocab.json"), 0, &error);
    assert_non_null(vocabulary);
    bool good = ids[0] == eq_tokenizer_bos(tokenizer);
    text[0] = '\0';
    for (int i = 1; good && i < length && ids[i] != eq_tokenizer_eos(tokenizer); i++)
        good = spell(vocabulary, ids[i], text, size);
    json_decref(vocabulary);
    return good;
}

static void check_prompt(const eq_tokenizer *tokenizer, eq_prompt_encoder *encoder, const char *ids_name,
                         const char *states_name)
{
    const eq_tensor *ids = eq_tensor_file_find(&reference, ids_name);
    const eq_tensor *states = eq_tensor_file_find(&reference, states_name);
    assert_true(ids && ids->dtype == EQ_I64 && states && states->dtype == EQ_F32);
    int length = eq_prompt_length(encoder), width = eq_prompt_width(encoder);
    assert_int_equal(eq_shape_count(&ids->shape), length);
    char text[4096];
    if (!spell_all(tokenizer, ids->data, length, text, sizeof text)) {
        print_message("%s: not spelt in ASCII, left out\n", ids_name);
        return;
    }
    int32_t *ours = calloc((size_t)length, sizeof *ours);
    assert_ok(eq_tokenizer_encode(ctx, tokenizer, text, length, ours, NULL));
    for (int i = 0; i < length; i++)
        assert_int_equal(ours[i], ((const int64_t *)ids->data)[i]);
    float *context = calloc((size_t)length * (size_t)width, sizeof *context);
    assert_ok(eq_prompt_encode(ctx, encoder, text, context, NULL, NULL));
    assert_int_equal(eq_shape_count(&states->shape), length * width);
    double error = relative_error(context, states->data, (int64_t)length * width);
    print_message("\"%s\": relative error %.2e\n", text, error);
    assert_true(error < 1e-5);
    free(context);
    free(ours);
}

static void words_give_the_states(void **state)
{
    eq_prompt_options options = {.tokenizer = fixture_path("clip-tokenizer"), .dtype = EQ_F32};
    eq_prompt_encoder *encoder;
    eq_tokenizer *tokenizer;
    assert_ok(eq_tokenizer_open(ctx, options.tokenizer, &tokenizer));
    assert_ok(eq_prompt_encoder_open(ctx, fixture_path("stable-diffusion-tiny"), &options, &encoder));
    check_prompt(tokenizer, encoder, "prompt_ids", "prompt_emb");
    check_prompt(tokenizer, encoder, "negative_ids", "negative_emb");
    eq_prompt_encoder_close(encoder);
    eq_tokenizer_free(tokenizer);
}

int main(void)
{
    if (!fixture_exists("stable-diffusion-tiny") || !fixture_exists("clip-tokenizer"))
        return FIXTURES_SKIP;
    ctx = eq_context_new();
    if (eq_tensor_file_open(ctx, fixture_path("stable-diffusion-tiny/reference.safetensors"), &reference) != EQ_OK) {
        print_error("%s\n", eq_last_error(ctx));
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_give_the_states)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_tensor_file_close(&reference);
    eq_context_free(ctx);
    return failed;
}

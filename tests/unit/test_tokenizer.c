/* Normalisation, tokens of a small vocabulary of our own, padding and cutting, and malformed files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "temporary.h"
#include "text/normalise.h"
#include "text/tokenizer.h"
#include "unit/tiny_tokenizer.h"

static eq_context *ctx;
static char last_warning[1024];

static void keep_warning(void *user, eq_log_level level, const char *line)
{
    if (level == EQ_LOG_WARNING)
        snprintf(last_warning, sizeof last_warning, "%s", line);
}

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

/* --- normalisation --- */

static void check_normalised(const char *text, const char *expected)
{
    char *out;
    assert_ok(eq_text_normalise(ctx, text, &out));
    assert_string_equal(out, expected);
    free(out);
}

static void white_space_collapses(void **state)
{
    check_normalised("", "");
    check_normalised(" \t\n ", "");
    check_normalised("  a \t b\r\n", "a b");
    check_normalised("a\u00a0\u3000b\u2028c\x1c"
                     "d\xc2\x85"
                     "e",
                     "a b c d e");
    check_normalised("a\u200bb", "a\u200bb"); /* zero width, but no white space */
}

static void text_is_composed(void **state)
{
    check_normalised("e\u0301", "\u00e9");
    check_normalised("a\u0327\u0301", "\u00e1\u0327"); /* marks in canonical order, what composes composed */
    check_normalised("\u1112\u1161\u11ab", "\ud55c");  /* Hangul */
    check_normalised("\u2460\ufb01", "\u2460\ufb01");  /* compatibility characters stay */
    check_normalised("\u65e5\u672c \U0001f469\U0001f3fd\u200d\u2695\ufe0f",
                     "\u65e5\u672c \U0001f469\U0001f3fd\u200d\u2695\ufe0f");
}

static void case_is_lowered(void **state)
{
    check_normalised("ABC \u00c9\u0416\U00010400", "abc \u00e9\u0436\U00010428");
    check_normalised("\u1e9e\u00df\u0130", "\u00df\u00df"
                                           "i\u0307");
    check_normalised("\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3.",
                     "\u03bf\u03b4\u03c5\u03c3\u03c3\u03b5\u03c5\u03c2."); /* a sigma that ends a word */
    check_normalised("\u03a3 A\u03a3 A\u03a3'B A\u0301\u03a3", "\u03c3 a\u03c2 a\u03c3'b \u00e1\u03c2");
}

static void wrong_bytes_are_refused(void **state)
{
    static const char *const wrong[] = {"ab\xff", "ab\xc0\x80", "ab\xed\xa0\x80", "ab\xe2\x82", "ab\xf5\x80\x80\x80"};
    char *out;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(eq_text_normalise(ctx, wrong[i], &out), EQ_BAD_USAGE);
        assert_null(out);
        assert_non_null(strstr(eq_last_error(ctx), "not valid UTF-8 from byte 3"));
    }
    check_normalised("\ufffd", "\ufffd");
}

static void long_texts_are_refused(void **state)
{
    char *text = malloc(EQ_TEXT_MAX_BYTES + 2), *out;
    memset(text, 'A', EQ_TEXT_MAX_BYTES + 1);
    text[EQ_TEXT_MAX_BYTES + 1] = '\0';
    assert_int_equal(eq_text_normalise(ctx, text, &out), EQ_BAD_USAGE);
    assert_ok(eq_text_normalise(ctx, text + 1, &out));
    assert_int_equal(strlen(out), EQ_TEXT_MAX_BYTES);
    free(out);
    free(text);
}

/* --- tokens --- */

static eq_tokenizer *open_tiny(const char *folder)
{
    eq_tokenizer *tokenizer;
    assert_ok(tiny_tokenizer_write(ctx, folder));
    assert_ok(eq_tokenizer_open(ctx, folder, &tokenizer));
    return tokenizer;
}

static void check_ids(const eq_tokenizer *tokenizer, const char *text, size_t count, const int32_t *expected)
{
    eq_tokens tokens;
    assert_ok(eq_tokenize(ctx, tokenizer, text, &tokens));
    assert_int_equal(tokens.count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(tokens.ids[i], expected[i]);
    eq_tokens_free(&tokens);
}
#define IDS(...)                                                                                                       \
    sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (int32_t[])                                                    \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

static void check_tiny_ids(const eq_tokenizer *tokenizer)
{
    check_ids(tokenizer, "", 0, NULL);
    check_ids(tokenizer, "abc ab A", IDS(9, 8, 4));
    check_ids(tokenizer, "cab abab", IDS(3, 8, 7, 8)); /* lowest rank first, every occurrence */
    check_ids(tokenizer, "a1!1", IDS(4, 13, 10, 13));  /* letters, digits one by one, the rest */
    check_ids(tokenizer, "E\u0301", IDS(11, 12));
    check_ids(tokenizer, "\u00e9 \u00c9", IDS(11, 12, 11, 12)); /* two bytes: C3 A9 */
    check_ids(tokenizer, "xa", IDS(TINY_EOS, 4));
    check_ids(tokenizer, "<|startoftext|>abc<|EndOfText|>", IDS(TINY_BOS, 9, TINY_EOS));
}

static void small_vocabulary(void **state)
{
    eq_tokenizer *tokenizer = open_tiny(*state);
    assert_int_equal(eq_tokenizer_bos(tokenizer), TINY_BOS);
    assert_int_equal(eq_tokenizer_eos(tokenizer), TINY_EOS);
    assert_int_equal(eq_tokenizer_pad(tokenizer), TINY_EOS);
    assert_int_equal(eq_tokenizer_max_id(tokenizer), TINY_VOCABULARY - 1);
    check_tiny_ids(tokenizer);
    eq_tokenizer_free(tokenizer);
}

static void single_file(void **state)
{
    static const char *const merges[] = {"\"a b\", \"a b</w>\", \"ab c</w>\"",
                                         "[\"a\", \"b\"], [\"a\", \"b</w>\"], [\"ab\", \"c</w>\"]"};
    for (int i = 0; i < 2; i++) {
        char text[2048];
        snprintf(text, sizeof text,
                 "{\"added_tokens\": [{\"id\": 15, \"content\": \"<|endoftext|>\"}], \"model\": {\"type\": \"BPE\","
                 " \"end_of_word_suffix\": \"</w>\", \"vocab\": %s, \"merges\": [%s]}}",
                 tiny_vocab, merges[i]);
        eq_tokenizer *tokenizer;
        assert_ok(tiny_write(ctx, *state, "tokenizer.json", text));
        assert_ok(eq_tokenizer_open(ctx, *state, &tokenizer));
        check_tiny_ids(tokenizer);
        eq_tokenizer_free(tokenizer);
    }
}

static void one_word_of_many_bytes(void **state)
{
    eq_tokenizer *tokenizer = open_tiny(*state);
    char *text = malloc(EQ_TEXT_MAX_BYTES + 1);
    for (int i = 0; i < EQ_TEXT_MAX_BYTES; i++)
        text[i] = i % 2 ? 'b' : 'a';
    text[EQ_TEXT_MAX_BYTES] = '\0';
    eq_tokens tokens;
    assert_ok(eq_tokenize(ctx, tokenizer, text, &tokens));
    assert_int_equal(tokens.count, EQ_TEXT_MAX_BYTES / 2);
    assert_int_equal(tokens.ids[0], 7);
    assert_int_equal(tokens.ids[tokens.count - 1], 8);
    eq_tokens_free(&tokens);
    free(text);
    eq_tokenizer_free(tokenizer);
}

/* --- start, end, padding, cutting --- */

static void check_encoded(const eq_tokenizer *tokenizer, const char *text, const int32_t expected[5], bool cut)
{
    int32_t ids[5];
    bool truncated = !cut;
    last_warning[0] = '\0';
    assert_ok(eq_tokenizer_encode(ctx, tokenizer, text, 5, ids, &truncated));
    assert_memory_equal(ids, expected, sizeof ids);
    assert_int_equal(truncated, cut);
    assert_int_equal(last_warning[0] != '\0', cut);
}

static void texts_are_padded_and_cut(void **state)
{
    eq_tokenizer *tokenizer = open_tiny(*state);
    check_encoded(tokenizer, "", (int32_t[]){TINY_BOS, TINY_EOS, TINY_EOS, TINY_EOS, TINY_EOS}, false);
    check_encoded(tokenizer, "a b c", (int32_t[]){TINY_BOS, 4, 5, 6, TINY_EOS}, false);
    check_encoded(tokenizer, "a b c  Abc A", (int32_t[]){TINY_BOS, 4, 5, 6, TINY_EOS}, true);
    assert_non_null(strstr(last_warning, "5 tokens"));
    assert_non_null(strstr(last_warning, "takes 3"));
    assert_non_null(strstr(last_warning, "\"abc a\""));
    int32_t ids[2];
    assert_ok(eq_tokenizer_encode(ctx, tokenizer, "abc", 2, ids, NULL));
    assert_true(ids[0] == TINY_BOS && ids[1] == TINY_EOS);
    assert_int_equal(eq_tokenizer_encode(ctx, tokenizer, "abc", 1, ids, NULL), EQ_BAD_USAGE);
    eq_tokenizer_free(tokenizer);
}

/* What is cut may be long, and must not be shown with half a character at its end. */
static void long_rests_are_shortened(void **state)
{
    eq_tokenizer *tokenizer = open_tiny(*state);
    char text[1024] = "a b c ";
    while (strlen(text) < 900)
        strcat(text, "\u65e5");
    int32_t ids[5];
    assert_ok(eq_tokenizer_encode(ctx, tokenizer, text, 5, ids, NULL));
    assert_int_equal(eq_text_valid_length(last_warning, strlen(last_warning)), strlen(last_warning));
    assert_non_null(strstr(last_warning, "\u65e5...\""));
    eq_tokenizer_free(tokenizer);
}

static void padding_comes_from_the_settings(void **state)
{
    assert_ok(tiny_write(ctx, *state, "tokenizer_config.json",
                         "{\"pad_token\": \"<|endoftext|>\", \"unk_token\": {\"content\": \"c\"}}"));
    assert_ok(tiny_write(ctx, *state, "special_tokens_map.json", "{\"pad_token\": \"!\", \"bos_token\": null}"));
    eq_tokenizer *tokenizer = open_tiny(*state);
    check_encoded(tokenizer, "x", (int32_t[]){TINY_BOS, 3, TINY_EOS, 0, 0}, false);
    eq_tokenizer_free(tokenizer);
}

/* --- malformed files --- */

static void check_refused(const char *folder, const char *message)
{
    eq_tokenizer *tokenizer = (eq_tokenizer *)1;
    assert_int_equal(eq_tokenizer_open(ctx, folder, &tokenizer), EQ_BAD_INPUT);
    assert_null(tokenizer);
    if (!strstr(eq_last_error(ctx), message))
        fail_msg("expected \"%s\" in \"%s\"", message, eq_last_error(ctx));
    assert_null(strchr(eq_last_error(ctx), '\n'));
}

static void malformed_vocabularies(void **state)
{
    static const char *const cases[][2] = {
        {"[]", "expected a JSON object"},
        {"{\"a\": 1, ", "not valid JSON"},
        {"{\"a\": \"1\"}", "expected an id"},
        {"{\"a\": -1}", "has id -1"},
        {"{\"a\": 9999999999}", "has id 9999999999"},
        {"{}", "the first part is not in the vocabulary"},
        {"{\"a\": 0, \"b\": 1}", "what they merge into is not in the vocabulary"},
        {"{\"a\": 0, \"b\": 1, \"ab\": 2, \"b</w>\": 3, \"ab</w>\": 4, \"c</w>\": 5, \"abc</w>\": 6}",
         "the start token \"<|startoftext|>\" is not in the vocabulary"},
    };
    check_refused(*state, "no tokenizer there");
    assert_ok(tiny_write(ctx, *state, "vocab.json", tiny_vocab));
    check_refused(*state, "merges.txt");
    assert_ok(tiny_tokenizer_write(ctx, *state));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok(tiny_write(ctx, *state, "vocab.json", cases[i][0]));
        check_refused(*state, cases[i][1]);
    }
}

static void malformed_merges(void **state)
{
    static const char *const cases[][2] = {
        {"ab\n", "merge 1: expected two tokens"},    {"a b\na  b</w>\n", "merge 2: expected two tokens"},
        {" a\n", "merge 1: expected two tokens"},    {"a \n", "merge 1: expected two tokens"},
        {"a b c\n", "merge 1: expected two tokens"}, {"a b\n\na b\n", "merge 2, \"a b\", is merge 1 already"},
        {"a x\n", "the second part is not"},         {"a b\n#version: 0.2\n", "the first part is not"},
    };
    assert_ok(tiny_tokenizer_write(ctx, *state));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok(tiny_write(ctx, *state, "merges.txt", cases[i][0]));
        check_refused(*state, cases[i][1]);
    }
    char *line = malloc(5001);
    memset(line, 'a', 5000);
    line[5000] = '\0';
    line[2500] = ' ';
    assert_ok(tiny_write(ctx, *state, "merges.txt", line));
    check_refused(*state, "longer than");
    free(line);
}

static void malformed_single_files(void **state)
{
    static const char *const cases[][2] = {
        {"{}", "\"model\" is missing"},
        {"{\"model\": {\"type\": \"Unigram\"}}", "found \"Unigram\""},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}", "end_of_word_suffix"},
        {"{\"model\": {\"end_of_word_suffix\": \"</w>\", \"vocab\": {}}}", "\"merges\": expected an array"},
        {"{\"model\": {\"end_of_word_suffix\": \"</w>\", \"vocab\": {}, \"merges\": [1]}}", "merge 1: expected two"},
        {"{\"model\": {\"end_of_word_suffix\": \"</w>\", \"vocab\": {\"a\": 0}, \"merges\": []},"
         " \"added_tokens\": [{\"id\": 1, \"content\": \"a\"}]}",
         "has two ids, 0 and 1"},
        {"{\"model\": {\"end_of_word_suffix\": \"</w>\", \"vocab\": {}, \"merges\": []}, \"added_tokens\": [3]}",
         "added_tokens: expected objects"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok(tiny_write(ctx, *state, "tokenizer.json", cases[i][0]));
        check_refused(*state, cases[i][1]);
    }
}

static void malformed_settings(void **state)
{
    static const char *const cases[][2] = {
        {"{\"pad_token\": 5}", "\"pad_token\": expected a token"},
        {"{\"eos_token\": {\"text\": \"!\"}}", "\"eos_token\": expected a token"},
        {"{\"bos_token\": \"\"}", "\"bos_token\": expected a token"},
        {"{\"bos_token\": \"0123456789012345678901234567890123456789012345678901234567890123\"}", "1 to 63 bytes"},
        {"{\"pad_token\": \"none\"}", "the padding token \"none\" is not in the vocabulary"},
    };
    assert_ok(tiny_tokenizer_write(ctx, *state));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok(tiny_write(ctx, *state, "tokenizer_config.json", cases[i][0]));
        check_refused(*state, cases[i][1]);
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, temporary_setup, temporary_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(white_space_collapses),
        cmocka_unit_test(text_is_composed),
        cmocka_unit_test(case_is_lowered),
        cmocka_unit_test(wrong_bytes_are_refused),
        cmocka_unit_test(long_texts_are_refused),
        IN_FOLDER(small_vocabulary),
        IN_FOLDER(single_file),
        IN_FOLDER(one_word_of_many_bytes),
        IN_FOLDER(texts_are_padded_and_cut),
        IN_FOLDER(long_rests_are_shortened),
        IN_FOLDER(padding_comes_from_the_settings),
        IN_FOLDER(malformed_vocabularies),
        IN_FOLDER(malformed_merges),
        IN_FOLDER(malformed_single_files),
        IN_FOLDER(malformed_settings),
    };
    ctx = eq_context_new();
    eq_set_log(ctx, keep_warning, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}

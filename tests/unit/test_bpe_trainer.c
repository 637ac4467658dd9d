/* Learnt vocabularies: merges worked out by hand, round trips through files and the tokenizer, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/path.h"
#include "temporary.h"
#include "text/bpe_trainer.h"
#include "text/tokenizer.h"

static eq_context *ctx;

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* texts: [count], taken from the last to the first where `backwards` */
static eq_vocabulary learn(const char *const *texts, size_t count, bool backwards, int tokens)
{
    eq_bpe_trainer *trainer;
    eq_vocabulary vocabulary;
    assert_int_equal(eq_bpe_trainer_new(ctx, &trainer), EQ_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(eq_bpe_trainer_add(ctx, trainer, texts[backwards ? count - 1 - i : i]), EQ_OK);
    if (eq_bpe_trainer_learn(ctx, trainer, tokens, &vocabulary) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    eq_bpe_trainer_free(trainer);
    return vocabulary;
}

static const char *token(const eq_vocabulary *v, int32_t id)
{
    assert_int_equal(v->tokens[id].id, id);
    return v->tokens[id].text;
}

/* Sennrich's corpus: low 5 times, lower 2, newest 6, widest 3. Pairs by hand; ids of letters follow the alphabet, so
 * that of equally frequent pairs the one whose left letter comes first wins, and merged tokens come behind letters. */
static const char *const corpus[] = {
    "Low low low", "newest newest newest widest", "lower widest newest", "newest low low lower", "widest newest",
};
static const char *const merges[][2] = {
    {"e", "s"},         {"es", "t</w>"}, {"l", "o"},        {"e", "w"},        {"n", "ew"},
    {"new", "est</w>"}, {"lo", "w</w>"}, {"d", "est</w>"},  {"i", "dest</w>"}, {"w", "idest</w>"},
    {"e", "r</w>"},     {"w", "er</w>"}, {"lo", "wer</w>"},
};

static void assert_merges(const eq_vocabulary *v, size_t count)
{
    assert_int_equal(v->merge_count, count);
    assert_int_equal(v->token_count, EQ_BPE_MIN_TOKENS + count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(token(v, v->merges[i].left), merges[i][0]);
        assert_string_equal(token(v, v->merges[i].right), merges[i][1]);
        assert_int_equal(v->merges[i].result, 512 + i);
    }
    assert_string_equal(token(v, 0), "!");
    assert_string_equal(token(v, 255), "\u0143");
    assert_string_equal(token(v, 256), "!</w>");
    assert_string_equal(token(v, 512 + (int32_t)count), "<|startoftext|>");
    assert_string_equal(token(v, 513 + (int32_t)count), "<|endoftext|>");
}

static void merges_are_those_worked_out_by_hand(void **state)
{
    for (int backwards = 0; backwards < 2; backwards++) {
        eq_vocabulary all = learn(corpus, COUNT(corpus), backwards, 1000);
        assert_merges(&all, COUNT(merges));
        eq_vocabulary_free(&all);
    }
    for (int count = 0; count < 4; count++) {
        eq_vocabulary some = learn(corpus, COUNT(corpus), false, EQ_BPE_MIN_TOKENS + count);
        assert_merges(&some, (size_t)count);
        eq_vocabulary_free(&some);
    }
}

static void words_end_where_the_tokenizer_ends_them(void **state)
{
    /* Neither across spaces, nor from letters to digits and signs, nor into special tokens. */
    static const char *const texts[] = {"ab 12, it's<|endoftext|>ab", "  AB\t12, it's"};
    static const char *const expected[] = {"ab</w>", "'s</w>", "it</w>"};
    eq_vocabulary v = learn(texts, COUNT(texts), false, 1000);
    assert_int_equal(v.merge_count, 3);
    for (size_t i = 0; i < COUNT(expected); i++)
        assert_true(eq_vocabulary_find(&v, expected[i], strlen(expected[i])) >= 512);
    assert_string_equal(token(&v, 512), "ab</w>"); /* three times; the others twice */
    eq_vocabulary_free(&v);
}

static char *read_file(const char *folder, const char *name, size_t *size)
{
    char *path = eq_path_join(folder, name);
    uint8_t *bytes;
    if (eq_file_read(ctx, path, 1 << 20, &bytes, size) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    free(path);
    return (char *)bytes;
}

static void files_open_as_a_tokenizer(void **state)
{
    char *folder = eq_path_join(*state, "deep/tokenizer");
    eq_vocabulary v = learn(corpus, COUNT(corpus), false, 1000);
    if (eq_tokenizer_write(ctx, folder, &v, 24) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    eq_tokenizer *tokenizer;
    if (eq_tokenizer_open(ctx, folder, &tokenizer) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    assert_int_equal(eq_tokenizer_bos(tokenizer), v.token_count - 2);
    assert_int_equal(eq_tokenizer_eos(tokenizer), v.token_count - 1);
    assert_int_equal(eq_tokenizer_pad(tokenizer), v.token_count - 1);
    assert_int_equal(eq_tokenizer_max_id(tokenizer), v.token_count - 1);

    /* Words of the corpus are one token, others are spelt: "slow" as s, lo, w. */
    static const char *const pieces[] = {"newest</w>", "s", "low</w>", "widest</w>", "lower</w>"};
    eq_tokens tokens;
    assert_int_equal(eq_tokenize(ctx, tokenizer, "Newest slow  WIDEST lower", &tokens), EQ_OK);
    assert_int_equal(tokens.count, COUNT(pieces));
    for (size_t i = 0; i < COUNT(pieces); i++)
        assert_string_equal(token(&v, tokens.ids[i]), pieces[i]);
    eq_tokens_free(&tokens);

    /* Any text is written in bytes. */
    assert_int_equal(eq_tokenize(ctx, tokenizer, "\u65e5\u672c caf\u00e9 \U0001f600!", &tokens), EQ_OK);
    assert_int_equal(tokens.count, 6 + 5 + 5);
    for (size_t i = 0; i < tokens.count; i++)
        assert_true(tokens.ids[i] < 512);
    eq_tokens_free(&tokens);

    size_t size;
    char *text = read_file(folder, "merges.txt", &size);
    assert_int_equal(strncmp(text, "#version: 0.2\ne s\nes t</w>\nl o\n", 31), 0);
    free(text);
    eq_json json;
    char *path = eq_path_join(folder, "tokenizer_config.json");
    int64_t length;
    assert_int_equal(eq_json_read(ctx, path, &json), EQ_OK);
    assert_int_equal(eq_json_int(ctx, &json, "model_max_length", 0, 1000, &length), EQ_OK);
    assert_int_equal(length, 24);
    eq_json_close(&json);
    free(path);
    eq_tokenizer_free(tokenizer);
    eq_vocabulary_free(&v);
    free(folder);
}

static void limits_are_kept(void **state)
{
    eq_bpe_trainer *trainer;
    eq_vocabulary v;
    assert_int_equal(eq_bpe_trainer_new(ctx, &trainer), EQ_OK);
    assert_int_equal(eq_bpe_trainer_add(ctx, trainer, "bad \xff"), EQ_BAD_USAGE);
    assert_int_equal(eq_bpe_trainer_learn(ctx, trainer, EQ_BPE_MIN_TOKENS - 1, &v), EQ_BAD_USAGE);
    assert_null(v.tokens);
    /* A word of 3000 letters, twice: tokens double until they would be longer than 256 bytes. */
    char *text = malloc(3001);
    memset(text, 'a', 3000);
    text[3000] = '\0';
    for (int i = 0; i < 2; i++)
        assert_int_equal(eq_bpe_trainer_add(ctx, trainer, text), EQ_OK);
    assert_int_equal(eq_bpe_trainer_words(trainer), 1);
    assert_int_equal(eq_bpe_trainer_learn(ctx, trainer, 4000, &v), EQ_OK);
    size_t longest = 0;
    for (size_t i = 0; i < v.token_count; i++)
        longest = v.tokens[i].size > longest ? v.tokens[i].size : longest;
    assert_int_equal(longest, 256);
    eq_vocabulary_free(&v);
    free(text);
    eq_bpe_trainer_free(trainer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_are_those_worked_out_by_hand),
        cmocka_unit_test(words_end_where_the_tokenizer_ends_them),
        cmocka_unit_test_setup_teardown(files_open_as_a_tokenizer, temporary_setup, temporary_teardown),
        cmocka_unit_test(limits_are_kept),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}

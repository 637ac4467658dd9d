/* Prompts to contexts: one text model, two, none, and what does not fit together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "diffusion/prompt.h"
#include "temporary.h"
#include "unit/tiny_text.h"

enum { L = 9, A = 24, B = 16, P = 10 };

static eq_context *ctx;
/* "abc a!" */
static const int32_t prompt_ids[L] = {TINY_BOS, 9, 4, 10, TINY_EOS, TINY_EOS, TINY_EOS, TINY_EOS, TINY_EOS};
/* The second tokenizer pads with "!". */
static const int32_t second_ids[L] = {TINY_BOS, 9, 4, 10, TINY_EOS, 0, 0, 0, 0};

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

typedef struct paths {
    char encoder[2][600], tokenizer[2][600];
} paths;

static paths paths_in(const char *folder)
{
    paths out;
    for (int i = 0; i < 2; i++) {
        snprintf(out.encoder[i], sizeof out.encoder[i], "%s/text_encoder%s", folder, i ? "_2" : "");
        snprintf(out.tokenizer[i], sizeof out.tokenizer[i], "%s/tokenizer%s", folder, i ? "_2" : "");
    }
    return out;
}

static void write_first(const char *folder)
{
    paths in = paths_in(folder);
    eq_clip_text_config config = tiny_text_config(A, 0);
    assert_ok(tiny_text_write(ctx, in.encoder[0], &config, 1));
    assert_ok(tiny_tokenizer_write(ctx, in.tokenizer[0]));
}

static void write_second(const char *folder, int projection)
{
    paths in = paths_in(folder);
    eq_clip_text_config config = tiny_text_config(B, projection);
    assert_ok(tiny_text_write(ctx, in.encoder[1], &config, 2));
    assert_ok(tiny_tokenizer_write(ctx, in.tokenizer[1]));
    assert_ok(tiny_write(ctx, in.tokenizer[1], "special_tokens_map.json", "{\"pad_token\": \"!\"}"));
}

static eq_prompt_encoder *open_encoder(const char *folder)
{
    eq_prompt_encoder *encoder;
    assert_ok(eq_prompt_encoder_open(ctx, folder, &(eq_prompt_options){.dtype = EQ_F32}, &encoder));
    return encoder;
}

static void one_model(void **state)
{
    write_first(*state);
    assert_true(eq_prompt_needed(*state));
    eq_prompt_encoder *encoder = open_encoder(*state);
    assert_int_equal(eq_prompt_length(encoder), L);
    assert_int_equal(eq_prompt_width(encoder), A);
    assert_int_equal(eq_prompt_pooled_width(encoder), 0);
    float context[L * A], none[L * A];
    bool truncated = true;
    assert_ok(eq_prompt_encode(ctx, encoder, "ABC  a!", context, NULL, &truncated));
    assert_false(truncated);

    eq_clip_text_config config = tiny_text_config(A, 0);
    eq_params *params = tiny_text_params(ctx, &config, 1);
    eq_clip_text text;
    eq_program *program = tiny_text_run(ctx, &config, params, prompt_ids, 1, L, EQ_F32, NULL, &text);
    assert_non_null(program);
    assert_memory_equal(context, eq_program_data(program, text.last), sizeof context);
    eq_program_free(program);
    eq_params_free(params);

    assert_ok(eq_prompt_encode(ctx, encoder, "", context, NULL, NULL));
    assert_ok(eq_prompt_encode(ctx, encoder, NULL, none, NULL, NULL));
    assert_memory_equal(context, none, sizeof none);
    assert_ok(eq_prompt_encode(ctx, encoder, "a b c a b c a b", context, NULL, &truncated));
    assert_true(truncated);
    assert_int_equal(eq_prompt_encode(ctx, encoder, "\xff", context, NULL, NULL), EQ_BAD_USAGE);
    eq_prompt_encoder_close(encoder);
}

static void two_models(void **state)
{
    write_first(*state);
    write_second(*state, P);
    eq_prompt_encoder *encoder = open_encoder(*state);
    assert_int_equal(eq_prompt_width(encoder), A + B);
    assert_int_equal(eq_prompt_pooled_width(encoder), P);
    float context[L * (A + B)], pooled[P];
    assert_ok(eq_prompt_encode(ctx, encoder, "abc a!", context, pooled, NULL));

    static const int widths[2] = {A, B};
    for (int i = 0, offset = 0; i < 2; offset += widths[i++]) {
        eq_clip_text_config config = tiny_text_config(widths[i], i ? P : 0);
        eq_params *params = tiny_text_params(ctx, &config, i ? 2 : 1);
        eq_clip_text text;
        eq_program *program =
            tiny_text_run(ctx, &config, params, i ? second_ids : prompt_ids, 1, L, EQ_F32, NULL, &text);
        assert_non_null(program);
        const float *states = eq_program_data(program, text.penultimate);
        for (int row = 0; row < L; row++)
            assert_memory_equal(context + row * (A + B) + offset, states + row * widths[i],
                                (size_t)widths[i] * sizeof *states);
        if (i == 1)
            assert_memory_equal(pooled, eq_program_data(program, text.pooled), sizeof pooled);
        eq_program_free(program);
        eq_params_free(params);
    }
    eq_prompt_encoder_close(encoder);
}

static void no_prompt_may_be_zeros(void **state)
{
    write_first(*state);
    write_second(*state, P);
    assert_ok(tiny_write(ctx, *state, "model_index.json", "{\"force_zeros_for_empty_prompt\": true}"));
    eq_prompt_encoder *encoder = open_encoder(*state);
    float context[L * (A + B)], pooled[P], zeros[L * (A + B)] = {0};
    assert_ok(eq_prompt_encode(ctx, encoder, "", context, pooled, NULL));
    assert_memory_not_equal(context, zeros, sizeof context);
    assert_ok(eq_prompt_encode(ctx, encoder, NULL, context, pooled, NULL));
    assert_memory_equal(context, zeros, sizeof context);
    assert_memory_equal(pooled, zeros, sizeof pooled);
    eq_prompt_encoder_close(encoder);
}

static void check_refused(const char *folder, const char *message)
{
    eq_prompt_encoder *encoder;
    assert_int_equal(eq_prompt_encoder_open(ctx, folder, &(eq_prompt_options){.dtype = EQ_F32}, &encoder),
                     EQ_BAD_INPUT);
    assert_null(encoder);
    if (!strstr(eq_last_error(ctx), message))
        fail_msg("expected \"%s\" in \"%s\"", message, eq_last_error(ctx));
}

static void parts_that_do_not_fit(void **state)
{
    paths in = paths_in(*state);
    assert_false(eq_prompt_needed(*state));
    check_refused(*state, "text_encoder/config.json");
    eq_clip_text_config config = tiny_text_config(A, 0);
    assert_ok(tiny_text_write(ctx, in.encoder[0], &config, 1));
    check_refused(*state, "tokenizer: no tokenizer there");
    config.vocab_size--;
    assert_ok(tiny_tokenizer_write(ctx, in.tokenizer[0]));
    assert_ok(tiny_text_write(ctx, in.encoder[0], &config, 1));
    check_refused(*state, "ids up to 15, the text model knows 0 to 14");
    write_first(*state);
    write_second(*state, 0);
    check_refused(*state, "text_encoder_2 has no projection");
    config = tiny_text_config(B, P);
    config.max_position_embeddings = L + 1;
    assert_ok(tiny_text_write(ctx, in.encoder[1], &config, 2));
    check_refused(*state, "text_encoder takes 9 tokens, text_encoder_2 10");
}

/* The model's own tokenizer is not needed where another one is named. */
static void tokenizer_from_elsewhere(void **state)
{
    paths in = paths_in(*state);
    char elsewhere[600];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", (char *)*state);
    eq_clip_text_config config = tiny_text_config(A, 0);
    assert_ok(tiny_text_write(ctx, in.encoder[0], &config, 1));
    assert_ok(tiny_tokenizer_write(ctx, elsewhere));
    eq_prompt_encoder *encoder;
    eq_prompt_options options = {.tokenizer = elsewhere, .dtype = EQ_BF16};
    assert_ok(eq_prompt_encoder_open(ctx, *state, &options, &encoder));
    eq_prompt_encoder_close(encoder);
    eq_tensor_file empty = {.path = "checkpoint"};
    assert_int_equal(eq_prompt_encoder_open_checkpoint(ctx, &empty, &(eq_prompt_options){0}, &encoder), EQ_BAD_USAGE);
    assert_int_equal(eq_prompt_encoder_open_checkpoint(ctx, &empty, &options, &encoder), EQ_BAD_INPUT);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, temporary_setup, temporary_teardown)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(one_model),
        IN_FOLDER(two_models),
        IN_FOLDER(no_prompt_may_be_zeros),
        IN_FOLDER(parts_that_do_not_fit),
        IN_FOLDER(tokenizer_from_elsewhere),
    };
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}

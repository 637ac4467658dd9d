#include <inttypes.h>

#include "command.h"
#include "io/captions.h"
#include "text/bpe_trainer.h"
#include "text/tokenizer.h"

typedef struct settings {
    const char *captions, *out;
    int64_t vocabulary, length;
} settings;

static const eq_option options[] = {
    {.name = "captions",
     .kind = EQ_FILE,
     .value = "FILE",
     .required = true,
     .member = offsetof(settings, captions),
     .help = "texts to learn from: CSV or JSON lines with file_name and caption"},
    EQ_OPTION_OUT("folder for vocab.json, merges.txt and the tokenizer's settings, created where missing"),
    {.name = "vocabulary",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "1024",
     .range = {EQ_BPE_MIN_TOKENS, EQ_BPE_MAX_TOKENS},
     .member = offsetof(settings, vocabulary),
     .help = "tokens at most, 514 of them for bytes, start and end; fewer where the texts have no more to merge"},
    {.name = "length",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "77",
     .range = {2, 4096},
     .member = offsetof(settings, length),
     .help = "tokens of a text, start and end among them, that the model will take"},
    {0}};

static const char *const examples[] = {
    "equipoise train tokenizer --captions work/captions.csv --out tokenizer",
    NULL,
};

typedef struct outcome {
    size_t captions, words, tokens, merges;
} outcome;

static eq_status count_words(eq_context *ctx, const eq_captions *captions, eq_bpe_trainer *trainer)
{
    for (size_t i = 0; i < captions->count; i++) {
        if (eq_cancelled(ctx))
            return eq_fail(ctx, EQ_CANCELLED, "stopped at caption %zu of %zu", i + 1, captions->count);
        EQ_TRY(eq_bpe_trainer_add(ctx, trainer, captions->items[i].text));
    }
    return EQ_OK;
}

static eq_status learn(eq_context *ctx, const settings *s, eq_bpe_trainer *trainer, outcome *out)
{
    eq_vocabulary vocabulary;
    out->words = eq_bpe_trainer_words(trainer);
    EQ_TRY(eq_bpe_trainer_learn(ctx, trainer, (int)s->vocabulary, &vocabulary));
    out->tokens = vocabulary.token_count;
    out->merges = vocabulary.merge_count;
    eq_status status = eq_tokenizer_write(ctx, s->out, &vocabulary, (int)s->length);
    eq_vocabulary_free(&vocabulary);
    return status;
}

static eq_status train(eq_context *ctx, const settings *s, outcome *out)
{
    eq_captions captions;
    eq_bpe_trainer *trainer = NULL;
    EQ_TRY(eq_captions_read(ctx, s->captions, &captions));
    out->captions = captions.count;
    eq_status status = eq_bpe_trainer_new(ctx, &trainer);
    if (status == EQ_OK)
        status = count_words(ctx, &captions, trainer);
    if (status == EQ_OK)
        status = learn(ctx, s, trainer, out);
    eq_bpe_trainer_free(trainer);
    eq_captions_free(&captions);
    return status;
}

static eq_status run(const eq_invocation *call)
{
    const settings *s = call->settings;
    outcome o = {0};
    EQ_TRY(train(call->ctx, s, &o));
    if (call->common.json)
        return eq_print_json(call, json_pack("{so, sI, sI, sI, sI}", "out", eq_json_text(s->out), "captions",
                                             (json_int_t)o.captions, "words", (json_int_t)o.words, "tokens",
                                             (json_int_t)o.tokens, "merges", (json_int_t)o.merges));
    printf("%zu captions of %zu different words\n", o.captions, o.words);
    printf("%zu tokens, %zu of them merged, in %s\n", o.tokens, o.tokens - EQ_BPE_MIN_TOKENS, s->out);
    return EQ_OK;
}

const eq_command eq_command_train_tokenizer = {
    .name = "train tokenizer",
    .summary = "learn a byte-pair vocabulary from captions",
    .description =
        "Learns the vocabulary of a text-to-image model from its captions and writes it as CLIP's is written: "
        "vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json. Every byte is a token, "
        "so that any prompt can be written in it.",
    .examples = examples,
    .options = options,
    .settings_size = sizeof(settings),
    .reports = true,
    .run = run,
};

#include "run/encoded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *eq_encoded_key(const char *const *texts, int count, const char *tokenizer, bool bf16)
{
    char *key;
    size_t size;
    FILE *out = open_memstream(&key, &size);
    if (!out)
        return NULL;
    fprintf(out, "%s %s\n", bf16 ? "bf16" : "f32", tokenizer ? tokenizer : "");
    for (int i = 0; i < count; i++) /* the length keeps apart what a separator in a text would run together */
        fprintf(out, "%zu:%s\n", texts[i] ? strlen(texts[i]) + 1 : 0, texts[i] ? texts[i] : "");
    if (fclose(out) == 0)
        return key;
    free(key);
    return NULL;
}

eq_status eq_encoded_new(eq_context *ctx, char *key, size_t context_count, size_t text_count, eq_encoded **out)
{
    eq_encoded *e = calloc(1, sizeof *e);
    *out = NULL;
    if (!e) {
        free(key);
        return eq_fail_memory(ctx, "the prompts");
    }
    *e = (eq_encoded){.holders = 1, .key = key, .context = malloc(context_count * sizeof(float))};
    if (text_count > 0)
        e->text = malloc(text_count * sizeof(float));
    if (!e->context || (text_count > 0 && !e->text)) {
        eq_encoded_release(e);
        return eq_fail_memory(ctx, "the prompts");
    }
    *out = e;
    return EQ_OK;
}

eq_encoded *eq_encoded_hold(eq_encoded *e)
{
    e->holders++;
    return e;
}

void eq_encoded_release(eq_encoded *e)
{
    if (!e || --e->holders > 0)
        return;
    free(e->key);
    free(e->context);
    free(e->text);
    free(e);
}

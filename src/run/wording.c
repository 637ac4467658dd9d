#include "run/wording.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diffusion/semantic.h"

/* --- words into a prompt --- */

/* The word of text[start..end) is "a" or "an", of any case. */
static bool is_article(const char *text, size_t start, size_t end)
{
    size_t length = end - start;
    return (length == 1 || length == 2) && tolower((unsigned char)text[start]) == 'a' &&
           (length == 1 || tolower((unsigned char)text[start + 1]) == 'n');
}

/* Behind the last article and its blank that something follows; 0: there is none. */
static size_t behind_article(const char *text)
{
    size_t place = 0;
    for (size_t start = 0, end; text[start]; start = end + strspn(text + end, " ")) {
        end = start + strcspn(text + start, " ");
        if (end > start && text[end] == ' ' && text[end + 1] && is_article(text, start, end))
            place = end + 1;
        if (end == start && text[start] != ' ')
            break;
    }
    return place;
}

/* The prompt up to `place`, an article at its end by the words' first letter. */
static void write_before(FILE *out, const char *prompt, size_t place, const char *words)
{
    size_t end = place > 0 && prompt[place - 1] == ' ' ? place - 1 : place, start = end;
    while (start > 0 && prompt[start - 1] != ' ')
        start--;
    if (end == place || !*words || end == start || !is_article(prompt, start, end)) {
        fwrite(prompt, 1, place, out);
        return;
    }
    bool vowel = strchr("aeiou", tolower((unsigned char)*words)) != NULL;
    fprintf(out, "%.*s%c%s ", (int)start, prompt, prompt[start], vowel ? "n" : "");
}

static void write_prompt(FILE *out, const char *prompt, size_t place, size_t behind, const char *words)
{
    bool blank_before = place > 0 && prompt[place - 1] == ' ', blank_behind = prompt[behind] == ' ';
    if (!*words && behind > place && blank_behind && (blank_before || place == 0))
        behind++; /* of "a {} doctor" */
    else if (!*words && behind > place && blank_before && !prompt[behind])
        place--; /* of "a doctor {}" */
    write_before(out, prompt, place, words);
    fprintf(out, "%s%s%s", words, behind == place ? " " : "", prompt + behind);
}

eq_status eq_word_prompt(eq_context *ctx, const char *prompt, const char *words, char **out)
{
    const char *braces = strstr(prompt, "{}");
    size_t size, place = braces ? (size_t)(braces - prompt) : behind_article(prompt);
    if (!braces && *words && place == 0)
        return eq_fail(ctx, EQ_BAD_USAGE,
                       "the prompt \"%s\" has no \"a\" or \"an\" to put \"%s\" behind; write {} where it belongs",
                       prompt, words);
    FILE *file = open_memstream(out, &size);
    if (!file)
        return eq_fail_memory(ctx, "a prompt");
    if (!braces && !*words)
        fputs(prompt, file);
    else
        write_prompt(file, prompt, place, place + (braces ? 2 : 0), words);
    if (fclose(file) == 0)
        return EQ_OK;
    free(*out);
    *out = NULL;
    return eq_fail_memory(ctx, "a prompt");
}

/* --- a run's texts --- */

static int variant_count(const eq_targets *targets)
{
    int count = 1;
    for (int t = 0; t < targets->count && count <= EQ_WORDINGS; t++)
        count *= targets->items[t].cells;
    return count;
}

static int class_count(const eq_targets *targets)
{
    int count = 0;
    for (int t = 0; t < targets->count; t++)
        for (int a = 0; a < targets->items[t].attribute_count; a++)
            count += targets->items[t].attributes[a].classes;
    return count;
}

/* "young female": the words of all classes of a combination of cells, whose last target runs fastest. */
static char *join_words(const eq_class_words *words, const eq_targets *targets, int variant)
{
    char *text;
    size_t size, length;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    const char *blank = "";
    for (int t = 0, rest = variant_count(targets); t < targets->count; t++) {
        const eq_target *target = &targets->items[t];
        rest /= target->cells;
        int cell = variant / rest % target->cells;
        for (int a = 0; a < target->attribute_count; a++) {
            const char *word =
                eq_class_words_find(words, &target->attributes[a], eq_target_cell_class(target, cell, a), &length);
            fprintf(out, "%s%.*s", length ? blank : "", (int)length, word);
            blank = length || *blank ? " " : "";
        }
    }
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

static eq_status word_prompts(eq_context *ctx, const char *const *prompts, const eq_class_words *words,
                              const eq_targets *targets, eq_wording *w)
{
    for (int v = 0; v < w->variants; v++) {
        char *joined = w->variants > 1 ? join_words(words, targets, v) : strdup("");
        eq_status status = joined ? EQ_OK : eq_fail_memory(ctx, "the prompts");
        for (int i = 0; i < w->prompts && status == EQ_OK; i++)
            status = eq_word_prompt(ctx, prompts[i], joined, &w->texts[i * w->variants + v]);
        free(joined);
        EQ_TRY(status);
    }
    return EQ_OK;
}

static eq_status word_edits(eq_context *ctx, const eq_class_words *words, const eq_targets *targets, eq_wording *w)
{
    char **text = w->texts + w->prompts * w->variants;
    for (int t = 0; t < targets->count; t++)
        for (int a = 0; a < targets->items[t].attribute_count; a++)
            for (int k = 0; k < targets->items[t].attributes[a].classes; k++) {
                size_t length;
                const char *word = eq_class_words_find(words, &targets->items[t].attributes[a], k, &length);
                if (!(*text++ = strndup(word, length)))
                    return eq_fail_memory(ctx, "the prompts");
            }
    return EQ_OK;
}

static eq_status check(eq_context *ctx, eq_text_rule rule, const eq_class_words *words, const eq_targets *targets)
{
    if (words->count > 0 && rule == EQ_TEXT_NONE)
        return eq_fail(ctx, EQ_BAD_USAGE, "class words are of use to the methods prompt-quota and fair-diffusion only");
    if (rule == EQ_TEXT_WORDS && variant_count(targets) > EQ_WORDINGS)
        return eq_fail(ctx, EQ_BAD_USAGE, "the targets ask for more than %d ways to word each prompt", EQ_WORDINGS);
    if (rule == EQ_TEXT_EDIT && class_count(targets) > EQ_WORDINGS)
        return eq_fail(ctx, EQ_BAD_USAGE, "the targets have %d classes, an edit prompt for each; at most %d",
                       class_count(targets), EQ_WORDINGS);
    if (rule == EQ_TEXT_EDIT && eq_wording_edits(targets, NULL, 0, NULL, NULL) > EQ_SEMANTIC_PROMPTS)
        return eq_fail(ctx, EQ_BAD_USAGE, "the targets ask for more than %d edit prompts an image",
                       EQ_SEMANTIC_PROMPTS);
    return rule == EQ_TEXT_NONE ? EQ_OK : eq_class_words_check(ctx, words, targets);
}

eq_status eq_wording_make(eq_context *ctx, const char *const *prompts, int count, eq_text_rule rule,
                          const eq_class_words *words, const eq_targets *targets, eq_wording *out)
{
    *out = (eq_wording){0};
    EQ_TRY(check(ctx, rule, words, targets));
    eq_wording w = {.prompts = count,
                    .variants = rule == EQ_TEXT_WORDS ? variant_count(targets) : 1,
                    .edits = rule == EQ_TEXT_EDIT ? class_count(targets) : 0};
    w.texts = calloc((size_t)count * (size_t)w.variants + (size_t)w.edits + 1, sizeof *w.texts);
    eq_status status = w.texts ? word_prompts(ctx, prompts, words, targets, &w) : eq_fail_memory(ctx, "the prompts");
    if (status == EQ_OK && w.edits > 0)
        status = word_edits(ctx, words, targets, &w);
    if (status != EQ_OK) {
        eq_wording_free(&w);
        return status;
    }
    *out = w;
    return EQ_OK;
}

void eq_wording_free(eq_wording *w)
{
    for (int i = 0; w->texts && i < w->prompts * w->variants + w->edits; i++)
        free(w->texts[i]);
    free(w->texts);
    *w = (eq_wording){0};
}

/* --- an image's --- */

int eq_wording_variant(const eq_wording *w, const eq_targets *targets, const int *cells, int64_t stride)
{
    int variant = 0;
    for (int t = 0; w->variants > 1 && t < targets->count; t++)
        variant = variant * targets->items[t].cells + cells[t * stride];
    return variant;
}

int eq_wording_edits(const eq_targets *targets, const int *cells, int64_t stride, int *edits, float *signs)
{
    int count = 0, first = 0;
    for (int t = 0; t < targets->count; t++)
        for (int a = 0; a < targets->items[t].attribute_count; a++) {
            int classes = targets->items[t].attributes[a].classes;
            int class = cells ? eq_target_cell_class(&targets->items[t], cells[t * stride], a) : 0;
            for (int k = 0; k < (classes == 2 ? 2 : 1); k++, count++) {
                if (edits)
                    edits[count] = first + (k == 0 ? class : 1 - class);
                if (signs)
                    signs[count] = k == 0 ? 1.0f : -1.0f;
            }
            first += classes;
        }
    return count;
}

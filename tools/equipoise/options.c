#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_NAME = 64 };

const eq_option *eq_option_find(const eq_option *table, const char *name)
{
    for (; table->heading || table->name; table++)
        if (table->name && strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

int eq_option_count(const eq_option *table)
{
    int count = 0;
    while (table[count].heading || table[count].name)
        count++;
    return count;
}

bool eq_option_repeats(const eq_option *option)
{
    return option->kind == EQ_TEXTS || option->kind == EQ_FILES;
}

/* 1536 MiB become "1536M": the largest unit that divides. */
static void format_size(int64_t bytes, char *buffer, size_t size)
{
    static const char units[] = "KMGT";
    int unit = -1;
    while (unit < 3 && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    if (unit < 0)
        snprintf(buffer, size, "%lld", (long long)bytes);
    else
        snprintf(buffer, size, "%lld%c", (long long)bytes, units[unit]);
}

/* Appends to a buffer of `size` that holds *used characters or would, were it larger. */
static void append(char *buffer, size_t size, int *used, const char *text)
{
    size_t at = (size_t)*used < size ? (size_t)*used : size;
    *used += snprintf(buffer + at, size - at, "%s", text);
}

/* "epsilon, v_prediction or sample" */
static void append_choices(char *buffer, size_t size, int *used, const char *const *choices)
{
    for (int i = 0; choices[i]; i++) {
        append(buffer, size, used, i == 0 ? "" : choices[i + 1] ? ", " : " or ");
        append(buffer, size, used, choices[i]);
    }
}

/* The values that the option accepts, "1 to 1000" or "a, b or c"; "" where any text will do. */
static int format_accepted(const eq_option *option, char *buffer, size_t size)
{
    char low[32], high[32], text[96] = "";
    int used = 0;
    if (size > 0)
        buffer[0] = '\0';
    switch (option->kind) {
    case EQ_INTEGER:
    case EQ_RANGE:
    case EQ_INTEGERS:
        snprintf(text, sizeof text, "%lld to %lld", (long long)option->range.low, (long long)option->range.high);
        break;
    case EQ_SIZE:
        format_size(option->range.low, low, sizeof low);
        format_size(option->range.high, high, sizeof high);
        snprintf(text, sizeof text, "%s to %s", low, high);
        break;
    case EQ_REAL: snprintf(text, sizeof text, "%.9g to %.9g", option->real.low, option->real.high); break;
    case EQ_CHOICE: append_choices(buffer, size, &used, option->choices); break;
    default: break;
    }
    append(buffer, size, &used, text);
    if (option->automatic)
        append(buffer, size, &used, " or auto");
    return used;
}

/* Numbers are repeated as they were typed, anything else in quotes. */
static eq_status refuse(eq_context *ctx, const eq_option *option, const char *text)
{
    char accepted[512], *end = NULL;
    const char *form = "";
    format_accepted(option, accepted, sizeof accepted);
    if (option->kind == EQ_RANGE)
        form = "A..B within ";
    else if (option->kind == EQ_INTEGERS)
        form = "a list like 1,2,3 of numbers within ";
    else if (option->kind == EQ_SIZE)
        form = "a size like 512M or 4G within ";
    strtod(text, &end);
    bool number = strspn(text, "+-.0123456789") > 0 && end != text && *end == '\0';
    const char *quote = number ? "" : "'";
    return eq_fail(ctx, EQ_BAD_USAGE, "--%s must be %s%s, not %s%.200s%s", option->name, form, accepted, quote, text,
                   quote);
}

/* Reads a whole number at *text and moves past it. Spaces are not skipped. */
static bool read_integer(const char **text, int64_t *out)
{
    char *end;
    const char *digits = **text == '-' || **text == '+' ? *text + 1 : *text;
    if (*digits < '0' || *digits > '9')
        return false;
    errno = 0;
    long long value = strtoll(*text, &end, 10);
    if (errno == ERANGE)
        return false;
    *out = value;
    *text = end;
    return true;
}

static bool in_range(const eq_option *option, int64_t value)
{
    return value >= option->range.low && value <= option->range.high;
}

static bool store_integer(const eq_option *option, const char *text, int64_t *out)
{
    return read_integer(&text, out) && *text == '\0' && in_range(option, *out);
}

static bool store_range(const eq_option *option, const char *text, eq_range *out)
{
    if (!read_integer(&text, &out->first))
        return false;
    out->last = out->first;
    if (strncmp(text, "..", 2) == 0) {
        text += 2;
        if (!read_integer(&text, &out->last))
            return false;
    }
    return *text == '\0' && out->first <= out->last && in_range(option, out->first) && in_range(option, out->last);
}

static bool store_integers(const eq_option *option, const char *text, eq_integers *out)
{
    for (out->count = 0; out->count < EQ_OPTION_LIST; text++) {
        int64_t *item = &out->item[out->count++];
        if (!read_integer(&text, item) || !in_range(option, *item))
            return false;
        if (*text == '\0')
            return true;
        if (*text != ',')
            return false;
    }
    return false;
}

static bool read_real(const char *text, const char **rest, double *out)
{
    char *end;
    if (strspn(text, "+-.0123456789") == 0)
        return false;
    *out = strtod(text, &end);
    *rest = end;
    return end != text && isfinite(*out);
}

static bool store_real(const eq_option *option, const char *text, double *out)
{
    const char *rest;
    return read_real(text, &rest, out) && *rest == '\0' && *out >= option->real.low && *out <= option->real.high;
}

/* 512, 512M, 1.5G, 4GB, 4GiB. */
static bool store_size(const eq_option *option, const char *text, int64_t *out)
{
    static const char units[] = "KMGT";
    const char *rest;
    double number;
    if (!read_real(text, &rest, &number))
        return false;
    const char *unit = *rest ? strchr(units, *rest & ~0x20) : NULL;
    if (unit) {
        number *= (double)((int64_t)1 << (10 * (unit - units + 1)));
        rest++;
        if (*rest == 'i')
            rest++;
    }
    if (*rest == 'B')
        rest++;
    if (*rest != '\0' || !(number >= 0 && number < 0x1p62))
        return false;
    *out = (int64_t)number;
    return in_range(option, *out);
}

static bool store_choice(const eq_option *option, const char *text, int *out)
{
    for (int i = 0; option->choices[i]; i++)
        if (strcmp(option->choices[i], text) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static eq_status store_texts(eq_context *ctx, const char *text, eq_texts *out)
{
    const char **item = realloc(out->item, ((size_t)out->count + 1) * sizeof *item);
    if (!item)
        return eq_fail_memory(ctx, "a list of options");
    out->item = item;
    out->item[out->count++] = text;
    return EQ_OK;
}

static bool store_auto(const eq_option *option, void *member)
{
    if (option->kind == EQ_REAL)
        *(double *)member = EQ_AUTO;
    else
        *(int64_t *)member = EQ_AUTO;
    return true;
}

eq_status eq_option_store(eq_context *ctx, const eq_option *option, const char *text, void *settings)
{
    void *member = (char *)settings + option->member;
    bool good = true;
    if (option->automatic && strcmp(text, "auto") == 0)
        good = store_auto(option, member);
    else
        switch (option->kind) {
        case EQ_FLAG: *(bool *)member = true; break;
        case EQ_INTEGER: good = store_integer(option, text, member); break;
        case EQ_REAL: good = store_real(option, text, member); break;
        case EQ_SIZE: good = store_size(option, text, member); break;
        case EQ_RANGE: good = store_range(option, text, member); break;
        case EQ_INTEGERS: good = store_integers(option, text, member); break;
        case EQ_CHOICE: good = store_choice(option, text, member); break;
        case EQ_TEXT:
        case EQ_FILE:
        case EQ_FOLDER:
            if (*text == '\0')
                return eq_fail(ctx, EQ_BAD_USAGE, "--%s %s must not be empty", option->name, option->value);
            *(const char **)member = text;
            break;
        case EQ_TEXTS:
        case EQ_FILES: return store_texts(ctx, text, member);
        }
    return good ? EQ_OK : refuse(ctx, option, text);
}

eq_status eq_options_default(eq_context *ctx, const eq_option *table, void *settings)
{
    for (; table->heading || table->name; table++)
        if (table->standard)
            EQ_TRY(eq_option_store(ctx, table, table->standard, settings));
    return EQ_OK;
}

void eq_options_free(const eq_option *table, void *settings)
{
    for (; table->heading || table->name; table++)
        if (eq_option_repeats(table)) {
            eq_texts *texts = (eq_texts *)((char *)settings + table->member);
            free(texts->item);
            *texts = (eq_texts){0};
        }
}

int eq_option_usage(const eq_option *option, char *buffer, size_t size)
{
    char letter[] = {'-', option->letter, ',', ' ', '\0'};
    return snprintf(buffer, size, "%s--%s%s%s", option->letter ? letter : "", option->name, option->value ? " " : "",
                    option->value ? option->value : "");
}

int eq_option_limits(const eq_option *option, char *buffer, size_t size)
{
    int used = 0;
    if (size > 0)
        buffer[0] = '\0';
    /* A range without an end would only puzzle. */
    if (option->range.high != INT64_MAX)
        used = format_accepted(option, buffer, size);
    if (option->required) {
        append(buffer, size, &used, used ? "; required" : "required");
    } else if (option->standard) {
        append(buffer, size, &used, used ? "; default " : "default ");
        append(buffer, size, &used, option->standard);
    }
    if (eq_option_repeats(option))
        append(buffer, size, &used, used ? "; repeatable" : "repeatable");
    return used;
}

/* Edit distance with swaps of neighbours (optimal string alignment). Both at most LONGEST_NAME characters. */
static int spelling_distance(const char *a, const char *b)
{
    int n = (int)strlen(a), m = (int)strlen(b);
    int row[3][LONGEST_NAME + 1]; /* i - 2, i - 1, i */
    for (int j = 0; j <= m; j++)
        row[1][j] = j;
    for (int i = 1; i <= n; i++) {
        row[2][0] = i;
        for (int j = 1; j <= m; j++) {
            int best = row[1][j - 1] + (a[i - 1] != b[j - 1]);
            best = row[1][j] + 1 < best ? row[1][j] + 1 : best;
            best = row[2][j - 1] + 1 < best ? row[2][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && row[0][j - 2] + 1 < best)
                best = row[0][j - 2] + 1;
            row[2][j] = best;
        }
        memcpy(row[0], row[1], sizeof row[0]);
        memcpy(row[1], row[2], sizeof row[0]);
    }
    return row[1][m];
}

const char *eq_nearest(const char *word, const char *const *names, int count)
{
    const char *nearest = NULL;
    size_t length = strlen(word);
    if (length > LONGEST_NAME)
        return NULL;
    int best = (int)length / 3 + 1;
    best = best > 4 ? 4 : best;
    for (int i = 0; i < count; i++) {
        if (strlen(names[i]) > LONGEST_NAME)
            continue;
        int distance = spelling_distance(word, names[i]);
        /* Beginnings are what people type from memory. */
        if (length >= 3 && distance > best && strncmp(word, names[i], length) == 0)
            distance = best;
        if (distance <= best && (!nearest || distance < best)) {
            nearest = names[i];
            best = distance;
        }
    }
    return nearest;
}

#include "guidance/target.h"

#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void eq_target_free(eq_target *target)
{
    if (target == NULL)
        return;
    for (int i = 0; target->attributes != NULL && i < target->attribute_count; i++)
        eq_attribute_clear(&target->attributes[i]);
    free(target->attributes);
    free(target->p);
    *target = (eq_target){0};
}

void eq_targets_free(eq_targets *targets)
{
    if (targets == NULL)
        return;
    for (int i = 0; i < targets->count; i++)
        eq_target_free(&targets->items[i]);
    free(targets->items);
    *targets = (eq_targets){0};
}

/* Appends to the text of that length in buffer[size], counting on past its end as snprintf does. */
static int append(char *buffer, size_t size, int length, const char *text)
{
    size_t count = strlen(text);
    if ((size_t)length < size) {
        size_t room = size - (size_t)length - 1;
        size_t fits = count < room ? count : room;
        memcpy(buffer + length, text, fits);
        buffer[(size_t)length + fits] = '\0';
    }
    return length + (int)count;
}

const char *eq_join_names(const char *const *names, int count, char *buffer, size_t size)
{
    buffer[0] = '\0';
    int length = 0;
    for (int i = 0; i < count; i++) {
        if ((size_t)length + strlen(names[i]) + sizeof(", ...") > size) {
            append(buffer, size, length, "...");
            break;
        }
        length = append(buffer, size, length, names[i]);
        if (i + 1 < count)
            length = append(buffer, size, length, ", ");
    }
    return buffer;
}

int eq_target_cell_class(const eq_target *target, int cell, int attribute)
{
    for (int i = target->attribute_count - 1; i > attribute; i--)
        cell /= target->attributes[i].classes;
    return cell % target->attributes[attribute].classes;
}

int eq_target_name(const eq_target *target, char *buffer, size_t size)
{
    int length = 0;
    for (int i = 0; i < target->attribute_count; i++) {
        if (i > 0)
            length = append(buffer, size, length, "*");
        length = append(buffer, size, length, target->attributes[i].name);
    }
    return length;
}

int eq_target_cell_name(const eq_target *target, int cell, char *buffer, size_t size)
{
    int length = 0;
    for (int i = 0; i < target->attribute_count; i++) {
        if (i > 0)
            length = append(buffer, size, length, "/");
        int class = eq_target_cell_class(target, cell, i);
        length = append(buffer, size, length, target->attributes[i].class_names[class]);
    }
    return length;
}

eq_status eq_target_format(eq_context *ctx, const eq_target *target, char **text)
{
    size_t size = 0;
    char *buffer = NULL;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    FILE *out = c != (locale_t)0 ? open_memstream(&buffer, &size) : NULL;
    if (out == NULL) {
        if (c != (locale_t)0)
            freelocale(c);
        return eq_fail_memory(ctx, "a target's text");
    }
    locale_t before = uselocale(c); /* a decimal point, whatever the program's locale */
    for (int i = 0; i < target->attribute_count; i++)
        fprintf(out, i > 0 ? "*%s" : "%s", target->attributes[i].name);
    for (int cell = 0; cell < target->cells; cell++) {
        fputs(cell > 0 ? "," : "=", out);
        for (int i = 0; i < target->attribute_count; i++) {
            int class = eq_target_cell_class(target, cell, i);
            fprintf(out, i > 0 ? "/%s" : "%s", target->attributes[i].class_names[class]);
        }
        fprintf(out, ":%.10g", target->p[cell]);
    }
    uselocale(before);
    freelocale(c);
    bool failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(buffer);
        return eq_fail_memory(ctx, "a target's text");
    }
    *text = buffer;
    return EQ_OK;
}

void eq_target_marginal(const eq_target *target, int attribute, double *p)
{
    for (int i = 0; i < target->attributes[attribute].classes; i++)
        p[i] = 0;
    for (int cell = 0; cell < target->cells; cell++)
        p[eq_target_cell_class(target, cell, attribute)] += target->p[cell];
}

/* Moves the target's probabilities to `out`, whose attributes are set and whose p is zeroed. */
static eq_status align_cells(eq_context *ctx, const eq_target *target, eq_target *out)
{
    for (int cell = 0; cell < target->cells; cell++) {
        if (target->p[cell] <= 0)
            continue;
        int to = 0;
        for (int i = 0; i < target->attribute_count; i++) {
            const eq_attribute *from = &target->attributes[i], *known = &out->attributes[i];
            const char *name = from->class_names[eq_target_cell_class(target, cell, i)];
            int class = eq_class_find(known, name);
            if (class < 0) {
                char names[256];
                return eq_fail(ctx, EQ_BAD_USAGE, "the target asks for '%s' of '%s', but here the classes are %s", name,
                               from->name, eq_join_names(known->class_names, known->classes, names, sizeof(names)));
            }
            to = to * known->classes + class;
        }
        out->p[to] = target->p[cell];
    }
    return EQ_OK;
}

eq_status eq_target_align(eq_context *ctx, const eq_target *target, const eq_attribute *known, int known_count,
                          eq_target *out)
{
    eq_status status = EQ_OK;
    eq_target aligned = {.attribute_count = target->attribute_count, .cells = 1};
    aligned.attributes = calloc((size_t)target->attribute_count, sizeof(eq_attribute));
    if (aligned.attributes == NULL)
        return eq_fail_memory(ctx, "a target");
    for (int i = 0; i < target->attribute_count; i++) {
        const char *name = target->attributes[i].name;
        int found = eq_attribute_find(known, known_count, name);
        if (found < 0) {
            status =
                eq_fail(ctx, EQ_BAD_USAGE, "the target is about '%s', which is not among the attributes here", name);
            goto fail;
        }
        EQ_TRY_GOTO(status, eq_attribute_copy(ctx, &known[found], &aligned.attributes[i]), fail);
        if (known[found].classes > EQ_TARGET_CELLS / aligned.cells) {
            status = eq_fail(ctx, EQ_BAD_USAGE, "a target over more than %d cells, at '%s'", EQ_TARGET_CELLS, name);
            goto fail;
        }
        aligned.cells *= known[found].classes;
    }
    aligned.p = calloc((size_t)aligned.cells, sizeof(double));
    if (aligned.p == NULL) {
        status = eq_fail_memory(ctx, "a target");
        goto fail;
    }
    EQ_TRY_GOTO(status, align_cells(ctx, target, &aligned), fail);
    *out = aligned;
    return EQ_OK;
fail:
    eq_target_free(&aligned);
    return status;
}

void eq_quota(const double *p, int k, int n, int *quota)
{
    int left = n;
    for (int i = 0; i < k; i++) {
        /* 0.29 * 100 is 28.999999999999996 in doubles, and 29 is meant. */
        quota[i] = (int)floor(p[i] * n + 1e-9);
        left -= quota[i];
    }
    for (; left > 0; left--) {
        int best = 0;
        for (int i = 1; i < k; i++)
            if (p[i] * n - quota[i] > p[best] * n - quota[best])
                best = i;
        quota[best]++; /* whose remainder is now negative: it is not chosen again */
    }
}

void eq_target_quota(const eq_target *target, int n, int *quota)
{
    eq_quota(target->p, target->cells, n, quota);
}

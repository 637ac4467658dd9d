#include <popt.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

const eq_option eq_common_options[] = {
    {.name = "help", .letter = 'h', .kind = EQ_FLAG, .member = offsetof(eq_common, help), .help = "show this help"},
    {.name = "seed",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "0",
     .range = {0, INT64_MAX},
     .member = offsetof(eq_common, seed),
     .help = "seed of everything random"},
    {.name = "threads",
     .kind = EQ_INTEGER,
     .value = "N",
     .standard = "0",
     .range = {0, 4096},
     .member = offsetof(eq_common, threads),
     .help = "threads to compute with, 0 for all there are"},
    {.name = "quiet",
     .letter = 'q',
     .kind = EQ_FLAG,
     .member = offsetof(eq_common, quiet),
     .help = "no progress and no notes"},
    {.name = "json",
     .kind = EQ_FLAG,
     .member = offsetof(eq_common, json),
     .help = "report as a JSON object on standard output"},
    {0}};

bool eq_command_has(const eq_command *command, const eq_option *common)
{
    return command->reports || common->member != offsetof(eq_common, json);
}

/* The rows of one call: the command's, then the common ones. */
typedef struct rows {
    const eq_option **row;   /* [count] */
    struct poptOption *popt; /* [count + 1], its val the position + 1 */
    int count, own;          /* own: how many are the command's */
} rows;

static void add_row(rows *r, const eq_option *option)
{
    r->popt[r->count] = (struct poptOption){.longName = option->name,
                                            .shortName = option->letter,
                                            .argInfo = option->kind == EQ_FLAG ? POPT_ARG_NONE : POPT_ARG_STRING,
                                            .val = r->count + 1};
    r->row[r->count++] = option;
}

static void free_rows(rows *r)
{
    free(r->row);
    free(r->popt);
}

static eq_status collect_rows(eq_context *ctx, const eq_command *command, rows *r)
{
    size_t most = (size_t)(eq_option_count(command->options) + eq_option_count(eq_common_options));
    *r = (rows){.row = calloc(most, sizeof *r->row), .popt = calloc(most + 1, sizeof *r->popt)};
    if (!r->row || !r->popt) {
        free_rows(r);
        return eq_fail_memory(ctx, "options");
    }
    for (const eq_option *option = command->options; option->heading || option->name; option++)
        if (option->name)
            add_row(r, option);
    r->own = r->count;
    for (const eq_option *option = eq_common_options; option->name; option++)
        if (eq_command_has(command, option))
            add_row(r, option);
    return EQ_OK;
}

static eq_status unknown_option(eq_context *ctx, const eq_command *command, const rows *r, const char *text)
{
    char word[64] = "";
    snprintf(word, sizeof word, "%.*s", (int)strcspn(text, "="), text);
    const char **names = calloc((size_t)r->count, sizeof *names);
    if (!names)
        return eq_fail_memory(ctx, "options");
    for (int i = 0; i < r->count; i++)
        names[i] = r->row[i]->name;
    const char *nearest = strncmp(word, "--", 2) == 0 ? eq_nearest(word + 2, names, r->count) : NULL;
    free(names);
    if (nearest)
        return eq_fail(ctx, EQ_BAD_USAGE, "unknown option '%s'; did you mean '--%s'?", word, nearest);
    return eq_fail(ctx, EQ_BAD_USAGE, "unknown option '%s'; 'equipoise %s --help' lists them", word, command->name);
}

/* rc: what poptGetNextOpt ended with. */
static eq_status bad_option(eq_context *ctx, const eq_command *command, const rows *r, poptContext popt, int rc)
{
    const char *text = poptBadOption(popt, POPT_BADOPTION_NOALIAS);
    text = text ? text : "";
    size_t length = strcspn(text, "=");
    if (rc == POPT_ERROR_BADOPT)
        return unknown_option(ctx, command, r, text);
    for (int i = 0; i < r->count; i++) {
        bool named = strncmp(text, "--", 2) == 0 && strlen(r->row[i]->name) == length - 2 &&
                     strncmp(text + 2, r->row[i]->name, length - 2) == 0;
        bool lettered = text[0] == '-' && r->row[i]->letter && text[1] == r->row[i]->letter;
        if (rc == POPT_ERROR_NOARG && (named || lettered))
            return eq_fail(ctx, EQ_BAD_USAGE, "--%s needs a value: --%s %s", r->row[i]->name, r->row[i]->name,
                           r->row[i]->value);
    }
    if (rc == POPT_ERROR_UNWANTEDARG)
        return eq_fail(ctx, EQ_BAD_USAGE, "%.*s takes no value", (int)length, text);
    return eq_fail(ctx, EQ_BAD_USAGE, "%.100s: %s", text, poptStrerror(rc));
}

/* Takes over `text`, malloc'ed by popt, NULL for flags. */
static eq_status store(eq_invocation *call, const rows *r, int index, char *text)
{
    const eq_option *option = r->row[index];
    if (text) {
        char **values = realloc(call->values, ((size_t)call->value_count + 1) * sizeof *values);
        if (!values) {
            free(text);
            return eq_fail_memory(call->ctx, "options");
        }
        call->values = values;
        call->values[call->value_count++] = text;
    }
    bool own = index < r->own;
    if (own)
        call->given[option - call->command->options] = true;
    return eq_option_store(call->ctx, option, text ? text : "", own ? call->settings : (void *)&call->common);
}

static eq_status copy_arguments(eq_invocation *call, const char **arguments)
{
    int count = 0;
    while (arguments && arguments[count])
        count++;
    call->arguments = calloc((size_t)count + 1, sizeof *call->arguments);
    char **values = realloc(call->values, ((size_t)(call->value_count + count) + 1) * sizeof *values);
    if (!values || !call->arguments) {
        call->values = values ? values : call->values;
        return eq_fail_memory(call->ctx, "arguments");
    }
    call->values = values;
    for (int i = 0; i < count; i++) {
        char *copy = strdup(arguments[i]);
        if (!copy)
            return eq_fail_memory(call->ctx, "arguments");
        call->values[call->value_count++] = copy;
        call->arguments[call->argument_count++] = copy;
    }
    return EQ_OK;
}

static eq_status parse(eq_invocation *call, const rows *r, int argc, char *const *argv)
{
    poptContext popt = poptGetContext("equipoise", argc, (const char **)argv, r->popt, POPT_CONTEXT_KEEP_FIRST);
    if (!popt)
        return eq_fail_memory(call->ctx, "options");
    int rc;
    eq_status status = EQ_OK;
    while (status == EQ_OK && (rc = poptGetNextOpt(popt)) > 0)
        status = store(call, r, rc - 1, poptGetOptArg(popt));
    if (status == EQ_OK && rc < -1)
        status = bad_option(call->ctx, call->command, r, popt, rc);
    if (status == EQ_OK)
        status = copy_arguments(call, poptGetArgs(popt));
    poptFreeContext(popt);
    return status;
}

static eq_status check_complete(const eq_invocation *call)
{
    const eq_command *command = call->command;
    for (int i = 0; i < eq_option_count(command->options); i++)
        if (command->options[i].required && !call->given[i])
            return eq_fail(call->ctx, EQ_BAD_USAGE, "--%s %s is missing; see 'equipoise %s --help'",
                           command->options[i].name, command->options[i].value, command->name);
    if (call->argument_count < command->arguments.least)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "%s is missing; see 'equipoise %s --help'", command->arguments.value,
                       command->name);
    if (call->argument_count > command->arguments.most)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "'%.200s' is one argument too many; see 'equipoise %s --help'",
                       call->arguments[command->arguments.most], command->name);
    return EQ_OK;
}

/* A word as a shell wants it: 'gender*glasses' in quotes. */
static void print_word(FILE *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=:,./+@%";
    if (*word && strspn(word, plain) == strlen(word)) {
        fputs(word, out);
        return;
    }
    fputc('\'', out);
    for (; *word; word++) {
        if (*word == '\'')
            fputs("'\\''", out);
        else
            fputc(*word, out);
    }
    fputc('\'', out);
}

static eq_status write_line(eq_invocation *call, int argc, char *const *argv)
{
    size_t size;
    FILE *out = open_memstream(&call->line, &size);
    if (!out)
        return eq_fail_memory(call->ctx, "the command line");
    fprintf(out, "equipoise %s", call->command->name);
    for (int i = 0; i < argc; i++) {
        fputc(' ', out);
        print_word(out, argv[i]);
    }
    return fclose(out) == 0 ? EQ_OK : eq_fail_memory(call->ctx, "the command line");
}

eq_status eq_invocation_open(eq_invocation *call, const eq_command *command, int argc, char *const *argv)
{
    rows r;
    call->command = command;
    call->settings = calloc(1, command->settings_size + 1);
    call->given = calloc((size_t)eq_option_count(command->options) + 1, sizeof *call->given);
    if (!call->settings || !call->given)
        return eq_fail_memory(call->ctx, "options");
    EQ_TRY(write_line(call, argc, argv));
    EQ_TRY(eq_options_default(call->ctx, command->options, call->settings));
    EQ_TRY(eq_options_default(call->ctx, eq_common_options, &call->common));
    EQ_TRY(collect_rows(call->ctx, command, &r));
    eq_status status = parse(call, &r, argc, argv);
    free_rows(&r);
    if (status == EQ_OK && !call->common.help)
        status = check_complete(call);
    return status;
}

void eq_invocation_close(eq_invocation *call)
{
    if (call->settings)
        eq_options_free(call->command->options, call->settings);
    free(call->settings);
    free(call->given);
    free(call->line);
    for (int i = 0; i < call->value_count; i++)
        free(call->values[i]);
    free(call->values);
    free(call->arguments);
    *call = (eq_invocation){0};
}

bool eq_given(const eq_invocation *call, const char *name)
{
    const eq_option *option = eq_option_find(call->command->options, name);
    return option && call->given[option - call->command->options];
}

eq_status eq_print_json(const eq_invocation *call, json_t *json)
{
    if (!json)
        return eq_fail(call->ctx, EQ_FAILED, "no report: memory is out, or a name in it is not UTF-8");
    int rc = json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    json_decref(json);
    if (rc != 0)
        return eq_fail(call->ctx, EQ_IO_ERROR, "the report could not be written to standard output");
    putchar('\n');
    return EQ_OK;
}

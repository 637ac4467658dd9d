/* The manual page, equipoise(1), in man macros. */
#include <ctype.h>
#include <string.h>

#include "command.h"

enum { LONGEST_LINE = 72 };

/* Text with what roff would take for its own escaped: backslashes, dashes, quotes, and dots that start a line. */
static void put(FILE *out, const char *text)
{
    for (int column = 0; *text; text++, column++) {
        if (column == 0 && *text == '.')
            fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\'')
            fputs("\\(aq", out);
        else if (*text == '"')
            fputs("\\(dq", out);
        else
            fputc(*text, out);
    }
}

/* Running text, in lines of moderate length. */
static void put_text(FILE *out, const char *text)
{
    char word[512];
    for (int column = 0; *text; text += strspn(text, " \n")) {
        int length = (int)strcspn(text, " \n");
        if (column > 0 && column + length > LONGEST_LINE) {
            fputc('\n', out);
            column = 0;
        } else if (column > 0) {
            fputc(' ', out);
            column++;
        }
        snprintf(word, sizeof word, "%.*s", length, text);
        put(out, word);
        column += length;
        text += length;
    }
}

/* A line for each paragraph, .PP between them. */
static void put_paragraphs(FILE *out, const char *text)
{
    while (text && *text) {
        const char *end = strstr(text, "\n\n");
        size_t length = end ? (size_t)(end - text) : strlen(text);
        char paragraph[2048];
        snprintf(paragraph, sizeof paragraph, "%.*s", (int)length, text);
        fputs(".PP\n", out);
        put_text(out, paragraph);
        fputc('\n', out);
        text = end ? end + 2 : NULL;
    }
}

static void put_option(FILE *out, const eq_option *option)
{
    char limits[512], text[1024];
    fputs(".TP\n", out);
    if (option->letter)
        fprintf(out, "\\fB\\-%c\\fR, ", option->letter);
    fputs("\\fB\\-\\-", out);
    put(out, option->name);
    fputs("\\fR", out);
    if (option->value) {
        fputs(" \\fI", out);
        put(out, option->value);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    if (eq_option_limits(option, limits, sizeof limits) > 0)
        snprintf(text, sizeof text, "%s (%s)", option->help, limits);
    else
        snprintf(text, sizeof text, "%s", option->help);
    put_text(out, text);
    fputc('\n', out);
}

static void put_examples(FILE *out, const char *const *lines)
{
    for (; lines && *lines; lines++) {
        fputs(".PP\n.nf\n.RS\n", out);
        put(out, *lines);
        fputs("\n.RE\n.fi\n", out);
    }
}

static void put_command(FILE *out, const eq_command *command)
{
    char usage[512], summary[128];
    fprintf(out, ".SS %s%s%s\n", strchr(command->name, ' ') ? "\"" : "", command->name,
            strchr(command->name, ' ') ? "\"" : "");
    eq_help_usage(command, usage, sizeof usage);
    fputs(".B ", out);
    put(out, usage);
    fputc('\n', out);
    snprintf(summary, sizeof summary, "%s.", command->summary);
    summary[0] = (char)toupper((unsigned char)summary[0]);
    put_paragraphs(out, summary);
    put_paragraphs(out, command->description);
    for (const eq_option *row = command->options; row->heading || row->name; row++)
        if (row->name)
            put_option(out, row);
    if (command->reports)
        put_option(out, eq_option_find(eq_common_options, "json"));
    if (command->examples)
        fprintf(out, ".PP\nExamples:\n");
    put_examples(out, command->examples);
}

void eq_write_manual(FILE *out)
{
    fprintf(out, ".TH EQUIPOISE 1 2026-11-24 \"equipoise %s\" \"User Commands\"\n", EQUIPOISE_VERSION);
    fputs(".SH NAME\nequipoise \\- generate sets of images that follow a target attribute distribution\n", out);
    fputs(".SH SYNOPSIS\n.B equipoise\n.I COMMAND\n.RI [ options ]\n", out);
    fputs(".SH DESCRIPTION\n", out);
    put_text(out, eq_overview_text);
    fputs("\n.SH COMMANDS\n", out);
    for (const eq_command *const *command = eq_commands; *command; command++)
        put_command(out, *command);
    fputs(".SH \"COMMON OPTIONS\"\n", out);
    for (const eq_option *option = eq_common_options; option->name; option++)
        put_option(out, option);
    fputs(".SH \"EXIT STATUS\"\n", out);
    for (int code = 0; eq_exit_codes[code]; code++) {
        fprintf(out, ".TP\n.B %d\n", code);
        put(out, eq_exit_codes[code]);
        fputc('\n', out);
    }
    fputs(".SH EXAMPLES\nFrom nothing to a measured set:\n", out);
    put_examples(out, eq_overview_examples);
}

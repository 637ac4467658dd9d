#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

enum { WIDTH = 80, COMMAND_COLUMN = 22, OPTION_COLUMN = 26 };

const char eq_overview_text[] =
    "Equipoise makes pretrained diffusion models generate sets of images that follow the attribute distribution you "
    "ask for, and measures how well a set does.";

const char *const eq_overview_examples[] = {
    "equipoise synth portraits --count 2000 --out portraits",
    "equipoise train diffusion --images portraits/images --out model --size 64",
    "equipoise inspect model",
    "equipoise evaluate --images portraits/images --labels portraits/labels.csv --target gender=female:0.5,male:0.5",
    NULL,
};

const char *const eq_exit_codes[] = {
    "done", "the work failed or was interrupted", "bad usage", "an input file is missing or not what it should be",
    NULL,
};

/* Prints words of `text` from `column` on, wrapped at WIDTH and continued at `indent`. */
static void wrap(FILE *out, const char *text, int column, int indent)
{
    bool first = true;
    while (*text) {
        int length = (int)strcspn(text, " \n");
        if (!first && column + 1 + length > WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", length, text);
        column += length;
        first = false;
        text += length;
        text += strspn(text, " \n");
    }
    fputc('\n', out);
}

static void print_paragraphs(FILE *out, const char *text)
{
    while (text && *text) {
        const char *end = strstr(text, "\n\n");
        int length = end ? (int)(end - text) : (int)strlen(text);
        char *paragraph = malloc((size_t)length + 1);
        if (!paragraph)
            return;
        snprintf(paragraph, (size_t)length + 1, "%s", text);
        wrap(out, paragraph, 0, 0);
        fputc('\n', out);
        free(paragraph);
        text = end ? end + 2 : NULL;
    }
}

/* "  left      right", right wrapped in its column. */
static void print_pair(FILE *out, const char *left, const char *right, int column)
{
    int used = fprintf(out, "  %s", left);
    if (used + 2 > column) {
        fputc('\n', out);
        used = 0;
    }
    fprintf(out, "%*s", column - used, "");
    wrap(out, right, column, column);
}

static void print_options(FILE *out, const eq_command *command, const eq_option *table)
{
    char left[128], limits[512], right[1024];
    for (const eq_option *option = table; option->heading || option->name; option++) {
        if (option->heading) {
            fprintf(out, "%s%s:\n", option == table ? "" : "\n", option->heading);
            continue;
        }
        if (!eq_command_has(command, option))
            continue;
        eq_option_usage(option, left, sizeof left);
        if (eq_option_limits(option, limits, sizeof limits) > 0)
            snprintf(right, sizeof right, "%s (%s)", option->help, limits);
        else
            snprintf(right, sizeof right, "%s", option->help);
        print_pair(out, left, right, OPTION_COLUMN);
    }
}

/* A long command line goes on in the next line after a backslash, broken before an option. */
static void print_example(FILE *out, const char *line)
{
    int column = fprintf(out, "  ");
    while (*line) {
        const char *next = strstr(line, " --");
        int length = next ? (int)(next - line) : (int)strlen(line);
        if (column > 2 && column + 1 + length > WIDTH - 2)
            column = fprintf(out, " \\\n      ") - 3;
        else if (column > 2)
            column += fprintf(out, " ");
        column += fprintf(out, "%.*s", length, line);
        line += next ? length + 1 : length;
    }
    fputc('\n', out);
}

static void print_examples(FILE *out, const char *const *lines)
{
    if (!lines)
        return;
    fprintf(out, "\nExamples:\n");
    for (; *lines; lines++)
        print_example(out, *lines);
}

static void print_commands(FILE *out, const char *group)
{
    size_t length = group ? strlen(group) : 0;
    fprintf(out, "Commands:\n");
    for (const eq_command *const *command = eq_commands; *command; command++)
        if (!group || (strncmp((*command)->name, group, length) == 0 && (*command)->name[length] == ' '))
            print_pair(out, (*command)->name, (*command)->summary, COMMAND_COLUMN);
}

void eq_help_overview(FILE *out)
{
    fprintf(out, "Usage: equipoise COMMAND [options]\n\n");
    print_paragraphs(out, eq_overview_text);
    print_commands(out, NULL);
    print_examples(out, eq_overview_examples);
    fprintf(out, "\n'equipoise COMMAND --help' explains a command; 'equipoise --version' tells the\nversion.\n");
}

void eq_help_group(FILE *out, const char *word)
{
    fprintf(out, "Usage: equipoise %s COMMAND [options]\n\n", word);
    print_commands(out, word);
    fprintf(out, "\n'equipoise %s COMMAND --help' explains a command.\n", word);
}

int eq_help_usage(const eq_command *command, char *buffer, size_t size)
{
    char option[128];
    int used = snprintf(buffer, size, "equipoise %s", command->name);
    for (const eq_option *row = command->options; row->heading || row->name; row++)
        if (row->required) {
            eq_option_usage(&(eq_option){.name = row->name, .value = row->value}, option, sizeof option);
            used += snprintf(buffer + ((size_t)used < size ? (size_t)used : size),
                             (size_t)used < size ? size - (size_t)used : 0, " %s", option);
        }
    const char *value = command->arguments.value;
    bool optional = value && command->arguments.least == 0;
    used +=
        snprintf(buffer + ((size_t)used < size ? (size_t)used : size), (size_t)used < size ? size - (size_t)used : 0,
                 "%s%s%s%s [options]", value ? " " : "", optional ? "[" : "", value ? value : "", optional ? "]" : "");
    return used;
}

void eq_help_command(FILE *out, const eq_command *command)
{
    char usage[512];
    eq_help_usage(command, usage, sizeof usage);
    wrap(out, usage, fprintf(out, "Usage: "), 7);
    fprintf(out, "\n%c%s.\n\n", toupper((unsigned char)command->summary[0]), command->summary + 1);
    print_paragraphs(out, command->description);
    if (command->options[0].name)
        fprintf(out, "Options:\n");
    print_options(out, command, command->options);
    fprintf(out, "%sCommon options:\n", command->options[0].heading || command->options[0].name ? "\n" : "");
    print_options(out, command, eq_common_options);
    print_examples(out, command->examples);
}
